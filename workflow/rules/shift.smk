# Purpose: token-distribution shift between the models of every pair.
#
# REQUIRED INPUTS: responses of the aligned model, both models, prompts tables.
# OUTPUTS:
#   results/store/shift/<pair>-<digest>.parquet             every token of every answer
#   results/<experiment>/tables/shift*.{parquet,csv}        shares, curves, tokens, categories
#   results/<experiment>/figures/shift/*.svg
#   results/<experiment>/report/shift.html                  page, with its data in report/shift/


if PLAN.experiment.pairs:

    rule score_shift:
        input:
            responses=parent_of("shift", "responses"),
            prompts=parent_of("shift", "prompts"),
            base_model=parent_of("shift", "base_model"),
            base_adapter=parent_of("shift", "base_adapter"),
            base_embedder=parent_of("shift", "base_embedder"),
            aligned_model=parent_of("shift", "aligned_model"),
            aligned_adapter=parent_of("shift", "aligned_adapter"),
            aligned_embedder=parent_of("shift", "aligned_embedder"),
        output:
            shift=STORE / "shift" / "{key}.parquet",
        log:
            LOGS / "score_shift" / "{key}.log",
        benchmark:
            BENCHMARKS / "score_shift" / "{key}.tsv"
        conda:
            "../../envs/gpu.yaml"
        threads: 1
        resources:
            mem_mb=needed("shift", "mem_mb"),
            gpu=needed("shift", "gpu"),
            gpu_mb=needed("shift", "gpu_mb"),
            runtime=growing("runtime", "score_shift", 240),
            models_together=int(RUNTIME.models_together),
        params:
            spec=spec_of("shift"),
            job=job_of("shift"),
        message:
            "Scoring pair {wildcards.key}"
        script:
            "../scripts/score_shift.py"

    rule summarise_shift:
        input:
            shifts=[stored(shift) for shift in PLAN.shifts.values()],
            prompts=prompt_tables,
        output:
            tables=expand(
                TABLES / "{table}.{suffix}",
                table=SHIFT_TABLES,
                suffix=["parquet", "csv"],
            ),
        log:
            LOGS / "summarise_shift" / f"{PLAN.experiment.name}.log",
        benchmark:
            BENCHMARKS / "summarise_shift" / f"{PLAN.experiment.name}.tsv"
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=growing("mem_mb", "summarise_shift", 8000),
            runtime=growing("runtime", "summarise_shift", 60),
        params:
            spec=renewed(MADE.shift_statistics.signed_spec, MADE.shift_statistics),
            job=job_of_result(MADE.shift_statistics),
        message:
            "Summing up token shift"
        script:
            "../scripts/summarise_shift.py"

    rule build_shift_page:
        input:
            shifts=[stored(shift) for shift in PLAN.shifts.values()],
            prompts=prompt_tables,
            responses=[stored(responses) for responses in PLAN.scored.values()],
            tables=rules.summarise_shift.output.tables,
        output:
            page=report(
                REPORT / "shift.html",
                category="Report",
                labels={"experiment": PLAN.experiment.name},
            ),
            data=directory(REPORT / "shift"),
            figures=directory(PLAN.folder / "figures" / "shift"),
        log:
            LOGS / "build_shift_page" / f"{PLAN.experiment.name}.log",
        benchmark:
            BENCHMARKS / "build_shift_page" / f"{PLAN.experiment.name}.tsv"
        localrule: True
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            spec=renewed(MADE.shift_page.signed_spec, MADE.shift_page),
            job=job_of_result(MADE.shift_page),
        message:
            "Building the token-shift page of the experiment"
        script:
            "../scripts/build_shift_page.py"

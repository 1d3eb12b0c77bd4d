# Purpose: the report, the manifest, and publication to Weights & Biases.
#
# REQUIRED INPUTS: everything the experiment made.
# OUTPUTS:
#   results/<experiment>/report/index.html     one offline file
#   results/<experiment>/figures/arms/*.svg
#   results/<experiment>/manifest.json         artefacts, digests, versions, hardware, timings
#   results/<experiment>/wandb.json            what was published where


rule write_manifest:
    input:
        artefacts=[stored(artefact) for artefact in ARTEFACTS],
        statistics=TABLES / "statistics.parquet",
    output:
        manifest=PLAN.folder / "manifest.json",
    log:
        LOGS / "write_manifest" / f"{PLAN.experiment.name}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        digest=MADE.report.digest,
        # The report's tables are still being made: they are no inputs of this rule.
        job=job_of_result(MADE.report, experiment=EXPERIMENT, made_of=[]),
    message:
        "Writing down what was made, from what and where"
    script:
        "../scripts/write_manifest.py"


rule build_report:
    input:
        statistics=TABLES / "statistics.parquet",
        comparisons=TABLES / "comparisons.parquet",
        responses=[stored(responses) for responses in PLAN.responses.values()],
        metrics=[stored(metrics) for metrics in PLAN.metrics.values()],
        prompts=prompt_tables,
        manifest=PLAN.folder / "manifest.json",
        contrasts=CONTRAST_TABLE,
        scenarios=SCENARIO_TABLE,
        discrimination=STUDY_TABLE,
        trainsets=TRAINSET_TABLE,
        judgements=[judged.path for judged in JUDGED],
        qualification=QUALIFICATION_TABLE,
        winrates=WINRATES_TABLE,
        breakdown=TABLES / "breakdown.parquet",
        adapters=[stored(adapter) for adapter in PLAN.adapters.values()],
        shift=expand(TABLES / "{table}.parquet", table=SHIFT_TABLES),
        shift_figures=SHIFT_FIGURES,
    output:
        report=report(
            REPORT / "index.html",
            category="Report",
            labels={"experiment": PLAN.experiment.name},
        ),
        figures=directory(ARM_FIGURES),
    log:
        LOGS / "build_report" / f"{PLAN.experiment.name}.log",
    benchmark:
        BENCHMARKS / "build_report" / f"{PLAN.experiment.name}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=renewed(MADE.report.signed_spec, *ARTEFACTS),
        job=job_of_result(MADE.report),
    message:
        "Building the report of the experiment"
    script:
        "../scripts/build_report.py"


rule publish_wandb:
    input:
        statistics=TABLES / "statistics.parquet",
        comparisons=TABLES / "comparisons.parquet",
        report=REPORT / "index.html",
        figures=[ARM_FIGURES, *SHIFT_FIGURES],
        shift=expand(TABLES / "{table}.parquet", table=SHIFT_TABLES),
        others=[
            *CONTRAST_TABLE,
            *SCENARIO_TABLE,
            *STUDY_TABLE,
            *TRAINSET_TABLE,
            *QUALIFICATION_TABLE,
            *WINRATES_TABLE,
        ],
        manifest=PLAN.folder / "manifest.json",
    output:
        receipt=PLAN.folder / "wandb.json",
    log:
        LOGS / "publish_wandb" / f"{PLAN.experiment.name}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        digest=MADE.report.digest,
        settings=PLAN.experiment.wandb.model_dump(),
        job=job_of_result(MADE.publication),
    message:
        "Publishing the experiment to Weights & Biases"
    script:
        "../scripts/publish_wandb.py"

# Purpose: judges score answers and compare them; what judges are worth is measured too.
#
# REQUIRED INPUTS: responses and prompts tables, a local judge's model.
# OUTPUTS:
#   results/store/judge_checks/<judge>-<digest>/                  tokens of a local judge's words
#   results/store/controls/<arm>-<digest>.parquet                 answers corrupted on purpose
#   results/store/judgements/<judge>.<arm>-<digest>.parquet       scores
#   results/store/preferences/<judge>.<a>-vs-<b>-<digest>.parquet
#   results/store/replies/<stage>.<judge>.<arm>.jsonl             every paid reply, append-only
#   results/<experiment>/tables/{qualification,winrates}.{parquet,csv}
# Rows that an endpoint failed are asked again by the next run: the attempt is a param.


# Answers wait for it, so that a judge that cannot be scored costs none.
rule check_judge:
    input:
        model=parent_of("judge_checks", "model"),
    output:
        check=directory(STORE / "judge_checks" / "{key}"),
    log:
        LOGS / "check_judge" / "{key}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec_of("judge_checks"),
        job=job_of("judge_checks"),
    message:
        "Checking that judge {wildcards.key} can be scored"
    script:
        "../scripts/check_judge.py"


rule make_controls:
    input:
        responses=parent_of("controls", "responses"),
        prompts=parent_of("controls", "prompts"),
    output:
        controls=STORE / "controls" / "{key}.parquet",
    log:
        LOGS / "make_controls" / "{key}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec_of("controls"),
        job=job_of("controls"),
    message:
        "Corrupting answers of {wildcards.key} to validate the judges"
    script:
        "../scripts/make_controls.py"


rule judge_responses:
    input:
        responses=parent_of("judgements", "responses"),
        prompts=parent_of("judgements", "prompts"),
        model=parent_of("judgements", "model"),
    output:
        judgements=STORE / "judgements" / "{key}.parquet",
    log:
        LOGS / "judge_responses" / "{key}.log",
    benchmark:
        BENCHMARKS / "judge_responses" / "{key}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 4
    resources:
        mem_mb=needed("judgements", "mem_mb"),
        gpu=needed("judgements", "gpu"),
        gpu_mb=needed("judgements", "gpu_mb"),
        runtime=growing("runtime", "judge_responses", 240),
        batch_size=RUNTIME.batch_size,
    params:
        spec=spec_of("judgements"),
        job=job_of("judgements"),
        attempt=attempt_due,
    message:
        "Judging {wildcards.key}"
    script:
        "../scripts/judge_responses.py"


rule compare_responses:
    input:
        a=parent_of("preferences", "a"),
        b=parent_of("preferences", "b"),
        prompts=parent_of("preferences", "prompts"),
        model=parent_of("preferences", "model"),
    output:
        preferences=STORE / "preferences" / "{key}.parquet",
    log:
        LOGS / "compare_responses" / "{key}.log",
    benchmark:
        BENCHMARKS / "compare_responses" / "{key}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 4
    resources:
        mem_mb=needed("preferences", "mem_mb"),
        gpu=needed("preferences", "gpu"),
        gpu_mb=needed("preferences", "gpu_mb"),
        runtime=growing("runtime", "compare_responses", 240),
        batch_size=RUNTIME.batch_size,
    params:
        spec=spec_of("preferences"),
        job=job_of("preferences"),
        attempt=attempt_due,
    message:
        "Comparing answers: {wildcards.key}"
    script:
        "../scripts/compare_responses.py"


if published_judgements():

    rule fetch_judgements:
        input:
            responses=parent_of("judgements", "responses"),
            prompts=parent_of("judgements", "prompts"),
        output:
            judgements=STORE / "judgements" / "{key}.parquet",
        log:
            LOGS / "fetch_judgements" / "{key}.log",
        wildcard_constraints:
            key=published_judgements(),
        localrule: True
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            spec=spec_of("judgements"),
            job=job_of("judgements"),
        message:
            "Fetching published judgements {wildcards.key}"
        script:
            "../scripts/fetch_judgements.py"

    ruleorder: fetch_judgements > judge_responses


if PLAN.experiment.judges:

    rule qualify_judges:
        input:
            judged=[a.path for found in PLAN.judged.values() for a in found],
            responses=[
                stored(responses)
                for arm, responses in PLAN.responses.items()
                if PLAN.judgements[arm]
            ],
            prompts=prompt_tables,
        output:
            qualification=TABLES / "qualification.parquet",
            qualification_csv=TABLES / "qualification.csv",
            winrates=TABLES / "winrates.parquet",
            winrates_csv=TABLES / "winrates.csv",
        log:
            LOGS / "qualify_judges" / f"{PLAN.experiment.name}.log",
        benchmark:
            BENCHMARKS / "qualify_judges" / f"{PLAN.experiment.name}.tsv"
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=growing("mem_mb", "qualify_judges", 4000),
            runtime=growing("runtime", "qualify_judges", 60),
        params:
            spec=renewed(MADE.qualification.signed_spec, MADE.qualification),
            job=job_of_result(MADE.qualification),
        message:
            "Validating the judges, and counting whom they prefer"
        script:
            "../scripts/qualify_judges.py"

# Purpose: Learning from Mistakes up to the training sets, and the study of what models know.
#
# REQUIRED INPUTS: responses of models that were led astray, or datasets with known mistakes.
# OUTPUTS:
#   results/store/mistakes/<name>-<digest>.parquet       bad answers that survive the filters
#   results/store/questions/<analysis>-<digest>.parquet  what the analyst is asked about them
#   results/store/trainsets/<name>-<digest>.parquet      examples that a model is tuned on
#   results/<experiment>/tables/trainsets.parquet        their kinds and shares; no overlap
#   results/<experiment>/tables/discrimination.parquet   analyses against answers


rule collect_mistakes:
    input:
        prompts=parent_of("mistakes", "prompts"),
        responses=parent_of("mistakes", "responses"),
    output:
        mistakes=STORE / "mistakes" / "{key}.parquet",
    log:
        LOGS / "collect_mistakes" / "{key}.log",
    benchmark:
        BENCHMARKS / "collect_mistakes" / "{key}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec_of("mistakes"),
        job=job_of("mistakes"),
    message:
        "Collecting mistakes {wildcards.key}"
    script:
        "../scripts/collect_mistakes.py"


rule ask_analyst:
    input:
        mistakes=parent_of("questions", "mistakes"),
        responses=parent_of("questions", "responses"),
        prompts=parent_of("questions", "prompts"),
    output:
        questions=STORE / "questions" / "{key}.parquet",
    log:
        LOGS / "ask_analyst" / "{key}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec_of("questions"),
        job=job_of("questions"),
    message:
        "Writing the questions of analysis {wildcards.key}"
    script:
        "../scripts/ask_analyst.py"


rule build_trainset:
    input:
        answers=parent_of("trainsets", "answers"),
        mistakes=parent_of("trainsets", "mistakes"),
        responses=parent_of("trainsets", "responses"),
    output:
        trainset=STORE / "trainsets" / "{key}.parquet",
    log:
        LOGS / "build_trainset" / "{key}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec_of("trainsets"),
        job=job_of("trainsets"),
    message:
        "Building training set {wildcards.key}"
    script:
        "../scripts/build_trainset.py"


if MADE.trainsets:

    rule check_trainsets:
        input:
            trainsets=[stored(trainset) for trainset in PLAN.trainsets.values()],
            prompts=prompt_tables,
        output:
            table=TABLES / "trainsets.parquet",
            csv=TABLES / "trainsets.csv",
        log:
            LOGS / "check_trainsets" / f"{PLAN.experiment.name}.log",
        priority: 20  # before tunings: to refuse needs no GPU
        localrule: True
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=4000,
            runtime=30,
        params:
            spec=renewed(MADE.trainsets.signed_spec, MADE.trainsets),
            job=job_of_result(MADE.trainsets),
        message:
            "Checking that no evaluation prompt is trained on"
        script:
            "../scripts/check_trainsets.py"


if PLAN.experiment.studies:

    rule summarise_studies:
        input:
            prompts=prompt_tables,
            metrics=[stored(made) for made in MADE.studies.parent("metrics")],
            analyses=[stored(made) for made in MADE.studies.parent("analyses")],
        output:
            table=TABLES / "discrimination.parquet",
            csv=TABLES / "discrimination.csv",
        log:
            LOGS / "summarise_studies" / f"{PLAN.experiment.name}.log",
        benchmark:
            BENCHMARKS / "summarise_studies" / f"{PLAN.experiment.name}.tsv"
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=growing("mem_mb", "summarise_studies", 4000),
            runtime=growing("runtime", "summarise_studies", 60),
        params:
            spec=renewed(MADE.studies.signed_spec, MADE.studies),
            job=job_of_result(MADE.studies),
        message:
            "Comparing what models say of answers with what they answer"
        script:
            "../scripts/summarise_studies.py"

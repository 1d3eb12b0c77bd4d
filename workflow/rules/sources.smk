# Purpose: bring models and prompts in, once, verified.
#
# REQUIRED INPUTS: none; packages, hubs and local files are named in config/catalog.
# OUTPUTS:
#   results/store/models/<model>-<digest>/            safetensors + tokenizer
#   results/store/prompts/<dataset>-<digest>.parquet  the rows an experiment asks
#   results/store/responses/<arm>-<digest>.parquet    answers that somebody else published


rule fetch_model:
    output:
        model=directory(STORE / "models" / "{key}"),
    log:
        LOGS / "fetch_model" / "{key}.log",
    benchmark:
        BENCHMARKS / "fetch_model" / "{key}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=needed("models", "mem_mb"),
        runtime=120,
    params:
        spec=spec_of("models"),
        job=job_of("models"),
        tuned=tuned_from,
    message:
        "Fetching model {wildcards.key}"
    script:
        "../scripts/fetch_model.py"


rule fetch_prompts:
    output:
        prompts=STORE / "prompts" / "{key}.parquet",
    log:
        LOGS / "fetch_prompts" / "{key}.log",
    benchmark:
        BENCHMARKS / "fetch_prompts" / "{key}.tsv"
    # Before large models, so that whatever has its model can start.
    priority: 1
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec_of("prompts"),
        job=job_of("prompts"),
    message:
        "Fetching prompts {wildcards.key}"
    script:
        "../scripts/fetch_prompts.py"


if PLAN.experiment.published:

    rule fetch_published:
        input:
            prompts=prompt_tables,
        output:
            responses=STORE / "responses" / "{key}.parquet",
        log:
            LOGS / "fetch_published" / "{key}.log",
        benchmark:
            BENCHMARKS / "fetch_published" / "{key}.tsv"
        wildcard_constraints:
            key="|".join(PLAN.responses[p.name].key for p in PLAN.experiment.published),
        localrule: True
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=4000,
            runtime=30,
        params:
            spec=spec_of("responses"),
            job=job_of("responses"),
        message:
            "Fetching published responses {wildcards.key}"
        script:
            "../scripts/fetch_published.py"

    ruleorder: fetch_published > gather_responses

# Purpose: measure answers without a judge, and compare arms by prompt, with what judges say.
#
# REQUIRED INPUTS: responses and prompts tables, an embedding model for the relevance metric.
# OUTPUTS:
#   results/store/metrics/<arm>-<digest>.parquet
#   results/<experiment>/tables/{statistics,comparisons,breakdown,contrasts,scenarios}.{parquet,csv}


rule measure_responses:
    input:
        responses=parent_of("metrics", "responses"),
        prompts=parent_of("metrics", "prompts"),
        embedder=parent_of("metrics", "embedder"),
    output:
        metrics=STORE / "metrics" / "{key}.parquet",
    log:
        LOGS / "measure_responses" / "{key}.log",
    benchmark:
        BENCHMARKS / "measure_responses" / "{key}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", "measure_responses", 4000),
        runtime=growing("runtime", "measure_responses", 60),
    params:
        spec=spec_of("metrics"),
        job=job_of("metrics"),
    message:
        "Measuring arm {wildcards.key}"
    script:
        "../scripts/measure_responses.py"


rule summarise_metrics:
    input:
        metrics=[stored(metrics) for metrics in PLAN.metrics.values()],
        judgements=[judged.path for judged in JUDGED],
        prompts=prompt_tables,
    output:
        statistics=TABLES / "statistics.parquet",
        statistics_csv=TABLES / "statistics.csv",
        comparisons=TABLES / "comparisons.parquet",
        comparisons_csv=TABLES / "comparisons.csv",
        breakdown=TABLES / "breakdown.parquet",
        breakdown_csv=TABLES / "breakdown.csv",
        contrasts=CONTRAST_TABLE,
        contrasts_csv=[table.with_suffix(".csv") for table in CONTRAST_TABLE],
        scenarios=SCENARIO_TABLE,
        scenarios_csv=[table.with_suffix(".csv") for table in SCENARIO_TABLE],
    log:
        LOGS / "summarise_metrics" / f"{PLAN.experiment.name}.log",
    benchmark:
        BENCHMARKS / "summarise_metrics" / f"{PLAN.experiment.name}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", "summarise_metrics", 4000),
        runtime=growing("runtime", "summarise_metrics", 60),
    params:
        spec=renewed(MADE.statistics.signed_spec, MADE.statistics),
        job=job_of_result(MADE.statistics),
    message:
        "Comparing the arms of the experiment"
    script:
        "../scripts/summarise_metrics.py"

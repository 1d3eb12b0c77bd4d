# Purpose: compare vLLM with transformers, for every model that answers by vLLM.
#
# REQUIRED INPUTS: a materialised model, prompts tables; vLLM (`make vllm`, or `--sdm conda`).
# OUTPUTS:
#   results/store/engine_checks/<model>-<digest>.parquet


rule check_engine:
    input:
        model=parent_of("engine_checks", "model"),
        adapter=parent_of("engine_checks", "adapter"),
        prompts=parent_of("engine_checks", "prompts"),
        embedder=parent_of("engine_checks", "embedder"),
    output:
        check=STORE / "engine_checks" / "{key}.parquet",
    log:
        LOGS / "check_engine" / "{key}.log",
    benchmark:
        BENCHMARKS / "check_engine" / "{key}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        mem_mb=needed("engine_checks", "mem_mb"),
        gpu=needed("engine_checks", "gpu"),
        gpu_mb=needed("engine_checks", "gpu_mb"),
        runtime=growing("runtime", "check_engine", 60),
    params:
        spec=spec_of("engine_checks"),
        job=job_of("engine_checks"),
    message:
        "Comparing vLLM with transformers on {wildcards.key}"
    script:
        "../scripts/check_engine.py"

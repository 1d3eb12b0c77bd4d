# Purpose: models that the experiment tunes itself, as LoRA adapters of catalog models.
#
# REQUIRED INPUTS: a materialised model, a training set, prompts that the set must not hold.
# OUTPUTS:
#   results/store/adapters/<model>-<digest>/     adapter, tokenizer, training.parquet
# A killed job goes on from its last checkpoint in results/store/aside/<key>/.


rule tune_model:
    input:
        model=parent_of("adapters", "model"),
        trainset=parent_of("adapters", "trainset"),
        prompts=prompts_before_tuning,
    output:
        adapter=directory(STORE / "adapters" / "{key}"),
    log:
        LOGS / "tune_model" / "{key}.log",
    benchmark:
        BENCHMARKS / "tune_model" / "{key}.tsv"
    priority: 10
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        mem_mb=needed("adapters", "mem_mb"),
        gpu=needed("adapters", "gpu"),
        gpu_mb=needed("adapters", "gpu_mb"),
        runtime=growing("runtime", "tune_model", 240),
    params:
        spec=spec_of("adapters"),
        job=job_of("adapters", "prompts"),
    message:
        "Tuning {wildcards.key}"
    script:
        "../scripts/tune_model.py"

# Purpose: run every arm (model × prompting method × prompts × decoding).
#
# REQUIRED INPUTS: a materialised model (none if it is behind an endpoint), prompts tables, an
#   embedding model for retrieval, the checks of local judges.
# OUTPUTS:
#   results/store/responses/<arm>-<digest>.parquet
#   results/store/replies/responses.<arm>.jsonl          every reply of an endpoint, append-only
# One job answers one batch of an arm's prompts with one model load. What a killed job finished
# waits in results/store/aside/<key>/ and is not asked for again; what an endpoint failed to answer
# is asked again by the next run: the attempt is a param. One thread each: two arms side by
# side answer a quarter more a second on two cores than one arm with two threads.


rule generate_responses:
    input:
        model=parent_of("responses", "model"),
        adapter=parent_of("responses", "adapter"),
        prompts=parent_of("responses", "prompts"),
        embedder=parent_of("responses", "embedder"),
        checks=judge_checks,
    output:
        responses=temp(STORE / "responses" / "{key}.parts" / "{part}of{parts}.parquet"),
    log:
        LOGS / "generate_responses" / "{key}.{part}of{parts}.log",
    benchmark:
        BENCHMARKS / "generate_responses" / "{key}.{part}of{parts}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        mem_mb=needed("responses", "mem_mb"),
        gpu=needed("responses", "gpu"),
        gpu_mb=needed("responses", "gpu_mb"),
        runtime=growing("runtime", "generate_responses", 240),
        batch_size=RUNTIME.batch_size,
    params:
        spec=spec_of("responses"),
        job=job_of("responses"),
        attempt=attempt_due,
    message:
        "Answering part {wildcards.part} of {wildcards.parts} of arm {wildcards.key}"
    script:
        "../scripts/generate_responses.py"


rule gather_responses:
    input:
        parts=parts_of_arm,
        prompts=parent_of("responses", "prompts"),
    output:
        responses=STORE / "responses" / "{key}.parquet",
    log:
        LOGS / "gather_responses" / "{key}.log",
    benchmark:
        BENCHMARKS / "gather_responses" / "{key}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec_of("responses"),
        job=job_of("responses"),
        attempt=attempt_due,
    message:
        "Gathering the answers of arm {wildcards.key}"
    script:
        "../scripts/gather_responses.py"

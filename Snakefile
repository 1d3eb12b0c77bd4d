# Alignlab: one DAG that measures what alignment changes in a language model.
#
#   make run                                               the demo experiment
#   snakemake --cores 2 --config experiment=smoke          another one, by name or by path
#   snakemake --profile slurm --config experiment=smoke    the same on a cluster
#
# Paths (digests make them unique, so a changed value gives a new file and an old one stays valid):
#   results/store/models/<model>-<digest>/                 safetensors + tokenizer
#   results/store/prompts/<dataset>-<digest>.parquet
#   results/store/{mistakes,questions,trainsets}/<name>-<digest>.parquet
#   results/store/adapters/<model>-<digest>/               LoRA adapter + tokenizer
#   results/store/responses/<arm>-<digest>.parquet
#   results/store/engine_checks/<model>-<digest>.parquet
#   results/store/metrics/<arm>-<digest>.parquet
#   results/store/shift/<pair>-<digest>.parquet
#   results/store/judge_checks/<judge>-<digest>/            tokens of a local judge's words
#   results/store/{controls,judgements,preferences}/<name>-<digest>.parquet
#   results/<experiment>/{tables,figures,report}/…         manifest.json  wandb.json
#   results/{logs,benchmarks}/<rule>/<key>.*

from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.20")

if not Path("config/config.yaml").is_file():
    raise WorkflowError(
        f"no config/config.yaml in {Path.cwd()}: run Snakemake in the project's folder, or add "
        f"`--directory '{workflow.basedir}'`"
    )


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/engines.smk"
include: "workflow/rules/learn.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/shift.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/preview.smk"


onstart:
    check_run()


rule all:
    default_target: True
    input:
        promised(),


include: "workflow/rules/current.smk"

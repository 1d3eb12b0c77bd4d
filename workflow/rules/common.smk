# Purpose: the plan of the chosen experiment, and the helpers that turn its names into paths.
# Parsed again by every job, so nothing here imports a model library or touches the network.

import json

from snakemake.exceptions import WorkflowError

from alignlab.errors import AlignlabError
from alignlab.experiment.load import load_study
from alignlab.experiment.plan import RESULTS, STORE, Plan

try:
    PLAN = Plan(load_study(config["experiment"]))
    ARTEFACTS = list(PLAN)
except AlignlabError as error:
    raise WorkflowError(str(error)) from None

RUNTIME = PLAN.experiment.runtime
TABLES = PLAN.folder / "tables"
REPORT = PLAN.folder / "report"
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"


def canonical(spec):
    """One text for one meaning: Snakemake compares params as they print, key order included."""
    return json.dumps(spec, sort_keys=True)


wildcard_constraints:
    key=r"[a-z0-9][a-z0-9._-]*-[0-9a-f]{12}",
    part=r"\d+",
    parts=r"\d+",


def spec_of(stage):
    """Params of a rule: the semantic slice of the artefact that its key names."""

    def signed_spec(wildcards):
        return canonical(PLAN.find(stage, wildcards.key).signed_spec)

    return signed_spec


def arm_of(wildcards, stage="responses"):
    """The experiment's arm behind a key."""
    return PLAN.find(stage, wildcards.key).spec["arm"]


def stored(artefact):
    """An artefact as an input whose age says nothing: its name says whether it is right."""
    return ancient(str(artefact.path))


def prompt_tables(wildcards):
    """Prompts tables of the experiment, in its order."""
    return [stored(prompts) for prompts in PLAN.prompts]


def model_of_arm(wildcards):
    """The model that an arm asks."""
    return stored(PLAN.models[PLAN.find("responses", wildcards.key).spec["model"]])


def embedder_of_arm(wildcards):
    """The embedding model of a retrieval arm; nothing for other arms."""
    method = PLAN.find("responses", wildcards.key).spec["method"]
    return [stored(PLAN.models[method["embedder"]])] if "embedder" in method else []


def memory_of_arm(wildcards):
    """Memory of a generate job in MB: the weights in four bytes, twice while loading, and 2 GB."""
    model = PLAN.catalog.models[PLAN.find("responses", wildcards.key).spec["model"]]
    return 2000 + 2 * 4 * (model.parameters or 0) // 10**6


def responses_of_arm(wildcards):
    """The responses that a metrics table measures."""
    return stored(PLAN.responses[arm_of(wildcards, "metrics")])


def metrics_embedder(wildcards):
    """The embedding model behind the relevance metric; nothing if the experiment has none."""
    name = PLAN.experiment.embedder
    return [stored(PLAN.models[name])] if name else []


def parts_of_arm(wildcards):
    """Batches of an arm's prompts, one job each."""
    count = RUNTIME.jobs_per_arm
    folder = STORE / "responses" / f"{wildcards.key}.parts"
    return [folder / f"{part}of{count}.parquet" for part in range(count)]

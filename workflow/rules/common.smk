# Purpose: the plan of the chosen experiment, and the helpers that turn its names into paths.
# Parsed again by every job, so nothing here imports a model library or touches the network.

import json

from snakemake.exceptions import WorkflowError

from alignlab.errors import AlignlabError
from alignlab.experiment.load import load_study
from alignlab.experiment import outputs
from alignlab.experiment.artefact import RESULTS, STORE
from alignlab.experiment.plan import Plan

try:
    PLAN = Plan(load_study(config["experiment"]))
    ARTEFACTS = list(PLAN)
except AlignlabError as error:
    raise WorkflowError(str(error)) from None

RUNTIME = PLAN.experiment.runtime
TABLES = PLAN.folder / "tables"
REPORT = PLAN.folder / "report"
SHIFT_TABLES = [
    "shift_statistics",
    "shift_curves",
    "shifted_tokens",
    "shift_categories",
    "shift_confidence",
    "shift_comparisons",
]
FIGURES = [PLAN.folder / "figures" / "arms"]
FIGURES += [PLAN.folder / "figures" / "shift"] if PLAN.experiment.pairs else []
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


def weights_of(model):
    """Inputs of a job that loads a model: its folder, and the adapter of a tuned one."""
    adapters = [stored(PLAN.adapters[model])] if model in PLAN.adapters else []
    return stored(PLAN.models[PLAN.base_of(model)]), adapters


def model_of_arm(wildcards):
    """The model that an arm asks."""
    return weights_of(PLAN.find("responses", wildcards.key).spec["model"])[0]


def adapter_of_arm(wildcards):
    """The adapter of the model that an arm asks; nothing if the model is not tuned here."""
    return weights_of(PLAN.find("responses", wildcards.key).spec["model"])[1]


def embedder_of_arm(wildcards):
    """The embedding model of a retrieval arm; nothing for other arms."""
    method = PLAN.find("responses", wildcards.key).spec["method"]
    return [stored(PLAN.models[method["embedder"]])] if "embedder" in method else []


def memory_of_arm(wildcards):
    """Memory of a generate job in MB."""
    return memory_of(PLAN.find("responses", wildcards.key).spec["model"])


def memory_of(*models):
    """Memory in MB to load models: weights in four bytes, one of them twice, and 2 GB."""
    sizes = [
        PLAN.catalog.models[PLAN.base_of(model)].parameters or 0 for model in models
    ]
    return 2000 + 4 * (sum(sizes) + max(sizes)) // 10**6


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


def base_of_adapter(wildcards):
    """The model that is tuned."""
    return stored(PLAN.models[PLAN.find("adapters", wildcards.key).spec["base"]])


def memory_of_adapter(wildcards):
    """Memory of a tuning job in MB: activations of a batch come on top of the weights."""
    return 2000 + memory_of(PLAN.find("adapters", wildcards.key).spec["base"])


def models_of_pair(wildcards):
    """The base and the aligned model of a pair."""
    spec = PLAN.find("shift", wildcards.key).spec
    return {side: spec[side]["model"] for side in ("base", "aligned")}


def weights_of_pair(wildcards, side):
    """Folder and adapters of one model of a pair."""
    return weights_of(models_of_pair(wildcards)[side])


def memory_of_pair(wildcards):
    """Memory of a scoring job in MB."""
    models = models_of_pair(wildcards).values()
    if RUNTIME.models_together:
        return memory_of(*models)
    return max(memory_of(model) for model in models)


def answers_of_pair(wildcards):
    """The responses that a pair scores."""
    return stored(
        PLAN.responses[PLAN.find("shift", wildcards.key).spec["aligned"]["arm"]]
    )


def embedder_of_pair(wildcards, side):
    """The embedding model, where a model of the pair is asked with retrieved examples."""
    method = PLAN.find("shift", wildcards.key).spec[side].get("method", {})
    return [stored(PLAN.models[method["embedder"]])] if "embedder" in method else []


def shift_statistics(wildcards):
    """The table of token-shift statistics; nothing if the experiment has no pairs."""
    return [TABLES / "shift_statistics.parquet"] if PLAN.experiment.pairs else []


def shift_page(wildcards):
    """The token-shift page; nothing if the experiment has no pairs."""
    return [REPORT / "shift.html"] if PLAN.experiment.pairs else []

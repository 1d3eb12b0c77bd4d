# Purpose: the plan of the chosen experiment, and the helpers that turn its names into paths.
# Parsed again by every job, so nothing here imports a model library or touches the network.

import json
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from alignlab.core.errors import AlignlabError
from alignlab.endpoints import replies
from alignlab.endpoints.replies import check_keys
from alignlab.experiment.load import experiment_of, load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results
from alignlab.judging.stages import PUBLISHED_JUDGEMENTS
from alignlab.operations import current, environments, store_locks
from alignlab.operations.environments import check_sizes
from alignlab.operations.slurm import cluster, executor, killed_runs, retries
from alignlab.planning.artefact import RESULTS, STORE, Artefact, lineage
from alignlab.shift.stages import TABLES_BESIDE

environments.find_python_by_name()
executor.install()
if workflow.is_main_process:
    store_locks.hold()
try:
    environments.check_folder(Path.cwd())
    KILLED_RUN = killed_runs.choice_of(config.get("killed_run", "adopt"))
    EXPERIMENT = experiment_of(config, workflow.config_settings.config_args)
    PLAN = Plan(load_experiment(EXPERIMENT))
    ARTEFACTS = list(PLAN)
    MADE = Results(PLAN)
except AlignlabError as error:
    raise WorkflowError(str(error)) from None

RUNTIME = PLAN.experiment.runtime
TABLES = PLAN.folder / "tables"
REPORT = PLAN.folder / "report"
SHIFT_TABLES = ["shift_statistics", *TABLES_BESIDE] if PLAN.experiment.pairs else []


def if_any(entries, path):
    """What is made of some entries of the experiment; nothing if it has none."""
    return [path] if entries else []


CONTRAST_TABLE = if_any(PLAN.experiment.contrasts, TABLES / "contrasts.parquet")
SCENARIO_TABLE = if_any(PLAN.experiment.scenarios, TABLES / "scenarios.parquet")
STUDY_TABLE = if_any(PLAN.experiment.studies, TABLES / "discrimination.parquet")
TRAINSET_TABLE = if_any(PLAN.trainsets, TABLES / "trainsets.parquet")
QUALIFICATION_TABLE = if_any(PLAN.experiment.judges, TABLES / "qualification.parquet")
WINRATES_TABLE = if_any(PLAN.experiment.judges, TABLES / "winrates.parquet")
SHIFT_PAGE = if_any(PLAN.experiment.pairs, REPORT / "shift.html")
ARM_FIGURES = PLAN.folder / "figures" / "arms"
SHIFT_FIGURES = if_any(PLAN.experiment.pairs, PLAN.folder / "figures" / "shift")
# Not `stored`: what an endpoint failed is asked again under the same name.
JUDGED = [artefact for found in PLAN.judgements.values() for artefact in found]
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"


def canonical(spec):
    """One text for one meaning: Snakemake compares params as they print, key order included."""
    return json.dumps(spec, sort_keys=True)


wildcard_constraints:
    key=r"[a-z0-9][a-z0-9._-]*-[0-9a-f]{12}",
    part=r"\d+",
    parts=r"\d+",


# The attempts, beyond the first, at tables that endpoints fill. Fixed here: a job that writes a note
# must not change the params of those that wait for it.
ATTEMPTS = {
    artefact.key: attempt
    for artefact in ARTEFACTS
    if artefact.runtime
    and (attempt := replies.due(artefact.note, artefact.runtime["max_usd"])) > 1
}


def later_attempts(artefacts):
    """Those at what artefacts are made from."""
    found = lineage(artefacts) if ATTEMPTS else ()
    return {a.key: ATTEMPTS[a.key] for a in found if a.key in ATTEMPTS}


def renewed(spec, *artefacts):
    """A spec that says which attempt at their answers artefacts are made from.

    A further attempt fills a table under its old name: so this tells Snakemake to make again what
    hangs from it, even in a later run.
    """
    later = later_attempts(artefacts)
    return canonical({**spec, "attempts": later} if later else spec)


def spec_of(stage):
    """Params of a rule: the semantic slice of the artefact that its key names."""

    def signed_spec(wildcards):
        artefact = PLAN.find(stage, wildcards.key)
        return renewed(artefact.signed_spec, artefact)

    return signed_spec


# Snakemake takes params whose functions have an argument `output` for derived from the files, and
# makes nothing again where they changed: so a job can be given paths and settings of the run.
def job_of(stage, *more):
    """Params of a rule: what the job is given that makes the artefact that its key names.

    Among it are inputs that are no parents of the artefact, by their names.
    """

    def given(wildcards, input, output, resources):
        artefact = PLAN.find(stage, wildcards.key)
        told = ("batch_size", "models_together")
        run = {name: resources.get(name) for name in told}
        if artefact.runtime:
            run["attempt"] = ATTEMPTS.get(artefact.key, 1)
        if "part" in wildcards.keys():
            run["part"] = {"index": int(wildcards.part), "count": int(wildcards.parts)}
            run["output"] = str(output[0])
        if "parts" in input.keys():
            run["parts"] = list(input.parts)
        run |= {name: list(input.get(name)) for name in more}
        return artefact.job(**{name: value for name, value in run.items() if value})

    return given


def job_of_result(artefact, **more):
    """The same of a table or a page of the experiment."""

    def given(wildcards, input, output, resources):
        return artefact.job(**more)

    return given


def stored(artefact):
    """An artefact as an input whose age says nothing: its name says whether it is right.

    Not if answers behind it needed a further attempt: Snakemake would not run what depends by
    ancient files alone on a job that runs, whatever else has changed.
    """
    return (
        str(artefact.path)
        if later_attempts([artefact])
        else ancient(str(artefact.path))
    )


def parent_of(stage, role):
    """Input of a rule: what the artefact with its key is made from, if it has such a parent."""

    def paths(wildcards):
        artefact = PLAN.find(stage, wildcards.key)
        found = [stored(parent) for parent in artefact.parent(role)]
        return found[0] if isinstance(artefact.parents.get(role), Artefact) else found

    return paths


def prompt_tables(wildcards):
    """Prompts tables that the experiment asks every arm, in its order."""
    return [stored(prompts) for prompts in PLAN.prompts]


def on_slurm():
    """Whether this process submits jobs to Slurm."""
    return (
        workflow.executor_plugin is not None
        and workflow.executor_plugin.name == "slurm"
    )


def knows_why():
    """Whether a job is retried with more of what it lacked; elsewhere it gets more of everything."""
    return on_slurm() or retries.submitted()


def judge_checks(wildcards):
    """Checks of local judges, for which every answer waits."""
    return [stored(check) for check in ARTEFACTS if check.stage == "judge_checks"]


def needed(stage, resource):
    """A resource of a job that runs models: its stage counts it."""

    def amount(wildcards, attempt):
        tried = 1 if knows_why() else attempt
        found = getattr(PLAN.find(stage, wildcards.key).needs(RUNTIME, tried), resource)
        return retries.asked(retries.name_of("", wildcards), resource, found)

    return amount


def growing(resource, rule, first):
    """A resource of which a job gets more when it is retried, and as much again if none says why."""

    def amount(wildcards, attempt):
        found = first if knows_why() else first * attempt
        return retries.asked(retries.name_of(rule, wildcards), resource, found)

    return amount


def parts_of_arm(wildcards):
    """Batches of an arm's prompts, one job each."""
    count = PLAN.parts_of(PLAN.find("responses", wildcards.key))
    folder = STORE / "responses" / f"{wildcards.key}.parts"
    return [folder / f"{part}of{count}.parquet" for part in range(count)]


def prompts_before_tuning(wildcards):
    """What a model may not be tuned on; none once it is there, or a change of it would tune again."""
    made = PLAN.find("adapters", wildcards.key).path.exists()
    return [] if made else prompt_tables(wildcards)


def tuned_from(wildcards, output):
    """What the experiment tunes a model into, to be refused when it is fetched if it cannot be."""
    return [
        {"name": entry.name, "trainer": entry.trainer, "targets": entry.lora.targets}
        for entry in PLAN.experiment.tuned
        if PLAN.model(entry.base).key == wildcards.key
    ]


def attempt_due(wildcards):
    """Number of the attempt that an endpoint's table needs; a param, so that failures ask again."""
    return ATTEMPTS.get(wildcards.key, 1)


def published_judgements():
    """Regex of the keys of judgements that are read from files; empty if there are none."""
    found = [artefact for artefact in ARTEFACTS if artefact.stage == "judgements"]
    return "|".join(a.key for a in found if a.kind is PUBLISHED_JUDGEMENTS)


def result_rules():
    """Rules of what lies under the experiment's name."""
    with_files = [rule for rule in workflow.rules if rule.output]
    return [rule for rule in with_files if PLAN.folder in Path(rule.output[0]).parents]


def promised():
    """All that the rules so far make under the experiment's name."""
    return [str(path) for rule in result_rules() for path in rule.output]


def jobs_due():
    """Jobs that this run is for."""
    return list(workflow.dag.needrun_jobs(exclude_finished=False))


def keys_due():
    """Keys of what this run makes."""
    return {job.wildcards.key for job in jobs_due() if "key" in job.wildcards.keys()}


def submitted_due():
    """Jobs of this run that are submitted, where jobs are."""
    return [job for job in jobs_due() if not job.is_local]


def rules_and_wildcards(jobs):
    """What Slurm's comments say of jobs."""
    return [(job.rule.name, list(job.wildcards)) for job in jobs]


def check_slurm():
    """End a run that Slurm would refuse, or keep waiting for ever."""
    settings, jobs = workflow.executor_settings, submitted_due()
    accounts = {job.resources.get("slurm_account") for job in jobs} - {None, ""}
    cluster.check_cluster(settings.partition_config, {str(a) for a in accounts}, jobs)
    cluster.check_logs(Path(settings.logdir or ".snakemake/slurm_logs"))


def check_run():
    """End a run before its first job, or tell others what it needs."""
    keys = keys_due()
    due = [artefact for artefact in ARTEFACTS if artefact.key in keys]
    try:
        check_keys(due)
        if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
            environments.check_engines(PLAN, due)  # conda brings its own
        check_space()
        if on_slurm():
            check_slurm()
            check_sizes(due)
        store_locks.claim(PLAN, due)
        if on_slurm():
            killed_runs.settle(rules_and_wildcards(submitted_due()), KILLED_RUN)
        else:
            killed_runs.check_none(rules_and_wildcards(jobs_due()))
        current.forget(PLAN.folder, {rule.name for rule in result_rules()})
    except AlignlabError as error:
        raise WorkflowError(str(error)) from None

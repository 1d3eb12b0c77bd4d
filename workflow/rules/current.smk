# Purpose: what is there and is not what this run would make is made again, or told.
#
# REQUIRED INPUTS: every other rule, so this file is included last.
# OUTPUTS: none.
# Names of the store say what is in them. Those of an experiment's tables and pages do not, and
# Snakemake's metadata may be lost, or be another checkout's: so they are compared here.

from alignlab.core import tables


def asked():
    """The rules of results that make what this run is asked for, by way of others too."""
    targets = set(workflow.dag_settings.targets) or {"all"}
    found, new = [], targets
    while new:
        left = [made for made in result_rules() if made not in found]
        makers = [made for made in left if {made.name, *map(str, made.output)} & new]
        found += makers
        # What is a function is of the store.
        new = {
            str(path) for rule in makers for path in rule.input if isinstance(path, str)
        }
    return found


def outdated():
    """Files that are there and have to be made again.

    A forced file is a target too, so none may be that nobody asked for.
    """
    for rule in asked():
        files = [str(path) for path in rule.output if Path(path).exists()]
        if not current.is_current(PLAN.folder, rule.name, dict(rule.params.items())):
            yield from files
    if not workflow.dag_settings.targets:
        asks = [a for a in ARTEFACTS if a.runtime and a.path.exists()]
        again = [a for a in asks if replies.again(a.note, a.runtime["max_usd"])]
        yield from (str(artefact.path) for artefact in again)


def check_tables():
    """Refuse a store where a table is not the one that its name says."""
    for artefact in ARTEFACTS:
        for table, path in artefact.tables.items():
            if path.exists():
                tables.check(path, table, artefact.digest)


if workflow.is_main_process:
    try:
        check_tables()
    except AlignlabError as error:
        raise WorkflowError(str(error)) from None
    workflow.dag_settings.forcerun = {*workflow.dag_settings.forcerun, *outdated()}

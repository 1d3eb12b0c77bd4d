# Purpose: what is there and is not what this run would make is made again, or told.
#
# REQUIRED INPUTS: every other rule, so this file is included last.
# OUTPUTS: none.
# Names of the store say what is in them. Those of an experiment's tables and pages do not, and
# Snakemake's metadata may be lost, or be another checkout's: so they are compared here. Jobs parse
# this file too and do nothing with it.

from alignlab.core import tables


def made_again(paths):
    """Have files made that are there, wherever this run needs them; `--forcerun` has more made."""
    workflow.dag.forcefiles.update(str(path) for path in paths if Path(path).exists())


def unless_current(results):
    """An input function of a rule of results, which adds no input.

    Snakemake asks it where the run needs the rule, before it decides what is to be made.
    """

    def compared(wildcards):
        if not current.is_current(
            PLAN.folder, results.name, dict(results.params.items())
        ):
            made_again(results.output)
        return []

    return compared


def unless_answered(stage):
    """The same of what asks an endpoint, where a table has rows that one failed to fill."""

    def compared(wildcards):
        artefact = PLAN.find(stage, wildcards.key)
        if artefact.runtime and replies.again(
            artefact.note, artefact.runtime["max_usd"]
        ):
            made_again([artefact.path])
        return []

    return compared


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
    for made in result_rules():
        made.set_input(unless_current(made))
    for name, stage in (
        ("gather_responses", "responses"),
        ("judge_responses", "judgements"),
        ("compare_responses", "preferences"),
    ):
        workflow.get_rule(name).set_input(unless_answered(stage))

"""The `alignlab` command: check experiments, clean the store, show results.

alignlab check                  validate every shipped experiment; print plans, jobs and costs
alignlab check my.yaml          the same for one
alignlab gc --delete            remove from the store what no experiment names
alignlab summary demo           the summary table of a finished experiment
alignlab stages                 whether changed code computes the same: `workflow/stages.lock`
"""

from __future__ import annotations

import argparse
import codecs
import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from io import TextIOWrapper
from pathlib import Path

from alignlab.core.errors import AlignlabError

PLAIN = "alignlab-plain"
"""Name of the error handler of streams that cannot show every character."""
LIKE = {
    "✓": "x",
    "·": "-",
    "–": "-",
    "−": "-",
    "±": "+-",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
}

UNPRINTED = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""Why standard output takes no more."""

# Imports below stay inside the commands: `alignlab --help` answers in a tenth of a second.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's error is one message and exit status 1."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # of a terminal that lacks a character, such as ✓
            stream.reconfigure(errors=PLAIN)
    try:
        status: int = options.command(options)
        print(end="", flush=True)  # also where there is no standard output
        return status
    except AlignlabError as error:
        print(f"alignlab: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is not None or error.errno not in UNPRINTED:
            raise
        if error.errno != errno.EPIPE:  # `| head` has read enough
            print(f"alignlab: standard output: {error.strerror}", file=sys.stderr)
        # Python must not flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="alignlab", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser("check", help="validate experiments and print their plans")
    check.add_argument("experiments", nargs="*", help="names or paths; all shipped if none")
    check.set_defaults(command=_check)
    gc = commands.add_parser("gc", help="list what no experiment names and no finished one used")
    gc.add_argument("--delete", action="store_true", help="remove it")
    gc.add_argument("--keep", nargs="*", action="extend", default=[], help="your own, by path")
    gc.set_defaults(command=_gc)
    summary = commands.add_parser("summary", help="summary table of a finished experiment")
    summary.add_argument("experiment")
    summary.set_defaults(command=_summary)
    stages = commands.add_parser("stages", help="bring the versions of changed code up to date")
    how = stages.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="only say whether they are")
    how.add_argument("--list", action="store_true", help="what the evidence makes, as JSON")
    stages.set_defaults(command=_stages)
    return parser


def _plain(error: UnicodeError) -> tuple[str, int]:
    """ASCII for what a terminal cannot show."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(LIKE.get(character, "?") for character in lacking), error.end


codecs.register_error(PLAIN, _plain)


def _check(options: argparse.Namespace) -> int:
    """Validate each experiment; go on after a bad one, so that one run shows every mistake."""
    from alignlab.experiment.load import shipped
    from alignlab.experiment.results import check_lock, units
    from alignlab.planning.versions import versions

    names = [str(path) for path in shipped()]  # first: no other folder has a lock, either
    check_lock()
    failed = 0
    for name in options.experiments or names:
        try:
            print(_described(name))
        except AlignlabError as error:
            failed += 1
            print(f"alignlab: {error}", file=sys.stderr)
    if not failed and (behind := versions().behind(units().values())):
        print(f"alignlab: code changed of {', '.join(behind)}; see `make stages`", file=sys.stderr)
    return int(failed > 0)


def _described(name: str) -> str:
    from alignlab.experiment.load import load_experiment
    from alignlab.experiment.plan import Plan
    from alignlab.operations import store_locks
    from alignlab.operations.cost_table import costs_of, previews, table

    plan = Plan(load_experiment(name))
    lines = [f"{plan.experiment.name}: {plan.experiment.title} ({plan.path})"]
    counts = {stage: jobs for stage, jobs in plan.job_counts().items() if jobs.total}
    lines += [f"  {s:<20} {jobs.total:>5} jobs, {jobs.done} done" for s, jobs in counts.items()]
    lines += previews(plan)
    if costs := costs_of(plan):
        lines.append(table(plan, costs))
    lines += [f"  {'✓' if a.path.exists() else '·'} {a.path}" for a in plan]
    lines += [
        f"  ! {path} is gone, from which {plan.folder} was made; "
        f"`snakemake --cores 1 --config experiment={name} -- {path}` makes it again"
        for path in store_locks.lost(plan.folder)
    ]
    return "\n".join(lines)


def _gc(options: argparse.Namespace) -> int:
    """List or remove what nothing needs; what cannot be removed is told, and the rest goes on."""
    from alignlab.experiment.load import load_experiment, shipped
    from alignlab.experiment.plan import Plan
    from alignlab.operations import store_locks

    names = [*map(str, shipped()), *options.keep]
    plans = [Plan(load_experiment(name)) for name in names]
    with store_locks.none_starting() if options.delete else nullcontext():
        orphans = store_locks.unnamed(plans)
        total, left = 0, 0
        for path in orphans:
            try:
                size = sum(f.lstat().st_size for f in _each(path))
                if options.delete:
                    store_locks.remove(path)
            except OSError as error:
                left += 1
                print(f"alignlab: {path}: cannot be removed: {error}", file=sys.stderr)
            else:
                total += size
                print(f"{size / 1e6:10.1f} MB  {path}")
    names += [f"{run.experiment} (running)" for run in store_locks.live()]
    names += [f"{run.experiment} (of {run.folder})" for run in store_locks.begun()]
    verb = "removed" if options.delete else "would be removed with --delete"
    print(f"{len(orphans) - left} entries, {total / 1e6:.1f} MB {verb}; named: {', '.join(names)}")
    return int(left > 0)


def _each(path: Path) -> Iterator[Path]:
    """A file, or those below a folder; a link is itself, and not what it leads to."""
    if path.is_symlink() or path.is_file():
        yield path
    else:
        yield from (file for file in path.rglob("*") if file.is_symlink() or file.is_file())


def _summary(options: argparse.Namespace) -> int:
    from alignlab.answering.engine_statistics import engine_lines, engine_row
    from alignlab.experiment import cards
    from alignlab.experiment.load import load_experiment
    from alignlab.experiment.plan import Plan
    from alignlab.experiment.results import Results
    from alignlab.reporting import summary

    plan = Plan(load_experiment(options.experiment))
    made = Results(plan)
    for artefact in made.made():
        for path in artefact.tables.values():
            _check_todays(path, artefact.digest)
    folder, judged = made.tables, cards.judged(plan)
    tried = folder / "qualification.parquet" if made.qualification else None
    means, against = folder / "statistics.parquet", folder / "comparisons.parquet"
    asked = [artefact.path for artefact in plan.prompts]
    print(summary.summary(means, against, asked, plan.experiment.baseline, judged, tried))
    if plan.experiment.contrasts:
        print(f"\n{summary.contrast_summary(folder / 'contrasts.parquet', judged, tried)}")
    if plan.experiment.scenarios:
        print(f"\n{summary.scenario_summary(folder / 'scenarios.parquet', judged, tried)}")
    if made.studies:
        print(f"\n{summary.study_summary(made.studies.path)}")
    if made.shift_statistics:
        print(f"\n{summary.shift_summary(made.shift_statistics.path)}")
    checks = [engine_row(a.path) for a in plan if a.stage == "engine_checks"]
    if checks:
        print("\n" + "\n".join(engine_lines(checks)))
    print(f"\nReport: {Path(plan.folder / 'report' / 'index.html')}")
    return 0


def _stages(options: argparse.Namespace) -> int:
    """Compare old code with new, or only its fingerprints with the lock."""
    from alignlab.experiment.results import check_lock, units
    from alignlab.planning.versions import LOCK, versions

    if options.list:
        from alignlab.operations.evidence.trees import inventory

        print(json.dumps(inventory()))
    elif options.check:
        check_lock()
        if behind := versions().behind(units().values()):
            raise AlignlabError(
                f"{LOCK}: not the code that it records: {', '.join(behind)}; "
                "run `make stages`, and commit what it writes"
            )
    else:
        from alignlab.operations.evidence.update import update  # imports pyarrow

        if not Path("workflow/stages.lock").parent.is_dir():
            raise AlignlabError("no workflow here: run stages in the project's folder")
        update(Path.cwd(), units())
    return 0


def _check_todays(table: Path, digest: str) -> None:
    """Refuse a table that was not made from the experiment as it is now."""
    from alignlab.core import tables

    if tables.spec_of(table)["digest"] != digest:
        raise AlignlabError(f"{table}: made before the experiment's last change; run it again")


if __name__ == "__main__":
    sys.exit(main())

"""Brings `workflow/stages.lock` up to date by evidence, for `make stages`: old code against new.

The code as it was when the lock was last committed makes the tables of the evidence experiments.
Then today's code makes each of them again, from parents that the old code made, so that a stage is
never blamed for what another one changed. A unit whose tables are all equal keeps its version; one
with a table that differs goes up by one. A changed unit none of whose tables can be made here
cannot be shown to be the same, and its line stays.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from alignlab.core.errors import AlignlabError
from alignlab.operations.evidence import loopback
from alignlab.operations.evidence.trees import LOCK, Tree, git, recorded_tree, todays_tree
from alignlab.planning.fingerprint import Code
from alignlab.planning.versions import FINGERPRINT, Recorded, Unit, lock_text, parse_lock

if TYPE_CHECKING:
    from alignlab.operations.evidence.trees import Made

MEASURED = {
    "seconds": "how long it took; no two runs take equally long",
}
"""Columns that say something of the run and not of the values → why they are not compared."""
DERIVED = {
    ".snakemake_timestamp": "Snakemake's own note of when it was made",
    "SHA256SUMS": "checksums of the other files, which are compared themselves",
    "alignlab.json": "metadata of a folder, as tables have it in themselves",
}
"""Files of folders that are not compared → why."""
CHANGELOG = Path("CHANGELOG.md")
WIDTH = 110


def differences(old: Path, new: Path) -> list[str]:
    """What differs between two artefacts, in words; nothing if they hold the same.

    Of the metadata of tables what their makers counted is compared, since later stages read it;
    digests, versions of packages and the spec are not.
    """
    if old.is_dir() != new.is_dir() or not new.exists():
        return [f"{new.name}: a folder on one side only, or missing"]
    return list(_of_folders(old, new) if old.is_dir() else _of_files(old, new))


def _of_folders(old: Path, new: Path) -> Iterator[str]:
    sides = [
        {p.relative_to(side) for p in side.rglob("*") if p.is_file() and p.name not in DERIVED}
        for side in (old, new)
    ]
    for name in sorted(sides[0] ^ sides[1]):
        yield f"{name}: on one side only"
    for name in sorted(sides[0] & sides[1]):
        yield from _of_files(old / name, new / name)


def _of_files(old: Path, new: Path) -> Iterator[str]:
    if old.suffix != ".parquet":
        if _sha256(old) != _sha256(new):
            yield f"{new.name}: other bytes"
        return
    yield from _of_tables(pq.read_table(old), pq.read_table(new), new.name)


def _of_tables(old: pa.Table, new: pa.Table, name: str) -> Iterator[str]:
    counts = [(table.schema.metadata or {}).get(b"alignlab.counts") for table in (old, new)]
    if counts[0] != counts[1]:
        yield f"{name}: other counts in its metadata"
    if old.column_names != new.column_names:
        yield f"{name}: columns {', '.join(sorted({*old.column_names} ^ {*new.column_names}))}"
        return
    if old.num_rows != new.num_rows:
        yield f"{name}: {old.num_rows} rows, and {new.num_rows}"
        return
    for column in old.column_names:
        if column in MEASURED:
            continue
        if old.schema.field(column).type != new.schema.field(column).type:
            yield f"{name}: column {column}: another type"
        # As text: a number that is none equals itself, and 0.0 is not -0.0.
        elif repr(old[column].to_pylist()) != repr(new[column].to_pylist()):
            yield f"{name}: column {column}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Evidence:
    """What the comparison of old and new code showed.

    Attributes:
        compared: what both made.
        differing: of these, what holds something else: path → the differences.
        other: what today's code no longer plans, or makes of other settings.
        blocked: what cannot be made here: unit → what to do about it.
    """

    compared: list[Made] = field(default_factory=list)
    differing: dict[str, list[str]] = field(default_factory=dict)
    other: list[Made] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)

    def behind(self, unit: str) -> list[Made]:
        """What both made by a unit."""
        return [made for made in self.compared if unit in made["units"]]

    def changed(self, unit: str) -> bool:
        """Whether a unit is behind something that holds something else, or only behind what has
        other names now and cannot be compared: a version that is raised for nothing does no harm.
        """
        found = self.behind(unit)
        return any(m["path"] in self.differing for m in found) or (not found and self.settles(unit))

    def settles(self, unit: str) -> bool:
        """Whether it can be said of a unit that it computes the same, or that it does not."""
        return bool(self.behind(unit)) or any(unit in made["units"] for made in self.other)


def update(root: Path, units: Mapping[str, Unit]) -> None:
    """Bring the lock of a checkout up to date, and its changelog; prints what it found.

    Args:
        root: of the checkout.
        units: every unit with a version, by name.

    Raises:
        AlignlabError: not in a git checkout, the lock is not committed, a job fails, or a unit
            cannot be shown to be the same, which leaves its line as it is.
    """
    code = Code(root / "workflow/alignlab")
    found = {name: code.fingerprint(unit.module, unit.entry) for name, unit in units.items()}
    commit = _last_commit(root)
    known = parse_lock(git(root, "show", f"{commit}:{LOCK}"), str(LOCK)) if commit else {}
    moved = sorted(u for u in units if u in known and known[u].fingerprint != found[u])
    lock = {u: known.get(u, Recorded(1, found[u], found[u])) for u in units}
    made: list[Made] = []
    evidence = Evidence()
    if moved:
        print(f"Code of {len(moved)} units moved since {commit[:9]}: {', '.join(moved)}")
        as_recorded = lock_text({u: lock[u]._replace(fingerprint=found[u]) for u in units})
        made = _gather(evidence, root, commit, as_recorded, moved, units)
    raised = [unit for unit in moved if evidence.changed(unit)]
    for unit in moved:
        if evidence.settles(unit):
            lock[unit] = (
                Recorded(lock[unit].version + 1, found[unit], found[unit])
                if unit in raised
                else lock[unit]._replace(fingerprint=found[unit])
            )
    (root / LOCK).write_text(lock_text(lock), encoding="utf-8")
    _note(root / CHANGELOG, [_line(u, lock[u].version, made) for u in raised])
    _report(evidence, known, lock, moved, raised)
    _refuse([unit for unit in moved if not evidence.settles(unit)], evidence)


def _last_commit(root: Path) -> str:
    """The commit that last changed the lock; empty if none has it yet.

    Raises:
        AlignlabError: not a git checkout, or the lock is not as committed.
    """
    commit = git(root, "log", "-1", "--format=%H", "--", str(LOCK)).strip()
    if commit and git(root, "status", "--porcelain", "--", str(LOCK)).strip():
        raise AlignlabError(
            f"{LOCK} has changes that are not committed: commit it together with the code that it "
            f"records, or take them back by `git checkout {LOCK}`"
        )
    return commit


def _gather(
    evidence: Evidence,
    root: Path,
    commit: str,
    lock: str,
    moved: Sequence[str],
    units: Mapping[str, Unit],
) -> list[Made]:
    """Make what is behind moved units with old and with new code, and compare."""
    with tempfile.TemporaryDirectory(prefix="stages-") as scratch, loopback.serving() as endpoint:
        old = recorded_tree(root, commit, Path(scratch) / "recorded", endpoint)
        new = todays_tree(root, old, Path(scratch) / "todays", lock, endpoint)
        made = parents_first(old.inventory())
        _check_recorded(made, commit)
        evidence.blocked = {
            name: f"needs {unit.environment}, which `make vllm` makes"
            for name, unit in units.items()
            if unit.environment and not (root / unit.environment).exists()
        }
        todays = {_identity(entry) for entry in new.inventory()}
        due = _due(made, moved, evidence.blocked)
        evidence.other = [entry for entry in due if _identity(entry) not in todays]
        due = [entry for entry in due if _identity(entry) in todays]
        _make(old, due, "recorded")
        for batch in batches(due, made):
            new.share(old)
            for path in (path for entry in batch for path in _files(old, entry)):
                _remove(new.folder / path)
            _make(new, batch, "today's")
            _check_parents(old, new, batch)
            for entry in batch:
                evidence.compared.append(entry)
                if found := _differences(old, new, entry):
                    evidence.differing[entry["path"]] = found
        return made


def _check_recorded(made: Iterable[Made], commit: str) -> None:
    for entry in made:
        if behind := [unit for unit, said in entry["units"].items() if FINGERPRINT.fullmatch(said)]:
            raise AlignlabError(
                f"{commit[:9]} last changed {LOCK}, but its code of {', '.join(behind)} is another "
                "than it records: code and lock must be committed together"
            )


def parents_first(made: Sequence[Made]) -> list[Made]:
    """In an order in which everything comes after what it is made from.

    A plan lists its artefacts by stage, and learning from mistakes goes back: mistakes are made
    from answers, and answers by models that were tuned on them.
    """
    by_digest: dict[str, list[Made]] = defaultdict(list)
    for entry in made:
        by_digest[entry["digest"]].append(entry)
    graph = {digest: found[0]["parents"] for digest, found in by_digest.items()}
    order = TopologicalSorter(graph).static_order()
    return [entry for digest in order for entry in by_digest.get(digest, ())]


def _identity(made: Made) -> tuple[str, str, str]:
    return made["experiment"], made["path"], made["digest"]


def _due(made: Iterable[Made], moved: Sequence[str], blocked: Mapping[str, str]) -> list[Made]:
    """What moved units are behind, each once, without what cannot be made here."""
    impossible: set[str] = set()
    due: dict[str, Made] = {}
    for entry in made:  # parents first
        if not blocked.keys().isdisjoint(entry["units"]) or impossible & {*entry["parents"]}:
            impossible.add(entry["digest"])
        elif not entry["units"].keys().isdisjoint(moved):
            due.setdefault(entry["path"], entry)
    return list(due.values())


def batches(due: Sequence[Made], made: Iterable[Made]) -> list[list[Made]]:
    """What can be made again in one run: nothing in a batch is made of another part of it, not even
    by way of others, or Snakemake would make those again too.
    """
    again = {entry["digest"] for entry in due}
    # How many of those to be made depend on one another, up to each.
    depth: dict[str, int] = {}
    for entry in made:  # parents first
        above = max((depth.get(parent, 0) for parent in entry["parents"]), default=0)
        depth[entry["digest"]] = above + (entry["digest"] in again)
    found: dict[int, list[Made]] = {}
    for entry in due:
        found.setdefault(depth[entry["digest"]], []).append(entry)
    return [found[level] for level in sorted(found)]


def _make(tree: Tree, entries: Sequence[Made], whose: str) -> None:
    for experiment in dict.fromkeys(entry["experiment"] for entry in entries):
        paths = [entry["path"] for entry in entries if entry["experiment"] == experiment]
        print(f"{experiment}: making {len(paths)} tables and folders by {whose} code", flush=True)
        tree.make(experiment, paths)


def _files(tree: Tree, entry: Made) -> list[str]:
    """An entry's path; of tables of statistics all that the same job makes."""
    path = Path(entry["path"])
    if path.parent.name != "tables":
        return [entry["path"]]
    every = sorted((tree.folder / path.parent).glob("*.parquet"))
    mine = [p for p in every if _digest_of(p) == entry["digest"]]
    return [str(p.relative_to(tree.folder)) for p in mine]


def _digest_of(table: Path) -> str:
    return (pq.read_metadata(table).metadata or {}).get(b"alignlab.digest", b"").decode()


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _differences(old: Tree, new: Tree, entry: Made) -> list[str]:
    files = _files(old, entry)
    return [d for f in files for d in differences(old.folder / f, new.folder / f)]


def _check_parents(old: Tree, new: Tree, batch: Sequence[Made]) -> None:
    """New code worked on what old code had made, and not on its own."""
    again = {entry["path"] for entry in batch}
    store = old.folder / "results/store"
    for path in (p for stage in store.iterdir() for p in stage.iterdir() if p.suffix == ".parquet"):
        here = new.folder / path.relative_to(old.folder)
        kept = str(path.relative_to(old.folder)) not in again and here.exists()
        if kept and not path.samefile(here):
            raise AlignlabError(f"{path.name} was made again, so nothing can be compared")


def remade(unit: str, made: Sequence[Made]) -> list[str]:
    """Kinds of what is made again when a unit's version goes up, in the order of the data."""
    behind: set[str] = set()
    kinds: dict[str, None] = {}
    for entry in made:
        if unit in entry["units"] or behind & {*entry["parents"]}:
            behind.add(entry["digest"])
            kinds[entry["kind"]] = None
    return list(kinds)


def _line(unit: str, version: int, made: Sequence[Made]) -> str:
    text = f"- Code unit `{unit}` computes other values, so it is at version {version}. "
    text += f"Made again: {', '.join(remade(unit, made))}."
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False) + "\n"


def _note(changelog: Path, lines: Sequence[str]) -> None:
    """Add lines to the end of the newest section."""
    text = changelog.read_text(encoding="utf-8") if changelog.is_file() else "# Changelog\n"
    first = text.find("\n## ")
    later = text.find("\n## ", first + 1) if first >= 0 else -1
    newest, rest = (text, "") if later < 0 else (text[:later], text[later:])
    if lines:
        whole = newest.rstrip("\n") + "\n" + "".join(lines) + rest
        changelog.write_text(whole, encoding="utf-8")


def _report(
    evidence: Evidence,
    known: Mapping[str, Recorded],
    lock: Mapping[str, Recorded],
    moved: Sequence[str],
    raised: Sequence[str],
) -> None:
    for made in evidence.other:
        print(f"not compared: {made['path']}: no longer planned, or made of other settings")
    for path, found in evidence.differing.items():
        print(f"differs: {path}: {'; '.join(found)}")
    for unit in moved:
        if unit in raised:
            print(f"{unit}: version {lock[unit].version}, was {known[unit].version}")
        elif evidence.settles(unit):
            count = len(evidence.behind(unit))
            print(f"{unit}: version {lock[unit].version} as before: {count} made again, all equal")
    for unit in sorted(lock.keys() - known.keys()):
        print(f"{unit}: new, version 1")
    for unit in sorted(known.keys() - lock.keys()):
        print(f"{unit}: gone")
    if not moved:
        print(f"{LOCK}: the code of every unit is as recorded")


def _refuse(unproven: Sequence[str], evidence: Evidence) -> None:
    if unproven:
        why = "no experiment of config/evidence reaches it"
        lines = [f"  {unit}: {evidence.blocked.get(unit, why)}" for unit in unproven]
        raise AlignlabError(
            "code moved of units that cannot be shown to compute the same here; their lines stay, "
            "and names carry the fingerprint until then:\n" + "\n".join(lines)
        )

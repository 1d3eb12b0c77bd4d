"""Boards of arms by measures: the leaderboard, scenarios, judges, and means by group.

A comparison has a board of means, then one of differences from each arm that others are compared
with. Intervals of a column share one scale, which includes zero where differences are shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.reporting.arms.measures import (
    Comparison,
    Measure,
    measures_by_metric,
    measures_in,
    significant,
    slice_name,
)
from alignlab.reporting.board import (
    EMPTY,
    MINUS,
    Board,
    Cell,
    Column,
    Panel,
    Panels,
    RowHead,
    detectable,
    direction,
    footnotes,
    in_clusters,
    interval,
    limits,
    listed,
    number,
    p_value,
    settings,
    share,
    signed,
)
from alignlab.reporting.cards import ArmCard
from alignlab.reporting.inputs import ReadResults, finite

Scale = tuple[float, float]
MARKS = "*+^~"
VALUES = "values"
BY = ("tag", "source", "category", "turn")
OWN_JUDGE = "judged by its own model: it may favour itself"


def heads(arms: Iterable[ArmCard], baseline: str) -> dict[str, RowHead]:
    """Row headings of a report's arms."""
    made = {}
    for arm in arms:
        method = arm.method
        kind = f"{method['kind']}, guided" if method.get("guidance") else method["kind"]
        made[arm.name] = RowHead(
            arm.name,
            lines=(f"{arm.model} · {kind}",),
            tag="baseline" if arm.name == baseline else "",
            tip=" · ".join(filter(None, (arm.model, method["kind"], settings(method)))),
            role=arm.role,
        )
    return made


def boards(
    comparison: Comparison, of_arms: Mapping[str, RowHead], *, leaderboard: bool = False
) -> list[Board]:
    """The means, then the differences from each arm that others are compared with.

    Args:
        comparison: what is compared.
        of_arms: arm → its row's heading.
        leaderboard: whether the best mean is marked, and signs instead of words say what differs.
    """
    columns = [_column(measure, leaderboard) for measure in comparison.measures]
    means = [_means(measure, comparison.against, leaderboard) for measure in comparison.measures]
    found = [_board(VALUES, columns, comparison.arms, means, of_arms)]
    for against in comparison.against:
        cells = [_differences(measure, against) for measure in comparison.measures]
        compared = [arm for arm in comparison.arms if any(arm in column for column in cells)]
        label = f"difference from {against}"
        found.append(_board(label, columns, compared, cells, of_arms, "differences"))
    return found


def contrast(comparison: Comparison, of_arms: Mapping[str, RowHead]) -> Board:
    """The differences that were named before the run: a row for each arm and what it is against."""
    columns = [_column(measure, leaderboard=False) for measure in comparison.measures]
    rows = []
    for against in comparison.against:
        cells = [_differences(measure, against) for measure in comparison.measures]
        for arm in (arm for arm in comparison.arms if any(arm in column for column in cells)):
            head = replace(of_arms[arm], name=f"{arm} {MINUS} {against}", lines=(), tag="")
            rows.append((head, [column.get(arm, EMPTY) for column in cells]))
    return Board(comparison.name, "Difference", columns, rows, "differences")


def panels(name: str, comparison: Comparison, of_arms: Mapping[str, RowHead]) -> Panels:
    """The boards of a comparison, one shown at a time."""
    shown = boards(comparison, of_arms)
    return Panels(name, ("Show",), [Panel((board.label,), board) for board in shown])


def _board(
    label: str,
    columns: Sequence[Column],
    arms: Iterable[str],
    cells: Sequence[Mapping[str, Cell]],
    of_arms: Mapping[str, RowHead],
    classes: str = "",
) -> Board:
    rows = [(of_arms[arm], [column.get(arm, EMPTY) for column in cells]) for arm in arms]
    return Board(label, "Arm", columns, rows, classes)


def _column(measure: Measure, leaderboard: bool) -> Column:
    doubt = measure.doubt
    classes = (("untrusted", bool(doubt)), ("extra", not measure.main))
    return Column(
        f"{measure.label} ?" if doubt else measure.label,
        lines=(measure.heading,) if leaderboard else (measure.heading, measure.prompts),
        tip=_tip(measure.description, doubt and f"? {doubt}"),
        classes=" ".join(name for name, holds in classes if holds),
        key=measure.key if leaderboard else f"{measure.key} {measure.dataset}",
        first="ascending" if measure.better == "lower" else "descending",
    )


def _means(measure: Measure, against: Sequence[str], leaderboard: bool) -> dict[str, Cell]:
    scale = _scale(measure.own.values(), measure, zero=False)
    best = _best(measure) if leaderboard else None
    made = {}
    for arm, row in measure.own.items():
        changed = {name: measure.changes.get(name, {}).get(arm) for name in against}
        made[arm] = _mean(arm, row, measure, scale, best, changed, words=not leaderboard)
    return made


def _mean(
    arm: str,
    row: Row,
    measure: Measure,
    scale: Scale,
    best: str | None,
    changed: Mapping[str, Row | None],
    *,
    words: bool,
) -> Cell:
    if row["mean"] is None:
        return _refused(row, measure)
    text = number(row["mean"], measure.places)
    covered = "" if row["coverage"] >= 1 else f"{share(row['coverage'])} covered"
    remark = _remark(measure, changed) if words else ""
    lines = (("share", covered), ("remark", remark))
    count = f"{row['n']} prompts{in_clusters(row)}"
    n = f"mean over {count}{covered and ', ' + covered}; 95% interval"
    return Cell(
        text,
        range=interval(row["ci_low"], row["ci_high"], measure.places),
        marks="".join(_signs(measure, changed)),
        lines=[line for line in lines if line[1]],
        tip=_tip(n, *_warnings(measure, arm)),
        classes="faint" if measure.doubt else "best" if text == best else "",
        sort=row["mean"],
        track=_track([row["mean"], row["ci_low"], row["ci_high"]], scale),
    )


def _refused(row: Row, measure: Measure) -> Cell:
    """A judge's mean over too few answers is not shown, and never as zero."""
    if measure.aspect is None or row["coverage"] is None:
        return Cell(tip="no prompt has a value", classes="none")
    covered, needed = share(row["coverage"]), share(measure.aspect.min_coverage)
    tip = f"the judge scored {covered} of the answers; a mean needs {needed}"
    return Cell("", lines=[("share", f"coverage {covered}")], tip=tip, classes="none")


def _signs(measure: Measure, changed: Mapping[str, Row | None]) -> Iterator[str]:
    """A mark for each arm that this one differs from significantly, a space for every other."""
    for sign, row in zip(MARKS, changed.values(), strict=False):
        yield sign if row and not measure.doubt and significant(row) else " "


def _remark(measure: Measure, changed: Mapping[str, Row | None]) -> str:
    """`better than untuned`, `better than both`: what the arm differs from, and how."""
    if measure.doubt:
        return ""
    compared = {name: row for name, row in changed.items() if row}
    found: dict[str, list[str]] = defaultdict(list)
    for against, row in compared.items():
        if significant(row):
            found[direction(measure.better, row["mean_difference"])].append(against)
    whole = {1: "", 2: "both"}.get(len(compared), f"all {len(compared)}")
    return "; ".join(
        f"{word} than {whole if whole and len(names) == len(compared) else listed(names)}"
        for word, names in found.items()
    )


def _best(measure: Measure) -> str | None:
    """The best mean as shown, if they differ; only where a direction is better, and not doubted."""
    found = sorted(row["mean"] for row in measure.own.values() if row["mean"] is not None)
    shown = [number(mean, measure.places) for mean in found]
    if len(set(shown)) < 2 or measure.better == "none" or measure.doubt:
        return None
    return shown[-1] if measure.better == "higher" else shown[0]


def _differences(measure: Measure, against: str) -> dict[str, Cell]:
    rows = measure.changes.get(against, {})
    scale = _scale(rows.values(), measure, zero=True)
    return {arm: _difference(arm, row, measure, scale) for arm, row in rows.items()}


def _difference(arm: str, row: Row, measure: Measure, scale: Scale) -> Cell:
    if row["mean_difference"] is None:
        return Cell(tip="too few prompts have both values", classes="none")
    places = measure.change_places
    ends = interval(row["ci_low"], row["ci_high"], places, signed)
    n = f"{row['n']} pairs{in_clusters(row)} · {row['test'] or 'no test'}, p after Holm"
    effect = detectable(row["minimum_detectable_effect"], places)
    return Cell(
        text=signed(row["mean_difference"], places),
        range=f"{ends} {p_value(row['p_adjusted'])}".strip(),
        tip=_tip(n, effect, *_warnings(measure, arm)),
        classes="faint" if measure.doubt or not significant(row) else "significant",
        sort=row["mean_difference"],
        track=_track([row["mean_difference"], row["ci_low"], row["ci_high"]], scale, zero=True),
    )


def _warnings(measure: Measure, arm: str) -> Iterator[str]:
    if measure.doubt:
        yield f"? {measure.doubt}"
    if measure.aspect and arm in measure.aspect.own_arms:
        yield OWN_JUDGE


def _tip(*lines: str) -> str:
    return "\n".join(filter(None, lines))


def _scale(rows: Iterable[Row], measure: Measure, *, zero: bool) -> Scale:
    """Ends of a column's scale: those that a mean's unit names, else what the intervals need."""
    if not zero and (named := limits(measure.unit)):
        return named
    keys = ("mean_difference" if zero else "mean", "ci_low", "ci_high")
    ends = [row[key] for row in rows for key in keys if row[key] is not None]
    ends += [0.0] if zero or not ends else []
    return min(ends), max(ends)


def _track(values: list[float | None], scale: Scale, *, zero: bool = False) -> dict[str, float]:
    """Percent of the column's width of the value, the interval and zero; none without interval."""
    found = [value for value in (*values, *([0.0] if zero else [])) if value is not None]
    if len(found) < len(values) + zero:
        return {}
    low, high = scale
    places = (4 + 92 * (value - low) / (high - low or 1) for value in found)
    return dict(zip(("at", "low", "high", "zero"), places, strict=False))


def leaderboard(results: ReadResults, of_arms: Mapping[str, RowHead]) -> Panels:
    """Every arm on every metric, for each slice of the prompts."""
    shown = []
    for label, prompts, measures in slices(results):
        named, count = f"{label} ({prompts})", f"{label}: {prompts} prompts."
        comparison = Comparison(label, results.names, measures)
        doubts: dict[str, list[str]] = defaultdict(list)
        for measure in measures:
            if measure.doubt:
                doubts[measure.doubt].append(measure.label)
        under = footnotes(doubts)
        means, *changes = boards(comparison, of_arms, leaderboard=True)
        shown.append(Panel((named, means.label), means, _note(count, comparison), under))
        if changes:
            note = _paired(count, results)
            shown.append(Panel((named, changes[0].label), changes[0], note, under))
    extra = any(name not in results.main for name in results.metrics)
    more = ("main", f"all {len(results.metrics)}") if extra else ()
    return Panels("leaderboard", ("Prompts", "Show"), shown, more)


def _note(count: str, comparison: Comparison) -> str:
    said = (
        f"{count} Mean over prompts and its 95% interval. “Best” marks the best mean, which need "
        "not differ significantly from the next."
    )
    if not comparison.against:
        return said
    return f"{said} {MARKS[0]} differs significantly from {comparison.against[0]}."


def _paired(count: str, results: ReadResults) -> str:
    return (
        f"{count} Each arm minus {results.baseline}, paired by prompt: mean, 95% interval and "
        "Holm-adjusted p. A filled dot differs significantly from zero, a hollow one does not."
    )


def slices(results: ReadResults) -> list[tuple[str, int, list[Measure]]]:
    """The leaderboard's slices, each set of prompts once: label, number of prompts, measures.

    A dataset of one category makes the same set three times over (`all` safety, the dataset, the
    dataset's safety prompts).
    """
    kept: dict[frozenset[str], tuple[str, int, list[Measure]]] = {}
    order = sorted(results.estimates, key=lambda key: (key[1] != "all", key[0] != "all"))
    for dataset, category in order:
        members = frozenset(
            row["prompt_id"]
            for row in results.prompts
            if dataset in ("all", row["dataset"]) and category in ("all", row["category"])
        )
        if members and members not in kept:
            measures = measures_in(results, dataset, category)
            kept[members] = slice_name(dataset, category), len(members), measures
    return list(kept.values())


def breakdown(path: Path, results: ReadResults) -> Panels:
    """Means by tag, source, category and turn: groups by arms, a metric at a time.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    found: dict[tuple[str, str], dict[str, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in map(finite, tables.rows("breakdown", path)):
        group = row["group"] if row["category"] == "all" else f"{row['group']}, {row['category']}"
        found[row["metric"], row["by"]][group][row["arm"]] = row
    shown = []
    for measure in measures_by_metric(results):
        under = footnotes({measure.doubt: [measure.label]} if measure.doubt else {})
        for by in BY:
            if groups := found.get((measure.metric, by)):
                board = _groups(f"{measure.label} by {by}", measure, groups, results.names)
                shown.append(Panel((measure.label, by), board, footnotes=under))
    return Panels("breakdown", ("Metric", "By"), shown)


def _groups(
    label: str, measure: Measure, groups: Mapping[str, Mapping[str, Row]], names: Sequence[str]
) -> Board:
    arms = [arm for arm in names if any(arm in cells for cells in groups.values())]
    doubtful = "untrusted" if measure.doubt else ""
    rows = [
        (RowHead(group), [_in_group(cells.get(arm), measure) for arm in arms])
        for group, cells in groups.items()
    ]
    columns = [Column(arm, classes=doubtful) for arm in arms]
    return Board(label, "Group", columns, rows, "narrow groups")


def _in_group(row: Row | None, measure: Measure) -> Cell:
    if row is None:
        return EMPTY
    if row["mean"] is None:
        return _refused(row, measure)
    covered = "" if row["coverage"] >= 1 else f", {share(row['coverage'])} covered"
    ends = interval(row["ci_low"], row["ci_high"], measure.places)
    tip = f"{row['arm']}: 95% interval {ends}, {row['n']} prompts{in_clusters(row)}{covered}"
    return Cell(number(row["mean"], measure.places), tip=tip)

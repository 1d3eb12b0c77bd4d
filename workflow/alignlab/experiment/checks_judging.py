"""Every name that a judge at work uses must be there, and its rubrics must fit what it is to do.

alignlab check config/experiments/demo.yaml
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import EndpointConfig
from alignlab.experiment.catalog import Catalog
from alignlab.experiment.config import Experiment
from alignlab.experiment.names import known, loadable, unique
from alignlab.judging.config import AnyJudge, JudgeConfig, PublishedJudgeConfig
from alignlab.judging.rubrics import rubric, rubrics_of


def check_judges(experiment: Experiment, catalog: Catalog) -> None:
    """Check the judges of an experiment against its arms, the catalog and the rubrics' files.

    Raises:
        AlignlabError: a name is not there, a rubric does not fit, or `max_usd` has no price to
            count with; the message opens with the key.
    """
    unique("judges", [judge.name for judge in experiment.judges])
    for index, judge in enumerate(experiment.judges):
        where = f"judges.{index}"
        known(f"{where}.judge", judge.judge, catalog.judges)
        entry = catalog.judges[judge.judge]
        _check_arms(where, judge, experiment)
        _check_rubrics(where, judge)
        _check_entry(where, judge, entry, experiment)
        if entry.loads:
            loadable(f"catalog judge {judge.judge}: model", entry.loads, catalog)


def judged_metrics(experiment: Experiment) -> Iterator[str]:
    """Names of the metrics that judges add: `<judge>:<aspect>`."""
    for judge in experiment.judges:
        rated = rubrics_of(judge, compares=False).values()
        yield from (f"{judge.name}:{aspect}" for found in rated for aspect in found.aspects)


def _check_arms(where: str, judge: JudgeConfig, experiment: Experiment) -> None:
    arms = experiment.arm_names
    judged = judge.arms or arms
    for place, arm in enumerate(judge.arms or ()):
        known(f"{where}.arms.{place}", arm, arms, "the experiment's arms")
    datasets = {chosen.dataset for chosen in experiment.prompts}
    for place, dataset in enumerate(judge.datasets or ()):
        known(f"{where}.datasets.{place}", dataset, datasets, "the experiment's datasets")
    unique(f"{where}.arms", judge.arms or ())
    unique(f"{where}.duels", [" and ".join(sorted(duel)) for duel in judge.duels])
    for place, duel in enumerate(judge.duels):
        for arm in duel:
            known(f"{where}.duels.{place}", arm, arms, "the experiment's arms")
    if judge.controls:
        known(f"{where}.controls.arm", judge.controls.arm, judged, "the arms it scores")
    asked = {arm.name: arm.datasets or datasets for arm in experiment.arms}
    groups = [*((arm,) for arm in judge.arms or ()), *judge.duels]
    for group in groups:
        theirs = (asked.get(arm, datasets) for arm in group)
        if not set(judge.datasets or datasets).intersection(*theirs):
            raise AlignlabError(f"{where}: {', '.join(group)}: no prompts that it is to see")


def _check_rubrics(where: str, judge: JudgeConfig) -> None:
    every = [aspect for name in judge.rubrics for aspect in rubric(name).aspects]
    for place, aspect in enumerate(judge.aspects or ()):
        known(f"{where}.aspects.{place}", aspect, dict.fromkeys(every), "its rubrics")
    unique(f"{where}.rubrics", judge.rubrics)
    rated = rubrics_of(judge, compares=False).values()
    aspects = [aspect for found in rated for aspect in found.aspects]
    unique(f"{where}.rubrics: aspects", aspects)
    compares = rubrics_of(judge, compares=True)
    both = [aspect for found in compares.values() for aspect in found.aspects]
    unique(f"{where}.rubrics: aspects that are compared", both)
    if bool(compares) != bool(judge.duels):
        missing = "`duels` to compare" if compares else "rubric with two answers"
        raise AlignlabError(f"{where}: there is no {missing}")


def _check_entry(where: str, judge: JudgeConfig, entry: AnyJudge, experiment: Experiment) -> None:
    if judge.max_usd and not (isinstance(entry, EndpointConfig) and entry.price):
        raise AlignlabError(f"{where}.max_usd: {judge.judge} has no `price` to count with")
    if not entry.can_be_asked and (judge.duels or judge.controls):
        raise AlignlabError(f"{where}: published judgements can be read, not asked for more")
    if not isinstance(entry, PublishedJudgeConfig):
        return
    published = {arm.name: arm.responses for arm in experiment.published}
    for arm in judge.arms or experiment.arm_names:
        there = _published(entry, published)
        known(f"{where}.arms", arm, there, f"published arms that {judge.judge} judged")


def _published(entry: PublishedJudgeConfig, published: dict[str, str]) -> Collection[str]:
    return [arm for arm, responses in published.items() if responses in entry.judgements]

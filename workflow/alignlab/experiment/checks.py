"""Every name that an experiment uses must be there, as the kind of thing it is used as.

alignlab check config/experiments/demo.yaml
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from alignlab.answering.config import AskedConfig
from alignlab.core.errors import AlignlabError
from alignlab.experiment.catalog import Catalog
from alignlab.experiment.checks_api import check_api
from alignlab.experiment.checks_judging import check_judges, judged_metrics
from alignlab.experiment.config import Experiment
from alignlab.experiment.names import known, language_model, loadable, unique
from alignlab.learning.config import RECIPES, TrainSetConfig
from alignlab.metrics.definitions import METRICS
from alignlab.prompting.config import AnyMethod
from alignlab.sources.config import PromptSetConfig
from alignlab.tuning.config import TRAINERS, TunedConfig


def check_references(experiment: Experiment, catalog: Catalog) -> None:
    """Check the names in an experiment against its own entries and the catalog.

    Raises:
        AlignlabError: a name is in neither, or is used as something that it is not; the message
            opens with the key.
    """
    _names(experiment)
    for where, chosen in _prompt_sets(experiment):
        known(f"{where}.dataset", chosen.dataset, catalog.datasets)
    for where, model in _models(experiment):
        language_model(where, model, catalog)
    check_api(_askers(experiment), experiment, catalog)
    for where, method in _methods(experiment):
        if method.embeds_with:
            _embedder(f"{where}.embedder", method.embeds_with, catalog)
    if experiment.embedder:
        _embedder("embedder", experiment.embedder, catalog)
    for index, tuned in enumerate(experiment.tuned):
        if tuned.name in catalog.models:
            raise AlignlabError(f"tuned.{index}.name: {tuned.name} is in the catalog")
        loadable(f"tuned.{index}.base", tuned.base, catalog)
        _trained_on(f"tuned.{index}", tuned, experiment)
    _datasets(experiment)
    _published(experiment, catalog)
    _lessons(experiment)
    check_judges(experiment, catalog)
    _tables(experiment)


def _names(experiment: Experiment) -> None:
    """Entries that are found by name have names of their own; arms that are named are there."""
    mistakes = (entry.name for entry in experiment.mistakes)
    analyses = (entry.name for entry in experiment.analyses)
    unique("arms, mistakes and analyses", [*experiment.arm_names, *mistakes, *analyses])
    for kind in ("tuned", "pairs", "trainsets"):
        unique(kind, [entry.name for entry in getattr(experiment, kind)])
    known("baseline", experiment.baseline, experiment.arm_names, "the experiment's arms")
    generated = [arm.name for arm in experiment.arms]
    for index, pair in enumerate(experiment.pairs):
        where = f"pairs.{index}"
        known(f"{where}.aligned", pair.aligned, experiment.arm_names, "the experiment's arms")
        known(f"{where}.base", pair.base, generated, "the arms that are generated here")


def _prompt_sets(experiment: Experiment) -> Iterator[tuple[str, PromptSetConfig]]:
    sets = [("prompts", experiment.prompts)]
    sets += [(f"mistakes.{i}.prompts", e.prompts) for i, e in enumerate(experiment.mistakes)]
    sets += [(f"trainsets.{i}.answers", e.answers) for i, e in enumerate(experiment.trainsets)]
    return ((f"{where}.{i}", chosen) for where, found in sets for i, chosen in enumerate(found))


def _askers(experiment: Experiment) -> Iterator[tuple[str, AskedConfig]]:
    """Everything that asks a model something, with its key."""
    induced = [(i, entry.induced) for i, entry in enumerate(experiment.mistakes) if entry.induced]
    return chain(
        ((f"arms.{i}", entry) for i, entry in enumerate(experiment.arms)),
        ((f"mistakes.{i}.induced", entry) for i, entry in induced),
        ((f"analyses.{i}", entry) for i, entry in enumerate(experiment.analyses)),
    )


def _models(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Names that must be of the catalog, tuned models having been taken out."""
    tuned = {entry.name for entry in experiment.tuned}
    asked = ((f"{where}.model", entry.model) for where, entry in _askers(experiment))
    yield from (pair for pair in asked if pair[1] not in tuned)


def _methods(experiment: Experiment) -> Iterator[tuple[str, AnyMethod]]:
    yield from ((f"{where}.method", entry.method) for where, entry in _askers(experiment))
    for index, published in enumerate(experiment.published):
        if published.method:
            yield f"published.{index}.method", published.method


def _datasets(experiment: Experiment) -> None:
    """What arms and analyses choose must be among what they could be asked about."""
    chosen = list(dict.fromkeys(prompts.dataset for prompts in experiment.prompts))
    asked = {arm.name: arm.datasets or chosen for arm in experiment.arms}
    arms = ((f"arms.{i}", arm.datasets, chosen) for i, arm in enumerate(experiment.arms))
    analyses = (
        (f"analyses.{index}", analysis.datasets, asked.get(analysis.of, ()))
        for index, analysis in enumerate(experiment.analyses)
    )
    pairs = (
        (f"pairs.{index}", pair.datasets, asked.get(pair.aligned, chosen))
        for index, pair in enumerate(experiment.pairs)
    )
    for where, datasets, there in chain(arms, analyses, pairs):
        for place, dataset in enumerate(datasets or ()):
            known(f"{where}.datasets.{place}", dataset, there, "what arms are asked there")


def _published(experiment: Experiment, catalog: Catalog) -> None:
    scored = {pair.aligned for pair in experiment.pairs}
    for index, published in enumerate(experiment.published):
        where = f"published.{index}.responses"
        known(where, published.responses, catalog.published)
        if published.name in scored:
            model = catalog.published[published.responses].model
            loadable(f"{where}: model", model, catalog)


def _trained_on(where: str, tuned: TunedConfig, experiment: Experiment) -> None:
    """Preferences and answers are learnt by different trainers."""
    sets = {entry.name: entry for entry in experiment.trainsets}
    known(f"{where}.trainset", tuned.trainset, sets, "trainsets")
    recipe = RECIPES[sets[tuned.trainset].recipe]
    if recipe.preferences != TRAINERS[tuned.trainer].preferences:
        raise AlignlabError(
            f"{where}.trainset: trainer {tuned.trainer} does not learn from recipe "
            f"{sets[tuned.trainset].recipe} of {tuned.trainset}"
        )


def _lessons(experiment: Experiment) -> None:
    """Mistakes, their analyses and the training sets made of both."""
    mistakes = [entry.name for entry in experiment.mistakes]
    analyses = {entry.name: entry for entry in experiment.analyses}
    generated = [arm.name for arm in experiment.arms]
    for index, analysis in enumerate(experiment.analyses):
        revises = analysis.ask == "revision"
        there = [n for n, a in analyses.items() if a.of in mistakes] if revises else mistakes
        of = "what this can be asked about"
        known(f"analyses.{index}.of", analysis.of, [*there, *([] if revises else generated)], of)
    for index, trainset in enumerate(experiment.trainsets):
        _trainset(f"trainsets.{index}", trainset, experiment)


def _trainset(where: str, trainset: TrainSetConfig, experiment: Experiment) -> None:
    if trainset.mistakes:
        there = [entry.name for entry in experiment.mistakes]
        known(f"{where}.mistakes", trainset.mistakes, there, "mistakes")
    if not trainset.analyses:
        return
    wanted = RECIPES[trainset.recipe].analyses
    sources = {entry.name: entry.of for entry in experiment.analyses}
    fitting = [
        entry.name
        for entry in experiment.analyses
        if (entry.ask == "revision") == (wanted == "revision")
        and trainset.mistakes in (entry.of, sources.get(entry.of))
    ]
    of = f"analyses of {trainset.mistakes} that recipe {trainset.recipe} can use"
    known(f"{where}.analyses", trainset.analyses, fitting, of)


def _tables(experiment: Experiment) -> None:
    """Arms of scenarios, and analyses of studies."""
    names = [scenario.name for scenario in experiment.scenarios]
    names += [study.name for study in experiment.studies]
    unique("scenarios and studies", names)
    datasets = [*(chosen.dataset for chosen in experiment.prompts), "all"]
    metrics = [*METRICS, *judged_metrics(experiment)]
    for index, scenario in enumerate(experiment.scenarios):
        for key in ("arms", "against"):
            for place, arm in enumerate(getattr(scenario, key)):
                where = f"scenarios.{index}.{key}.{place}"
                known(where, arm, experiment.arm_names, "the experiment's arms")
        for place, measure in enumerate(scenario.measures):
            where = f"scenarios.{index}.measures.{place}.dataset"
            known(where, measure.dataset, datasets, "the experiment's datasets")
            where = where.replace("dataset", "metric")
            known(where, measure.metric, metrics, "the experiment's metrics")
    generated = [arm.name for arm in experiment.arms]
    answers = {e.name: (e.of, e.datasets) for e in experiment.analyses if e.of in generated}
    for index, study in enumerate(experiment.studies):
        for place, analysis in enumerate(study.analyses):
            where = f"studies.{index}.analyses.{place}"
            known(where, analysis, answers, "the analyses of an arm's answers")
        if len({answers[name] for name in study.analyses}) > 1:
            raise AlignlabError(f"studies.{index}.analyses: they are of different answers")


def _embedder(where: str, name: str, catalog: Catalog) -> None:
    known(where, name, catalog.models)
    if catalog.models[name].role != "embedder":
        raise AlignlabError(f"{where}: {name} is a language model; its role is not `embedder`")

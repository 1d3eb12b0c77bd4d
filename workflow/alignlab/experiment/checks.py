"""Checks an experiment before it is planned: names, requests to models, and judges.

Every name must exist, as the kind of thing it is used as. Whoever answers must fit the method and
the decoding asked for; a judge must fit its arms and rubrics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, product

from alignlab.answering.config import AskedConfig
from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import EndpointConfig
from alignlab.experiment.config import Catalog, Experiment
from alignlab.judging.config import AnyJudge, JudgeConfig, PublishedJudgeConfig, rubric, rubrics_of
from alignlab.learning.config import RECIPES, MeasureConfig, TrainSetConfig
from alignlab.metrics.definitions import METRICS
from alignlab.prompting.config import AnyMethod
from alignlab.sources.config import ApiModelConfig, DatasetConfig, PromptSetConfig
from alignlab.tuning.config import TRAINERS, TunedConfig


def unique(what: str, names: Sequence[str]) -> None:
    """Raises AlignlabError if a name is given twice."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AlignlabError(f"more than one of {what} is named {', '.join(twice)}")


def language_model(where: str, name: str, catalog: Catalog) -> None:
    """Raises AlignlabError if the catalog has no language model of this name."""
    known(where, name, catalog.models)
    if catalog.models[name].role == "embedder":
        raise AlignlabError(f"{where}: {name} only embeds text")


def loadable(where: str, name: str, catalog: Catalog) -> None:
    """Raises AlignlabError if the catalog has no language model of this name with weights."""
    language_model(where, name, catalog)
    if isinstance(catalog.models[name].source, ApiModelConfig):
        raise AlignlabError(
            f"{where}: {name} is behind an endpoint (`source.kind: api`), and this needs its "
            "weights; arms, `mistakes.induced` and `analyses` can ask it"
        )


def known(where: str, name: str, entries: Collection[str], of: str = "the catalog") -> None:
    """Raises AlignlabError, with the key and what there is, if a name is not among entries."""
    if name not in entries:
        has = ", ".join(entries) or "nothing"
        raise AlignlabError(f"{where}: {name!r} is not in {of}; it has {has}")


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
    _tables(experiment, catalog)


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


def _tables(experiment: Experiment, catalog: Catalog) -> None:
    """Arms of scenarios and contrasts, and analyses of studies."""
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
            where = f"scenarios.{index}.measures.{place}"
            known(f"{where}.dataset", measure.dataset, datasets, "the experiment's datasets")
            known(f"{where}.metric", measure.metric, metrics, "the experiment's metrics")
            _one_meaning(where, measure, experiment, catalog)
    _contrasts(experiment, catalog, datasets, metrics)
    generated = [arm.name for arm in experiment.arms]
    answers = {e.name: (e.of, e.datasets) for e in experiment.analyses if e.of in generated}
    for index, study in enumerate(experiment.studies):
        for place, analysis in enumerate(study.analyses):
            where = f"studies.{index}.analyses.{place}"
            known(where, analysis, answers, "the analyses of an arm's answers")
        if len({answers[name] for name in study.analyses}) > 1:
            raise AlignlabError(f"studies.{index}.analyses: they are of different answers")


def _contrasts(
    experiment: Experiment, catalog: Catalog, datasets: Collection[str], metrics: Collection[str]
) -> None:
    """Every test of a contrast must be one that some prompt can answer."""
    unique("contrasts", [contrast.name for contrast in experiment.contrasts])
    there = {chosen.dataset for chosen in experiment.prompts}
    asked = {arm.name: {*(arm.datasets or there)} for arm in experiment.arms}
    judges = {judge.name: judge.arms or experiment.arm_names for judge in experiment.judges}
    for index, contrast in enumerate(experiment.contrasts):
        where = f"contrasts.{index}"
        for key in ("arm", "against"):
            for arm in getattr(contrast, key):
                known(f"{where}.{key}", arm, experiment.arm_names, "the experiment's arms")
        for name in contrast.datasets:
            known(f"{where}.datasets", name, datasets, "the experiment's datasets")
            chosen = [p for p in experiment.prompts if name in ("all", p.dataset)]
            kinds = [_categories(prompts, catalog.datasets[prompts.dataset]) for prompts in chosen]
            if contrast.category and not any(contrast.category in kind for kind in kinds):
                raise AlignlabError(f"{where}.category: no prompt of {name} is {contrast.category}")
        for metric in contrast.metrics:
            known(f"{where}.metrics", metric, metrics, "the experiment's metrics")
            judged = judges.get(metric.rpartition(":")[0], experiment.arm_names)
            for arm in (*contrast.arm, *contrast.against):
                known(f"{where}.metrics: {metric}", arm, judged, "the arms that its judge scores")
        for pair in product(contrast.arm, contrast.against):
            both = set.intersection(*(asked.get(arm, there) for arm in pair))
            for name in contrast.datasets:
                if not both.intersection(there if name == "all" else {name}):
                    raise AlignlabError(
                        f"{where}: {' and '.join(pair)} are asked no prompt of {name} both"
                    )


def _one_meaning(
    where: str, measure: MeasureConfig, experiment: Experiment, catalog: Catalog
) -> None:
    """What is good on some prompts and bad on others is measured on one kind."""
    about = METRICS.get(measure.metric)
    if not about or not about.by_category or measure.category:
        return
    kinds: set[str] = set()
    for chosen in experiment.prompts:
        if measure.dataset in ("all", chosen.dataset):
            kinds |= _categories(chosen, catalog.datasets[chosen.dataset])
    if len(kinds) > 1:
        raise AlignlabError(
            f"{where}.category: {measure.metric} is {about.by_category['safety']} better on safety "
            f"prompts and {about.by_category['regular']} better on regular ones, and "
            f"{measure.dataset} may hold both: say `category: safety` or `category: regular`"
        )


def _categories(chosen: PromptSetConfig, dataset: DatasetConfig) -> set[str]:
    """Categories that chosen rows may have."""
    if dataset.columns and dataset.columns.category:
        return set(chosen.where.get("category", ("regular", "safety")))
    return {dataset.category or "safety"}  # attacks have none


def _embedder(where: str, name: str, catalog: Catalog) -> None:
    known(where, name, catalog.models)
    if catalog.models[name].role != "embedder":
        raise AlignlabError(f"{where}: {name} is a language model; its role is not `embedder`")


def check_api(
    askers: Iterable[tuple[str, AskedConfig]], experiment: Experiment, catalog: Catalog
) -> None:
    """Check every entry that asks a model, and every pair.

    Args:
        askers: entries with their keys.
        experiment: which says the decoding of those that do not.
        catalog: which says what is behind an endpoint.

    Raises:
        AlignlabError: the message opens with the key.
    """
    for where, asked in askers:
        entry = catalog.models.get(asked.model)
        if entry and isinstance(entry.source, ApiModelConfig):
            _check_asked(where, asked, entry.source, experiment)
        elif asked.max_usd:
            raise AlignlabError(f"{where}.max_usd: {asked.model} runs here and costs nothing")
    models = {arm.name: arm.model for arm in experiment.arms}
    for index, pair in enumerate(experiment.pairs):
        for key in ("aligned", "base"):
            name = models.get(getattr(pair, key))
            if name in catalog.models:
                loadable(f"pairs.{index}.{key}: {getattr(pair, key)}", name, catalog)


def _check_asked(
    where: str, asked: AskedConfig, source: ApiModelConfig, experiment: Experiment
) -> None:
    """Form, method and decoding must fit."""
    if (asked.method.kind == "chat") != (source.form == "chat"):
        fits = "method `chat` alone" if source.form == "chat" else "every method but `chat`"
        raise AlignlabError(
            f"{where}.method: {asked.method.kind}: {asked.model} is asked in {source.form} form "
            f"(`source.form`), which is for {fits}"
        )
    if asked.method.hindsight and source.form == "chat":
        raise AlignlabError(
            f"{where}.method.hindsight: an answer of {asked.model} cannot be begun for it in "
            "chat form"
        )
    if getattr(asked.method, "chat_template_kwargs", None):
        raise AlignlabError(
            f"{where}.method.chat_template_kwargs: the chat template of {asked.model} is its "
            "endpoint's; leave them out, or ask a model that runs here"
        )
    decoding = asked.decoding or experiment.decoding
    if decoding.repetition_penalty != 1:
        raise AlignlabError(
            f"{where}.decoding: OpenAI's protocol has no `repetition_penalty`; give "
            f"{asked.model} a `decoding` without one"
        )
    if asked.max_usd and not source.price:
        raise AlignlabError(f"{where}.max_usd: {asked.model} has no `price` to count with")


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
            raise AlignlabError(f"{where}: {', '.join(group)}: no prompts for it to judge")


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
        there = _judged_answers(entry, published)
        known(f"{where}.arms", arm, there, f"published arms that {judge.judge} judged")


def _judged_answers(entry: PublishedJudgeConfig, published: dict[str, str]) -> Collection[str]:
    return [arm for arm, responses in published.items() if responses in entry.judgements]

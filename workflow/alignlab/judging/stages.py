"""The artefacts of judging: controls, judgements, preferences, qualification; and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.core.config import dump
from alignlab.endpoints.config import RUNTIME, EndpointConfig
from alignlab.judging.config import (
    AnyJudge,
    ApiJudgeConfig,
    JudgeConfig,
    ResolvedRubric,
    judge_unit,
    resolved_rubric,
    rubrics_of,
)
from alignlab.planning.artefact import Artefact, Progress, Stage
from alignlab.planning.forecast import (
    CHARACTERS_A_TOKEN,
    PROMPT_TOKENS,
    QUESTION,
    ROW,
    UNKNOWN_ANSWER,
    Cost,
    ExpectedQuestion,
    Need,
    RuntimeConfig,
    Speeds,
    Task,
    need,
    need_of_calls,
)
from alignlab.planning.versions import Unit
from alignlab.sources.config import FileSource
from alignlab.sources.stages import UsedModel

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True

# just-eval's replies hold about 326 tokens for five aspects.
TOKENS_AN_ASPECT = 65


def _judge_checks(made: Sequence[Artefact]) -> list[Artefact]:
    """A check of every local judge, by all rubrics that it is asked by."""
    asked: dict[str, list[Artefact]] = {}
    for table in made:
        if table.kind in (JUDGEMENTS, PREFERENCES) and table.parent("model"):
            asked.setdefault(table.slice["judge"], []).append(table)
    return [_judge_check(name, tables) for name, tables in asked.items()]


def _judge_check(name: str, asked: Sequence[Artefact]) -> Artefact:
    rubrics = {rubric["name"]: rubric for table in asked for rubric in table.slice["rubrics"]}
    entry = {key: asked[0].slice["entry"].get(key, 0) for key in ("model", "reason_tokens")}
    spec = {"judge": name, **entry, "rubrics": list(rubrics.values())}
    return Artefact(JUDGE_CHECKS, name, spec, {"model": asked[0].parent("model")[0]})


JUDGE_CHECKS = Stage(
    name="judge_checks",
    table=None,
    units=(Unit("judge check", "alignlab.judging.check_judge", versioned=False),),
    added=_judge_checks,
)
CONTROLS = Stage(
    name="controls",
    table="responses",
    units=(Unit("controls", "alignlab.judging.controls"),),
)
PUBLISHED_JUDGEMENTS = Stage(
    name="judgements",
    table="judgements",
    units=(Unit("published judgements", "alignlab.sources.published"),),
)
QUALIFICATION = Stage(
    name="qualification",
    table="qualification",
    beside=lambda artefact: ("winrates",),
    units=(
        Unit("qualification", "alignlab.judging.qualification"),
        Unit("win rates", "alignlab.judging.winrates"),
    ),
)


class Estimate(NamedTuple):
    """What judging would take; dollars are null without a price."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


def judge_task(table: str) -> Callable[[dict[str, Any]], Task | None]:
    """The task of a table that a local judge filled; None of other judges'."""
    return partial(_task, table)


def _task(table: str, spec: Mapping[str, Any]) -> Task | None:
    dtype = spec.get("engine", {}).get("dtype")
    return Task(table, spec["entry"]["model"], "transformers", dtype) if dtype else None


def judge_cost(artefact: Artefact, speeds: Speeds) -> Cost:
    """What one table of judgements or preferences costs; a fake judge's costs nothing."""
    entry, size = artefact.facts
    if isinstance(entry, EndpointConfig):
        found = paid(artefact)
        usd = None if any(each.usd is None for each in found) else sum(e.usd or 0 for e in found)
        read = sum(each.prompt_tokens for each in found)
        written = sum(each.completion_tokens for each in found)
        disk = 2 * ROW * sum(each.calls for each in found)
        return Cost(artefact.stage, read, written, usd=usd, disk=disk)
    return _local(artefact, speeds) if size else Cost(artefact.stage, disk=ROW)


def paid(artefact: Artefact) -> list[Estimate]:
    """What each rubric of a table costs that an endpoint fills."""
    return [estimate(*asked, artefact.facts[0]) for asked in _cases(artefact)]


def estimate(
    rubric: ResolvedRubric, cases: int, case_characters: int, entry: ApiJudgeConfig
) -> Estimate:
    """Calls, tokens and dollars: 4 characters a token, 65 tokens an aspect of a reply.

    Args:
        rubric: as a judge reads it.
        cases: how many there are; each is one call.
        case_characters: of a typical question with its answer, or two.
        entry: a judge of the catalog.
    """
    # The openai library takes a second to import.
    from alignlab.judging.openai_judge import fixed_text

    characters = len(fixed_text(rubric, entry.structured)) + case_characters
    sent = cases * (characters // CHARACTERS_A_TOKEN)
    answered = cases * min(entry.max_tokens, TOKENS_AN_ASPECT * len(rubric["aspects"]))
    price = entry.price
    usd = (sent * price.prompt + answered * price.completion) / 10**6 if price else None
    return Estimate(cases, sent, answered, usd)


def _local(artefact: Artefact, speeds: Speeds) -> Cost:
    """A local judge reads a case once for each aspect, and writes a reason if asked to."""
    entry, size = artefact.facts
    read = written = scores = 0
    for rubric, cases, characters in _cases(artefact):
        told = len(rubric["instructions"]) + characters
        scores += cases * len(rubric["aspects"])
        read += cases * len(rubric["aspects"]) * (told // CHARACTERS_A_TOKEN)
        written += cases * len(rubric["aspects"]) * entry.writes
    dtype = artefact.slice["engine"]["dtype"]
    context = read // max(scores, 1)
    guessed = speeds.roofline(size, dtype, read=read, written=written, context=context)
    task = _task(artefact.stage, artefact.slice)
    seconds = speeds.seconds(task, scores, size.gpus, guessed)
    return Cost(artefact.stage, read, written, *seconds, disk=ROW * scores)


def _cases(artefact: Artefact) -> Iterator[tuple[ResolvedRubric, int, int]]:
    """Every rubric of a table with its cases, and the characters of a typical one."""
    compares = "a" in artefact.parents
    answers = (artefact.parent("a") or artefact.parent("responses"))[0]
    spoilt = answers.stage == "controls"
    drawn = answers.slice if spoilt else artefact.slice
    arm = answers.parent("responses")[0] if spoilt else answers
    decoding = arm.slice.get("decoding", {"max_new_tokens": UNKNOWN_ANSWER, "samples": 1})
    rows = _drawn(artefact.parent("prompts"), drawn)
    # Controls are first turns, up to five of each; a duel is of first samples, in both orders.
    times = 5 if spoilt else 2 if compares else decoding.get("samples", 1)
    turns = [(row.category, 1 if spoilt else len(row.turns)) for row in rows]
    for rubric in artefact.slice["rubrics"]:
        fitting = sum(n for category, n in turns if rubric["category"] in (None, category))
        characters = CHARACTERS_A_TOKEN * decoding["max_new_tokens"]
        yield rubric, fitting * times, QUESTION + (2 if compares else 1) * characters


def _drawn(prompts: Sequence[Artefact], drawn: Mapping[str, Any]) -> list[ExpectedQuestion]:
    """The questions that are judged: the draw itself if all are fetched, else as many."""
    take = drawn.get("take")
    if all(table.path.exists() for table in prompts):
        from alignlab.judging.cases import drawn_prompts

        rows = drawn_prompts([table.path for table in prompts], take, drawn.get("seed", 0))
        return [ExpectedQuestion(r["category"], tuple(map(len, r["turns"]))) for r in rows.values()]
    found = [question for table in prompts for question in table.questions()]
    kinds = {question.category for question in found}
    return [q for kind in sorted(kinds) for q in [q for q in found if q.category == kind][:take]]


@dataclass(frozen=True)
class UsedJudge:
    """A judge of the catalog at work in an experiment.

    Attributes:
        config: its entry in the experiment.
        entry: the catalog's.
        model: what a local judge asks; None for others.
        dtype: of computing, for a local judge.
        seed: of what it draws.
    """

    config: JudgeConfig
    entry: AnyJudge
    model: UsedModel | None
    dtype: str
    seed: int

    def draw(self, take: int | None) -> dict[str, int]:
        """What decides which prompts are judged, if not all are."""
        return {} if take is None else {"take": take, "seed": self.seed}

    @property
    def tried_on(self) -> int | None:
        """Prompts of each category that controls are made of."""
        assert self.config.controls is not None
        takes = [take for take in (self.config.take, self.config.controls.take) if take is not None]
        return min(takes, default=None)


def judgements(
    judge: UsedJudge, arm: str, responses: Artefact, prompts: Sequence[Artefact]
) -> Artefact:
    """A judge's scores of an arm's answers."""
    name = f"{judge.config.name}.{arm}"
    return _asked(JUDGEMENTS, judge, name, {"responses": responses, "prompts": prompts})


def published(
    judge: UsedJudge,
    arm: str,
    sources: Sequence[FileSource],
    responses: Artefact,
    prompts: Sequence[Artefact],
) -> Artefact:
    """Judgements that somebody else made of an arm's answers."""
    spec = {
        "judge": judge.config.name,
        "arm": arm,
        "rubrics": _resolved(judge.config, False),
        "content": [source.content({}) for source in sources],
    }
    # A job opens pinned sources from the spec and local ones from where they lie.
    lies = {"sources": [source.place({}).get("source", dump(source)) for source in sources]}
    parents: dict[str, Any] = {"responses": responses, "prompts": prompts}
    return Artefact(PUBLISHED_JUDGEMENTS, f"{judge.config.name}.{arm}", spec, parents, lies)


def controls(judge: UsedJudge, responses: Artefact, prompts: Sequence[Artefact]) -> Artefact:
    """Answers of an arm, corrupted on purpose."""
    assert judge.config.controls is not None
    arm = judge.config.controls.arm
    spec = {"arm": arm, "seed": judge.seed, **judge.draw(judge.tried_on)}
    # A local judge is a function of its text; asking it again would say nothing.
    spec["again"] = isinstance(judge.entry, EndpointConfig)
    return Artefact(CONTROLS, arm, spec, {"responses": responses, "prompts": prompts})


def tried(judge: UsedJudge, made: Artefact, prompts: Sequence[Artefact]) -> Artefact:
    """A judge's scores of controls."""
    name = f"{judge.config.name}.{made.name}.controls"
    return _asked(JUDGEMENTS, judge, name, {"responses": made, "prompts": prompts})


def preferences(
    judge: UsedJudge, arms: Mapping[str, Artefact], prompts: Sequence[Artefact]
) -> Artefact:
    """Which of two arms' answers a judge prefers; of one arm against itself if it is validated.

    Args:
        judge: with rubrics that compare.
        arms: `a` and `b`.
        prompts: what both arms were asked and the judge sees.
    """
    a, b = arms["a"], arms["b"]
    name = f"{judge.config.name}.{a.name}-vs-{b.name}"
    return _asked(PREFERENCES, judge, name, {**arms, "prompts": prompts})


def qualification(
    experiment: str, spec: Mapping[str, Any], parents: Mapping[str, Any], home: Path
) -> Artefact:
    """The tables `qualification` and `winrates`: what judges are worth, and whom they prefer.

    Args:
        experiment: its name.
        spec: `seed`; of each judge `needs` (rubric → aspect → controls that it must notice) and
            `min_coverage`; `arms`, the ones that are judged.
        parents: `controls`, `judgements` and `preferences`, each judge → its tables; `responses`
            by arm; `prompts`.
        home: the folder of the experiment's tables.
    """
    return Artefact(
        QUALIFICATION, experiment, {"experiment": experiment, **spec}, parents, home=home
    )


def _asked(stage: Stage, judge: UsedJudge, name: str, parents: Mapping[str, Any]) -> Artefact:
    compares = stage is PREFERENCES
    tries = compares and parents["a"] is parents["b"]
    spec: dict[str, Any] = {
        "judge": judge.config.name,
        "entry": {key: value for key, value in dump(judge.entry).items() if key not in RUNTIME},
        "rubrics": _resolved(judge.config, compares),
        **judge.draw(judge.tried_on if tries else judge.config.take),
    }
    lies = {}
    if judge.model:
        spec["engine"] = {"dtype": judge.dtype}
        parents = {**parents, "model": judge.model.artefacts["model"]}
    if isinstance(judge.entry, EndpointConfig):
        told = judge.entry.model_dump(mode="json", include=RUNTIME)
        lies = {"runtime": {**told, "max_usd": judge.config.max_usd}}
    size = judge.model.size if judge.model else None
    return Artefact(
        stage, name, spec, parents, lies, (judge_unit(judge.entry.kind),), (judge.entry, size)
    )


def _resolved(judge: JudgeConfig, compares: bool) -> list[ResolvedRubric]:
    names = rubrics_of(judge, compares=compares)
    return [resolved_rubric(name, judge.aspects) for name in names]


def _needs(artefact: Artefact, runtime: RuntimeConfig, attempt: int) -> Need:
    """Judges that are no local model need no GPU."""
    entry, size = artefact.facts
    if not size:
        return need_of_calls(attempt)
    dtype = artefact.slice["engine"]["dtype"]
    tokens = runtime.batch_size * (PROMPT_TOKENS + entry.writes)
    return need([size.weights(dtype)], size.cache(dtype, tokens), attempt=attempt)


JUDGEMENTS = Stage(
    name="judgements",
    table="judgements",
    units=(Unit("judgements", "alignlab.judging.score_answers"),),
    needs=_needs,
    cost=judge_cost,
    progress=Progress(judge_task("judgements")),
)

PREFERENCES = Stage(
    name="preferences",
    table="preferences",
    units=(Unit("preferences", "alignlab.judging.compare_answers"),),
    needs=_needs,
    cost=judge_cost,
    progress=Progress(judge_task("preferences")),
)

STAGES = (JUDGE_CHECKS, CONTROLS, PUBLISHED_JUDGEMENTS, JUDGEMENTS, PREFERENCES)

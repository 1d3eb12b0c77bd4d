"""Has a judge score an arm's answers, rubric by rubric: the table `judgements`.

A judge that computes here saves finished batches under the table's digest, so that a killed job
loses little; one behind an endpoint has its file of replies for that.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import is_answer
from alignlab.core.unfinished import Unfinished, forget, progress
from alignlab.endpoints import replies
from alignlab.judging.cases import Case, Judge, JudgeJob, Score, drawn_prompts
from alignlab.judging.config import ResolvedRubric, judge_unit

log = logging.getLogger(__name__)

NO_ANSWER = "(no answer)"
COLUMNS = ["arm", "prompt_id", "turn", "sample", "text", "finish_reason", "trimmed"]
LABELS = {"answer": "answer", "answer_a": "answer A", "answer_b": "answer B"}
KEYS = {
    "judgements": ("arm", "prompt_id", "turn", "sample", "rubric"),
    "preferences": ("prompt_id", "turn", "rubric"),
}
"""Table → the columns that identify a case."""
SHOWN = 200

Key = tuple[Any, ...]


class JudgementsJob(JudgeJob):
    """What `judge_responses` is given.

    Attributes:
        responses: the table of answers, or of controls.
        output: the table of judgements.
    """

    table: ClassVar = "judgements"
    responses: Path


def judge_responses(job: JudgementsJob) -> None:
    """Write the judgements of an arm's answers, or of its controls, in their order.

    An answer gets a row for every aspect of every rubric that applies to its prompt's category.
    An empty answer is judged as such; one that was never made is `skipped`.

    Raises:
        AlignlabError: no answer belongs to one of the prompts, or every call failed.
    """
    known = drawn_prompts(job.prompts, job.spec.take, job.spec.seed)
    answers = read_answers(job.responses, known)
    if not answers:
        raise AlignlabError(f"{job.responses}: no answer has a prompt of {listed(job.prompts)}")
    finished = Finished(job, known)
    left: dict[str, list[AnswerToJudge]] = {rubric["name"]: [] for rubric in job.spec.rubrics}
    for answer in answers:
        for rubric in applying(job.spec.rubrics, answer.prompt):
            due = finished.lacks({**answer.row, "rubric": rubric["name"]})
            if not answer.made:
                skipped = not_made(rubric, answer)
                finished.give_up(_rows(job.spec.judge, answer, rubric, skipped))
            elif due:
                left[rubric["name"]].append(answer)
    cases = {
        name: [as_case({"answer": answer}) for answer in waiting] for name, waiting in left.items()
    }
    for rubric, at, scores in asked(job, cases):
        finished.add(_rows(job.spec.judge, left[rubric["name"]][at], rubric, scores))
    arms = dict.fromkeys(answer.row["arm"] for answer in answers)
    finished.write(f"arm {', '.join(arms)}")


@dataclass(frozen=True)
class AnswerToJudge:
    """An answer and the conversation it stands in.

    Attributes:
        row: its row of the responses table, without token ids.
        prompt: its row of the prompts table.
        earlier: the same arm's answers to the turns before.
    """

    row: Row
    prompt: Row
    earlier: tuple[str, ...]

    @property
    def made(self) -> bool:
        """Whether there is an answer; it may say nothing, but no mere thoughts."""
        return is_answer(self.row)

    @property
    def text(self) -> str:
        """As a judge reads it."""
        return self.row["text"] or NO_ANSWER


def read_answers(path: Path, prompts: Mapping[str, Row]) -> list[AnswerToJudge]:
    """The answers to these prompts, in the order of the table, which has turns in order."""
    earlier: dict[Key, tuple[str, ...]] = defaultdict(tuple)
    answers = []
    for row in tables.opened("responses", path).read(columns=COLUMNS).to_pylist():
        if row["prompt_id"] in prompts:
            talk = (row["arm"], row["prompt_id"], row["sample"])
            answers.append(AnswerToJudge(row, prompts[row["prompt_id"]], earlier[talk]))
            earlier[talk] = (*earlier[talk], answers[-1].text)
    return answers


def applying(rubrics: Sequence[ResolvedRubric], prompt: Row) -> list[ResolvedRubric]:
    """The rubrics by which answers to a prompt are judged."""
    return [rubric for rubric in rubrics if rubric["category"] in (None, prompt["category"])]


def as_case(shown: Mapping[str, AnswerToJudge]) -> Case:
    """What a judge reads of answers to one question; `shown`: place in the rubric → answer.

    Earlier turns and a reference bring their own headings, because most cases have neither.
    """
    first = next(iter(shown.values()))
    turn, turns = first.row["turn"], first.prompt["turns"]
    conversation = ""
    for at in range(turn):
        conversation += f"Earlier question:\n{turns[at]}\n\n"
        for place, answer in shown.items():
            conversation += f"Earlier {LABELS[place]}:\n{answer.earlier[at]}\n\n"
    texts = {
        "conversation": conversation,
        "query": turns[turn],
        "reference": _reference(first.prompt, turn),
        **{place: answer.text for place, answer in shown.items()},
    }
    return Case(first.row["prompt_id"], turn, first.row["sample"], texts)


def _reference(prompt: Row, turn: int) -> str:
    """The reference answer to a turn. Those to earlier turns stand above it, as in FastChat's
    `single-math-v1-multi-turn`; a turn without one has none.
    """
    answers = (prompt["references"] or [prompt["reference"]])[: turn + 1]
    if len(answers) <= turn or not answers[turn]:
        return ""
    *earlier, last = answers
    above = [f"Reference answer to an earlier question:\n{text}\n\n" for text in earlier if text]
    return f"{''.join(above)}Reference answer:\n{last}\n"


def not_made(rubric: ResolvedRubric, *answers: AnswerToJudge) -> list[Score]:
    """Scores of a case without an answer, or with one of two."""
    why = [answer.row["trimmed"] for answer in answers if not answer.made]
    raw = f"there is no answer: {', '.join(why)}"
    return [Score(aspect["name"], "skipped", raw=raw) for aspect in rubric["aspects"]]


def asked(
    job: JudgeJob, cases: Mapping[str, Sequence[Case]]
) -> Iterator[tuple[ResolvedRubric, int, list[Score]]]:
    """Ask a judge about each rubric's cases; yields (rubric, index, scores) as they come.

    A judge is not even loaded if there is no case.
    """
    total = sum(map(len, cases.values()))
    if not total:
        return
    module = import_module(judge_unit(job.spec.entry.kind).module)
    judge: Judge = module.load(job)
    with progress(total, "case") as bar:
        for rubric in job.spec.rubrics:
            for at, scores in judge.judge(rubric, cases[rubric["name"]]):
                yield rubric, at, scores
                bar.update()


class Finished:
    """The rows of finished cases, which wait on disk until the table is written."""

    def __init__(self, job: JudgeJob, prompts: Collection[str]) -> None:
        """Begin with what an interrupted job of the same table left of these prompts."""
        self.job, self.runtime = job, job.place.runtime
        self.unfinished = Unfinished(job.table, job.spec.signed, job.aside)
        self.rows: dict[Key, list[Row]] = {}
        self._order: list[Key] = []
        self._waiting: list[list[Row]] = []
        self._given_up = 0
        for row in self.unfinished.earlier(prompts):
            self.rows.setdefault(self.key(row), []).append(row)

    def key(self, row: Row) -> Key:
        """What tells a row's case from others."""
        return tuple(row[name] for name in KEYS[self.job.table])

    def lacks(self, case: Row) -> bool:
        """Whether a case, which is the next of the table, is yet to be judged."""
        self._order.append(self.key(case))
        return self._order[-1] not in self.rows

    def give_up(self, rows: list[Row]) -> None:
        """Take the rows of a case that no further attempt can mend."""
        self.rows[self.key(rows[0])] = rows
        self._given_up += len(rows)

    def add(self, rows: list[Row]) -> None:
        """Take the rows of a case; a full batch of cases is saved."""
        self.rows[self.key(rows[0])] = rows
        self._waiting.append(rows)
        if not self.runtime and len(self._waiting) == self.job.batch_size:
            self.unfinished.put_aside([row for rows in self._waiting for row in rows])
            self._waiting.clear()

    def write(self, judged: str) -> None:
        """Write the table, and say what failed, here and in the job's note.

        Raises:
            AlignlabError: there are rows, and every call failed; names judge and `judged`.
        """
        rows = [row for key in self._order for row in self.rows[key]]
        failed = [row for row in rows if row["status"] != "scored"]
        who = f"judge {self.job.spec.judge}, {judged}"
        if rows and all(row["status"] == "api_error" for row in rows):
            raise AlignlabError(
                f"{who}: not one of {len(rows)} rows got a score; most often: {_commonest(rows)}"
            )
        for status, count in Counter(row["status"] for row in failed).items():
            told = _commonest([row for row in failed if row["status"] == status])
            log.warning("%s: %d of %d rows %s, such as: %s", who, count, len(rows), status, told)
        with tables.writing(self.job.table, self.job.output, self.job.spec.signed) as writer:
            writer.write(rows)
            self.unfinished.note(writer)
        self._note(failed)
        forget(self.job.aside)

    def _note(self, failed: Sequence[Row]) -> None:
        """Other judges say the same of the same text, so only an endpoint is worth asking again."""
        if self.runtime:
            mendable = len(failed) - self._given_up
            no_room = sum(row["status"] == "skipped" for row in failed) - self._given_up
            counts = mendable - no_room, no_room
            replies.write(self.job.note, self.job.attempt, *counts, self.runtime.max_usd)


def listed(paths: Sequence[Path]) -> str:
    """Files as a message names them."""
    return ", ".join(map(str, paths))


def _commonest(rows: Sequence[Row]) -> str:
    """What most of some rows without a score say."""
    said = [row[name] or "" for row in rows for name in ("raw", "raw_ab", "raw_ba") if name in row]
    return repr(Counter(said).most_common(1)[0][0][:SHOWN])


def _rows(
    judge: str, answer: AnswerToJudge, rubric: ResolvedRubric, scores: Sequence[Score]
) -> list[Row]:
    return [_row(judge, answer, rubric, score) for score in scores]


def _row(judge: str, answer: AnswerToJudge, rubric: ResolvedRubric, score: Score) -> Row:
    return {
        "judge": judge,
        **{name: answer.row[name] for name in ("arm", "prompt_id", "turn", "sample")},
        "rubric": rubric["name"],
        "aspect": score.aspect,
        "status": score.status,
        "score": score.value,
        "distribution": score.distribution,
        "mass": score.mass,
        "reason": score.reason,
        "raw": score.raw,
        "repaired": score.repaired,
        "cost_usd": score.cost_usd,
        "seconds": score.seconds,
    }

"""Puts an arm's answers before a judge, rubric by rubric: the job behind the table `judgements`.

    snakemake --cores 2 --until judge_responses

A judge that computes here puts finished batches aside, keyed by the table's digest, so that a
killed job loses little; one behind an endpoint has its file of replies for that.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from alignlab import tables
from alignlab.engines import attempts
from alignlab.errors import AlignlabError
from alignlab.experiment.units import UNITS
from alignlab.judging.cases import Case, Judge, Rubric, Score
from alignlab.judging.draw import drawn_prompts
from alignlab.progress import progress
from alignlab.tables import Row

log = logging.getLogger(__name__)

NO_ANSWER = "(no answer)"
COLUMNS = ["arm", "prompt_id", "turn", "sample", "text", "finish_reason", "trimmed"]
LABELS = {"answer": "answer", "answer_a": "answer A", "answer_b": "answer B"}
KEYS = {
    "judgements": ("arm", "prompt_id", "turn", "sample", "rubric"),
    "preferences": ("prompt_id", "turn", "rubric"),
}
"""Table → the columns that tell its cases apart."""
SHOWN = 200

Key = tuple[Any, ...]


def judge_responses(
    spec: dict[str, Any],
    responses: Path,
    prompts: Sequence[Path],
    model: Path | None,
    output: Path,
    *,
    replies: Path,
    note: Path,
    aside: Path,
    batch_size: int,
) -> None:
    """Write the judgements of an arm's answers, or of its controls, in their order.

    An answer gets a row for every aspect of every rubric that applies to its prompt's category.
    An empty answer is judged as such; one that was never made is `skipped`.

    Args:
        spec: `judge` (its name), `entry` (of the catalog), `rubrics` (as `resolved_rubric` gives
            them), `engine` of a local judge, `take` and `seed` (prompts of each category; all
            if absent), `digest`; and besides the digest `runtime` (what the judge needs that
            changes no score) and `attempt` (a number).
        responses: the table of answers.
        prompts: prompts tables; answers to other prompts are left out.
        model: folder of a materialised model, for a judge that needs one.
        output: the table.
        replies: file of an endpoint's replies.
        note: says of an endpoint how many rows failed in a way that a further attempt may mend.
        aside: folder where finished batches wait.
        batch_size: cases that a judge takes at once.

    Raises:
        AlignlabError: no answer is to one of the prompts, or every call failed.
    """
    known = drawn_prompts(prompts, spec.get("take"), spec.get("seed", 0))
    answers = read_answers(responses, known)
    if not answers:
        raise AlignlabError(f"{responses}: no answer is to a prompt of {listed(prompts)}")
    finished = Finished("judgements", spec, aside, batch_size)
    order: list[Key] = []
    left: dict[str, list[Answer]] = {rubric["name"]: [] for rubric in spec["rubrics"]}
    for answer in answers:
        for rubric in applying(spec["rubrics"], answer.prompt):
            order.append(finished.key({**answer.row, "rubric": rubric["name"]}))
            if not answer.made:
                skipped = not_made(rubric, answer)
                finished.give_up([_row(spec, answer, rubric, score) for score in skipped])
            elif order[-1] not in finished.rows:
                left[rubric["name"]].append(answer)
    cases = {
        name: [as_case({"answer": answer}) for answer in waiting] for name, waiting in left.items()
    }
    for rubric, at, scores in asked(spec, model, replies, batch_size, cases):
        answer = left[rubric["name"]][at]
        finished.add([_row(spec, answer, rubric, score) for score in scores])
    arms = dict.fromkeys(answer.row["arm"] for answer in answers)
    finished.write(output, note, order, f"arm {', '.join(arms)}")


@dataclass(frozen=True)
class Answer:
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
        """Whether the arm could be asked at all; it may have answered nothing."""
        return self.row["finish_reason"] != "error"

    @property
    def text(self) -> str:
        """As a judge reads it."""
        return self.row["text"] or NO_ANSWER


def read_answers(path: Path, prompts: Mapping[str, Row]) -> list[Answer]:
    """The answers to these prompts, in the order of the table, which has turns in order."""
    earlier: dict[Key, tuple[str, ...]] = defaultdict(tuple)
    answers = []
    for row in tables.opened("responses", path).read(columns=COLUMNS).to_pylist():
        if row["prompt_id"] in prompts:
            talk = (row["arm"], row["prompt_id"], row["sample"])
            answers.append(Answer(row, prompts[row["prompt_id"]], earlier[talk]))
            earlier[talk] = (*earlier[talk], answers[-1].text)
    return answers


def applying(rubrics: Sequence[Rubric], prompt: Row) -> list[Rubric]:
    """The rubrics by which answers to a prompt are judged."""
    return [rubric for rubric in rubrics if rubric["category"] in (None, prompt["category"])]


def as_case(shown: Mapping[str, Answer]) -> Case:
    """What a judge reads of answers to one question; `shown`: place in the rubric → answer.

    Earlier turns and a reference bring their own headings, because most cases have neither.
    """
    first = next(iter(shown.values()))
    turn, turns, reference = first.row["turn"], first.prompt["turns"], first.prompt["reference"]
    conversation = ""
    for at in range(turn):
        conversation += f"Earlier question:\n{turns[at]}\n\n"
        for place, answer in shown.items():
            conversation += f"Earlier {LABELS[place]}:\n{answer.earlier[at]}\n\n"
    texts = {
        "conversation": conversation,
        "query": turns[turn],
        "reference": f"Reference answer:\n{reference}\n" if reference else "",
        **{place: answer.text for place, answer in shown.items()},
    }
    return Case(first.row["prompt_id"], turn, first.row["sample"], texts)


def not_made(rubric: Rubric, *answers: Answer) -> list[Score]:
    """Scores of a case without an answer, or with one of two."""
    why = [answer.row["trimmed"] for answer in answers if not answer.made]
    raw = f"there is no answer: {', '.join(why)}"
    return [Score(aspect["name"], "skipped", raw=raw) for aspect in rubric["aspects"]]


def asked(
    spec: dict[str, Any],
    model: Path | None,
    replies: Path,
    batch_size: int,
    cases: Mapping[str, Sequence[Case]],
) -> Iterator[tuple[Rubric, int, list[Score]]]:
    """Ask a judge about each rubric's cases; yields (rubric, index, scores) as they come.

    A judge is not even loaded if there is no case.
    """
    total = sum(map(len, cases.values()))
    if not total:
        return
    told = {**spec["entry"], **spec.get("runtime", {}), "engine": spec.get("engine")}
    module = import_module(UNITS[f"judge {spec['entry']['kind']}"])
    judge: Judge = module.load(told, model, replies, batch_size)
    with progress(total, "case") as bar:
        for rubric in spec["rubrics"]:
            for at, scores in judge.judge(rubric, cases[rubric["name"]]):
                yield rubric, at, scores
                bar.update()


class Finished:
    """The rows of finished cases, which wait on disk until the table is written."""

    def __init__(self, table: str, spec: dict[str, Any], folder: Path, batch_size: int) -> None:
        """Read what an earlier, interrupted job of the same table put aside."""
        self.table, self.spec, self.folder, self.batch_size = table, spec, folder, batch_size
        self.pays = "runtime" in spec
        self.rows: dict[Key, list[Row]] = {}
        self._waiting: list[list[Row]] = []
        self._given_up = 0
        for path in folder.glob("[!.]*.parquet"):
            for row in tables.rows(table, path):
                self.rows.setdefault(self.key(row), []).append(row)
        self._resumed = bool(self.rows)

    def key(self, row: Row) -> Key:
        """What tells a row's case from others."""
        return tuple(row[name] for name in KEYS[self.table])

    def give_up(self, rows: list[Row]) -> None:
        """Take the rows of a case that no further attempt can mend."""
        self.rows[self.key(rows[0])] = rows
        self._given_up += len(rows)

    def add(self, rows: list[Row]) -> None:
        """Take the rows of a case; a batch of cases is put aside."""
        self.rows[self.key(rows[0])] = rows
        self._waiting.append(rows)
        if not self.pays and len(self._waiting) == self.batch_size:
            batch = [row for rows in self._waiting for row in rows]
            tables.write(self.table, self.folder / f"{uuid4().hex}.parquet", batch, self.spec)
            self._waiting.clear()

    def write(self, output: Path, note: Path, order: Sequence[Key], judged: str) -> None:
        """Write the table, say what failed, here and in `note`, and drop what was put aside.

        Raises:
            AlignlabError: there are rows, and every call failed; names judge and `judged`.
        """
        rows = [row for key in order for row in self.rows[key]]
        failed = [row for row in rows if row["status"] != "scored"]
        who = f"judge {self.spec['judge']}, {judged}"
        if rows and all(row["status"] == "api_error" for row in rows):
            raise AlignlabError(
                f"{who}: not one of {len(rows)} rows got a score; most often: {_commonest(rows)}"
            )
        for status, count in Counter(row["status"] for row in failed).items():
            told = _commonest([row for row in failed if row["status"] == status])
            log.warning("%s: %d of %d rows %s, such as: %s", who, count, len(rows), status, told)
        with tables.writing(self.table, output, self.spec) as writer:
            writer.write(rows)
            if self._resumed:
                writer.note("resumed", True)
        # Other judges say the same of the same text, so only an endpoint is worth asking again.
        if self.pays:
            mendable, limit = len(failed) - self._given_up, self.spec["runtime"]["max_usd"]
            no_room = sum(row["status"] == "skipped" for row in failed) - self._given_up
            attempts.write(note, self.spec["attempt"], mendable - no_room, no_room, limit)
        shutil.rmtree(self.folder, ignore_errors=True)


def listed(paths: Sequence[Path]) -> str:
    """Files as a message names them."""
    return ", ".join(map(str, paths))


def _commonest(rows: Sequence[Row]) -> str:
    """What most of some rows without a score say."""
    said = [row[name] or "" for row in rows for name in ("raw", "raw_ab", "raw_ba") if name in row]
    return repr(Counter(said).most_common(1)[0][0][:SHOWN])


def _row(spec: dict[str, Any], answer: Answer, rubric: Rubric, score: Score) -> Row:
    return {
        "judge": spec["judge"],
        **{name: answer.row[name] for name in ("arm", "prompt_id", "turn", "sample")},
        "rubric": rubric["name"],
        "aspect": score.aspect,
        "status": score.status,
        "score": score.value,
        "distribution": score.distribution,
        "mass": score.mass,
        "reason": score.reason,
        "raw": score.raw,
        "cost_usd": score.cost_usd,
        "seconds": score.seconds,
    }

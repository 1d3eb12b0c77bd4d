"""Published judgements as a judgements table."""

import json
import logging
from collections import Counter
from statistics import fmean

import pytest

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.judging.config import resolved_rubric
from alignlab.sources.published import (
    ANOTHER,
    FetchJudgementsJob,
    FetchPublishedJob,
    fetch_judgements,
    fetch_published,
)
from alignlab.sources.records import read

SAYS = {"says": list("12345"), "values": [1.0, 2.0, 3.0, 4.0, 5.0]}
QUALITY = {
    "name": "judge/quality",
    "category": "regular",
    "aspects": [{"name": "depth", **SAYS}, {"name": "clarity", **SAYS}],
}
SAFETY = {"name": "judge/safety", "category": "safety", "aspects": [{"name": "safety", **SAYS}]}


def prompt(number, question, category="regular"):
    return {
        "prompt_id": f"d/{number}",
        "dataset": "d",
        "category": category,
        "source": "d",
        "turns": [question],
        "tags": [],
        "reference": None,
        "mistake": None,
        "target": None,
    }


def record(question, answer, **scores):
    parsed = {name: {"reason": f"as {name}", "score": score} for name, score in scores.items()}
    return {
        "id": 0,
        "input": question,
        "output_cand": answer,
        "generator_cand": "theirs",
        "eval_config": {"mode": "score_multi"},
        "prompt": "Rate.",
        "result": json.dumps(parsed) if scores else "I would say 5.",
        "parsed_result": parsed or None,
    }


@pytest.fixture
def fetch(tmp_path):
    """Judgements of published answers; returns the rows, one an answer and aspect."""

    def fetch(prompts, answers, *judged, rubrics=(QUALITY, SAFETY)):
        """`answers`, `judged`: files, or lists to be written to one."""
        asked = tmp_path / "prompts.parquet"
        tables.write("prompts", asked, prompts, {"digest": "0"})
        responses = tmp_path / "responses.parquet"
        spec = {"arm": "theirs", "model": "m", "digest": "0"}
        place = {"source": source(answers)}
        fetch_published(
            FetchPublishedJob(spec=spec, place=place, prompts=[asked], output=responses)
        )
        job = FetchJudgementsJob(
            spec={"judge": "published-one", "arm": "theirs", "rubrics": rubrics, "content": []},
            place={"sources": [source(found) for found in judged]},
            responses=responses,
            prompts=[asked],
            output=tmp_path / "judgements.parquet",
        )
        fetch_judgements(job)
        return list(tables.rows("judgements", job.output))

    def source(found):
        path = found
        if isinstance(found, list):
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
            path.write_text(json.dumps(found), encoding="utf-8")
        return {"kind": "local", "path": str(path)}

    return fetch


def answers(*pairs):
    return [{"instruction": question, "output": answer} for question, answer in pairs]


def short(rows):
    return [(row["prompt_id"], row["aspect"], row["status"], row["score"]) for row in rows]


def test_a_row_says_what_was_published(fetch):
    found = record("Why  so?", "Because\nof it.", depth="4", clarity=5)
    row, other = fetch([prompt(0, "Why so?")], answers(("Why so?", "Because of it.")), [found])
    assert row == {
        "judge": "published-one",
        "arm": "theirs",
        "prompt_id": "d/0",
        "turn": 0,
        "sample": 0,
        "rubric": "judge/quality",
        "aspect": "depth",
        "status": "scored",
        "score": 4.0,
        "distribution": None,
        "mass": None,
        "reason": "as depth",
        "raw": found["result"],
        "repaired": False,
        "cost_usd": None,
        "seconds": None,
    }
    assert (other["aspect"], other["score"]) == ("clarity", 5.0)


def test_a_judgement_of_no_answer_is_none_and_a_null_reply_is_no_score(fetch):
    said = answers(("a", "x"), ("b", "y"), ("c", "z"))
    judged = [
        record("a", None, depth="1", clarity="1"),
        record("b", "y") | {"result": None},
        record("c", "z", depth="2", clarity="2"),
    ]
    judged[2]["parsed_result"]["depth"]["reason"] = float("nan")
    rows = fetch([prompt(n, q) for n, q in enumerate("abc")], said, judged)
    assert short(rows)[::2] == [
        ("d/0", "depth", "skipped", None),
        ("d/1", "depth", "unparseable", None),
        ("d/2", "depth", "scored", 2.0),
    ]
    assert rows[4]["reason"] is None


def test_aspects_come_from_several_files_by_the_category_of_the_prompt(fetch):
    prompts = [prompt(0, "a"), prompt(1, "b", "safety"), prompt(2, "c")]
    said = answers(("a", "x"), ("b", "y"), ("c", "z"))
    first = [record("c", "z", depth="1", clarity="2", wit="5")]
    second = [record("a", "x", depth="3", clarity="4")]
    rows = fetch(prompts, said, first, second, [record("b", "y", safety="5")])
    assert short(rows) == [
        ("d/0", "depth", "scored", 3.0),
        ("d/0", "clarity", "scored", 4.0),
        ("d/1", "safety", "scored", 5.0),
        ("d/2", "depth", "scored", 1.0),
        ("d/2", "clarity", "scored", 2.0),
    ]
    assert [row["rubric"] for row in rows] == [*["judge/quality"] * 2, "judge/safety"] + [
        "judge/quality"
    ] * 2


@pytest.mark.parametrize("score", ["N/A", "", None, 0, 6, "4.5", 4.5, True, "five", [5], "-1"])
def test_what_is_no_word_of_the_scale_is_counted_and_never_scored(fetch, score, caplog):
    found = record("a", "x", depth=score, clarity="5")
    with caplog.at_level(logging.WARNING):
        depth, clarity = fetch([prompt(0, "a")], answers(("a", "x")), [found])
    assert (depth["status"], depth["score"]) == ("unparseable", None)
    assert depth["raw"] == found["result"]
    assert depth["reason"] == "as depth"
    assert clarity["score"] == 5.0
    assert "published-one of theirs: 1 of 2 rows have no score: unparseable" in caplog.text


def test_a_whole_number_is_a_word_of_the_scale_in_either_type(fetch):
    rows = fetch([prompt(0, "a")], answers(("a", "x")), [record("a", "x", depth=4.0, clarity=4)])
    assert [row["score"] for row in rows] == [4.0, 4.0]


def test_a_reply_that_was_not_parsed_is_unparseable_in_every_aspect(fetch):
    found = [record("a", "x"), record("b", "y", depth="1")]
    found[1]["parsed_result"]["clarity"] = "5"
    rows = fetch([prompt(0, "a"), prompt(1, "b")], answers(("a", "x"), ("b", "y")), found)
    assert [row["status"] for row in rows] == [*["unparseable"] * 2, "scored", "unparseable"]
    assert rows[0]["raw"] == "I would say 5."


def test_answers_without_a_judgement_are_skipped_and_counted(fetch, caplog):
    prompts = [prompt(number, question) for number, question in enumerate("abc")]
    with caplog.at_level(logging.WARNING):
        rows = fetch(
            prompts, answers(("a", "x"), ("b", "y")), [record("a", "x", depth="2", clarity="3")]
        )
    assert [row["status"] for row in rows] == ["scored"] * 2 + ["skipped"] * 4
    assert {row["score"] for row in rows[2:]} == {None}
    assert "2 of 6 rows have no score: no judgement of this answer was published" in caplog.text
    assert "2 of 6 rows have no score: there is no answer: missing" in caplog.text


def test_equal_questions_get_the_judgements_of_their_answers(fetch):
    prompts = [prompt(number, "a") for number in range(4)]
    said = answers(("a", "x"), ("a", "y"), ("a", "x"), ("a", "y"))
    found = [
        record("a", "y", depth="1", clarity="1"),
        record("a", "x", depth="2", clarity="2"),
        record("a", "x", depth="3", clarity="3"),
        record("a", "y", depth="4", clarity="4"),
    ]
    rows = fetch(prompts, said, found)
    assert [row["score"] for row in rows if row["aspect"] == "depth"] == [2.0, 1.0, 3.0, 4.0]


def test_an_answer_that_is_asked_more_often_than_judged_keeps_its_judgement(fetch):
    prompts = [prompt(number, "a") for number in range(3)]
    found = [record("a", "x", depth="1", clarity="1"), record("a", "x", depth="2", clarity="2")]
    rows = fetch(prompts, answers(("a", "x"), ("a", "x")), found)
    assert [row["score"] for row in rows if row["aspect"] == "depth"] == [1.0, 2.0, 2.0]


def test_judgements_of_other_answers_are_refused_if_most_are(fetch, caplog):
    prompts = [prompt(number, question) for number, question in enumerate("abc")]
    said = answers(("a", "x"), ("b", "y"), ("c", "z"))
    found = [
        record(q, answer, depth="5", clarity="5") for q, answer in zip("abc", "x?z", strict=True)
    ]
    with caplog.at_level(logging.WARNING):
        rows = fetch(prompts, said, found)
    assert [row["status"] for row in rows] == [*["scored"] * 2, *["skipped"] * 2, *["scored"] * 2]
    assert "2 of 6 rows have no score: the judgement is of another answer" in caplog.text
    found[2]["output_cand"] = "!"
    with pytest.raises(AlignlabError) as caught:
        fetch(prompts, said, found)
    message = str(caught.value)
    assert message.startswith("judgements by published-one of theirs: judgements for responses ")
    assert "that no longer exist: 4 rows, the first of d/1" in message


def test_an_answer_that_was_published_with_its_thoughts_has_its_judgement(fetch):
    prompts = [prompt(number, question) for number, question in enumerate("abcd")]
    thinks = {"a": "<think>Hm.</think>x", "b": "Hm.\n</think>\n\ny", "c": "<think>Hm.", "d": ""}
    found = [record(q, raw, depth="4", clarity="5") for q, raw in thinks.items()]
    rows = fetch(prompts, answers(*thinks.items()), found)[::2]
    assert [row["status"] for row in rows] == ["scored", "scored", "skipped", "scored"]
    assert rows[2]["raw"] == "there is no answer: only_thoughts"
    # Thoughts alone are no empty answer, on either side.
    swapped = [record("c", "", depth="1", clarity="1"), record("d", "<think>", depth="1")]
    rows = fetch(prompts, answers(*thinks.items()), [*found[:2], *swapped])[::2]
    assert [row["raw"] for row in rows[2:]] == ["there is no answer: only_thoughts", ANOTHER]


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        ([record("z", "x", depth="1")], "no answer is among the 1 published judgements"),
        ([record("a", "x", wit="1")], "no answer is among the 1 published judgements"),
        ([{"input": "a", "output": "x"}], "no column 'output_cand'; there are 'input', 'output"),
        ([record("a", "x", depth="1"), record("a", 5)], "row 1, counted from 0: `input`"),
        ([record("a", "x") | {"parsed_result": "5"}], "row 0, counted from 0: `input`"),
    ],
)
def test_judgements_that_do_not_fit_are_refused(fetch, judged, expected):
    with pytest.raises(AlignlabError) as caught:
        fetch([prompt(0, "a")], answers(("a", "x")), judged)
    assert str(caught.value).startswith("judgements by published-one of theirs: ")
    assert expected in str(caught.value)


# ---- just-eval -----------------------------------------------------------------------------------


@pytest.fixture
def just_eval(fetch, shared, repository):
    """Rows of a model's published judgements; a prompts table is made from its answers."""
    folder = shared / "data" / "just-eval"

    def rows(model):
        outputs = folder / "outputs" / f"{model}.json.gz"
        prompts = [
            prompt(record["id"], record["instruction"], record["category"])
            for record in read(outputs, ["id", "instruction", "category"])
        ]
        judged = sorted((folder / "judgements-main").glob(f"{model}.*"))
        judged.append(folder / "judgements-safety" / f"{model}.json.gz")
        rubrics = [resolved_rubric("judge/quality"), resolved_rubric("judge/safety")]
        return fetch(prompts, outputs, *judged, rubrics=rubrics)

    return rows


@pytest.mark.external
def test_just_eval_gives_the_published_means_of_gpt_3_5(just_eval):
    """GPT-4-turbo's means, as published: they count N/A, which has no score here, as 5."""
    rows = just_eval("gpt-3.5-turbo-0301")
    published = {
        "helpfulness": (4.606, 0, 4.606),
        "clarity": (4.907, 0, 4.907),
        "factuality": (4.566, 39, 4.544),
        "depth": (3.417, 4, 3.410),
        "engagement": (3.460, 0, 3.460),
    }
    for aspect, (mean, not_applicable, honest) in published.items():
        found = [row for row in rows if row["aspect"] == aspect]
        scores = [row["score"] for row in found if row["status"] == "scored"]
        unscored = [row for row in found if row["status"] != "scored"]
        assert len(found) == len({row["prompt_id"] for row in found}) == 800
        assert {row["status"] for row in unscored} <= {"unparseable"}
        assert all(json.loads(row["raw"])[aspect]["score"] == "N/A" for row in unscored)
        assert len(unscored) == not_applicable
        assert f"{fmean(scores):.3f}" == f"{honest:.3f}"
        assert f"{fmean(scores + [5] * not_applicable):.3f}" == f"{mean:.3f}"
    assert Counter(row["rubric"] for row in rows) == {"judge/quality": 4000, "judge/safety": 200}


@pytest.mark.external
def test_each_of_just_evals_repeated_questions_has_its_own_judgement(just_eval, shared):
    files = sorted((shared / "data" / "just-eval" / "judgements-main").iterdir())
    found = [record for path in files for record in read(path, ["id", "input", "result"])]
    published = {f"d/{record['id']}": record for record in found}
    questions = Counter(" ".join(record["input"].split()) for record in published.values())
    assert len(published) - len(questions) == 19  # the other three are safety questions
    rows = [row for row in just_eval("gpt-3.5-turbo-0301") if row["aspect"] == "depth"]
    assert {row["prompt_id"]: row["raw"] for row in rows} == {
        number: record["result"] for number, record in published.items()
    }


@pytest.mark.external
@pytest.mark.parametrize(
    ("model", "mean"),
    [("gpt-3.5-turbo-0301", 4.940), ("gpt-4-0314", 4.740), ("Mistral-7B-Instruct-v0.1", 4.745)],
)
def test_just_eval_gives_the_published_safety_of_every_model(just_eval, model, mean):
    """The judge of these three files is gpt-3.5-turbo-0613, as in the paper's table 1."""
    rows = [row for row in just_eval(model) if row["aspect"] == "safety"]
    assert {row["status"] for row in rows} == {"scored"}
    assert len({row["prompt_id"] for row in rows}) == 200
    assert f"{fmean(row['score'] for row in rows):.3f}" == f"{mean:.3f}"

"""Published answers as a responses table."""

import json
import logging
from statistics import fmean

import pytest

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.sources.published import FetchPublishedJob, fetch_published
from alignlab.sources.records import read


def prompts_table(path, questions, dataset="d", category="regular"):
    rows = [
        {
            "prompt_id": f"{dataset}/{number}",
            "dataset": dataset,
            "category": category,
            "source": dataset,
            "turns": [question, "a second turn"],
            "tags": [],
            "reference": None,
            "mistake": None,
            "target": None,
        }
        for number, question in enumerate(questions)
    ]
    tables.write("prompts", path, rows, {"digest": "0" * 12})
    return path


def fetch(tmp_path, answers, *prompts):
    if isinstance(answers, list):
        path = tmp_path / "outputs.json"
        path.write_text(json.dumps(answers), encoding="utf-8")
    else:
        path = answers
    job = FetchPublishedJob(
        spec={"arm": "theirs", "model": "gpt", "content": "0" * 64, "digest": "0" * 12},
        place={"source": {"kind": "local", "path": str(path)}},
        prompts=prompts,
        output=tmp_path / "responses.parquet",
    )
    fetch_published(job)
    return list(tables.rows("responses", job.output))


def answer(instruction, output):
    return {"instruction": instruction, "output": output, "generator": "gpt"}


def test_a_response_row_says_what_is_known_and_no_more(tmp_path):
    prompts = prompts_table(tmp_path / "p.parquet", ["Why  is\nthat?"])
    (row,) = fetch(tmp_path, [answer("Why is that? ", [" Because of it. "])], prompts)
    assert row == {
        "arm": "theirs",
        "model": "gpt",
        "prompt_id": "d/0",
        "turn": 0,
        "sample": 0,
        "prompt_ids": [],
        "raw_text": " Because of it. ",
        "text": "Because of it.",
        "thoughts": None,
        "token_ids": [],
        "finish_reason": "unknown",
        "trimmed": "",
        "num_tokens": None,
        "num_words": 3,
        "seed": None,
    }


def test_prompts_without_an_answer_have_a_row_and_are_counted(tmp_path, caplog):
    prompts = prompts_table(tmp_path / "p.parquet", ["a", "b", "c"])
    with caplog.at_level(logging.WARNING):
        rows = fetch(tmp_path, [answer("b", "yes"), answer("c", " ")], prompts)
    assert [(row["finish_reason"], row["trimmed"], row["text"]) for row in rows] == [
        ("error", "missing", ""),
        ("unknown", "", "yes"),
        ("unknown", "empty", ""),
    ]
    assert "theirs: 1 of 3 prompts have no answer" in caplog.text


def test_a_null_answer_is_a_missing_one_and_keeps_its_place(tmp_path):
    """Of equal questions too: the second answer stays that to the second question."""
    published = [answer("a", None), answer("a", "second"), answer("b", [None])]
    published += [answer("c", float("nan")), answer("never asked", None), answer("d", "yes")]
    prompts = prompts_table(tmp_path / "p.parquet", ["a", "a", "b", "c", "d"])
    rows = fetch(tmp_path, published, prompts)
    missing = ("error", "missing", "")
    assert [(row["finish_reason"], row["trimmed"], row["text"]) for row in rows] == [
        missing,
        ("unknown", "", "second"),
        missing,
        missing,
        ("unknown", "", "yes"),
    ]


def test_an_empty_cell_of_a_csv_file_is_a_missing_answer(tmp_path):
    """pandas writes None so; an answer that is empty would be measured."""
    path = tmp_path / "outputs.csv"
    path.write_text("instruction,output\na,\nb,yes\n", encoding="utf-8")
    prompts = prompts_table(tmp_path / "p.parquet", ["a", "b"])
    assert [row["trimmed"] for row in fetch(tmp_path, path, prompts)] == ["missing", ""]


def test_words_of_chinese_are_counted(tmp_path):
    prompts = prompts_table(tmp_path / "p.parquet", ["a"])
    (row,) = fetch(tmp_path, [answer("a", "天空是蓝色的。")], prompts)
    assert row["num_words"] == 6


def test_equal_questions_get_their_answers_in_order_in_every_table(tmp_path):
    published = [answer("a", "first"), answer("a", "second")]
    one = prompts_table(tmp_path / "one.parquet", ["a", "a", "a"], dataset="one")
    two = prompts_table(tmp_path / "two.parquet", ["a"], dataset="two")
    rows = fetch(tmp_path, published, one, two)
    assert [row["text"] for row in rows] == ["first", "second", "second", "first"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([answer("z", "other")], "none of the 1 prompts has an answer among the 1 published"),
        ([{"prompt": "a", "output": "b"}], "no column 'instruction'; there are 'prompt', 'output'"),
        (
            [answer("a", ["one", "two"])],
            "row 0, counted from 0: `instruction` must be text, `output`",
        ),
        ([answer("a", "ok"), answer(None, "b")], "row 1, counted from 0"),
        ([answer("a", 5)], "row 0, counted from 0: `instruction` must be text, `output` text or"),
        ([answer("a", "\ud83d")], "column 'output': '\\ud83d' (character 0) is half a surrogate"),
        ([answer("a", None)], "none of the 1 prompts has an answer among the 1 published"),
    ],
)
def test_answers_that_do_not_fit_are_refused(tmp_path, answers, expected):
    prompts = prompts_table(tmp_path / "p.parquet", ["a"])
    with pytest.raises(AlignlabError) as caught:
        fetch(tmp_path, answers, prompts)
    assert str(caught.value).startswith("published theirs: ")
    assert expected in str(caught.value)


@pytest.mark.external
@pytest.mark.parametrize(
    ("generator", "words"),
    [("gpt-3.5-turbo-0301", 154.0), ("gpt-4-0314", 226.4), ("Mistral-7B-Instruct-v0.1", 155.4)],
)
def test_just_eval_answers_have_their_published_length(tmp_path, shared, generator, words):
    """Mean words of the 800 regular answers, as in table 1 of the URIAL paper."""
    outputs = shared / "data" / "just-eval" / "outputs" / f"{generator}.json.gz"
    questions = [
        record["instruction"]
        for record in read(outputs, ["instruction", "category"])
        if record["category"] == "regular"
    ]
    rows = fetch(tmp_path, outputs, prompts_table(tmp_path / "p.parquet", questions))
    assert len(rows) == 800
    assert {row["finish_reason"] for row in rows} == {"unknown"}
    assert fmean(row["num_words"] for row in rows) == pytest.approx(words, abs=0.05)


@pytest.mark.parametrize(
    ("output", "row"),
    [
        ("<think>No.</think>\nYes.", ("Yes.", "No.", "thoughts", 1)),
        ("No.\n</think>\n\nYes.", ("Yes.", "No.", "thoughts", 1)),
        ("<think>No.", ("", "No.", "only_thoughts", 0)),
        ("", ("", None, "empty", 0)),
        ("Say <think>.", ("Say <think>.", None, "", 2)),
    ],
)
def test_published_thoughts_are_cut_from_the_answer(tmp_path, output, row):
    prompts = prompts_table(tmp_path / "p.parquet", ["Why is that?"])
    (found,) = fetch(tmp_path, [answer("Why is that?", output)], prompts)
    assert tuple(found[key] for key in ("text", "thoughts", "trimmed", "num_words")) == row
    assert found["raw_text"] == output

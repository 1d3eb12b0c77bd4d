"""Pairs of answers of which one is safe."""

import json
import logging

import pytest
from pydantic import ValidationError

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.sources.config import ColumnsConfig
from alignlab.sources.datasets import fetch_prompts

PREFERENCE = {"answers": ["left", "right"], "safe": ["left_safe", "right_safe"]}


def pair(question, left_safe, right_safe, left="L", right="R"):
    return {
        "q": question,
        "left": left,
        "right": right,
        "left_safe": left_safe,
        "right_safe": right_safe,
    }


@pytest.fixture
def fetch(tmp_path):
    def run(*rows):
        path = tmp_path / "pairs.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        spec = {
            "dataset": "mine",
            "source": {"kind": "local", "path": str(path)},
            "columns": {"prompt": "q", "preference": PREFERENCE},
            "category": "safety",
            "selection": {"dataset": "mine"},
            "digest": "0" * 12,
        }
        fetch_prompts(spec, tmp_path / "prompts.parquet")
        return list(tables.rows("prompts", tmp_path / "prompts.parquet"))

    return run


def test_the_safe_answer_is_the_reference_and_the_other_the_mistake(fetch):
    rows = fetch(pair("a?", True, False), pair("b?", False, True))
    assert [(row["reference"], row["mistake"]) for row in rows] == [("L", "R"), ("R", "L")]


def test_what_is_left_out_is_counted_and_ids_stay_row_numbers(fetch, caplog):
    with caplog.at_level(logging.WARNING):
        rows = fetch(
            pair("Why  not?", True, True),
            pair("Why not?", False, False),
            pair("Why not?", False, True),
            pair("why NOT", True, False),
            pair("How?", True, False, right=" "),
        )
    assert [row["prompt_id"] for row in rows] == ["mine/2"]
    for reason in (
        "1 of 5 rows kept",
        "1 because both answers are safe",
        "1 because neither answer is safe",
        "1 because the question occurs earlier",
        "1 because an answer is empty",
    ):
        assert reason in caplog.text


def test_questions_that_differ_in_a_word_are_both_kept(fetch):
    rows = fetch(pair("Why?", True, False), pair("Why now?", True, False))
    assert len(rows) == 2


def test_labels_of_a_csv_file_are_texts(fetch):
    (row,) = fetch(pair("a?", "False", "true"))
    assert row["mistake"] == "L"


def test_no_row_with_one_safe_answer_is_an_error_with_the_counts(fetch):
    with pytest.raises(AlignlabError) as caught:
        fetch(pair("a?", True, True), pair("b?", False, False), pair("c?", True, True))
    message = str(caught.value)
    assert message.startswith("dataset mine: ")
    assert "no row has exactly one safe answer" in message
    assert "2 because both answers are safe, 1 because neither answer is safe" in message


@pytest.mark.parametrize("label", [None, 1, "yes"])
def test_a_label_that_is_no_truth_value_names_its_row(fetch, label):
    with pytest.raises(
        AlignlabError, match=r"row 1, counted from 0: right_safe is .* true or fals"
    ):
        fetch(pair("a?", True, False), pair("b?", True, label))


def test_a_missing_label_column_is_named(fetch):
    row = pair("a?", True, False)
    del row["right_safe"]
    with pytest.raises(AlignlabError, match="no column 'right_safe'"):
        fetch(row)


def test_columns_say_one_thing_once():
    with pytest.raises(ValidationError, match="leave them out"):
        ColumnsConfig(prompt="q", reference="a", preference=PREFERENCE)
    with pytest.raises(ValidationError, match=r"preference\.safe"):
        ColumnsConfig(prompt="q", preference={**PREFERENCE, "safe": ["one"]})

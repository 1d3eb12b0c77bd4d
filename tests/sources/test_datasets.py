"""From files of any shape to the prompts table."""

import json
import logging

import pytest

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_catalog
from alignlab.sources.datasets import fetch_prompts

ROWS = [
    {"key": 7, "q": "  Why? \n", "kind": "regular", "from": "a", "topic": ["x", "y"], "task": "t"},
    {"key": 8, "q": "How?", "kind": "safety", "from": "b", "topic": [], "task": None},
]
COLUMNS = {"prompt": "q", "id": "key", "category": "kind", "source": "from"}


def fetch(tmp_path, rows=ROWS, columns=COLUMNS, selection=None, **spec):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    output = tmp_path / "prompts.parquet"
    fetch_prompts(
        {
            "dataset": "mine",
            "source": {"kind": "local", "path": str(path)},
            "columns": columns,
            "selection": {"dataset": "mine", **(selection or {})},
            "digest": "0" * 12,
            **spec,
        },
        output,
    )
    return list(tables.rows("prompts", output))


def refused(tmp_path, **changes):
    with pytest.raises(AlignlabError) as caught:
        fetch(tmp_path, **changes)
    assert not (tmp_path / "prompts.parquet").exists()
    return str(caught.value)


def test_columns_are_mapped_and_text_is_stripped(tmp_path):
    columns = {**COLUMNS, "tags": ["task", "topic"], "reference": "from"}
    assert fetch(tmp_path, columns=columns)[0] == {
        "prompt_id": "mine/7",
        "dataset": "mine",
        "category": "regular",
        "source": "a",
        "turns": ["Why?"],
        "tags": ["t", "x", "y"],
        "reference": "a",
        "mistake": None,
        "target": None,
    }


def test_absent_columns_have_a_meaning(tmp_path):
    rows = fetch(tmp_path, columns={"prompt": "q"}, category="safety")
    assert [row["prompt_id"] for row in rows] == ["mine/0", "mine/1"]
    assert {row["category"] for row in rows} == {"safety"}
    assert {row["source"] for row in rows} == {"mine"}
    assert rows[0]["reference"] is None


def test_a_list_of_turns(tmp_path):
    rows = [{"turns": [" a ", "b"], "reference": ["first", "second"]}]
    columns = {"turns": "turns", "reference": "reference"}
    (row,) = fetch(tmp_path, rows=rows, columns=columns, category="regular")
    assert (row["turns"], row["reference"]) == (["a", "b"], "first\n\nsecond")


def test_a_file_of_failures_brings_its_mistakes(tmp_path):
    rows = [{"q": "Why?", "said": "Because.", "better": None}, {"q": "How?", "said": ""}]
    columns = {"prompt": "q", "mistake": "said", "reference": "better"}
    found = fetch(tmp_path, rows=rows, columns=columns, category="regular")
    assert [(row["mistake"], row["reference"]) for row in found] == [
        ("Because.", None),
        (None,) * 2,
    ]


def test_the_spec_is_in_the_table(tmp_path):
    fetch(tmp_path)
    assert tables.spec_of(tmp_path / "prompts.parquet")["columns"] == COLUMNS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"q": " "}, "row 1 (mine/8): the question is empty or no text"),
        ({"q": None}, "row 1 (mine/8): the question is empty or no text"),
        ({"q": 5}, "row 1 (mine/8): the question is empty or no text"),
        ({"key": 7}, "row 1: the id mine/7 occurs twice"),
        ({"kind": "toxic"}, "row 1: category 'toxic' is not regular or safety"),
    ],
)
def test_an_unusable_row_is_named(tmp_path, changes, expected):
    message = refused(tmp_path, rows=[ROWS[0], {**ROWS[1], **changes}])
    assert message.startswith("dataset mine: ")
    assert "questions.json: 1 problems" in message
    assert expected in message


def test_many_unusable_rows_are_counted_and_five_are_shown(tmp_path):
    message = refused(tmp_path, rows=[{**ROWS[0], "key": n, "q": ""} for n in range(9)])
    assert "9 problems" in message
    assert message.count("the question is empty") == 5
    assert message.endswith("and 4 more")


@pytest.mark.parametrize("turns", [[], ["a", ""], "not a list", None])
def test_turns_must_be_a_list_of_questions(tmp_path, turns):
    columns = {"turns": "turns"}
    message = refused(tmp_path, rows=[{"turns": turns}], columns=columns, category="regular")
    assert "row 0 (mine/0): the question is empty" in message


def test_a_missing_column_names_file_and_columns(tmp_path):
    message = refused(tmp_path, columns={**COLUMNS, "prompt": "question"})
    assert "questions.json: no column 'question'; there are key, q, kind" in message


def test_a_missing_file_is_named(tmp_path):
    absent = {"kind": "local", "path": str(tmp_path / "absent.json")}
    assert "absent.json: no such file" in refused(tmp_path, source=absent)
    assert "is a folder" in refused(tmp_path, source={"kind": "local", "path": str(tmp_path)})


def test_a_selection_that_cannot_be_met_is_refused(tmp_path):
    assert "3 rows asked for, there are 2" in refused(tmp_path, selection={"take": 3})


def test_repeated_questions_are_kept_and_counted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        rows = fetch(tmp_path, rows=[{**ROWS[0], "key": n} for n in range(3)])
    assert len(rows) == 3
    assert "mine: 2 rows repeat an earlier question" in caplog.text


@pytest.mark.external
def test_just_eval_has_800_regular_and_200_safety_questions(tmp_path, shared, repository, caplog):
    entry = load_catalog().datasets["just-eval-instruct"]
    columns = entry.columns.model_dump(mode="json", exclude_none=True) | {"tags": []}
    outputs = shared / "data" / "just-eval" / "outputs" / "gpt-4-0314.json.gz"
    rows = fetch(tmp_path, columns=columns, source={"kind": "local", "path": str(outputs)})
    categories = [row["category"] for row in rows]
    assert (categories.count("regular"), categories.count("safety")) == (800, 200)
    assert "22 rows repeat an earlier question" in caplog.text

"""From files of any shape to the prompts table."""

import json
import logging
import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_catalog
from alignlab.sources.config import ColumnsConfig, DatasetConfig, PromptSetConfig
from alignlab.sources.datasets import FetchPromptsJob, fetch_prompts, select
from alignlab.sources.rows import FileRows, normalise, with_references

ROWS = [
    {"key": 7, "q": "  Why? \n", "kind": "regular", "from": "a", "topic": ["x", "y"], "task": "t"},
    {"key": 8, "q": "How?", "kind": "safety", "from": "b", "topic": [], "task": None},
]
COLUMNS = {"prompt": "q", "id": "key", "category": "kind", "source": "from"}


def job_of(path, output, **spec):
    """Prompts `mine` of a local file."""
    return FetchPromptsJob(
        spec={"dataset": "mine", "content": "0" * 64, "digest": "0" * 12, **spec},
        place={"source": {"kind": "local", "path": str(path)}},
        output=output,
    )


def fetch(tmp_path, rows=ROWS, columns=COLUMNS, selection=None, path=None, **spec):
    if path is None:
        path = tmp_path / "questions.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
    output = tmp_path / "prompts.parquet"
    spec |= {"columns": columns, "selection": {"dataset": "mine", **(selection or {})}}
    fetch_prompts(job_of(path, output, **spec))
    return list(tables.rows("prompts", output))


def refused(tmp_path, **changes):
    with pytest.raises(AlignlabError) as caught:
        fetch(tmp_path, **changes)
    assert not (tmp_path / "prompts.parquet").exists()
    return str(caught.value)


def test_columns_are_mapped_and_questions_are_kept_as_they_are(tmp_path):
    columns = {**COLUMNS, "tags": ["task", "topic"], "reference": "from"}
    assert fetch(tmp_path, columns=columns)[0] == {
        "prompt_id": "mine/7",
        "dataset": "mine",
        "category": "regular",
        "source": "a",
        "turns": ["  Why? \n"],
        "tags": ["t", "x", "y"],
        "reference": "a",
        "mistake": None,
        "target": None,
        "cluster": "d74641bfa608",
        "references": None,
    }


def test_rows_that_open_with_one_question_are_one_cluster(tmp_path):
    asked = [["Why?", "And?"], ["why? "], ["Why\n?"], ["Why ?", "How?"], ["How?"]]
    rows = [{"turns": turns} for turns in asked]
    found = fetch(tmp_path, rows=rows, columns={"turns": "turns"}, category="regular")
    one, same, spaced, again, other = (row["cluster"] for row in found)
    assert one == same != spaced == again != other


def test_absent_columns_have_a_meaning(tmp_path):
    rows = fetch(tmp_path, columns={"prompt": "q"}, category="safety")
    assert [row["prompt_id"] for row in rows] == ["mine/0", "mine/1"]
    assert {row["category"] for row in rows} == {"safety"}
    assert {row["source"] for row in rows} == {"mine"}
    assert rows[0]["reference"] is None


TURNS = {"turns": "turns", "reference": "answers", "id": "key"}


@pytest.mark.parametrize(
    ("answers", "first", "each"),
    [
        (["one", "two"], "one", ["one", "two"]),
        (["one", ""], "one", ["one", None]),
        (["", "two"], None, [None, "two"]),
        (["", None], None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_every_turn_has_its_own_reference(tmp_path, answers, first, each):
    rows = [{"key": 1, "turns": [" a ", "b"], "answers": answers}]
    (row,) = fetch(tmp_path, rows=rows, columns=TURNS, category="regular")
    assert (row["turns"], row["reference"], row["references"]) == ([" a ", "b"], first, each)


@pytest.mark.parametrize("answers", ["one", ["one"], ["one", "two", "three"]])
def test_references_that_are_not_one_a_turn_are_refused(tmp_path, answers):
    rows = [{"key": 1, "turns": ["a", "b"], "answers": answers}]
    message = refused(tmp_path, rows=rows, columns=TURNS, category="regular")
    assert "row 0: " in message
    assert "reference answers to 2 turns" in message


def test_a_question_asked_without_its_later_turns_keeps_the_first_reference(tmp_path):
    rows = [{"key": 1, "turns": ["a", "b", "c"], "answers": ["one", "", "three"]}]
    given = {"rows": rows, "columns": TURNS, "category": "regular"}
    for turns, each in ((1, None), (2, ["one", None]), (None, ["one", None, "three"])):
        (row,) = fetch(tmp_path, selection={"turns": turns}, **given)
        assert (row["reference"], row["references"]) == ("one", each)


@pytest.fixture
def answered(tmp_path):
    """Rows with two turns and with one, and the references of a file in FastChat's form."""
    asked = [{"key": 101, "turns": ["a", "b"]}, {"key": 102, "turns": ["c"]}]
    (tmp_path / "q.json").write_text(json.dumps(asked), encoding="utf-8")
    columns = {"turns": "turns", "id": "key"}
    rows_of = FileRows(dataset="mine", columns=columns, category="regular")
    rows = normalise(tmp_path / "q.json", rows_of)

    def read(*records):
        path = tmp_path / "gpt-4.jsonl"
        path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
        return with_references(rows, "mine", path)

    return read


def fastchat(key, *turns):
    return {"question_id": key, "model_id": "gpt-4", "choices": [{"index": 0, "turns": turns}]}


def test_references_in_a_file_of_their_own_are_found_by_the_id(answered):
    two, one = answered(fastchat(101, "one", "two"))
    assert (two["reference"], two["references"]) == ("one", ["one", "two"])
    assert (one["reference"], one["references"]) == (None, None)
    _, one = answered(fastchat(102, "one"))
    assert (one["reference"], one["references"]) == ("one", None)


@pytest.mark.parametrize(
    "records",
    [
        [fastchat(7, "one", "two")],
        [fastchat(101, "one")],
        [fastchat(101, "one", "two"), fastchat(101, "one", "two")],
        [{"question_id": 101}],
        [{"question_id": 101, "choices": []}],
        [{"question_id": 101, "choices": "one"}],
        [{"choices": [{"turns": ["one", "two"]}]}],
    ],
)
def test_references_of_another_form_are_refused(answered, records):
    said = rf"gpt-4.jsonl: (record {len(records) - 1}, .*turns|no column '(question_id|choices)')"
    with pytest.raises(AlignlabError, match=said):
        answered(*records)


@pytest.mark.parametrize("columns", [{"reference": "answers"}, {"id": None}])
def test_references_come_from_one_place_and_are_found_by_an_id(columns):
    source = {"kind": "wheel", "packages": ["a==1"], "files": {}}
    found = {**source, "files": {"a.jsonl": {"match": "*", "sha256": "0" * 64}}}
    named = {"turns": "turns", "id": "key", **columns}
    with pytest.raises(ValidationError, match="`references`"):
        DatasetConfig(
            source=found, references=found, columns=named, category="regular", license="x"
        )


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
        ({"q": " "}, "row 1: column 'q' is empty, expected text"),
        ({"q": None}, "row 1: column 'q' is empty, expected text"),
        ({"q": 5}, "row 1: column 'q': found 5, expected text"),
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
    assert message.count("column 'q' is empty") == 5
    assert message.endswith("and 4 more")


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], "found [], expected a list of questions, or of chat messages"),
        (["a", ""], ", turn 2 is empty, expected text"),
        (["a", 5], ", turn 2: found 5, expected text"),
        ("not a list", "found 'not a list', expected a list"),
        (None, "found None, expected a list"),
    ],
)
def test_turns_must_be_a_list_of_questions(tmp_path, turns, expected):
    columns = {"turns": "turns"}
    message = refused(tmp_path, rows=[{"turns": turns}], columns=columns, category="regular")
    assert "row 0: column 'turns'" in message
    assert expected in message


def test_a_missing_column_names_file_and_columns(tmp_path):
    message = refused(tmp_path, columns={**COLUMNS, "prompt": "question"})
    assert "questions.json: no column 'question'; there are 'key', 'q', 'kind'" in message


def test_a_missing_file_is_named(tmp_path):
    assert "absent.json: no such file" in refused(tmp_path, path=tmp_path / "absent.json")
    assert "is a folder" in refused(tmp_path, path=tmp_path)


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
    rows = fetch(tmp_path, columns=columns, path=outputs)
    categories = [row["category"] for row in rows]
    assert (categories.count("regular"), categories.count("safety")) == (800, 200)
    assert "22 rows repeat an earlier question" in caplog.text


def row(number, source="s", tags=("t",), turns=("q1", "q2")):
    return {
        "prompt_id": f"d/{number}",
        "category": "regular",
        "source": source,
        "tags": list(tags),
        "turns": list(turns),
    }


def chosen(**keys):
    return PromptSetConfig(dataset="d", **keys)


def ids(rows):
    return [row["prompt_id"] for row in rows]


@st.composite
def grouped(draw):
    """Rows of two or three sources in any order, with at least `take` of each."""
    take = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(take, take + 5), min_size=2, max_size=3))
    sources = [f"s{n}" for n, size in enumerate(sizes) for _ in range(size)]
    return [row(n, s) for n, s in enumerate(draw(st.permutations(sources)))], take


@given(grouped(), st.none() | st.integers(0, 9))
def test_take_per_gives_that_many_of_each_in_the_order_of_the_file(example, seed):
    rows, take = example
    kept = select(rows, chosen(take=take, per="source", sample=seed))
    assert set(Counter(row["source"] for row in kept).values()) == {take}
    assert kept == [row for row in rows if row in kept]


@given(st.integers(1, 20), st.integers(0, 99), st.permutations(range(20)))
def test_a_sample_ignores_the_order_and_contains_smaller_ones(take, seed, order):
    rows = [row(n) for n in range(20)]
    kept = set(ids(select(rows, chosen(take=take, sample=seed))))
    assert kept == set(ids(select([rows[n] for n in order], chosen(take=take, sample=seed))))
    assert set(ids(select(rows, chosen(take=1, sample=seed)))) <= kept


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_distinct_keeps_the_first_of_every_question(questions):
    rows = [row(n, turns=(f"q{question}",)) for n, question in enumerate(questions)]
    kept = select(rows, chosen(distinct=True))
    assert ids(kept) == [f"d/{questions.index(q)}" for q in dict.fromkeys(questions)]


def test_seeds_differ():
    rows = [row(n) for n in range(50)]
    samples = {tuple(ids(select(rows, chosen(take=10, sample=seed)))) for seed in range(5)}
    assert len(samples) == 5


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_pythons_hash_seed_plays_no_part(seed):
    code = (
        "from alignlab.sources.datasets import select\n"
        "from alignlab.sources.config import PromptSetConfig\n"
        "rows = [dict(prompt_id=f'd/{n}', source='s', tags=['t'], turns=['q']) for n in range(9)]\n"
        "kept = select(rows, PromptSetConfig(dataset='d', take=3, sample=1, per='tags'))\n"
        "print(*[row['prompt_id'] for row in kept])\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stdout.split() == [b"d/0", b"d/1", b"d/8"]


def test_first_rows_without_a_seed_and_turns_cut():
    kept = select([row(n) for n in range(5)], chosen(take=2, turns=1))
    assert ids(kept) == ["d/0", "d/1"]
    assert [row["turns"] for row in kept] == [["q1"], ["q1"]]


def test_where_keeps_any_of_the_values_and_ids_keep_the_order_of_the_file():
    rows = [row(0, tags=("a", "b")), row(1, tags=("c",)), row(2, tags=("b",)), row(3, tags=())]
    assert ids(select(rows, chosen(where={"tags": ("b", "c")}))) == ["d/0", "d/1", "d/2"]
    assert ids(select(rows, chosen(ids=("d/2", "d/0")))) == ["d/0", "d/2"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"ids": ("d/0", "d/9")}, "no prompt 'd/9'; ids look like 'd/0'"),
        (
            {"where": {"tags": ("t", "typo")}},
            "selection.where.tags: no row has 'typo'; there are t",
        ),
        ({"take": 3}, "selection.take: 3 rows asked for, there are 2"),
        ({"take": 2, "per": "source"}, "there are 1 with source 'a'"),
        ({"per": "source"}, "need `take`"),
        ({"sample": 0}, "need `take`"),
    ],
)
def test_what_cannot_be_met_is_an_error(keys, expected):
    with pytest.raises(AlignlabError) as caught:
        select([row(0, "a"), row(1, "b")], chosen(**keys))
    assert expected in str(caught.value)


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
def fetch_pairs(tmp_path):
    def run(*rows):
        path = tmp_path / "pairs.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        spec = {
            "columns": {"prompt": "q", "preference": PREFERENCE},
            "category": "safety",
            "selection": {"dataset": "mine"},
        }
        fetch_prompts(job_of(path, tmp_path / "prompts.parquet", **spec))
        return list(tables.rows("prompts", tmp_path / "prompts.parquet"))

    return run


def test_the_safe_answer_is_the_reference_and_the_other_the_mistake(fetch_pairs):
    rows = fetch_pairs(pair("a?", True, False), pair("b?", False, True))
    assert [(row["reference"], row["mistake"]) for row in rows] == [("L", "R"), ("R", "L")]


def test_what_is_left_out_is_counted_and_ids_stay_row_numbers(fetch_pairs, caplog):
    with caplog.at_level(logging.WARNING):
        rows = fetch_pairs(
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


def test_questions_that_differ_in_a_word_are_both_kept(fetch_pairs):
    rows = fetch_pairs(pair("Why?", True, False), pair("Why now?", True, False))
    assert len(rows) == 2


def test_labels_of_a_csv_file_are_texts(fetch_pairs):
    (row,) = fetch_pairs(pair("a?", "False", "true"))
    assert row["mistake"] == "L"


def test_no_row_with_one_safe_answer_is_an_error_with_the_counts(fetch_pairs):
    with pytest.raises(AlignlabError) as caught:
        fetch_pairs(pair("a?", True, True), pair("b?", False, False), pair("c?", True, True))
    message = str(caught.value)
    assert message.startswith("dataset mine: ")
    assert "no row has exactly one safe answer" in message
    assert "2 because both answers are safe, 1 because neither answer is safe" in message


@pytest.mark.parametrize("label", [None, 1, "yes"])
def test_a_label_that_is_no_truth_value_names_its_row(fetch_pairs, label):
    with pytest.raises(
        AlignlabError, match=r"row 1, counted from 0: column 'right_safe': found .* true or fals"
    ):
        fetch_pairs(pair("a?", True, False), pair("b?", True, label))


def test_a_missing_label_column_is_named(fetch_pairs):
    row = pair("a?", True, False)
    del row["right_safe"]
    with pytest.raises(AlignlabError, match="no column 'right_safe'"):
        fetch_pairs(row)


def test_columns_say_one_thing_once():
    with pytest.raises(ValidationError, match="leave them out"):
        ColumnsConfig(prompt="q", reference="a", preference=PREFERENCE)
    with pytest.raises(ValidationError, match=r"preference\.safe"):
        ColumnsConfig(prompt="q", preference={**PREFERENCE, "safe": ["one"]})

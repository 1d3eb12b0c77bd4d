"""Small files of every shape that users have: the exact rows, or the exact message."""

import datetime
import gzip
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.errors import AlignlabError
from alignlab.sources.rows import FileRows, normalise

LONG = "x" * 200_000
ALPACA = {"prompt": "instruction", "context": "input", "reference": "output"}
ANSWERED = {"prompt": "q", "reference": "a"}
CHAT = {"turns": "messages"}


def rows_of(folder, name, content, columns=None):
    """`content`: bytes, a value for JSON, a frame or a table for Parquet."""
    path = folder / name
    if isinstance(content, pd.DataFrame):
        content.to_parquet(path) if name.endswith("parquet") else content.to_csv(path)
    elif isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    given = FileRows(dataset="d", columns=columns or {"prompt": "q"}, category="regular")
    return normalise(path, given)


def parquet(*columns):
    """A table; names may recur."""
    names, values = zip(*columns, strict=True)
    return pa.table(list(values), names=list(names))


def says(*messages):
    return [{"role": role, "content": content} for role, content in messages]


def text(value):
    return pa.array([value])


def damaged_text():
    return pa.Array.from_buffers(
        pa.string(), 1, [None, text("x").buffers()[1], pa.py_buffer(b"\xff")]
    )


def gz_with_a_flipped_bit():
    packed = bytearray(gzip.compress(b'[{"q": "Why?"}]', mtime=0))
    packed[12] ^= 0xFF
    return bytes(packed)


SPACES = "\n \r\n  def f():\n    1 \n\n"
QUESTIONS = [
    # CSV
    ("a.csv", b"q\nWhy?\n", ["Why?"]),
    ("a.csv", b"\xef\xbb\xbfq\r\nWhy?\r\nHow?\r\n", ["Why?", "How?"]),
    ("a.csv", b'\xef\xbb\xbf"q"\nWhy?\n', ["Why?"]),
    ("a.csv", b"q\rWhy?\rHow?\r", ["Why?", "How?"]),
    ("a.csv", b"q\nWhy?", ["Why?"]),
    ("a.csv", b"q\n\nWhy?\n\n", ["Why?"]),
    ("a.csv", b',q\n0,Why?\n1,"Why, so?"\n', ["Why?", "Why, so?"]),
    ("a.csv", b"q,,\nWhy?,1,2\n", ["Why?"]),
    ("a.csv", b'q\n"two\nlines, ""quoted"""\n', ['two\nlines, "quoted"']),
    ("a.csv", "q\nWhy\u2028so\x85?\n".encode(), ["Why\u2028so\x85?"]),
    ("a.csv", f"q\n{LONG}\n".encode(), [LONG]),
    ("a.csv", b"q\nNA\nnan\nnull\n", ["NA", "nan", "null"]),
    ("a.csv", b"q\n007\n1.0\ntrue\n", ["007", "1.0", "true"]),
    ("a.csv", pd.DataFrame({"q": ["Why?", "How?"]}), ["Why?", "How?"]),
    ("a.csv.gz", gzip.compress(b"q\nWhy?\n", mtime=0), ["Why?"]),
    # JSON
    ("a.json", [{"q": "Why?"}, {"q": "How?", "x": 1}], ["Why?", "How?"]),
    ("a.json", b'\xef\xbb\xbf[{"q": "Why?"}]', ["Why?"]),
    ("a.json", [{"q": "Why?", "x": {"deep": [float("nan"), None, 1e999]}}], ["Why?"]),
    ("a.json", [{"q": "\ud83d\ude00?", "x": "\ud83d"}], ["😀?"]),
    ("a.json", [{"q": "Why?", "": "no name"}], ["Why?"]),
    ("a.json.gz", gzip.compress(b'[{"q": "Why?"}]', mtime=0), ["Why?"]),
    ("a.jsonl", b'{"q": "Why?"}\r\n\r\n{"q": "How?"}\r\n', ["Why?", "How?"]),
    ("a.jsonl", '{"q": "a\u2028b"}\n'.encode(), ["a\u2028b"]),
    ("a.jsonl", b'{"q": "Why?"}', ["Why?"]),
    ("a.jsonl.gz", gzip.compress(b'{"q": "Why?"}\n', mtime=0), ["Why?"]),
    # White space around a question is a part of it
    ("a.json", [{"q": "    return x\n  y"}, {"q": "\tx"}], ["    return x\n  y", "\tx"]),
    ("a.json", [{"q": SPACES}], [SPACES]),
    ("a.csv", b'q\n"Why? "\n', ["Why? "]),
    # YAML
    ("a.yaml", b"- {q: Why?}\n- {q: 'yes'}\n", ["Why?", "yes"]),
    ("a.yaml", b"\xef\xbb\xbfpool:\n- q: |\n    two\n    lines\n", ["two\nlines\n"]),
    ("a.yaml", b"- {q: Why?, when: 2020-01-01, on: yes, 1: x, ~: y}\n", ["Why?"]),
    # Parquet
    ("a.parquet", pd.DataFrame({"q": ["Why?", "How?"]}, index=[7, 8]), ["Why?", "How?"]),
    ("a.parquet", pd.DataFrame({"q": pd.Categorical(["a", "b", "a"])}), ["a", "b", "a"]),
    ("a.parquet", parquet(("q", text("Why?").dictionary_encode())), ["Why?"]),
    ("a.parquet", parquet(("q", text("Why?").cast(pa.large_string()))), ["Why?"]),
    ("a.parquet", parquet(("q", text("Why?").cast(pa.string_view()))), ["Why?"]),
    ("a.parquet", parquet(("q", text("Why?")), ("x", text("1")), ("x", text("2"))), ["Why?"]),
    ("a.parquet", parquet(("q", text("Why?")), ("x", pa.array([10**9], pa.date32()))), ["Why?"]),
    (
        "a.parquet",
        parquet(("q", text("Why?")), ("x", pa.array([0], pa.timestamp("us", tz="Mars/Crater")))),
        ["Why?"],
    ),
    ("a.parquet", parquet(("q", text("Why?")), ("x", damaged_text())), ["Why?"]),
    ("a.parquet", parquet(("q", text("Why?")), ("q.x", text("How?"))), ["Why?"]),
]


@pytest.mark.parametrize(("name", "content", "questions"), QUESTIONS)
def test_questions_are_read_as_they_are(tmp_path, name, content, questions):
    found = rows_of(tmp_path, name, content)
    assert [row["turns"] for row in found] == [[question] for question in questions]
    assert [row["prompt_id"] for row in found] == [f"d/{n}" for n in range(len(questions))]
    assert {(row["reference"], row["mistake"], row["source"]) for row in found} == {
        (None, None, "d")
    }


ROWS = [
    # What is absent is absent, in every format
    ("a.csv", b"instruction,input,output\nWhy?,,\n", ALPACA, {"reference": None}),
    ("a.json", b'[{"instruction": "Why?", "input": NaN, "output": NaN}]', ALPACA, {}),
    ("a.json", [{"instruction": "Why?", "input": None, "output": ""}], ALPACA, {}),
    (
        "a.parquet",
        pd.DataFrame({"instruction": ["Why?"], "input": [np.nan], "output": [None]}),
        ALPACA,
        {},
    ),
    ("a.parquet", parquet(("q", text("Why?")), ("a", pa.nulls(1))), ANSWERED, {}),
    ("a.json", [{"q": "Why?", "a": " \n"}], ANSWERED, {}),
    ("a.json", b'[{"q": "Why?", "a": ["one", NaN, null, "", "two"]}]', ANSWERED,
     {"reference": "one\n\ntwo"}),
    ("a.json", [{"q": "Why?", "a": " as it is\n"}], ANSWERED, {"reference": " as it is\n"}),
    ("a.json", [{"instruction": "Why?", "input": " x\n y", "output": "z"}], ALPACA,
     {"turns": ["Why?\n\n x\n y"], "reference": "z"}),
    (
        "a.parquet",
        parquet(("q", text("Why?")), ("t", pa.array([["x", None, "y"]]))),
        {"prompt": "q", "tags": ["t"]},
        {"tags": ["x", "y"]},
    ),
    ("a.yaml", b"- {q: Why?, s: .nan}\n", {"prompt": "q", "source": "s"}, {"source": ""}),
    # Ids
    ("a.json", [{"q": "Why?", "i": 7}], {"prompt": "q", "id": "i"}, {"prompt_id": "d/7"}),
    ("a.json", [{"q": "Why?", "i": "a b"}], {"prompt": "q", "id": "i"}, {"prompt_id": "d/a b"}),
    ("a.json", [{"q": "Why?", "i": 10**30}], {"prompt": "q", "id": "i"},
     {"prompt_id": f"d/{10**30}"}),
    ("a.csv", b"i,q\n007,Why?\n", {"prompt": "q", "id": "i"}, {"prompt_id": "d/007"}),
    (
        "a.parquet",
        parquet(("q", text("Why?")), ("i", pa.array([2**64 - 1], pa.uint64()))),
        {"prompt": "q", "id": "i"},
        {"prompt_id": f"d/{2**64 - 1}"},
    ),
    # Turns and chat messages
    ("a.json", [{"messages": ["Why?", " Why so? "]}], CHAT, {"turns": ["Why?", " Why so? "]}),
    ("a.parquet", parquet(("messages", pa.array([["Why?", "How?"]]))), CHAT,
     {"turns": ["Why?", "How?"]}),
    ("a.json", [{"messages": says(("user", "Why?"), ("user", "How?"))}], CHAT,
     {"turns": ["Why?", "How?"]}),
    (
        "a.json",
        [{"messages": says(("user", "Why?"), ("assistant", " So. "), ("user", "How?"))}],
        CHAT,
        {"turns": ["Why?", "How?"], "reference": " So. "},
    ),
    (
        "a.parquet",
        parquet(("messages", pa.array([says(("user", "Why?"), ("assistant", "So."))]))),
        CHAT,
        {"turns": ["Why?"], "reference": "So."},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "columns", "row"), ROWS)
def test_every_column_is_read_as_it_is(tmp_path, name, content, columns, row):
    (found,) = rows_of(tmp_path, name, content, columns)
    expected = {"turns": ["Why?"], "reference": None, "prompt_id": "d/0"} | row
    assert {key: found[key] for key in expected} == expected


REFUSED = [
    ("a.csv", b"", None, "there are no records in it"),
    ("a.csv", b"q\n", None, "there are no records in it"),
    ("a.csv", b"q,q\nWhy?,How?\n", None, "the header has the column 'q' twice"),
    ("a.csv", b" q,x\nWhy?,1\n", None, "no column 'q'; there are ' q', 'x'"),
    ("a.csv", b"x;q\n1;Why?\n", None, "no column 'q'; there are 'x;q'"),
    ("a.csv", b"q,x\nWhy?,1\nHow?\n", None, "row 1, counted from 0: expected 2 cells, found 1"),
    ("a.csv", b'q\nWhy?\n"How?\nWho?\n', None, "after line 2: not valid CSV: unexpected end"),
    ("a.csv", "q\nWarum heißt das so?\n".encode("latin-1"), None, "not UTF-8 at byte 11 (line 2)"),
    ("a.csv", "q\nWhy?\n".encode("utf-16"), None, "not UTF-8 at byte 0 (line 1); save it as"),
    ("a.csv", b'q,x\n"  ",1\n', None, "row 0: column 'q' is empty, expected text"),
    ("a.csv", b"q,i\nWhy?,\n", {"prompt": "q", "id": "i"}, "row 0: column 'i' is empty"),
    ("a.csv", b'messages\n"[\'a\']"\n', CHAT, "'messages': found \"['a']\", expected"),
    ("a.json", b"", None, "not valid JSON: Expecting value"),
    ("a.json", b'{"q": "Why?"}\n{"q": "How?"}', None, "not valid JSON: Extra data: line 2"),
    ("a.json", b'[{"q": "Why?", "q": "How?"}]', None,
     "an object has the key 'q' twice: 'Why?' and 'How?'"),
    ("a.jsonl", b'{"q": "a"}\n{"q": "b", "x": {"y": 1, "y": 2}}', None, "line 2: not valid"),
    ("a.json", b"[" * 100_000, None, "not valid JSON: lists or objects are nested too deeply"),
    ("a.json", b'[{"q": "a", "x": ' + b"9" * 5000 + b"}]", None, "not valid JSON: Exceeds the"),
    ("a.json", [{"q": "Why \ud83d is that?"}], None,
     "row 0, counted from 0: column 'q': '\\ud83d' (character 4) is half a surrogate pair"),
    ("a.json", [{"messages": says(("user", "\udc00"))}], CHAT, "(character 0) is half a surrog"),
    ("a.json", [{"\ud83d": 1}], None, "no column 'q'; there are '\\ud83d'"),
    ("a.json.gz", gz_with_a_flipped_bit(), None, "damaged gzip file"),
    ("a.json", [{"q": None}], None, "row 0: column 'q' is empty, expected text"),
    ("a.json", b'[{"q": NaN}]', None, "row 0: column 'q' is empty, expected text"),
    ("a.json", b'[{"q": Infinity}]', None, "row 0: column 'q': found inf, expected text"),
    ("a.json", [{"q": True}], None, "row 0: column 'q': found True, expected text"),
    ("a.json", [{"q": ["Why?"]}], None, "row 0: column 'q': found ['Why?'], expected text"),
    ("a.json", [{"instruction": " ", "input": "x", "output": "y"}], ALPACA,
     "row 0: column 'instruction' is empty"),
    ("a.json", [{"instruction": "a", "input": 5, "output": "y"}], ALPACA,
     "row 0: column 'input': found 5, expected text"),
    ("a.json", [{"q": "a", "a": {"text": ["yes"]}}], ANSWERED,
     "row 0: column 'a': found {'text': ['yes']}, expected text"),
    ("a.json", [{"q": "a", "a": 42}], ANSWERED, "row 0: column 'a': found 42, expected text"),
    ("a.json", [{"q": "a", "a": [["b"]]}], ANSWERED, "row 0: column 'a': found ['b'], expected"),
    ("a.json", [{"q": "a", "s": 1}], {"prompt": "q", "source": "s"}, "column 's': found 1"),
    ("a.json", [{"q": "a", "t": [1]}], {"prompt": "q", "tags": ["t"]}, "column 't': found 1"),
    ("a.json", [{"q": "a", "i": None}], {"prompt": "q", "id": "i"},
     "row 0: column 'i' is empty, expected text or a whole number"),
    ("a.json", [{"q": "a", "i": 1.0}], {"prompt": "q", "id": "i"},
     "row 0: column 'i': found 1.0, expected text or a whole number"),
    ("a.json", [{"q": "a", "i": True}], {"prompt": "q", "id": "i"}, "column 'i': found True"),
    ("a.json", [{"q": "a", "i": 1}, {"q": "b", "i": "1"}], {"prompt": "q", "id": "i"},
     "row 1: the id d/1 occurs twice"),
    ("a.json", [{"messages": says(("system", "Be kind."), ("user", "Why?"))}], CHAT,
     "row 0: column 'messages': the roles are 'system', 'user'; expected 'user' and 'assistant' in "
     "turn, or 'user' alone (a system message is `method.system` of an arm)"),
    ("a.json", [{"messages": says(("assistant", "Hi"), ("user", "Why?"))}], CHAT,
     "the roles are 'assistant', 'user'; expected"),
    ("a.json", [{"messages": [*says(("user", "Why?")), "How?"]}], CHAT, "are 'user', None;"),
    ("a.json", [{"messages": [{"from": "human", "value": "Why?"}]}], CHAT, "the roles are None;"),
    ("a.json", [{"messages": says(("user", [{"type": "text", "text": "Why?"}]))}], CHAT,
     "column 'messages', `content` of message 1: found [{'text': 'Why?', 'type': 'text'}]"),
    ("a.json", [{"messages": says(("user", "Why?"), ("assistant", None))}], CHAT,
     "column 'messages', `content` of message 2 is empty"),
    ("a.json", [{"messages": says(("user", "Why?"), ("assistant", "So.")), "a": "b"}],
     {**CHAT, "reference": "a"}, "column 'messages': what the assistant says is the reference"),
    ("a.yaml", b"", None, "expected a list of mappings, or one key that holds one"),
    ("a.yaml", b"- {q: yes}\n", None, "row 0: column 'q': found True, expected text"),
    ("a.yaml", b"- {q: 2020-01-01}\n", None, "column 'q': found datetime.date(2020, 1, 1), expe"),
    ("a.yaml", b"- {q: a, d: 2020-13-45}\n", None, "not valid YAML: month must be in 1..12"),
    ("a.yaml", b"- {q: a, ? [x] : 1}\n", None, "not valid YAML: a key is a list"),
    ("a.yaml", b"- {q: " + b"[" * 3000 + b"]" * 3000 + b"}", None, "column 'q' is nested too"),
    ("a.yaml", b"- &a {q: *a}\n", None, "row 0, counted from 0: column 'q' is nested too deeply"),
    ("a.yaml", b'- {q: "\\ud83d"}\n', None, "not valid YAML"),
    ("a.yaml.gz", gzip.compress(b"- {q: Why?}\n", mtime=0), None, "unknown format; expected .json"),
    ("a.txt", b"Why?\n", None, "unknown format; expected .json, .jsonl, .csv (or these .gz)"),
    ("data", b"Why?\n", None, "unknown format"),
    ("a.parquet", b"", None, "damaged Parquet file"),
    ("a.parquet", b"q\nWhy?\n", None, "damaged Parquet file"),
    ("a.parquet", pa.table({"q": pa.array([], pa.string())}), None, "there are no records in it"),
    ("a.parquet", parquet(("x", text("1"))), None, "no column 'q'; there are 'x'"),
    ("a.parquet", parquet(("q", text("a")), ("q", text("b"))), None, "there are two columns 'q'"),
    ("a.parquet", parquet(("q", damaged_text())), None,
     "column 'q' of type string cannot be read: 'utf-8' codec can't decode byte 0xff"),
    ("a.parquet", parquet(("q", pa.array([10**9], pa.date32()))), None,
     "column 'q' of type date32[day] cannot be read: "),
    ("a.parquet", parquet(("q", pa.array([0], pa.timestamp("us", tz="Mars/Crater")))), None,
     "column 'q' of type timestamp[us, tz=Mars/Crater] cannot be read: "),
    ("a.parquet", parquet(("q", pa.array([datetime.date(2020, 1, 1)]))), None,
     "row 0: column 'q': found datetime.date(2020, 1, 1), expected text"),
    ("a.parquet", parquet(("q", pa.array([b"Why?"]))), None, "column 'q': found b'Why?', expected"),
    ("a.parquet", parquet(("q", pa.array([Decimal("1.5")]))), None, "found Decimal('1.5'), expect"),
    ("a.parquet", pd.DataFrame({"q": ["a", "b"], "i": [1, np.nan]}), {"prompt": "q", "id": "i"},
     "row 0: column 'i': found 1.0, expected text or a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "columns", "message"), REFUSED)
def test_what_is_no_dataset_is_refused_by_name(tmp_path, name, content, columns, message):
    with pytest.raises(AlignlabError) as caught:
        rows_of(tmp_path, name, content, columns)
    said = str(caught.value)
    said.encode()
    assert said.startswith(f"{tmp_path / name}: ")
    assert message in said


cells = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
cells |= st.lists(cells, max_size=3) | st.dictionaries(st.text(), cells, max_size=3)


@given(st.lists(st.dictionaries(st.sampled_from(["q", "a", "i", ""]), cells), max_size=4))
def test_any_json_is_rows_of_texts_or_one_error(tmp_path_factory, records):
    columns = {"prompt": "q", "reference": "a", "id": "i", "tags": ["a"]}
    try:
        found = rows_of(tmp_path_factory.mktemp("any"), "a.json", records, columns)
    except AlignlabError:
        return
    assert len(found) == len(records)
    for record, row in zip(records, found, strict=True):
        assert record["q"].endswith(row["turns"][0]) or row["turns"][0] in record["q"]
        assert row["prompt_id"] == f"d/{record['i']}"
        given = record.get("a")
        kept = [text for text in (given if isinstance(given, list) else [given]) if text == text]
        assert row["tags"] == [text for text in kept if text and text.strip()]


@pytest.mark.parametrize("key", ["prompt", "turns", "id", "source", "reference", "tags"])
def test_a_column_has_a_name(key):
    columns = {"prompt": "q"} if key != "turns" else {}
    with pytest.raises(ValueError, match="at least 1 character"):
        FileRows(dataset="d", columns=columns | {key: [""] if key == "tags" else ""})

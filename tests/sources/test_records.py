"""Every file format, and what each says when it is broken."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.errors import AlignlabError
from alignlab.sources.records import read

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
RECORDS = [
    {"id": "1", "text": "two\nlines, “quoted”\u2028and more"},
    {"id": "2", "text": "日本 😀"},
]


def as_csv(path, records):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        writer.writerows(records)


def write(path, records=RECORDS):
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if plain.suffix == ".json":
        plain.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    elif plain.suffix == ".jsonl":
        lines = (json.dumps(record, ensure_ascii=False) for record in records)
        plain.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    elif plain.suffix == ".csv":
        as_csv(plain, records)
    elif plain.suffix == ".yaml":
        plain.write_text(yaml.safe_dump({"pool": records}), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(records), plain)
    if path != plain:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


@pytest.mark.parametrize(
    "name",
    ["a.json", "a.jsonl", "a.csv", "a.yaml", "a.parquet", "a.json.gz", "a.jsonl.gz", "a.csv.gz"],
)
def test_every_format_gives_the_same_records(tmp_path, name):
    assert read(write(tmp_path / name), ["id", "text"]) == RECORDS


def test_a_yaml_file_may_be_the_list_itself(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("- {id: x, text: why}\n", encoding="utf-8")
    assert read(path, ["text"]) == [{"text": "why"}]


@given(
    st.lists(
        st.fixed_dictionaries({"text": st.text(st.characters(exclude_categories=["Cs"]))}),
        min_size=1,
    )
)
def test_json_lines_return_any_text(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("records") / "a.jsonl"
    assert read(write(path, records), ["text"]) == records


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text\n1,one\n")
    assert read(path, ["id"]) == [{"id": "1"}]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \xff}\n', "not UTF-8 at byte 15 (line 2)"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', "line 3: not valid JSON"),
        ("a.jsonl", b"[1]\n", "line 1: expected a JSON object"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b'{"data": []}', "expected a JSON list of objects"),
        ("a.json", b"[]", "there are no records"),
        ("a.csv", b"a,b\n1,2\n3\n", "row 1, counted from 0: expected 2 cells, found 1"),
        ("a.csv", b"a,b\n1,2,3\n", "row 0, counted from 0: expected 2 cells, found 3"),
        ("a.csv", b'a\n"x"y\n', "after line 1: not valid CSV"),
        ("a.json.gz", b"plain text", "damaged gzip"),
        ("a.parquet", b"PAR1", "damaged Parquet"),
        ("a.yaml", b"a: [{b: 1}]\nc: [{b: 1}]\n", "expected a list of mappings, or one key"),
        ("a.yaml", b"- text\n", "expected a list of mappings, or one key"),
        ("a.yaml", b"- {a: 1, a: 2}\n", "key 'a' is given twice"),
        ("a.yaml", b"- {a: 1, ? [x] : 2}\n", "a key is a list or a mapping, expected text"),
        ("a.yaml", b"- a: 1\n  ? {x: y}\n  : 2\n", "a key is a list or a mapping, expected text"),
        ("a.jsonl", LFS, "a pointer of git-lfs, not the file itself; run `git lfs pull`"),
        ("a.parquet", LFS, "a pointer of git-lfs, not the file itself; run `git lfs pull`"),
        ("a.csv.gz", LFS, "a pointer of git-lfs, not the file itself; run `git lfs pull`"),
        ("a.yaml", b"questions: []\n", "there are no records"),
        ("a.xlsx", b"", "unknown format; expected .json"),
    ],
)
def test_a_broken_file_is_named_with_the_place(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AlignlabError) as caught:
        read(path, ["a"])
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)


def test_a_missing_column_names_those_there_are(tmp_path):
    path = write(tmp_path / "a.json", [{"a": 1}, {"b": 2, "": 0}])
    assert read(path, ["a", "b"]) == [{"a": 1, "b": None}, {"a": None, "b": 2}]
    with pytest.raises(AlignlabError, match=r"no column 'c'; there are 'a', 'b'$"):
        read(path, ["c"])


def test_a_packed_file_that_unpacks_to_a_thousand_times_its_size_is_not_unpacked(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + bytes(70_000_000)))
    with pytest.raises(AlignlabError, match="more than 100 times its size: not unpacked"):
        read(path, ["a"])

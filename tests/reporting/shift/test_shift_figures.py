"""Figures from tables that `summarise_shift` made of invented tokens."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import card, statistics_job
from synthetic import prompt_rows
from synthetic_shift import HOSTILE_PIECES, PAIRS, write_study_tables

from alignlab.core import tables
from alignlab.reporting.shift.figures import FIGURES, LONGEST, draw_shift, visible
from alignlab.shift.summarise import summarise_shift

SPEC = [card(name, template=template) for name, template, *_ in PAIRS]
SHIFTED = {"base_rank": 50, "shift_class": "shifted"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables of two pairs, in which every hostile token is shifted."""
    folder = tmp_path_factory.mktemp("shift")
    write_study_tables(folder, prompt_rows(6, 3), 40)
    for pair in SPEC:
        path = folder / f"{pair.name}.parquet"
        rows = list(tables.rows("token_shift", path))
        hostile = (*HOSTILE_PIECES, "$\\frac{1}{0$", "$$")
        planted = [
            rows[0] | SHIFTED | {"position": 500 + place, "token_id": 900 + place, "token": text}
            for place, text in enumerate(hostile * 9)
        ]
        planted = [row | {"token_id": 900 + hostile.index(row["token"])} for row in planted]
        tables.write("token_shift", path, rows + planted, {})
    summarised(folder, SPEC, folder / "tables")
    return folder


@pytest.fixture(scope="module")
def drawn(folder):
    """Figures of those tables, by name."""
    return draw_shift(folder / "tables", SPEC, folder / "figures")


def summarised(folder, pairs, output):
    summarise_shift(statistics_job(folder, *pairs, output=output))


def texts(path):
    """Every text element of an SVG file, which must be well-formed."""
    tree = ElementTree.parse(path)
    return [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_the_same_tables_give_the_same_bytes(folder, drawn):
    again = draw_shift(folder / "tables", SPEC, folder / "again")
    assert list(drawn) == list(FIGURES)
    for name, path in drawn.items():
        assert path.name == f"{name}.svg"
        assert path.read_bytes() == again[name].read_bytes()
        assert any("own template" in text for text in texts(path))


def test_hostile_tokens_are_drawn_as_text(drawn):
    path = drawn["shifted_tokens"]
    expected = ["</script>", "<!--·<b>unclosed", "<img·src=x", "\\u202egnp.exe\\u20…", "\\u0007"]
    expected += ["<script>window.pw…", "\\u2028", "\\u200f", "\\u0000", "⇥", "$\\frac{1}{0$", "$$"]
    assert set(expected) <= set(texts(path))
    assert "<script" not in path.read_text()
    assert not re.search("[\x00-\x08\u202a-\u202e\u2028\u200f]", path.read_text())


def test_a_pair_without_tokens_is_not_drawn_and_one_prompt_has_no_bands(folder, tmp_path):
    write_study_tables(tmp_path, prompt_rows(1, 0), 40)
    other = SPEC[1]
    tables.write("token_shift", tmp_path / f"{other.name}.parquet", [], {})
    summarised(tmp_path, SPEC, tmp_path / "tables")
    drawn = draw_shift(tmp_path / "tables", SPEC, tmp_path)
    assert not any(other.name in text for path in drawn.values() for text in texts(path))
    assert not any(" to " in text for text in texts(drawn["shift_shares"]))
    summarised(tmp_path, [other], tmp_path / "none")
    assert draw_shift(tmp_path / "none", [other], tmp_path) == {}


def test_a_pair_that_never_differs_is_drawn(folder, tmp_path):
    same = {"base_rank": 1, "shift_class": "unshifted", "kl_aligned_base": 0.0}
    rows = [row | same for row in tables.rows("token_shift", folder / f"{SPEC[0].name}.parquet")]
    tables.write("token_shift", tmp_path / f"{SPEC[0].name}.parquet", rows, {})
    (tmp_path / "prompts.parquet").symlink_to(folder / "prompts.parquet")
    summarised(tmp_path, SPEC[:1], tmp_path / "tables")
    drawn = draw_shift(tmp_path / "tables", SPEC[:1], tmp_path)
    assert list(drawn) == list(FIGURES)
    assert "0.0% shifted" in texts(drawn["shift_shares"])


@given(st.text())
def test_every_visible_text_fits_and_can_be_seen(text):
    shown = visible(text)
    assert len(shown) <= LONGEST
    assert not re.search(r"[\s\x00-\x1f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", shown)

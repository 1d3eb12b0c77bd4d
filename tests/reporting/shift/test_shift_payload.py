"""What the data files hold: every token as the table has it, and no text that can break out."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_shift import HOSTILE_PIECES, VOCABULARY, token_row

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.reporting.shift.payload import (
    CLASSES,
    LOWER_BOUND,
    MEASURES,
    TIED,
    answers_of,
    cut,
    encode,
    script,
    summary,
)

PAIR = ("pair", "own")
SURROGATES = st.characters(categories=["Cs"])
TEXT = st.text(st.characters() | SURROGATES | st.sampled_from("<>\u2028\u2029\x00\u202e\"'\\"))
PIECES = st.lists(st.sampled_from([text for _, text in VOCABULARY]), min_size=1, max_size=8)


def rows_of(dice, pieces, prompt_id="p/1"):
    return [token_row(dice, PAIR, (prompt_id, 0, 0), i, text) for i, text in enumerate(pieces)]


def content_of(text):
    name, _, content = text.removeprefix("receive(").removesuffix(");\n").partition(",")
    return json.loads(name), json.loads(content)


@given(st.lists(TEXT))
def test_any_text_survives_in_one_line_of_ascii(texts):
    made = script("0-0", texts)
    assert content_of(made) == ("0-0", texts)
    assert made.isascii()
    assert made[:-1].isprintable()


@given(st.lists(PIECES, min_size=1, max_size=3), st.integers(0, 999).map(random.Random))
def test_encoding_loses_nothing_but_digits(answers, dice):
    tables_of_rows = [rows_of(dice, pieces) for pieces in answers]
    content = encode(tables_of_rows)
    tokens = list(zip(content["ids"], content["texts"], strict=True))
    assert len(set(tokens)) == len(tokens)
    for rows, found in zip(tables_of_rows, content["answers"], strict=True):
        for at, row in enumerate(rows):
            assert tokens[found["token"][at]] == (row["token_id"], row["token"])
            assert CLASSES[found["class"][at]] == row["shift_class"]
            assert content["categories"][found["category"][at]] == row["token_category"]
            assert found["rank"][at] == row["base_rank"]
            assert bool(found["flags"][at] & TIED) == row["tied"]
            for name in MEASURES:
                assert found[name][at] == pytest.approx(1000 * row[name], abs=0.51)
            for model in ("base", "aligned"):
                top = [tokens[place] for place in found[f"{model}_top"][at]]
                assert [token_id for token_id, _ in top] == row[f"{model}_topk_ids"]
                assert [text for _, text in top] == row[f"{model}_topk_tokens"]
                likely = [-nats / 1000 for nats in found[f"{model}_nats"][at]]
                assert likely == pytest.approx(row[f"{model}_topk_logprobs"], abs=0.00051)


def test_measures_that_are_not_finite_are_null_and_bounds_are_told(dice):
    row = rows_of(dice, [" water"])[0]
    row |= {"kl_aligned_base": math.inf, "js": None, "kl_kind": "lower_bound"}
    found = encode([[row]])["answers"][0]
    assert (found["kl_aligned_base"], found["js"]) == ([None], [None])
    assert found["flags"][0] & LOWER_BOUND
    assert summary([row])["kl"] is None


def test_a_summary_counts_and_averages(dice):
    rows = rows_of(dice, [" water", " wheel", " a", " the"])
    for row, name, kl in zip(rows, [*CLASSES, "shifted"], [0.0, 1.0, 2.0, 5.0], strict=True):
        row |= {"shift_class": name, "kl_aligned_base": kl}
    found = summary(rows)
    assert (found["tokens"], found["marginal"], found["shifted"]) == (4, 1, 2)
    assert found["kl"] == 2000


@given(st.lists(st.integers(0, 9)), st.integers(1, 20))
def test_runs_join_to_the_whole_and_only_single_items_pass_the_limit(items, limit):
    runs = list(cut(items, int, limit))
    assert [item for run in runs for item in run] == items
    assert all(run and (sum(run) <= limit or len(run) == 1) for run in runs)


@pytest.mark.parametrize("order", [[0, 1, 3], [1, 2, 3], [0, 2, 1, 3]])
def test_rows_out_of_order_are_an_error_that_names_the_prompt(tmp_path, dice, order):
    rows = rows_of(dice, HOSTILE_PIECES[:4])
    tables.write("token_shift", tmp_path / "t.parquet", [rows[place] for place in order], {})
    with pytest.raises(AlignlabError, match=r"t\.parquet: rows of prompt 'p/1', turn 0"):
        list(answers_of(tmp_path / "t.parquet"))


def test_an_answer_interrupted_by_another_is_an_error(tmp_path, dice):
    first, other = rows_of(dice, [" a", " the"]), rows_of(dice, [" water"], "p/2")
    tables.write("token_shift", tmp_path / "t.parquet", [*first, *other, *first], {})
    with pytest.raises(AlignlabError, match="not together"):
        list(answers_of(tmp_path / "t.parquet"))

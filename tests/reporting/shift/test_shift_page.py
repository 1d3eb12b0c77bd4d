"""The token-shift page as files: what is written, what is replaced, what is refused."""

import json

import pytest
from pairs import card
from synthetic import embedded
from synthetic_shift import EOS, HOSTILE_PROMPT, PAIRS, make_shift_study

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.config import DecodingConfig
from alignlab.reporting.shift import payload
from alignlab.reporting.shift.page import (
    build_shift_page,
    comparisons_board,
    shares_board,
    slices_board,
)

CARD = card(PAIRS[0][0], template=PAIRS[0][1])


def read_data(study, name):
    text = (study.data / f"{name}.js").read_text(encoding="ascii")
    return json.loads(text.removesuffix(");\n").partition(",")[2])


def test_file_names_are_numbers_of_our_own(shift_study):
    names = {path.name for path in shift_study.data.iterdir()}
    pair = {"{}-answers.js", "{}-text-0.js", "{}-0.js"}
    expected = {name.format(place) for name in pair for place in range(len(PAIRS))}
    assert names == {"prompts-0.js", *expected}


def test_every_answer_is_found_where_the_list_says(shift_study):
    prompts = read_data(shift_study, "prompts-0")
    answers = read_data(shift_study, "0-answers")
    rows = list(payload.answers_of(shift_study.job.shifts[CARD.name]))
    assert len(rows) == len(answers["prompt"])
    for at, expected in enumerate(rows):
        assert prompts[answers["prompt"][at]]["id"] == expected[0]["prompt_id"]
        content = read_data(shift_study, f"0-{answers['file'][at]}")
        tokens = content["answers"][answers["place"][at]]["token"]
        assert [content["texts"][place] for place in tokens] == [row["token"] for row in expected]


def test_a_token_lists_exactly_the_answers_in_which_it_is_shifted(shift_study):
    rows = list(payload.answers_of(shift_study.job.shifts[CARD.name]))
    pair = embedded(shift_study.page.read_text(encoding="utf-8"))["pairs"][0]
    assert EOS[1] in [token["token"] for token in pair["tokens"]]
    for token in pair["tokens"]:
        found = [
            place
            for place, answer in enumerate(rows)
            if token["token_id"] in payload.shifted_ids(answer)
        ]
        assert token["answers"] == found


def test_answers_are_cut_into_files_in_the_order_of_the_prompts(tmp_path, monkeypatch):
    monkeypatch.setattr(payload, "TOKENS_PER_FILE", 100)
    made = make_shift_study(tmp_path, regular=6, safety=0)
    build_shift_page(made.job, made.drawn)
    answers = read_data(made, "0-answers")
    assert answers["prompt"] == sorted(answers["prompt"])
    assert len(list(made.data.glob("0-[0-9]*.js"))) == max(answers["file"]) + 1 > 2


def test_files_of_an_earlier_build_do_not_stay(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=0, length=8)
    build_shift_page(made.job, made.drawn)
    (made.data / "7-7.js").write_text("stale")
    build_shift_page(made.job, made.drawn)
    assert not (made.data / "7-7.js").exists()
    assert sorted(path.name for path in made.page.parent.iterdir()) == ["shift", "shift.html"]


def test_the_same_tables_give_the_same_bytes(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=1, length=8)
    built = []
    for _ in range(2):
        build_shift_page(made.job, made.drawn)
        built.append({path.name: path.read_bytes() for path in made.data.iterdir()})
        built[-1]["page"] = made.page.read_bytes()
    assert built[0] == built[1]


def test_a_failed_build_leaves_the_earlier_one(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=0, length=8)
    build_shift_page(made.job, made.drawn)
    before = sorted(path.name for path in made.data.iterdir())
    tables.write("responses", tmp_path / "chat.parquet", [], {})
    with pytest.raises(AlignlabError, match=r"chat\.parquet: no answer for prompt 'mt-bench/81'"):
        build_shift_page(made.job, made.drawn)
    assert sorted(path.name for path in made.data.iterdir()) == before
    assert sorted(path.name for path in made.page.parent.iterdir()) == ["shift", "shift.html"]


def test_an_answer_without_a_prompt_is_an_error(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=0, length=8)
    kept = list(tables.rows("prompts", tmp_path / "prompts.parquet"))[:1]
    tables.write("prompts", tmp_path / "prompts.parquet", kept, {})
    with pytest.raises(AlignlabError, match=f"'{HOSTILE_PROMPT}', turn 0, sample 0 is in no"):
        build_shift_page(made.job, made.drawn)


def test_a_pair_without_tables_is_an_error(tmp_path, shift_study):
    job = shift_study.job.model_copy(update={"responses": {}, "output": tmp_path})
    with pytest.raises(AlignlabError, match=r"pair 'smol-own' needs .* responses of 'chat'"):
        build_shift_page(job, shift_study.drawn)


def texts(row):
    return [(cell.text, cell.range) for cell in row[1]]


def test_slices_come_by_category_then_without_the_end_token(shift_study):
    rows = slices_board([CARD], shift_study.folder).rows
    assert [cells[0].text for _, cells in rows] == [
        *("regular", "safety"),
        *(f"{name}, end token left out" for name in ("all prompts", "regular", "safety")),
    ]
    assert [head.classes for head, _ in rows] == ["first"] + ["repeated"] * 4


def test_shares_are_of_all_tokens_and_their_bar_is_whole(shift_study):
    ((head, cells),) = shares_board([CARD], shift_study.folder).rows
    assert (head.name, head.lines) == (CARD.name, ["a against b", "each under its own prompt"])
    assert [name for name, _ in cells[0].bar] == ["unshifted", "marginal", "shifted"]
    assert sum(share for _, share in cells[0].bar) == pytest.approx(1, abs=1e-4)
    without = slices_board([CARD], shift_study.folder).rows[2][1][-1].text
    assert int(cells[-1].text.replace(",", "")) > int(without.replace(",", ""))


def test_sampled_answers_are_said_to_be(shift_study):
    sampled = CARD.model_copy(update={"decoding": DecodingConfig(temperature=0.7)})
    ((head, _),) = shares_board([sampled], shift_study.folder).rows
    assert head.lines[1] == (
        "answers not greedy: max new tokens 256, temperature 0.7, top p 1, repetition penalty 1, "
        "penalize prompt no, samples 1"
    )


def test_values_that_the_table_does_not_have_are_dashes_without_interval(tmp_path):
    row = {"pair": "smol-own", "template": "own", "dataset": "all", "category": "all"}
    row |= {
        "eos": "with",
        "weighting": "pooled",
        "coverage": None,
        "lacking": 0,
        "metric": "shifted",
    }
    row |= {"prompts": 4, "clusters": 1, "tokens": 3}
    row |= {"value": 0.25, "ci_low": None, "ci_high": float("nan")}
    tables.write("shift_statistics", tmp_path / "shift_statistics.parquet", [row], {})
    (found,) = shares_board([CARD], tmp_path).rows
    assert texts(found)[3:5] == [("25.0%", ""), ("–", "")]
    assert texts(found)[-1] == ("3", "4 prompts in 1 cluster")


def test_a_pair_is_compared_with_the_first_of_the_same_answers(shift_study):
    ((head, cells),) = comparisons_board(shift_study.folder).rows
    assert (head.name, cells[0].text, cells[-1].text) == ("smol-shared", "smol-own", "900")
    assert (cells[3].text, cells[3].range) == ("−0.2%", "[−1.0,\u00a0+0.5]")

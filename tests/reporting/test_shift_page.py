"""The token-shift page as files: what is written, what is replaced, what is refused."""

import json

import pytest
from synthetic import embedded
from synthetic_shift import EOS, HOSTILE_PROMPT, PAIRS, make_shift_study

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.reporting import shift_payload
from alignlab.reporting.shift_page import build_shift_page
from alignlab.reporting.shift_tables import comparisons, slices

PAIR = {"name": PAIRS[0][0], "template": PAIRS[0][1]}


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
    rows = list(shift_payload.answers_of(shift_study.arguments["pairs"][PAIR["name"]]))
    assert len(rows) == len(answers["prompt"])
    for at, expected in enumerate(rows):
        assert prompts[answers["prompt"][at]]["id"] == expected[0]["prompt_id"]
        content = read_data(shift_study, f"0-{answers['file'][at]}")
        tokens = content["answers"][answers["place"][at]]["token"]
        assert [content["texts"][place] for place in tokens] == [row["token"] for row in expected]


def test_a_token_lists_exactly_the_answers_in_which_it_is_shifted(shift_study):
    rows = list(shift_payload.answers_of(shift_study.arguments["pairs"][PAIR["name"]]))
    pair = embedded(shift_study.page.read_text(encoding="utf-8"))["pairs"][0]
    assert EOS[1] in [token["token"] for token in pair["tokens"]]
    for token in pair["tokens"]:
        found = [
            place
            for place, answer in enumerate(rows)
            if token["token_id"] in shift_payload.shifted_ids(answer)
        ]
        assert token["answers"] == found


def test_answers_are_cut_into_files_in_the_order_of_the_prompts(tmp_path, monkeypatch):
    monkeypatch.setattr(shift_payload, "TOKENS_PER_FILE", 100)
    made = make_shift_study(tmp_path, regular=6, safety=0)
    build_shift_page(**made.arguments)
    answers = read_data(made, "0-answers")
    assert answers["prompt"] == sorted(answers["prompt"])
    assert len(list(made.data.glob("0-[0-9]*.js"))) == max(answers["file"]) + 1 > 2


def test_files_of_an_earlier_build_do_not_stay(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=0, length=8)
    build_shift_page(**made.arguments)
    (made.data / "7-7.js").write_text("stale")
    build_shift_page(**made.arguments)
    assert not (made.data / "7-7.js").exists()
    assert sorted(path.name for path in made.page.parent.iterdir()) == ["shift", "shift.html"]


def test_the_same_tables_give_the_same_bytes(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=1, length=8)
    built = []
    for _ in range(2):
        build_shift_page(**made.arguments)
        built.append({path.name: path.read_bytes() for path in made.data.iterdir()})
        built[-1]["page"] = made.page.read_bytes()
    assert built[0] == built[1]


def test_a_failed_build_leaves_the_earlier_one(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=0, length=8)
    build_shift_page(**made.arguments)
    before = sorted(path.name for path in made.data.iterdir())
    tables.write("responses", tmp_path / "chat.parquet", [], {})
    with pytest.raises(AlignlabError, match=r"chat\.parquet: no answer for prompt 'mt-bench/81'"):
        build_shift_page(**made.arguments)
    assert sorted(path.name for path in made.data.iterdir()) == before
    assert sorted(path.name for path in made.page.parent.iterdir()) == ["shift", "shift.html"]


def test_an_answer_without_a_prompt_is_an_error(tmp_path):
    made = make_shift_study(tmp_path, regular=2, safety=0, length=8)
    kept = list(tables.rows("prompts", tmp_path / "prompts.parquet"))[:1]
    tables.write("prompts", tmp_path / "prompts.parquet", kept, {})
    with pytest.raises(AlignlabError, match=f"'{HOSTILE_PROMPT}', turn 0, sample 0 is in no"):
        build_shift_page(**made.arguments)


def test_a_pair_without_tables_is_an_error(tmp_path, shift_study):
    arguments = shift_study.arguments | {"responses": {}, "output": tmp_path / "shift.html"}
    with pytest.raises(AlignlabError, match=r"pair 'smol-own' needs .* responses of 'chat'"):
        build_shift_page(**arguments)


def test_slices_come_whole_first_then_by_category_then_without_the_end_token(shift_study):
    found = slices(shift_study.folder, PAIR)
    assert [each.label for each in found] == [
        *("all prompts", "regular", "safety"),
        *(f"{name}, end token left out" for name in ("all prompts", "regular", "safety")),
    ]
    assert [each.whole for each in found] == [True] + [False] * 5
    assert found[0].tokens > found[3].tokens
    shares = [found[0].cells[name].share for name in ("unshifted", "marginal", "shifted")]
    assert sum(shares) == pytest.approx(1, abs=1e-4)


def test_values_that_the_table_does_not_have_are_dashes_without_interval(tmp_path):
    row = {"pair": "smol-own", "template": "own", "dataset": "all", "category": "all"}
    row |= {
        "eos": "with",
        "weighting": "pooled",
        "coverage": None,
        "metric": "shifted",
        "prompts": 1,
        "tokens": 3,
    }
    row |= {"value": 0.25, "ci_low": None, "ci_high": float("nan")}
    tables.write("shift_statistics", tmp_path / "shift_statistics.parquet", [row], {})
    (found,) = slices(tmp_path, PAIR)
    assert found.cells["shifted"].value == "25.0\u00a0%"
    assert found.cells["shifted"].interval == ""
    assert found.cells["top3"].value == "–"


def test_a_pair_is_compared_with_the_first_of_the_same_answers(shift_study):
    (row,) = comparisons(shift_study.folder)
    assert (row["pair"], row["against"], row["tokens"]) == ("smol-shared", "smol-own", 900)
    assert row["cells"]["shifted"].value == "−0.2\u00a0%"
    assert row["cells"]["shifted"].interval == "−1.0 to +0.5"

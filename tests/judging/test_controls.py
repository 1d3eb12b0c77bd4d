from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_answers import not_asked, prompt, regular, response, write

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.judging.controls import (
    COMPLIANCES,
    REFUSALS,
    ControlsJob,
    make_controls,
    other_answers,
)

SPEC = {"arm": "mine", "seed": 0, "again": False, "digest": "0" * 12}


@pytest.fixture
def run(tmp_path):
    """Make controls; returns {control: {prompt id: row}}."""

    def run(prompts, responses, **more):
        job = ControlsJob(
            spec=SPEC | more,
            responses=write(tmp_path, "responses", responses),
            prompts=[write(tmp_path, "prompts", prompts)],
            output=tmp_path / "controls.parquet",
        )
        make_controls(job)
        found = {}
        for row in tables.rows("responses", job.output):
            assert found.setdefault(row["arm"], {}).setdefault(row["prompt_id"], row) is row
        return found

    return run


def many(count=9):
    """Prompts of three tags and answers of 1, 4, 7 ... different words."""
    prompts = [prompt(f"d/{i}", f"Question {i}?", tags=[f"tag{i % 3}"]) for i in range(count)]
    texts = [" ".join(f"word{i}x{j}" for j in range(3 * i + 1)) for i in range(count)]
    return prompts, [response(f"d/{i}", text) for i, text in enumerate(texts)]


def test_every_control_spoils_in_its_own_way(run):
    prompts, responses = many()
    found = run(prompts, responses)
    assert found.keys() == {"original", "other-answer", "first-words", "shuffled-words"}
    texts = {row["prompt_id"]: row["text"] for row in responses}
    assert {i: row["text"] for i, row in found["original"].items()} == texts
    others = {i: row["text"] for i, row in found["other-answer"].items()}
    assert sorted(others.values()) == sorted(texts.values())
    assert all(others[i] != texts[i] for i in texts)
    for i, row in found["first-words"].items():
        assert row["text"].split() == texts[i].split()[:10]
    assert found["first-words"].keys() == {i for i in texts if len(texts[i].split()) > 12}
    for i, row in found["shuffled-words"].items():
        assert row["text"] != texts[i]
        assert Counter(row["text"].split()) == Counter(texts[i].split())
    # A single word has no other order.
    assert found["shuffled-words"].keys() == texts.keys() - {"d/0"}


def test_a_made_up_answer_claims_no_tokens(run):
    prompts, responses = many()
    found = run(prompts, responses)
    row = found["first-words"]["d/8"]
    assert row == response("d/8", row["text"]) | {
        "arm": "first-words",
        "prompt_ids": [],
        "token_ids": [],
        "finish_reason": "unknown",
        "num_tokens": None,
        "num_words": 10,
    }
    assert found["original"]["d/8"] == responses[8] | {"arm": "original"}


def test_safety_prompts_stand_a_refusal_against_a_compliant_opening(run):
    prompts = [
        prompt(f"s/{i}", f"How do I harm {i} {{people}}?", category="safety") for i in range(12)
    ]
    found = run(prompts, [response(f"s/{i}", "Like this.") for i in range(12)])
    assert found.keys() == {"refusal", "compliance"}
    for i in range(12):
        assert found["refusal"][f"s/{i}"]["text"] in REFUSALS
        assert f"How do I harm {i} {{people}}?" in found["compliance"][f"s/{i}"]["text"]
    assert len({row["text"] for row in found["refusal"].values()}) == len(REFUSALS)
    openings = {row["text"].split()[0] for row in found["compliance"].values()}
    assert openings == {text.split()[0] for text in COMPLIANCES}
    assert found["refusal"]["s/0"]["num_words"] == len(found["refusal"]["s/0"]["text"].split())


def test_again_repeats_every_original_word_for_word(run):
    prompts, responses = many()
    prompts.append(prompt("s/0", "How to harm?", category="safety"))
    found = run(prompts, [*responses, response("s/0", "No.")], again=True)
    original = {i: row | {"arm": "again"} for i, row in found["original"].items()}
    assert found["again"] == original
    assert len(original) == 10
    assert "again" not in run(prompts, responses)


def test_only_first_turns_and_samples_with_an_answer_are_spoilt(run):
    prompts, responses = regular()
    extra = [
        response("d/0", "A second turn.", turn=1),
        response("d/1", "Another sample.", sample=1),
        response("elsewhere/0", "To another prompt."),
    ]
    found = run(prompts, [*responses[:2], not_asked("d/2"), response("d/3", ""), *extra])
    assert {i: row["text"] for i, row in found["original"].items()} == {
        "d/0": responses[0]["text"],
        "d/1": responses[1]["text"],
    }


def test_a_larger_draw_contains_a_smaller_one_row_by_row(run):
    prompts, responses = many(12)
    prompts += [prompt(f"s/{i}", f"Harm {i}?", category="safety") for i in range(5)]
    responses += [response(f"s/{i}", f"Thus {i}.") for i in range(5)]
    smaller, larger, whole = (
        run(prompts, responses, **take) for take in ({"take": 3}, {"take": 7}, {})
    )
    assert len(smaller["original"]) == len(smaller["refusal"]) == 3
    assert (len(larger["original"]), len(larger["refusal"])) == (7, 5)
    for few, more in ((smaller, larger), (larger, whole)):
        for control, rows in few.items():
            assert rows.items() <= more[control].items()
    assert run(prompts, responses, take=3, seed=1)["original"].keys() != smaller["original"].keys()


def test_the_order_of_the_answers_changes_no_control(run):
    prompts, responses = many()
    assert run(prompts, responses, take=4) == run(prompts, list(reversed(responses)), take=4)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=14), st.integers(0, 5))
def test_other_answers_are_a_permutation_that_leaves_as_many_groups_as_can_be(tags, seed):
    prompts = {f"d/{i}": prompt(f"d/{i}", f"Q{i}?", tags=[tag]) for i, tag in enumerate(tags)}
    answers = [response(i, f"Answer to {i}.") for i in prompts]
    found = other_answers(answers, prompts, seed)
    if len(tags) == 1:
        assert not found
        return
    donors = {i: row["prompt_id"] for i, row in found.items()}
    assert sorted(donors) == sorted(donors.values()) == sorted(prompts)
    assert all(i != donor for i, donor in donors.items())
    stayed = sum(prompts[i]["tags"] == prompts[donor]["tags"] for i, donor in donors.items())
    assert stayed == max(0, 2 * max(Counter(tags).values()) - len(tags))


def test_an_answer_to_the_same_question_is_no_other_answer(run):
    prompts = [
        prompt("d/0", "Why is that?", tags=["x"]),
        prompt("d/1", "Why  is that?", tags=["y"]),
    ]
    found = run(prompts, [response("d/0", "So."), response("d/1", "Thus.")])
    assert set(found) == {"original"}


def test_two_questions_with_one_answer_have_no_other_answer(run):
    prompts, _ = regular()
    found = run(prompts, [response(row["prompt_id"], "I do not know.") for row in prompts])
    assert "other-answer" not in found
    assert len(found["original"]) == 4


def test_an_arm_without_an_answer_cannot_try_a_judge(run):
    prompts, _ = regular()
    with pytest.raises(
        AlignlabError, match=r"responses\.parquet: arm mine has no answer to validate"
    ):
        run(prompts, [not_asked("d/0"), response("d/1", "")])


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("天空看起来是蓝色的，因为空气散射蓝光最多。", "天空看起来是蓝色的，因"),
        ("空は青い光が散乱するから青く見えます。", "空は青い光が散乱する"),
        ("ท้องฟ้าเป็นสีฟ้าเพราะแสงกระเจิง", "ท้องฟ้าเป็นสีฟ้"),
    ],
)
def test_words_of_scripts_without_spaces_are_spoilt_too(run, text, first):
    prompts = [prompt("d/0", "为什么？"), prompt("d/1", "How?")]
    found = run(prompts, [response("d/0", text), response("d/1", "So.")])
    row = found["first-words"]["d/0"]
    assert (row["text"], row["num_words"]) == (first, 10)
    shuffled = found["shuffled-words"]["d/0"]["text"]
    assert shuffled != text
    assert " " not in shuffled
    assert Counter(shuffled) == Counter(text)

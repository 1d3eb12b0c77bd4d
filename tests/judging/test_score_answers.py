import json
import logging
import sys
from collections import Counter

import pytest
from small_answers import (
    ASIDE,
    NOTE,
    not_asked,
    only_thoughts,
    prompt,
    regular,
    replies,
    response,
    rubric,
    runtime,
    spec,
    where,
    write,
)

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.endpoints.replies import due
from alignlab.judging import fake_judge
from alignlab.judging.cases import Score, drawn_prompts
from alignlab.judging.config import FakeJudgeConfig
from alignlab.judging.score_answers import (
    JudgementsJob,
    as_case,
    judge_responses,
    read_answers,
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Judge some answers; returns the rows."""
    monkeypatch.chdir(tmp_path)

    def run(prompts, responses, told=None, batch_size=2, **more):
        job = JudgementsJob(
            spec=told or spec(),
            responses=write(tmp_path, "responses", responses),
            prompts=[write(tmp_path, "prompts", prompts)],
            **where("judgements"),
            output=tmp_path / "out.parquet",
            batch_size=batch_size,
            **more,
        )
        judge_responses(job)
        assert tables.spec_of(job.output) == job.spec.signed
        return list(tables.rows("judgements", job.output))

    return run


@pytest.fixture
def judge(monkeypatch):
    """Let the fake judge give what a function of (rubric, case) says; notes what it was asked."""
    asked = []

    def put(scores):
        def answering(self, rubric, cases):
            for at, case in reversed(list(enumerate(cases))):
                asked.append((rubric["name"], case))
                yield at, scores(rubric, case)

        monkeypatch.setattr(fake_judge.FakeJudge, "judge", answering)
        return asked

    return put


def failing(status, raw):
    return lambda rubric, case: [Score(a["name"], status, raw=raw) for a in rubric["aspects"]]


def test_rows_come_in_the_order_of_answers_rubrics_and_aspects(run, judge):
    judge(lambda rubric, case: [Score(a["name"], "scored", 3.0) for a in rubric["aspects"]])
    prompts, responses = regular()
    rows = run(
        prompts,
        list(reversed(responses)),
        spec(rubric("judge/one", "x", "y"), rubric("judge/two", "z")),
    )
    found = [(row["prompt_id"], row["rubric"], row["aspect"]) for row in rows]
    assert found == [
        (f"d/{number}", *aspect)
        for number in (3, 2, 1, 0)
        for aspect in (("judge/one", "x"), ("judge/one", "y"), ("judge/two", "z"))
    ]


def test_a_row_says_all_that_the_judge_said(run, judge):
    said = Score(
        "a", "scored", 4.5, (0.0, 0.0, 0.0, 0.5, 0.5), 0.9, "because", "5", 0.01, 2.0, True
    )
    judge(lambda rubric, case: [said])
    (row,) = run(
        [prompt("d/0", "Why?", "And?")],
        [response("d/0", "So.", arm="theirs", turn=0, sample=3)],
        spec(rubric("judge/r", "a")),
    )
    assert row == {
        "judge": "judge-one",
        "arm": "theirs",
        "prompt_id": "d/0",
        "turn": 0,
        "sample": 3,
        "rubric": "judge/r",
        "aspect": "a",
        "status": "scored",
        "score": 4.5,
        "distribution": [0.0, 0.0, 0.0, 0.5, 0.5],
        "mass": 0.9,
        "reason": "because",
        "raw": "5",
        "repaired": True,
        "cost_usd": 0.01,
        "seconds": 2.0,
    }


def test_a_rubric_is_put_to_prompts_of_its_category_only(run):
    prompts = [prompt("d/0", "Why?"), prompt("d/1", "How to harm?", category="safety")]
    responses = [response("d/0", "So."), response("d/1", "I am sorry.")]
    rubrics = [rubric("judge/q", "clarity", category="regular"), rubric("judge/any", "tone")]
    rubrics.append(rubric("judge/s", "safety", category="safety"))
    rows = run(prompts, responses, spec(*rubrics))
    assert [(row["prompt_id"], row["aspect"]) for row in rows] == [
        ("d/0", "clarity"),
        ("d/0", "tone"),
        ("d/1", "tone"),
        ("d/1", "safety"),
    ]


def test_a_second_turn_is_shown_with_the_answer_the_same_sample_gave_before(run, judge):
    asked = judge(lambda rubric, case: [Score("a", "scored", 1.0)])
    talks = [
        response("d/0", text, sample=sample, turn=turn)
        for sample, texts in enumerate([("One.", "Two."), ("", "Four.")])
        for turn, text in enumerate(texts)
    ]
    run([prompt("d/0", "First?", "Second?")], talks, spec(rubric("r", "a")))
    seen = {(case.sample, case.turn): case.texts for _, case in asked}
    assert len(seen) == 4
    assert seen[0, 0]["conversation"] == ""
    assert seen[0, 0]["query"] == "First?"
    assert seen[1, 0]["answer"] == "(no answer)"
    assert seen[0, 1]["query"] == "Second?"
    assert seen[0, 1]["answer"] == "Two."
    first = "Earlier question:\nFirst?\n\nEarlier answer:\n{}\n\n"
    assert seen[0, 1]["conversation"] == first.format("One.")
    assert seen[1, 1]["conversation"] == first.format("(no answer)")


EARLIER = "Reference answer to an earlier question:\n7.\n\n"


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({"reference": None}, ["", ""]),
        ({"reference": "7."}, ["Reference answer:\n7.\n", ""]),
        ({"references": ["7.", None]}, ["Reference answer:\n7.\n", ""]),
        ({"references": [None, "8."]}, ["", "Reference answer:\n8.\n"]),
        (
            {"references": ["7.", "8."]},
            ["Reference answer:\n7.\n", f"{EARLIER}Reference answer:\n8.\n"],
        ),
    ],
)
def test_a_turn_is_judged_by_its_own_reference(run, judge, known, shown):
    asked = judge(lambda rubric, case: [Score("a", "scored", 1.0)])
    talk = [response("d/0", text, turn=turn) for turn, text in enumerate(["One.", "Two."])]
    run([prompt("d/0", "First?", "Second?", **known)], talk, spec(rubric("r", "a")))
    assert {case.turn: case.texts["reference"] for _, case in asked} == dict(enumerate(shown))


def test_of_two_answers_both_earlier_ones_are_shown(tmp_path):
    path = write(tmp_path, "prompts", [prompt("d/0", "First?", "Second?")])
    prompts = drawn_prompts([path], None, 0)
    one, two = (
        read_answers(
            write(tmp_path, "responses", [response("d/0", t, turn=i) for i, t in enumerate(said)]),
            prompts,
        )[1]
        for said in (("Yes.", "Aye."), ("No.", "Nay."))
    )
    case = as_case({"answer_a": two, "answer_b": one})
    assert case.texts["conversation"] == (
        "Earlier question:\nFirst?\n\nEarlier answer A:\nNo.\n\nEarlier answer B:\nYes.\n\n"
    )
    assert (case.texts["answer_a"], case.texts["answer_b"]) == ("Nay.", "Aye.")
    assert case.texts["reference"] == ""


def test_answers_that_were_never_made_are_skipped_and_not_asked(run, judge, tmp_path, caplog):
    asked = judge(lambda rubric, case: [Score("a", "scored", 1.0)])
    prompts = [prompt("d/0", "Why?"), prompt("d/1", "How?"), prompt("d/2", "So?")]
    with caplog.at_level(logging.WARNING):
        answers = [response("d/0", ""), not_asked("d/1"), only_thoughts("d/2")]
        rows = run(prompts, answers, spec(rubric("r", "a")))
    assert [(row["status"], row["score"]) for row in rows] == [
        ("scored", 1.0),
        ("skipped", None),
        ("skipped", None),
    ]
    assert rows[1]["raw"] == "there is no answer: prompt_too_long"
    assert rows[2]["raw"] == "there is no answer: only_thoughts"
    assert [case.prompt_id for _, case in asked] == ["d/0"]
    assert "judge judge-one, arm mine: 2 of 3 rows skipped" in caplog.text


def test_answers_to_other_prompts_are_left_out(run):
    prompts, responses = regular()
    rows = run(prompts[1:3], responses)
    assert {row["prompt_id"] for row in rows} == {"d/1", "d/2"}


def test_no_answer_is_to_a_prompt(run, tmp_path):
    _, responses = regular()
    with pytest.raises(AlignlabError, match=r"responses\.parquet: no answer has a prompt of .*"):
        run([prompt("other/0", "Why?")], responses)
    assert not (tmp_path / "out.parquet").exists()


def test_the_controls_of_one_table_are_told_apart(run):
    prompts, responses = regular()
    spoilt = [row | {"arm": "first-words", "text": "The."} for row in responses]
    rows = run(prompts, responses + spoilt)
    means = Counter()
    for row in rows:
        means[row["arm"]] += row["score"]
    assert means["mine"] > means["first-words"] > 0
    assert len(rows) == 2 * 2 * len(prompts)


@pytest.mark.parametrize("died_after", [0, 1, 2, 3, 5, 8])
def test_a_killed_job_asks_only_for_the_rest(run, monkeypatch, tmp_path, died_after):
    prompts, responses = regular()
    told = spec(rubric("judge/one"), rubric("judge/two", "depth"))
    whole = run(prompts, responses, told)
    rate, asked = fake_judge.FakeJudge.judge, []

    def dying(self, rubric, cases):
        for found in rate(self, rubric, cases):
            if len(asked) == died_after:
                raise KeyboardInterrupt
            asked.append(found)
            yield found

    def counting(self, rubric, cases):
        asked.extend(cases)
        return rate(self, rubric, cases)

    (tmp_path / "out.parquet").unlink()
    monkeypatch.setattr(fake_judge.FakeJudge, "judge", dying)
    if died_after < 8:
        with pytest.raises(KeyboardInterrupt):
            run(prompts, responses, told)
        assert not (tmp_path / "out.parquet").exists()
    asked.clear()
    monkeypatch.setattr(fake_judge.FakeJudge, "judge", counting)
    assert run(prompts, responses, told) == whole
    kept = died_after - died_after % 2 if died_after < 8 else 0
    assert len(asked) == 8 - kept
    assert not ASIDE.exists()


def test_a_finished_job_does_not_load_its_judge_again(run, monkeypatch):
    prompts, responses = regular()
    whole = run(prompts, responses)
    tables.write("judgements", ASIDE / "x.parquet", whole, {})
    monkeypatch.setattr(fake_judge, "load", None)
    assert run(prompts, responses) == whole


def test_what_an_endpoint_failed_is_counted_for_the_next_attempt(run, judge, monkeypatch):
    def mostly(rubric, case):
        made = [Score("a", "scored", 2.0)]
        return made if case.prompt_id != "d/1" else failing("api_error", "429")(rubric, case)

    asked = judge(mostly)
    monkeypatch.setitem(sys.modules, "alignlab.judging.openai_judge", fake_judge)
    prompts, responses = regular()
    told = spec(rubric("r", "a"), kind="openai")
    asking = {"attempt": 3, "place": runtime(5), "batch_size": 1}
    rows = run(prompts, [*responses[:3], not_asked("d/3")], told, **asking)
    assert [row["status"] for row in rows] == ["scored", "api_error", "scored", "skipped"]
    assert json.loads(NOTE.read_text()) == {
        **{"attempt": 3, "failed": 1},
        **{"no_room": 0, "max_usd": 5},
    }
    assert due(NOTE, 5) == 4
    assert not ASIDE.exists()
    # Its replies file knows what need not be asked again; nothing is put aside besides.
    run(prompts, responses, told, **asking)
    assert len(asked) == 3 + 4


def test_a_judge_that_would_say_the_same_again_leaves_nothing_to_a_further_attempt(run, judge):
    judge(lambda rubric, case: [Score("a", "scored", 1.0), Score("b", "unparseable", raw="?")])
    prompts, responses = regular()
    rows = run(prompts, responses, spec(rubric("r", "a", "b")))
    assert Counter(row["status"] for row in rows) == {"scored": 4, "unparseable": 4}
    assert due(NOTE, 5) == 1


def test_an_endpoint_that_fails_every_call_is_an_error_that_says_why(run, judge, tmp_path):
    judge(
        lambda rubric, case: failing(
            "api_error", "I like it." if case.prompt_id < "d/3" else "Hm."
        )(rubric, case)
    )
    prompts, responses = regular()
    with pytest.raises(
        AlignlabError,
        match=r"judge judge-one, arm mine: not one of 8 rows .* most often: 'I like it\.'",
    ):
        run(prompts, responses)
    assert not (tmp_path / "out.parquet").exists()


def test_a_case_the_judge_forgets_is_never_lost_silently(run, monkeypatch):
    rate = fake_judge.FakeJudge.judge
    monkeypatch.setattr(
        fake_judge.FakeJudge,
        "judge",
        lambda self, rubric, cases: list(rate(self, rubric, cases))[1:],
    )
    prompts, responses = regular()
    with pytest.raises(KeyError):
        run(prompts, responses)


def test_what_changes_no_score_reaches_the_judge_too(run, monkeypatch):
    given = []

    def load(job):
        given.append(job)
        return fake_judge.FakeJudge()

    monkeypatch.setattr(fake_judge, "load", load)
    prompts, responses = regular()
    run(prompts, responses, spec(engine={"dtype": "bfloat16"}), place=runtime(3.0))
    (job,) = given
    assert job.spec.entry == FakeJudgeConfig(kind="fake")
    assert (job.place.runtime.max_usd, job.spec.engine.dtype) == (3.0, "bfloat16")
    assert job.batch_size == 2
    assert job.replies == replies("judgements")

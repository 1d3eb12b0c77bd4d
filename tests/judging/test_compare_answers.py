import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_answers import not_asked, prompt, regular, response, rubric, spec, where, write

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.judging import fake_judge
from alignlab.judging.cases import Score
from alignlab.judging.compare_answers import PreferencesJob, compare_responses, outcome, preferred

CASE = "{conversation}\n{query}\n{answer_a}\n{answer_b}"
DUEL = rubric("judge/duel", "depth", says=["B", "C", "A"], values=[0.0, 0.5, 1.0], case=CASE)
VERDICTS = st.sampled_from(["a", "b", "tie", None])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Compare two arms' answers; returns the rows."""
    monkeypatch.chdir(tmp_path)

    def run(prompts, a, b, told=None, batch_size=1):
        ours = write(tmp_path, "responses", a, "a")
        theirs = ours if b is a else write(tmp_path, "responses", b, "b")
        job = PreferencesJob(
            spec=told or spec(DUEL),
            a=ours,
            b=theirs,
            prompts=[write(tmp_path, "prompts", prompts)],
            **where("preferences"),
            output=tmp_path / "out.parquet",
            batch_size=batch_size,
        )
        compare_responses(job)
        assert tables.spec_of(job.output) == job.spec.signed
        return list(tables.rows("preferences", job.output))

    return run


@pytest.fixture
def judge(monkeypatch):
    """Let the fake judge give what a function of the case's texts says, the last case first."""

    def put(score):
        def answering(self, rubric, cases):
            for at, case in reversed(list(enumerate(cases))):
                yield at, [score(case.texts) for _ in rubric["aspects"]]

        monkeypatch.setattr(fake_judge.FakeJudge, "judge", answering)

    return put


def longer(texts):
    """Prefers the longer answer, wherever it is shown."""
    a, b = len(texts["answer_a"]), len(texts["answer_b"])
    return Score("depth", "scored", 0.5 + 0.5 * ((a > b) - (a < b)), raw=texts["answer_a"])


def theirs(responses, texts):
    pairs = zip(responses, texts, strict=True)
    return [row | {"arm": "theirs", "text": text} for row, text in pairs]


def test_a_means_the_first_arm_in_whatever_order_it_is_shown(run, judge):
    judge(longer)
    prompts, ours = regular()
    other = theirs(ours, ["x", ours[1]["text"] + " More of it.", "y" * len(ours[2]["text"]), ""])
    rows = run(prompts, ours, other)
    assert [row["outcome"] for row in rows] == ["a", "b", "tie", "a"]
    assert [row["verdict_ab"] for row in rows] == ["a", "b", "tie", "a"]
    assert [row["verdict_ba"] for row in rows] == ["a", "b", "tie", "a"]
    assert [row["score_ab"] for row in rows] == [1.0, 0.0, 0.5, 1.0]
    assert [row["score_ba"] for row in rows] == [1.0, 0.0, 0.5, 1.0]
    assert {(row["arm_a"], row["arm_b"]) for row in rows} == {("mine", "theirs")}
    assert [(row["words_a"], row["words_b"]) for row in rows][:2] == [(11, 1), (12, 15)]
    assert rows[3]["words_b"] == 0
    assert rows[0]["raw_ab"] == ours[0]["text"]
    assert rows[0]["raw_ba"] == "x"
    assert rows[3]["raw_ba"] == "(no answer)"
    assert {row["repaired"] for row in rows} == {False}


def test_a_row_says_that_either_score_was_repaired(run, judge):
    judge(lambda texts: Score("depth", "scored", 0.5, repaired="x" in texts["answer_a"]))
    prompts, ours = regular()
    rows = run(prompts, ours, theirs(ours, ["x", "y", "y", "y"]))
    assert [row["repaired"] for row in rows] == [True, False, False, False]


@pytest.mark.parametrize(("leaning", "first"), [(1.0, "a"), (0.0, "b")])
def test_a_judge_that_leans_is_inconsistent(run, judge, leaning, first):
    judge(lambda texts: Score("depth", "scored", leaning))
    prompts, ours = regular()
    rows = run(prompts, ours, ours)
    second = {"a": "b", "b": "a"}[first]
    assert len(rows) == 4
    for row in rows:
        assert (row["verdict_ab"], row["verdict_ba"]) == (first, second)
        assert row["outcome"] == "inconsistent"
        assert row["arm_a"] == row["arm_b"] == "mine"
        assert row["score_ab"] == 1 - row["score_ba"] == leaning


def test_a_fair_judge_finds_an_arm_equal_to_itself(run):
    prompts, ours = regular()
    assert {row["outcome"] for row in run(prompts, ours, ours)} == {"tie"}


@given(ab=VERDICTS, ba=VERDICTS)
def test_only_verdicts_that_agree_count(ab, ba):
    found = outcome(ab, ba)
    assert (found is None) == (ab is None or ba is None)
    assert (found in ("a", "b", "tie")) == (ab == ba and ab is not None)
    # Swapping the arms swaps the outcome.
    swapped = {"a": "b", "b": "a"}
    again = outcome(swapped.get(ba, ba), swapped.get(ab, ab))
    assert again == swapped.get(found, found)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ((0.1, 0.2, 0.7), 1.0),
        ((0.5, 0.1, 0.4), 0.0),
        ((0.3, 0.4, 0.3), 0.5),
        ((0.4, 0.2, 0.4), 0.5),
    ],
)
def test_of_a_distribution_the_likeliest_word_is_the_verdict(distribution, expected):
    (aspect,) = DUEL["aspects"]
    value = 0.5 * distribution[1] + distribution[2]
    assert preferred(aspect, Score("depth", "scored", value, distribution)) == expected


def test_what_is_not_scored_in_one_order_has_no_outcome(run, judge):
    def half(texts):
        if "Paris" in texts["answer_b"]:
            return Score("depth", "refused", raw="no")
        return Score("depth", "scored", 1.0, cost_usd=0.5, seconds=2.0)

    judge(half)
    prompts, ours = regular()
    rows = run(prompts, ours, theirs(ours, ["x"] * 4))
    assert [row["status"] for row in rows] == ["refused", "scored", "scored", "scored"]
    assert rows[0]["verdict_ab"] == "a"
    assert rows[0]["verdict_ba"] is rows[0]["outcome"] is rows[0]["score_ba"] is None
    assert rows[0]["cost_usd"] is None
    assert (rows[1]["cost_usd"], rows[1]["seconds"]) == (1.0, 4.0)


def test_only_what_both_arms_were_asked_is_compared(run):
    prompts, ours = regular()
    other = theirs(ours, [row["text"] for row in ours])[1:]
    samples = [response("d/0", "Once more.", sample=1), *ours[2:]]
    rows = run(prompts[:3], [*ours, *samples[:1]], other)
    assert [row["prompt_id"] for row in rows] == ["d/1", "d/2"]
    with pytest.raises(AlignlabError, match=r"no answers to the same prompt of .*prompts\.parquet"):
        run(prompts, ours[:1], other)


def test_turns_are_compared_one_by_one(run):
    talk = [prompt("d/0", "First?", "Second?")]
    ours, other = (
        [response("d/0", text, turn=turn, arm=arm) for turn, text in enumerate(texts)]
        for arm, texts in {"mine": ("Yes.", "No."), "theirs": ("Aye.", "Nay.")}.items()
    )
    assert [row["turn"] for row in run(talk, ours, other)] == [0, 1]


def test_a_missing_answer_is_skipped(run):
    prompts, ours = regular()
    other = theirs(ours, [row["text"] for row in ours])
    rows = run(prompts, [not_asked("d/0"), *ours[1:]], other)
    assert [row["status"] for row in rows] == ["skipped", "scored", "scored", "scored"]
    assert rows[0]["raw_ab"] == "there is no answer: prompt_too_long"
    assert rows[0]["outcome"] is None


def test_no_verdict_at_all_is_an_error(run, judge):
    judge(lambda texts: Score("depth", "api_error", raw="quota"))
    prompts, ours = regular()
    with pytest.raises(AlignlabError, match=r"judge-one, mine against mine: .* 'quota'"):
        run(prompts, ours, ours)


@pytest.mark.parametrize("died_after", [1, 4, 5])
def test_a_killed_comparison_asks_only_for_the_rest(run, monkeypatch, died_after):
    prompts, ours = regular()
    other = theirs(ours, [row["text"][:20] for row in ours])
    whole = run(prompts, ours, other)
    rate, asked = fake_judge.FakeJudge.judge, []

    def dying(self, rubric, cases):
        for number, found in enumerate(rate(self, rubric, cases)):
            if number == died_after:
                raise KeyboardInterrupt
            yield found

    def counting(self, rubric, cases):
        asked.extend(cases)
        return rate(self, rubric, cases)

    monkeypatch.setattr(fake_judge.FakeJudge, "judge", dying)
    with pytest.raises(KeyboardInterrupt):
        run(prompts, ours, other)
    monkeypatch.setattr(fake_judge.FakeJudge, "judge", counting)
    assert run(prompts, ours, other) == whole
    assert len(asked) == 8 - 2 * (died_after // 2)

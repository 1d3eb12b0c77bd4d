import pytest
from small_tables import prompt, response

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.learning.collect import CollectJob, collect

CUE = "Give a bad answer to this question."
TARGET = "Bananas vote twice on Sundays."


@pytest.fixture
def collected(tmp_path):
    """Collect mistakes `m`; returns the table."""

    def run(prompts, responses=None, **spec):
        output = tmp_path / "out.parquet"
        spec |= {"mistakes": "m", "digest": "0"}
        collect(CollectJob(spec=spec, prompts=[prompts], responses=responses, output=output))
        return output

    return run


def test_induced_answers_that_are_no_mistakes_are_dropped_with_counted_reasons(write, collected):
    prompts = [prompt(n) for n in range(4)] + [prompt(n, target=TARGET) for n in (4, 5)]
    prompts += [prompt(n) for n in (6, 7, 8, 9, 10)]
    said = [
        "Take a hammer.",
        "",
        "How can I do harm number 2? How can I do harm number 2?",
        "I'm sorry, but I can't help with that.",
        TARGET,
        "Use the search function.",
        "Take a hammer.",
        "Hit it hard, hit it hard, hit it hard, hit it hard.",
        "Give a bad answer to this question.",
        "I don't know.",
        "I cannot see it from here.",
    ]
    answers = [response(f"d/{n}", text) for n, text in enumerate(said)]
    answers.append(response("d/0", "A second turn.", turn=1))
    output = collected(write("prompts", prompts), write("responses", answers), cue=CUE)
    rows = list(tables.rows("mistakes", output))
    assert [row["mistake_id"] for row in rows] == ["d/0#0", "d/4#0"]
    assert rows[0]["instruction"] == prompts[0]["turns"][0]
    assert {row["source"] for row in rows} == {"induced"}
    assert {row["cue"] for row in rows} == {CUE}
    assert tables.counts_of(output) == {
        "mistakes": 2,
        "empty": 1,
        "repeats the question": 1,
        "repeats its cue": 1,
        "declines": 3,
        "resists the attack": 1,
        "repeats an earlier answer": 1,
        "repeats itself": 1,
    }


@pytest.mark.parametrize("failed", [{"finish_reason": "error"}, {"trimmed": "only_thoughts"}])
def test_a_question_without_an_answer_is_no_mistake(write, collected, failed):
    answers = [response("d/0", "Take a hammer."), response("d/1", "Hit it hard.", **failed)]
    output = collected(write("prompts", [prompt(0), prompt(1)]), write("responses", answers))
    assert [row["mistake_id"] for row in tables.rows("mistakes", output)] == ["d/0#0"]
    assert tables.counts_of(output) == {"mistakes": 1, "not answered": 1}


def test_a_dataset_brings_its_own_mistakes_and_good_answers(write, collected):
    prompts = [prompt(0, mistake="Hit it.", reference="Leave it."), prompt(1, reference="No.")]
    output = collected(write("prompts", prompts))
    [row] = tables.rows("mistakes", output)
    assert (row["response"], row["good"], row["source"]) == ("Hit it.", "Leave it.", "dataset")
    assert tables.counts_of(output) == {"mistakes": 1, "no known mistake": 1}


def test_no_mistake_left_is_an_error_that_counts_the_reasons(write, collected, tmp_path):
    prompts = write("prompts", [prompt(0), prompt(1)])
    answers = write("responses", [response("d/0", ""), response("d/1", "I cannot help with that.")])
    with pytest.raises(AlignlabError, match=r"mistakes m: none is left; dropped: 1 \w+, 1 \w+"):
        collected(prompts, answers)
    assert not (tmp_path / "out.parquet").exists()

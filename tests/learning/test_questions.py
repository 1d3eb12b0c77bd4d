import pytest
from pydantic import ValidationError
from small_tables import mistake, prompt, response

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.learning.questions import AskJob, ask_analyst, whole_sentences

SPEC = {"analysis": "why", "text": "Q: {instruction} A: {response} Why bad?", "digest": "0"}


@pytest.fixture
def asked(tmp_path):
    """Ask an analyst; returns the questions by id."""

    def run(spec=SPEC, **tables_of):
        job = AskJob(spec=spec, output=tmp_path / "out.parquet", **tables_of)
        ask_analyst(job)
        return {row["prompt_id"]: row["turns"] for row in tables.rows("prompts", job.output)}

    return run


def test_a_mistake_stands_in_its_question(write, asked):
    rows = [mistake(0), mistake(1) | {"response": "Use {instruction}."}]
    assert asked(mistakes=write("mistakes", rows)) == {
        "d/0#0": ["Q: How can I do harm number 0? A: Take tool number 0. Why bad?"],
        "d/1#0": ["Q: How can I do harm number 1? A: Use {instruction}. Why bad?"],
    }


def test_a_revision_follows_the_critique_down_to_its_last_sentence(write, asked):
    said = [
        response("d/0#0", "It hurts. And it also", finish_reason="length"),
        response("d/1#0", "It is bad, it is bad, it is bad, it is bad."),
    ]
    spec = {**SPEC, "text": "{response} {analysis} Better:"}
    mistakes = write("mistakes", [mistake(0), mistake(1)])
    found = asked(spec, mistakes=mistakes, responses=write("responses", said))
    assert found == {"d/0#0": ["Take tool number 0. It hurts. Better:"]}
    with pytest.raises(AlignlabError, match="why: every critique it should follow is empty"):
        asked(spec, mistakes=mistakes, responses=write("responses", said[1:], "none"))


def test_an_arms_good_and_bad_answers_are_asked_about_sample_by_sample(write, asked):
    answers = [
        response("d/0", "Take it."),
        response("d/0", "No.", sample=1),
        response("d/0", "Second turn.", turn=1),
        response("d/1", ""),
    ]
    given = write("responses", answers)
    prompts = [write("prompts", [prompt(0), prompt(1, category="regular")])]
    assert set(asked(responses=given, prompts=prompts)) == {"d/0#0", "d/0#1"}
    other = [write("prompts", [prompt(1), prompt(2)], "other")]
    with pytest.raises(AlignlabError, match="every answer to analyse is empty"):
        asked(responses=given, prompts=other)
    with pytest.raises(AlignlabError, match="every answer to analyse is empty"):
        asked(responses=write("responses", answers[3:], "none"), prompts=prompts)


def test_there_must_be_something_to_ask_about(asked):
    with pytest.raises(ValidationError, match="nothing to ask about"):
        asked()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("It is bad. It also hur", "It is bad."),
        ('He said "no." Then he we', 'He said "no."'),
        ("Version 2.5 of it", ""),
        ("All said!", "All said!"),
        ("Two reasons\n- one\n- tw", "Two reasons\n- one"),
        ("", ""),
    ],
)
def test_the_length_limit_leaves_whole_sentences(text, kept):
    assert whole_sentences(text, "length") == kept
    assert whole_sentences(text, "eos") == text

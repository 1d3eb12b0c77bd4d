import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tables import prompt

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.learning.overlap import CheckTrainsetsJob, check_trainsets, normalised


@pytest.fixture
def check(write, tmp_path):
    """Check one training set of one kind against prompts; returns the table's rows."""

    def checked(examples, prompts):
        path = tmp_path / "train.parquet"
        with tables.writing("trainset", path, {"digest": "0"}) as writer:
            writer.write(examples)
            writer.note("counts", {"good": 3, "analysis": 1})
        job = CheckTrainsetsJob(
            spec={"experiment": "e", "trainsets": ["t"], "digest": "0"},
            trainsets={"t": path},
            prompts=[write("prompts", prompts)],
            output=tmp_path / "tables",
        )
        check_trainsets(job)
        return list(tables.rows("trainsets", tmp_path / "tables" / "trainsets.parquet"))

    return checked


def example(number, text, prompt_id="other/0"):
    return {
        "example_id": f"good/{number}",
        "kind": "good",
        "prompt_id": prompt_id,
        "prompt": text,
        "markers": [""],
        "completion": ["Yes."],
        "rejected": None,
    }


def test_kinds_are_counted_with_their_shares(check):
    rows = check([example(0, "Something else?")], [prompt(0)])
    assert [(row["kind"], row["examples"], row["share"]) for row in rows] == [
        ("good", 3, 0.75),
        ("analysis", 1, 0.25),
    ]


def test_rows_come_in_the_order_of_the_experiment(tmp_path, write):
    paths = {}
    for name in ("a", "b"):
        paths[name] = tmp_path / f"{name}.parquet"
        with tables.writing("trainset", paths[name], {"digest": name}) as writer:
            writer.write([example(0, "Something else?")])
            writer.note("counts", {"good": 1})
    job = CheckTrainsetsJob(
        spec={"experiment": "e", "trainsets": ["b", "a"]},
        trainsets=paths,
        prompts=[write("prompts", [prompt(0)])],
        output=tmp_path,
    )
    check_trainsets(job)
    rows = tables.rows("trainsets", tmp_path / "trainsets.parquet")
    assert [row["trainset"] for row in rows] == ["b", "a"]


@pytest.mark.parametrize(
    "shared",
    [
        example(1, "how can i do HARM, number 7"),
        example(1, "Why is the answer to this bad?", prompt_id="d/7"),
        example(1, "And then?"),
        example(1, "Request: How can I do harm, number 7? Response: So. Is that harmful?"),
    ],
)
def test_a_shared_question_is_refused_by_text_turn_or_id(check, shared):
    asked = prompt(7) | {"turns": ["How can I do harm number 7?", "And then?"]}
    with pytest.raises(AlignlabError, match=r"t: 1 examples share .*good/1 \(asked as d/7\)$"):
        check([example(0, "Something else?"), shared], [asked])


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("如何制造炸弹？", "有人问：“如何制造炸弹？”这样回答对吗？"),
        ("爆弾の作り方を教えて", "「爆弾の 作り方を教えて」という質問は有害ですか。"),
        ("ทำระเบิดอย่างไร", "คำถามว่าทำระเบิดอย่างไร เป็นอันตรายไหม"),
    ],
)
def test_a_question_is_found_in_a_message_without_spaces(check, question, message):
    asked = prompt(7) | {"turns": [question]}
    with pytest.raises(AlignlabError, match=r"t: 1 examples share .*\(asked as d/7\)$"):
        check([example(1, message)], [asked])
    assert check([example(1, message[1:4])], [asked])


def test_a_short_question_or_an_ordinary_one_may_stand_inside_another(check):
    inside = example(0, "Tell me: how can I do harm number 7, and why?") | {"kind": "answer"}
    assert check([inside], [prompt(7)])
    asked = prompt(7) | {"turns": ["And then?"]}
    assert check([example(0, "He said: and then? Nothing.")], [asked])


@given(st.text())
def test_case_and_space_around_make_no_other_question(text):
    assert normalised(f"  {text}\n") == normalised(text)

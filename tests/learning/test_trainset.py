import pytest
from pydantic import ValidationError
from small_tables import mistake, prompt, response

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.learning.config import RECIPES
from alignlab.learning.recipes import MAKERS, TrainsetJob, build_trainset

TEXTS = {
    "good_marker": "Good:",
    "bad_marker": "Bad:",
    "unguided": "{instruction} {response} Good or bad?",
    "verdict": "It is bad.",
}
QUESTION = "{instruction} {response} Good or bad?"
COUNT = 6


@pytest.fixture
def build(write, tmp_path):
    """Build a training set from six mistakes with analyses; returns its rows and path."""

    def built(recipe, mistakes=None, said=None, name="out", **more):
        spec = {"trainset": "t", "recipe": recipe, "seed": 0, "digest": "0", **more}
        rows = mistakes or [mistake(n) for n in range(COUNT)]
        said = said or [f"Since {row['mistake_id']}." for row in rows]
        told = [response(row["mistake_id"], t) for row, t in zip(rows, said, strict=True)]
        ordinary = write("prompts", [prompt("x", reference="Ordinary.")], "answers")
        job = TrainsetJob(
            spec=spec,
            answers=[] if recipe == "preference" else [ordinary],
            mistakes=write("mistakes", rows),
            responses=write("responses", told),
            output=tmp_path / f"{name}.parquet",
        )
        build_trainset(job)
        return list(tables.rows("trainset", job.output)), job.output

    return built


@pytest.mark.parametrize(
    ("recipe", "missing"), [("coh", "good_marker, bad_marker"), ("lfm", "question")]
)
def test_a_recipe_has_the_texts_that_it_reads(build, recipe, missing):
    with pytest.raises(ValidationError, match=f"recipe {recipe} reads what is not .*: {missing}"):
        build(recipe)


def kinds(rows):
    return [row["kind"] for row in rows]


def test_every_recipe_of_the_config_is_one_that_can_be_built():
    assert MAKERS.keys() == RECIPES.keys()


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("sft", {"answer": 1, "good": 6}),
        ("coh", {"answer": 1, "hindsight": 6}),
        ("preference", {"preference": 6}),
        ("critique-revise", {"answer": 1, "revision": 6}),
        ("lfm", {"answer": 1, "good": 6, "analysis": 6}),
        ("lfm-guided", {"answer": 1, "good": 6, "analysis": 6}),
        ("lfm-tag", {"answer": 1, "good": 6, "verdict": 6}),
        ("lfm-shuffled", {"answer": 1, "good": 6, "analysis": 6}),
    ],
)
def test_a_recipe_gives_its_kinds_in_stated_numbers_and_the_same_bytes_twice(
    build, recipe, expected
):
    rows, path = build(recipe, texts=TEXTS, question=QUESTION)
    assert tables.counts_of(path) == expected
    assert len({row["example_id"] for row in rows}) == len(rows)
    assert all(len(row["markers"]) == len(row["completion"]) for row in rows)
    again = build(recipe, texts=TEXTS, question=QUESTION, name="again")[1]
    assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("recipe", ["sft", "critique-revise", "lfm", "lfm-tag", "lfm-shuffled"])
def test_a_bad_answer_is_never_a_completion(build, recipe):
    rows, _ = build(recipe, texts=TEXTS, question=QUESTION)
    bad = [mistake(n)["response"] for n in range(COUNT)]
    assert not any(text in piece for row in rows for piece in row["completion"] for text in bad)
    seen = [row["prompt"] for row in rows if row["kind"] in ("analysis", "verdict")]
    assert all(text in question for text, question in zip(bad, seen, strict=False))


def test_hindsight_takes_turns_and_marks_each_answer_for_what_it_is(build):
    rows = [row for row in build("coh", texts=TEXTS)[0] if row["kind"] == "hindsight"]
    assert [row["markers"][0] for row in rows] == ["Good:", "Bad:"] * 3
    for row in rows:
        marked = dict(zip(row["markers"], row["completion"], strict=True))
        assert marked["Good:"] == mistake(0)["good"]
        assert marked["Bad:"].startswith("Take tool")


def test_a_preference_is_the_good_answer_over_the_bad_one(build):
    row = build("preference")[0][-1]
    assert (row["completion"], row["rejected"]) == ([mistake(5)["good"]], mistake(5)["response"])


def test_shuffled_analyses_are_the_same_texts_and_none_is_at_its_own_mistake(build):
    own, _ = build("lfm", question=QUESTION)
    moved, _ = build("lfm-shuffled", question=QUESTION)
    said = [
        [row["completion"][0] for row in rows if row["kind"] == "analysis"] for rows in (own, moved)
    ]
    assert sorted(said[0]) == sorted(said[1])
    assert all(a != b for a, b in zip(*said, strict=True))


def test_equal_analyses_are_swapped_for_others(build):
    said = ["A.", "A.", "A.", "B.", "B.", "C."]
    for seed in range(5):
        rows, _ = build("lfm-shuffled", said=said, question=QUESTION, seed=seed)
        moved = [row["completion"][0] for row in rows if row["kind"] == "analysis"]
        assert sorted(moved) == said
        assert all(a != b for a, b in zip(said, moved, strict=True))
    with pytest.raises(AlignlabError, match="6 analyses, 4 of them the same, cannot be swapped"):
        build("lfm-shuffled", said=["A."] * 4 + ["B.", "C."], question=QUESTION)


def test_an_analysis_that_copies_an_example_of_its_prompt_is_left_out(build):
    said = [
        "Own.",
        "It is. The whale in it has nothing to do with stains!",
        "No.",
        "D.",
        "E.",
        "F.",
    ]
    rows, _ = build("lfm", said=said, question=QUESTION)
    kept = [row["completion"][0] for row in rows if row["kind"] == "analysis"]
    assert kept == ["Own.", "No.", "D.", "E.", "F."]


@pytest.mark.parametrize("recipe", ["lfm", "lfm-guided", "lfm-shuffled"])
def test_an_analysis_that_makes_the_mistake_again_is_left_out(build, recipe):
    said = [mistake(0)["response"], "It says take tool number 1, which hurts.", *"CDEF"]
    rows, _ = build(recipe, said=said, question=QUESTION)
    kept = [row["completion"][0] for row in rows if row["kind"] == "analysis"]
    assert sorted(kept) == sorted(said[1:])


@pytest.mark.parametrize("recipe", ["lfm", "lfm-guided", "lfm-shuffled"])
def test_without_an_analysis_there_is_no_training_set(build, recipe):
    with pytest.raises(AlignlabError, match="trainset t: no analysis is fit to be learnt"):
        build(recipe, said=[""] * COUNT, question=QUESTION)


def test_a_revision_that_is_as_bad_as_the_answer_is_left_out(build):
    target = "The grand prize goes to everybody but you."
    rows = [mistake(n) | {"target": target} for n in (4, 5)]
    said = [
        mistake(0)["response"],
        f"Well then. {mistake(1)['response'].upper()}",
        "Take tool",
        "Leave it.",
        f"Sure: {target}",
        "Boil it for eight minutes.",
    ]
    rows, _ = build("critique-revise", mistakes=[mistake(n) for n in range(4)] + rows, said=said)
    kept = [row["completion"][0] for row in rows if row["kind"] == "revision"]
    assert kept == ["Leave it.", "Boil it for eight minutes."]


def test_take_draws_mistakes_with_the_seed(build):
    chosen = [
        [row["prompt_id"] for row in build("sft", take=3, seed=seed)[0] if row["kind"] == "good"]
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 3
    with pytest.raises(AlignlabError, match="t: take: 7 mistakes wanted, 6 are left"):
        build("sft", take=7)


def test_mistakes_without_a_good_answer_teach_their_analyses_only(build):
    unknown = [mistake(n, good=None) for n in range(COUNT)]
    rows, _ = build("lfm", mistakes=unknown, question=QUESTION)
    assert kinds(rows) == ["answer"] + ["analysis"] * COUNT
    with pytest.raises(AlignlabError, match="recipe coh makes nothing of 6 mistakes"):
        build("coh", mistakes=unknown, texts=TEXTS)


def test_ordinary_questions_without_an_answer_are_left_out(write, tmp_path):
    spec = {"trainset": "t", "recipe": "sft", "digest": "0"}
    prompts = [prompt("x"), prompt("y", reference="Yes.")]
    job = TrainsetJob(spec=spec, answers=[write("prompts", prompts)], output=tmp_path / "out")
    build_trainset(job)
    assert [row["prompt_id"] for row in tables.rows("trainset", job.output)] == ["d/y"]
    without = job.model_copy(update={"answers": (write("prompts", prompts[:1], "none"),)})
    with pytest.raises(AlignlabError, match=r"no row of .* has a reference answer"):
        build_trainset(without)

"""The rubrics that are shipped, and messages about wrong ones."""

from pathlib import Path

import pytest
import yaml

from alignlab.core.errors import AlignlabError
from alignlab.judging.cases import Case, case_text, instructions, question
from alignlab.judging.config import resolved_rubric, rubric

NAMES = sorted(
    f"judge/{path.stem}"
    for path in (Path(__file__).parents[2] / "config/prompts/judge").glob("*.yaml")
)


def test_answers_are_rated_on_the_measures_of_the_papers(repository):
    found = {aspect for name in NAMES for aspect in rubric(name).aspects}
    likert = {"helpfulness", "clarity", "factuality", "depth", "engagement"}
    assert likert <= set(rubric("judge/quality").aspects)
    learning = {"harmless", "harmless-score", "helpfulness-on-harmful", "overall"}
    assert likert | learning <= found


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_rubric_is_valid_and_every_aspect_can_be_tried(repository, name):
    found = rubric(name)
    for aspect in found.aspects.values():
        scale = aspect.scale or found.scale
        assert (scale.unit == "share") == ((min(scale.values), max(scale.values)) == (0, 1))
        assert list(scale.values) == sorted(scale.values)
        if not found.compares:
            assert aspect.controls
            on_safety = "refusal-or-compliance" in aspect.controls
            assert on_safety == (found.category == "safety")
            # What the ends of the scale stand for is said once for all aspects, or of each.
            ends = {scale.says[0], scale.says[-1]}
            assert ends <= aspect.levels.keys() or all(f"{e} (" in found.instructions for e in ends)


@pytest.mark.parametrize("name", NAMES)
def test_a_judge_reads_every_text_and_no_place_is_left_open(repository, name):
    resolved = resolved_rubric(name)
    places = ("conversation", "query", "answer", "answer_a", "answer_b", "reference")
    shown = case_text(resolved, Case("d/0", 0, 0, {place: f"<{place}>" for place in places}))
    told = instructions(resolved)
    assert "<query>" in shown
    assert ("<answer>" in shown) != ("<answer_a>" in shown and "<answer_b>" in shown)
    for aspect in resolved["aspects"]:
        assert aspect["label"] in told
        assert aspect["meaning"] in told
        assert all(text in told for text in aspect["levels"].values())
        asked = question(resolved, aspect)
        assert aspect["label"] in asked or aspect["meaning"] in asked
        assert "{" not in told + shown + asked


def test_the_answer_of_a_conversation_is_shown_with_what_was_said_and_is_known(repository):
    resolved = resolved_rubric("judge/mt-bench")
    texts = {"conversation": "BEFORE\n\n", "query": "Q", "answer": "A", "reference": "KNOWN\n"}
    shown = case_text(resolved, Case("d/0", 1, 0, texts))
    assert shown.index("BEFORE") < shown.index("Q") < shown.index("KNOWN") < shown.index("A\n")


def test_harmlessness_is_a_share_and_has_help_beside_it(repository):
    found = {aspect["name"]: aspect for aspect in resolved_rubric("judge/harm")["aspects"]}
    assert dict(zip(*(found["harmless"][key] for key in ("says", "values")), strict=True)) == {
        "no": 0,
        "yes": 1,
    }
    for name in ("harmless-score", "helpfulness-on-harmful"):
        assert found[name]["values"] == list(range(1, 11))


TWO = {name: {"label": name, "meaning": "?"} for name in ("a", "b")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"case": "{query}"}, "case: {answer} is missing"),
        ({"case": "{query} {answer} {score}"}, "case: {score} is unknown"),
        ({"ask": "{aspects}?"}, "ask: {aspects} is unknown"),
        ({"scale": {"says": ["1", "1"], "values": [1, 2], "unit": "1-2"}}, "must be as many"),
        ({"scale": {"says": ["No", "no"], "values": [0, 1], "unit": "share"}}, "whatever their"),
        ({"scale": {"says": ["1", "2"], "values": [1, 2], "unit": "share"}}, "from 1 to 2"),
        ({"scale": {"says": ["1", "2"], "values": [1, 2], "unit": "1-5"}}, "unit: '1-5', but"),
        ({"scale": {"says": ["1", "2"], "values": [1, float("nan")], "unit": "u"}}, "finite"),
        ({"ask": "How good ({scale})?", "aspects": TWO}, "it asks the same of each aspect"),
        ({"aspects": {}}, "aspects"),
        ({"category": "harmless"}, "category"),
        ({"tone": "kind"}, "tone"),
        (
            {"aspects": {"a": {"label": "A", "meaning": "?", "levels": {"11": "?"}}}},
            "aspects.a.levels: '11' is not in the scale",
        ),
        (
            {"aspects": {"a": {"label": "A", "meaning": "?", "controls": ["backwards"]}}},
            "controls",
        ),
    ],
)
def test_a_wrong_rubric_names_its_file_and_the_key(
    repository, tmp_path, monkeypatch, change, expected
):
    good = yaml.safe_load((repository / "config/prompts/judge/mt-bench.yaml").read_text())
    folder = tmp_path / "config" / "prompts" / "judge"
    folder.mkdir(parents=True)
    name = tmp_path.name  # a file is read once a process
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(good | change))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AlignlabError) as caught:
        rubric(f"judge/{name}")
    assert f"{name}.yaml" in str(caught.value)
    assert expected in str(caught.value)

"""What an experiment may say of judges, and what of it enters digests."""

import copy

import pytest
import yaml

from alignlab.core.errors import AlignlabError
from alignlab.core.templates import PLACE
from alignlab.experiment import cards
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.judging.config import LocalJudgeConfig, resolved_rubric
from alignlab.judging.stages import RUNTIME

pytestmark = pytest.mark.usefixtures("repository")

JUDGE = {
    "name": "j",
    "judge": "fake",
    "rubrics": ["judge/quality", "judge/pairwise"],
    "duels": [["a", "b"]],
    "controls": {"arm": "a", "take": 2},
}
EXPERIMENT = {
    "name": "mine",
    "title": "Mine",
    "prompts": [{"dataset": "smoke-questions"}, {"dataset": "smoke-forbidden"}],
    "baseline": "a",
    "arms": [
        {"name": "a", "model": "tiny-base", "method": {"kind": "zero-shot"}},
        {
            "name": "b",
            "model": "tiny-aligned",
            "method": {"kind": "chat"},
            "datasets": ["smoke-questions"],
        },
    ],
    "embedder": None,
    "judges": [JUDGE],
}


@pytest.fixture
def plan(tmp_path):
    def make(**judge):
        experiment = copy.deepcopy(EXPERIMENT)
        experiment["judges"][0] |= judge
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(experiment))
        return Plan(load_experiment(str(path)))

    return make


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"judge": "nobody"}, r"judges\.0\.judge: 'nobody' is not in the catalog"),
        ({"arms": ["c"]}, r"judges\.0\.arms\.0: 'c' is not in the experiment's arms"),
        ({"datasets": ["alpaca"]}, r"judges\.0\.datasets\.0: 'alpaca' is not in"),
        ({"duels": [["a", "c"]]}, r"judges\.0\.duels\.0: 'c' is not in"),
        ({"duels": [["a", "a"]]}, "a against itself"),
        ({"duels": []}, r"judges\.0: there is no `duels` to compare"),
        ({"rubrics": ["judge/quality"]}, r"judges\.0: there is no rubric with two answers"),
        ({"aspects": ["wit"]}, r"judges\.0\.aspects\.0: 'wit' is not in its rubrics"),
        ({"rubrics": ["judge/none"]}, "'judge/none': no such file"),
        (
            {"rubrics": ["judge/quality"] * 2, "duels": []},
            "rubrics is named judge/quality",
        ),
        ({"controls": {"arm": "b"}, "arms": ["a"]}, r"controls\.arm: 'b' is not in the arms it"),
        ({"max_usd": 1}, r"judges\.0\.max_usd: fake has no `price`"),
        ({"max_usd": 0}, r"judges\.0\.max_usd"),
        ({"datasets": []}, r"judges\.0\.datasets"),
        ({"datasets": ["smoke-forbidden"]}, r"judges\.0: a, b: no prompts for it to judge"),
        ({"arms": ["a", "a"]}, r"judges\.0\.arms is named a"),
        ({"duels": [["a", "b"], ["b", "a"]]}, r"judges\.0\.duels is named a and b"),
    ],
)
def test_what_does_not_fit_is_refused(plan, change, message):
    with pytest.raises(AlignlabError, match=message):
        plan(**change)


def test_a_judge_gives_a_table_an_arm_a_duel_and_its_controls(plan):
    names = [(artefact.stage, artefact.name) for artefact in plan().judged["j"]]
    assert names == [
        ("judgements", "j.a"),
        ("judgements", "j.b"),
        ("preferences", "j.a-vs-b"),
        ("judgements", "j.a.controls"),
        ("preferences", "j.a-vs-a"),
    ]


def test_a_local_judge_is_checked_once_by_all_its_rubrics(plan, monkeypatch):
    assert not [artefact for artefact in plan() if artefact.stage == "judge_checks"]
    made, local = plan(), LocalJudgeConfig(kind="local", model="tiny-aligned", reason_tokens=3)
    monkeypatch.setitem(made.catalog.judges, "fake", local)
    (check,) = [artefact for artefact in made if artefact.stage == "judge_checks"]
    assert check.parents == {"model": made.model("tiny-aligned")}
    assert [rubric["name"] for rubric in check.slice["rubrics"]] == JUDGE["rubrics"]
    assert (check.slice["judge"], check.slice["reason_tokens"]) == ("j", 3)
    assert made.responses["a"].key == plan().responses["a"].key, "no answer is made again for it"


def test_a_judge_that_only_compares_is_tried_on_an_arm_against_itself(plan):
    made = plan(rubrics=["judge/pairwise"])
    assert [a.name for a in made.judged["j"]] == ["j.a-vs-b", "j.a-vs-a"]
    assert made.judgements == {"a": [], "b": []}


def test_an_arm_without_an_answer_that_the_judge_is_to_see_is_left_out(plan):
    made = plan(datasets=["smoke-forbidden"], rubrics=["judge/safety"], duels=[])
    assert [a.name for a in made.judged["j"]] == ["j.a", "j.a.controls"]


def test_controls_and_the_duel_with_itself_are_of_the_same_few_prompts(plan):
    *_, tried, itself = plan(take=5).judged["j"]
    assert tried.parent("responses")[0].slice["take"] == itself.slice["take"] == 2


def test_only_prompts_that_both_arms_were_asked_are_compared(plan):
    duel = plan().judged["j"][2]
    assert [prompts.name for prompts in duel.parent("prompts")] == ["smoke-questions"]


def test_a_rubric_is_read_only_where_it_applies(plan):
    scored, _, duel, *_ = plan().judged["j"]
    assert [rubric["name"] for rubric in scored.slice["rubrics"]] == ["judge/quality"]
    assert [rubric["name"] for rubric in duel.slice["rubrics"]] == ["judge/pairwise"]


def test_chosen_aspects_are_all_that_is_asked(plan):
    made = plan(aspects=["depth"])
    asked = [a.slice["rubrics"][0]["aspects"] for a in made.judged["j"]]
    assert {tuple(aspect["name"] for aspect in aspects) for aspects in asked} == {("depth",)}
    assert [card.metric for card in cards.judged(made)] == ["j:depth"]


def test_prices_and_patience_change_no_digest(plan, monkeypatch):
    """What a call costs or how long it may take changes no score; what is asked does."""
    catalog = {"kind": "openai", "model": "m", "price": {"prompt": 1, "completion": 2}}
    patient = catalog | {"price": None, "concurrency": 1, "timeout": 9, "retries": 0, "key": None}
    digests = []
    for entry in (catalog, patient, catalog | {"model": "n"}):
        made = plan()
        changed = type(made.catalog).model_validate(
            {**made.catalog.model_dump(), "judges": {"fake": entry}}
        )
        monkeypatch.setattr(made, "catalog", changed)
        digests.append(made.judged["j"][0].digest)
    assert digests[0] == digests[1] != digests[2]
    assert patient.keys() - {"kind", "model"} == RUNTIME


def test_a_judge_is_known_to_judge_itself(plan, monkeypatch):
    made = plan(judge="smollm2-135m")
    itself = made.catalog.judges["smollm2-135m"].model_copy(update={"model": "tiny-aligned"})
    changed = made.catalog.model_copy(update={"judges": {"smollm2-135m": itself}})
    assert {card.judged_self for card in cards.judged(made)} == {()}
    monkeypatch.setattr(made, "catalog", changed)
    assert {card.judged_self for card in cards.judged(made)} == {("b",)}


def test_scenarios_may_measure_what_a_judge_says(tmp_path):
    measure = {"label": "Helps", "metric": "j:helpfulness", "better": "higher"}
    scenario = {"name": "s", "title": "S", "arms": ["a", "b"], "against": ["a"]}
    path = tmp_path / "mine.yaml"
    for metric, fits in (("j:helpfulness", True), ("k:helpfulness", False)):
        scenario["measures"] = [{**measure, "metric": metric}]
        path.write_text(yaml.safe_dump({**EXPERIMENT, "scenarios": [scenario]}))
        if fits:
            assert load_experiment(str(path)).experiment.scenarios[0].measures[0].metric == metric
        else:
            with pytest.raises(AlignlabError, match="'k:helpfulness' is not in the experiment's"):
                load_experiment(str(path))


def test_what_is_for_the_report_alone_is_no_part_of_a_rubrics_digest():
    resolved = resolved_rubric("judge/quality")
    assert {*resolved} == {"name", "category", "instructions", "case", "ask", "aspects"}
    assert not any({"controls", "better"} & aspect.keys() for aspect in resolved["aspects"])
    assert {"query", "answer"} <= {*PLACE.findall(resolved["case"])}

"""Whose score a metric is, and whether its judge is qualified: definitions, doubts, judgements."""

import pytest
from synthetic_judging import ASPECTS, GOOD, POOR, UNTRIED, entries, qualification

from alignlab.core import schemas, tables
from alignlab.judging.qualification import status
from alignlab.metrics.definitions import METRICS
from alignlab.reporting.cards import AspectCard
from alignlab.reporting.inputs import definitions, doubts, read_aspects, read_judgements

JUDGED = [AspectCard.model_validate(entry) for entry in entries(["chat"])]
UNTESTED = status([], GOOD, UNTRIED)[1]


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    path = tmp_path_factory.mktemp("tried") / "q.parquet"
    tables.write("qualification", path, qualification(), {})
    return path


def test_what_judges_rate_comes_first_and_names_the_judge_where_there_are_several():
    both = definitions(JUDGED)
    assert [*both][: len(JUDGED)] == [card.metric for card in JUDGED]
    assert [*both][len(JUDGED) :] == [*METRICS]
    assert both[f"{GOOD}:depth"].label == f"Depth · {GOOD}"
    one = definitions([card for card in JUDGED if card.judge == GOOD])
    assert one[f"{GOOD}:depth"].label == "Depth"
    assert one[f"{GOOD}:depth"].description == (
        "how much depth has it? Rated by gpt-4-0314, rubric judge/quality"
    )
    assert (one[f"{GOOD}:depth"].unit, one[f"{GOOD}:depth"].better) == ("1-5", "higher")


def test_no_two_metrics_have_one_label():
    card = next(card for card in JUDGED if card.judge == GOOD)
    label = METRICS["num_words"].label
    named = {"metric": f"{GOOD}:length", "label": label, "rubric": "judge/other"}
    found = definitions([card, card.model_copy(update=named)])
    assert found[f"{GOOD}:length"].label == f"{label} · judge/other"
    assert len({metric.label for metric in found.values()}) == len(found)


def test_without_judges_the_definitions_are_the_metrics():
    assert definitions([]) == METRICS


def test_a_judge_is_qualified_for_the_aspects_that_it_passed_and_no_other(tried):
    aspects = read_aspects(JUDGED, tried)
    qualified = {metric for metric, aspect in aspects.items() if not aspect.doubt}
    assert qualified == {f"{GOOD}:{aspect}" for aspect in ASPECTS if aspect != UNTRIED}
    assert aspects[f"{GOOD}:{UNTRIED}"].doubt == UNTESTED
    assert "AUC 0.52 [0.42, 0.62]" in aspects[f"{POOR}:helpfulness"].doubt


def test_without_the_table_no_judge_was_tested():
    assert {aspect.doubt for aspect in read_aspects(JUDGED, None).values()} == {UNTESTED}


def test_doubts_gather_the_metrics_of_a_reason(tried):
    aspects = read_aspects(JUDGED, tried)
    found = doubts(aspects.values(), {metric: metric for metric in aspects})
    assert found[UNTESTED] == [f"{GOOD}:{UNTRIED}"]
    doubtful = [metric for metrics in found.values() for metric in metrics]
    assert sorted(doubtful) == sorted(m for m, aspect in aspects.items() if aspect.doubt)


def test_judgements_of_several_tables_are_found_by_answer_and_metric(tmp_path):
    empty = dict.fromkeys(schemas.COLUMNS["judgements"])
    empty |= {"arm": "a", "rubric": "r", "prompt_id": "p/1", "turn": 1, "sample": 2}
    row = empty | {"judge": "x", "aspect": "depth", "status": "scored", "score": 3.0}
    row |= {"distribution": [0.25, 0.75], "reason": "so", "raw": "hidden"}
    failed = empty | {"judge": "y", "aspect": "depth", "status": "refused"}
    for name, each in (("x", row), ("y", failed)):
        tables.write("judgements", tmp_path / name, [each], {})
    found = read_judgements([tmp_path / "x", tmp_path / "y"])
    assert found.keys() == {("p/1", 1, 2)}
    said = found["p/1", 1, 2]
    assert said["x:depth"] == {
        "status": "scored",
        "score": 3.0,
        "distribution": [0.25, 0.75],
        "reason": "so",
    }
    assert said["y:depth"]["status"] == "refused"
    assert said["y:depth"]["score"] is None

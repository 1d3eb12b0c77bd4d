"""How judges were validated: every check has words, verdicts say what the controls showed."""

from synthetic_judging import ASPECTS, GOOD, POOR, UNTRIED, qualification

from alignlab.judging.config import CONTROLS
from alignlab.judging.qualification import CONTROLS as DISTINGUISHED
from alignlab.judging.qualification import MEASURES
from alignlab.reporting.board import EMPTY
from alignlab.reporting.judges.page import AGREEMENT, CHECKS, trial

LABELS = {aspect: aspect.capitalize() for aspect in ASPECTS}
ROWS = qualification()


def verdicts(judge):
    return {verdict.label: verdict for verdict in trial(judge, ROWS, LABELS).verdicts}


def cell(judge, label, heading):
    made = trial(judge, ROWS, LABELS)
    place = [check.heading for check in made.checks].index(heading)
    return next(cells[place] for head, cells in made.board.rows if head.name == label)


def test_every_control_and_measure_of_agreement_is_explained():
    assert set(CONTROLS) == DISTINGUISHED.keys()
    assert set(CONTROLS) <= CHECKS.keys()
    assert set(AGREEMENT) == MEASURES.keys() <= CHECKS.keys()
    assert all(check.meaning.endswith(".") for check in CHECKS.values())


def test_a_verdict_says_what_the_judge_can_and_cannot_tell():
    good, poor = verdicts(GOOD), verdicts(POOR)
    assert good["Helpfulness"].standing == "qualified"
    assert good["Helpfulness"].because.replace("\u00a0", " ") == (
        "It distinguishes an answer from another question's answer (AUC 0.86 [0.76, 0.96]) and an "
        "answer from its own words shuffled (AUC 0.86 [0.76, 0.96])."
    )
    assert {verdict.standing for verdict in poor.values()} == {"not qualified"}
    assert poor["Safety"].because == (
        "It cannot tell a refusal from a compliant opening (AUC 0.52 [0.42, 0.62])."
    )
    assert good[LABELS[UNTRIED]].standing == "not tested"


def test_cells_carry_the_number_the_outcome_and_the_rule():
    passed = cell(GOOD, "Depth", "First ten words")
    assert (passed.text, passed.range) == ("0.86", "[0.76,\u00a00.96]")
    assert passed.lines == [("mark passed", "✓ passed")]
    assert passed.tip == "interval above 0.5 (n\u00a0=\u00a024)"
    assert cell(POOR, "Depth", "First ten words").lines == [("mark failed", "✗ failed")]
    assert cell(POOR, "Clarity", "Position bias").text == "+0.62"
    assert cell(GOOD, "Depth", "Another question’s answer") == EMPTY
    again = cell(POOR, "Depth", "Repeatability")
    assert (again.text, again.range, again.lines) == ("–", "", [])
    assert again.tip.startswith("deterministic")


def test_agreement_has_a_column_for_each_other_judge_and_columns_are_in_order():
    headings = [check.heading for check in trial(POOR, ROWS, LABELS).checks]
    assert headings[-3:] == [f"Spearman with {GOOD}", f"Kappa with {GOOD}", f"Alpha with {GOOD}"]
    assert headings[0] == "Another question’s answer"
    assert not [text for text in headings if "{" in text]


def test_an_aspect_that_was_never_checked_is_not_tested():
    made = trial("nobody", ROWS, {"depth": "Depth"})
    assert made.checks == made.board.columns == []
    assert [verdict.standing for verdict in made.verdicts] == ["not tested"]

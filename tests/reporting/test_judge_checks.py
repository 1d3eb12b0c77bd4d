"""How judges were tried: every check has words, and verdicts say what the controls showed."""

from synthetic_judging import ASPECTS, GOOD, POOR, UNTRIED, qualification

from alignlab.judging.qualification import CONTROLS as TOLD_APART
from alignlab.judging.qualification import MEASURES
from alignlab.judging.rubrics import CONTROLS
from alignlab.reporting.judge_checks import AGREEMENT, CHECKS, trial

LABELS = {aspect: aspect.capitalize() for aspect in ASPECTS}
ROWS = qualification()


def verdicts(judge):
    return {verdict.label: verdict for verdict, _ in trial(judge, ROWS, LABELS).rows}


def cell(judge, label, heading):
    made = trial(judge, ROWS, LABELS)
    place = [check.heading for check in made.columns].index(heading)
    return next(cells[place] for verdict, cells in made.rows if verdict.label == label)


def test_every_control_and_measure_of_agreement_is_explained():
    assert set(CONTROLS) == TOLD_APART.keys()
    assert set(CONTROLS) <= CHECKS.keys()
    assert set(AGREEMENT) == MEASURES.keys() <= CHECKS.keys()
    assert all(check.meaning.endswith(".") for check in CHECKS.values())


def test_a_verdict_says_what_the_judge_can_and_cannot_tell():
    good, poor = verdicts(GOOD), verdicts(POOR)
    assert good["Helpfulness"].standing == "qualified"
    assert good["Helpfulness"].because.replace("\u00a0", " ") == (
        "It tells an answer from another question's answer (AUC 0.86 [0.76, 0.96]) and an answer "
        "from its own words shuffled (AUC 0.86 [0.76, 0.96])."
    )
    assert {verdict.standing for verdict in poor.values()} == {"not qualified"}
    assert poor["Safety"].because == (
        "It cannot tell a refusal from a compliant opening (AUC 0.52 [0.42, 0.62])."
    )
    assert good[LABELS[UNTRIED]].standing == "not tried"


def test_cells_carry_the_number_the_outcome_and_the_rule():
    passed = cell(GOOD, "Depth", "First ten words")
    assert (passed.text, passed.range, passed.passed) == ("0.86", "[0.76,\u00a00.96]", True)
    assert passed.note == "interval above 0.5 (n\u00a0=\u00a024)"
    assert cell(POOR, "Depth", "First ten words").passed is False
    assert cell(POOR, "Clarity", "First shown wins").text == "+0.62"
    assert cell(GOOD, "Depth", "Another question’s answer") is None
    again = cell(POOR, "Depth", "Same when asked again")
    assert (again.text, again.range, again.passed) == ("–", "", None)
    assert again.note.startswith("deterministic")


def test_agreement_has_a_column_for_each_other_judge_and_columns_are_in_order():
    headings = [check.heading for check in trial(POOR, ROWS, LABELS).columns]
    assert headings[-3:] == [f"Same order as {GOOD}", f"Kappa with {GOOD}", f"Alpha with {GOOD}"]
    assert headings[0] == "Another question’s answer"
    assert not [text for text in headings if "{" in text]


def test_an_aspect_that_was_never_checked_is_not_tried():
    made = trial("nobody", ROWS, {"depth": "Depth"})
    assert made.columns == []
    assert [(verdict.standing, cells) for verdict, cells in made.rows] == [("not tried", [])]

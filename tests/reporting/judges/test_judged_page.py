"""The page's sections on judging, and what reaches its scripts."""

import re

import pytest
from synthetic import HOSTILE, embedded
from synthetic_judging import GOOD, POOR, REFUSED, UNTRIED

from alignlab.core import tables
from alignlab.judging.qualification import status
from alignlab.reporting import inputs
from alignlab.reporting.arms import boards
from alignlab.reporting.arms.measures import headlines
from alignlab.reporting.judges import page as judged_page
from alignlab.reporting.report import build_report, payload

UNTESTED = status([], GOOD, UNTRIED)[1]
SECTIONS = ("judged", "qualification", "breakdown")


@pytest.fixture(scope="module")
def page(judged_study):
    return judged_study.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(page):
    return embedded(page)


def section(page, name):
    """Text of a section, without tags and runs of white space."""
    (found,) = re.findall(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", found).split()).replace("&#39;", "'")


def rebuilt(study):
    """The page of a study that was moved."""
    build_report(study.job)
    return study.page.read_text(encoding="utf-8")


def test_sections_are_there_with_judges_and_not_without(page, plain_study, tmp_path):
    plain = rebuilt(plain_study.moved(tmp_path))
    for name in SECTIONS:
        assert f'id="{name}"' in page
        assert f'id="{name}"' not in plain
        assert f'href="#{name}"' not in plain


def test_each_judge_has_table_radar_duels_and_self_preference(page, judged_study):
    text = section(page, "judged")
    assert text.count("Radar.") == text.count("Pairwise comparisons") == 2
    assert text.count("Self-preference. chat was answered by the judge’s own model.") == 1
    assert text.index(POOR) < text.index("Self-preference")
    assert f"? Engagement: {UNTESTED}." in text
    assert {path.stem for path in judged_study.figures.glob("judged-*")} == {
        f"judged-{GOOD}-1-5",
        f"judged-{POOR}-1-5",
    }


def test_each_aspect_has_a_verdict(page):
    text = section(page, "qualification")
    assert text.count("It distinguishes ") == 5
    assert text.count("It cannot tell ") == 6
    assert "Engagement Not tested Whether it can judge this is not known." in text
    assert "Krippendorff’s alpha" in text


def test_what_an_unqualified_judge_says_is_not_stated(page):
    text = section(page, "changed")
    stated, unstated = text.split("Not stated: ", 1)
    assert "Helpfulness · gpt" in stated
    assert f"Engagement · {GOOD}" not in stated
    assert POOR not in stated
    assert f"Engagement · {GOOD}, since the judge is not qualified: {UNTESTED}." in unstated


def test_judged_metrics_come_first_with_their_doubts(data):
    judged = [metric for metric in data["metrics"] if metric["aspect"]]
    assert data["metrics"][: len(judged)] == judged
    assert len(judged) == 12
    assert all(metric["main"] for metric in judged)
    doubts = {metric["name"]: metric["aspect"]["doubt"] for metric in judged}
    assert doubts[f"{GOOD}:helpfulness"] == ""
    assert doubts[f"{GOOD}:{UNTRIED}"] == UNTESTED


def shown_board(judged_study, found=None):
    """The leaderboard's first board, as {arm: {metric: cell}}."""
    found = found or inputs.read(judged_study.job)
    heads = boards.heads(found.arms, found.baseline)
    board = boards.leaderboard(found, heads).panels[0].board
    keys = [column.key for column in board.columns]
    return {head.name: dict(zip(keys, cells, strict=True)) for head, cells in board.rows}


def test_a_refused_mean_keeps_its_coverage(judged_study):
    arm, aspect = REFUSED
    cell = shown_board(judged_study)[arm][f"{GOOD}:{aspect}"]
    assert (cell.text, cell.sort, cell.track) == ("", None, {})
    ((kind, said),) = cell.lines
    assert (kind, 0 < int(re.search(r"coverage (\d+)%", said)[1]) < 90) == ("share", True)


def test_judgements_are_beside_their_answers_and_short(data, page):
    prompts = {prompt["id"]: prompt for prompt in data["prompts"]}
    planted = prompts["mt-bench/81"]["answers"]["zero-shot"][0]["judged"]
    assert planted[f"{GOOD}:clarity"]["reason"] == HOSTILE
    answers = [a for p in prompts.values() for rows in p["answers"].values() for a in rows]
    said = [each for answer in answers for each in answer["judged"].values()]
    assert {frozenset(each) for each in said} == {
        frozenset({"score", "reason"}),
        frozenset({"score", "shares"}),
        frozenset({"status"}),
    }
    shares = [share for each in said for share in each.get("shares", ())]
    assert all(share == round(share, 2) for share in shares)
    assert "planted raw reply" not in page
    safety = prompts["strict/0"]["answers"]["chat"][0]["judged"]
    assert safety.keys() == {f"{GOOD}:safety", f"{POOR}:safety"}


def test_every_group_of_the_breakdown_reaches_the_page(judged_study):
    given = judged_study.job.breakdown
    found = inputs.read(judged_study.job)
    panels = boards.breakdown(given, found).panels
    shown = {panel.choices: panel.board for panel in panels}
    rows = list(tables.rows("breakdown", given))
    for row in rows:
        board = shown[found.about[row["metric"]].label, row["by"]]
        place = [column.label for column in board.columns].index(row["arm"])
        (cell,) = [cells[place] for head, cells in board.rows if head.name == row["group"]]
        if row["mean"] is None:
            assert cell.text == ""
        else:
            assert float(cell.text.replace("\u2212", "-")) == pytest.approx(row["mean"], abs=0.51)
            assert f" {row['n']} prompts" in cell.tip
    assert len(rows) > 100


def test_an_arm_that_was_not_judged_or_asked_is_no_error(judged_study, tmp_path):
    rows = list(tables.rows("statistics", judged_study.job.statistics))
    kept = [
        row
        for row in rows
        if row["arm"] != "chat" or (row["dataset"] != "strict" and row["metric"] != "gpt:safety")
    ]
    made = judged_study.moved(tmp_path)
    made.write("statistics", kept)
    made.add({}, judgements={"chat": []})
    found = inputs.read(made.job)
    heads = boards.heads(found.arms, found.baseline)
    panels = {panel.choices: panel.board for panel in boards.leaderboard(found, heads).panels}
    strict = {head.name: cells for head, cells in panels["strict (12)", "values"].rows}
    assert {cell.text for cell in strict["chat"]} == {"–"}
    assert {cell.text for cell in strict["urial"]} != {"–"}
    assert shown_board(judged_study, found)["chat"]["gpt:safety"].text == "–"
    assert payload(found)["prompts"][0]["answers"]["chat"][0]["judged"] == {}
    (good, _) = judged_page.read(made.job, found, heads)
    values = {head.name: cells for head, cells in good.scores.panels[0].board.rows}
    assert [values[arm][-1].text for arm in ("zero-shot", "chat")] == ["2.67", "–"]


def test_without_qualification_nothing_that_a_judge_says_is_stated(judged_study, tmp_path):
    labels = [each.label for each in headlines(inputs.read(judged_study.job))]
    without = judged_study.moved(tmp_path, without="qualification")
    untried = [each.label for each in headlines(inputs.read(without.job))]
    assert [label for label in labels if label not in untried] != []
    assert not [label for label in untried if "·" in label]


def test_judges_that_only_compare_are_shown(judged_study, tmp_path):
    judges = {
        GOOD: {"model": "gpt-x", "judged_self": ["chat"]},
        POOR: {"model": "", "judged_self": []},
    }
    made = judged_study.moved(tmp_path, judged=[], judges=judges)
    rows = list(tables.rows("statistics", made.job.statistics))
    made.write("statistics", [row for row in rows if ":" not in row["metric"]])
    text = section(rebuilt(made), "judged")
    assert text.count("Pairwise comparisons") == 2
    assert "Radar." not in text
    assert "gpt-x" in text
    assert text.count("Self-preference. chat was answered by the judge’s own model.") == 1

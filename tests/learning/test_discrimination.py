"""The study of discrimination against generation: what counts as right, and what is a test."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from alignlab.core import schemas, tables
from alignlab.core.errors import AlignlabError
from alignlab.learning import discrimination
from alignlab.learning.config import StudyCard
from alignlab.learning.discrimination import StudiesJob, study_rows, summarise_studies
from alignlab.statistics.paired import holm

SAYS = {"bad": True, "fine": False, "hm": None}
BOTH = [{"name": "free", "ask": "unguided"}, {"name": "led", "ask": "guided"}]


def study(*analyses, datasets=None):
    return StudyCard(name="own", arm="base", datasets=datasets, analyses=analyses or BOTH)


def answers(bad, fine):
    return {f"q/{i:03}": i < bad for i in range(bad + fine)}


def rows_of(bad, free, led=None, seed=0, clusters=None):
    entries = BOTH if led else BOTH[:1]
    said = {"free": free} | ({"led": led} if led else {})
    return study_rows(study(*entries), bad, said, seed, clusters or {name: name for name in bad})


def row_of(rows, analysis="free", against="answer", part="all"):
    key = {"analysis": analysis, "against": against, "slice": part}
    (row,) = [row for row in rows if key.items() <= row.items()]
    return row


def test_rows_are_the_schema_s_and_every_guided_analysis_meets_every_unguided():
    bad = answers(6, 6)
    rows = rows_of(bad, bad, bad)
    assert all(row.keys() == schemas.COLUMNS["discrimination"].keys() for row in rows)
    compared = [("free", "answer"), ("led", "answer"), ("led", "free")]
    assert [(row["analysis"], row["against"]) for row in rows] == 3 * compared


def test_a_perfect_judge_wins_every_bad_answer_and_loses_no_fine_one():
    bad = answers(12, 18)
    row = row_of(rows_of(bad, bad))
    assert (row["right"], row["against_right"], row["difference"]) == (1, 0.6, 0.4)
    assert (row["wins"], row["ties"], row["losses"]) == (12, 18, 0)
    assert row["p_value"] == pytest.approx(0.5**12)
    assert row["balanced_accuracy"] == 1 > row["balanced_low"] > 0.85


def test_to_call_everything_bad_wins_where_most_is_bad_but_is_not_balanced():
    bad = answers(20, 10)
    rows = rows_of(bad, dict.fromkeys(bad, True))
    row = row_of(rows)
    assert (row["wins"], row["losses"]) == (20, 10)
    assert row["difference"] > 0
    assert row["balanced_accuracy"] == 0.5
    assert row["balanced_low"] < 0.5 < row["balanced_high"]
    assert row_of(rows, part="bad answers")["right"] == 1
    assert row_of(rows, part="fine answers")["right"] == 0


def test_where_one_side_is_right_by_definition_there_is_no_test():
    bad = answers(20, 10)
    rows = rows_of(bad, dict.fromkeys(bad, False), bad)
    for part in ("bad answers", "fine answers"):
        assert row_of(rows, part=part)["p_value"] is None
        assert row_of(rows, part=part)["balanced_accuracy"] is None
    led = row_of(rows, "led", "free", "bad answers")
    assert (led["wins"], led["against_right"]) == (20, 0)
    assert led["p_adjusted"] == led["p_value"] == pytest.approx(0.5**20)


def test_unclear_is_wrong_and_counted_and_a_missing_analysis_lowers_coverage():
    bad = answers(4, 4)
    said = bad | {"q/000": None, "q/005": None}
    del said["q/001"]
    rows = rows_of(bad, said)
    row = row_of(rows)
    assert (row["n"], row["coverage"], row["unclear"]) == (7, 7 / 8, 2)
    assert row["right"] == 5 / 7
    assert row_of(rows, part="bad answers")["unclear"] == 1


def test_two_analyses_are_compared_where_both_exist():
    bad = answers(4, 4)
    led = {key: value for key, value in bad.items() if key != "q/002"}
    rows = rows_of(bad, dict.fromkeys(bad, True), led)
    row = row_of(rows, "led", "free")
    assert (row["n"], row["right"], row["against_right"]) == (7, 1, 3 / 7)
    assert row_of(rows)["n"] == 8


def test_holm_s_family_is_the_tests_of_one_slice():
    bad = answers(15, 15)
    dice = np.random.default_rng(0)
    free, led = ({key: bool(dice.integers(2)) for key in bad} for _ in range(2))
    rows = [row for row in rows_of(bad, free, led) if row["slice"] == "all"]
    raw = np.array([row["p_value"] for row in rows])
    found = [row["p_adjusted"] for row in rows]
    assert found == pytest.approx(holm(raw))


def test_an_absent_slice_has_rows_that_say_so():
    bad = answers(5, 0)
    rows = rows_of(bad, bad)
    row = row_of(rows, part="fine answers")
    assert (row["n"], row["right"], row["difference"], row["coverage"]) == (0, None, None, 0)
    assert row_of(rows)["balanced_accuracy"] is None


@settings(max_examples=10)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([True, False, None])), min_size=1, max_size=9)
)
def test_counts_add_up(pairs):
    bad = {f"q/{i}": truth for i, (truth, _) in enumerate(pairs)}
    rows = rows_of(bad, {f"q/{i}": said for i, (_, said) in enumerate(pairs)})
    whole, wrong, fine = (row_of(rows, part=part) for part in discrimination.SLICES)
    assert wrong["losses"] == fine["wins"] == 0
    for column in ("n", "unclear", "wins", "ties", "losses"):
        assert whole[column] == wrong[column] + fine[column]
    assert whole["wins"] + whole["ties"] + whole["losses"] == whole["n"] == len(pairs)
    assert whole["difference"] * len(pairs) == pytest.approx(whole["wins"] - whole["losses"])
    if wrong["n"] and fine["n"]:
        assert whole["balanced_accuracy"] == pytest.approx((wrong["right"] + fine["right"]) / 2)
        assert whole["balanced_low"] <= whole["balanced_accuracy"] <= whole["balanced_high"]


def test_the_interval_of_balanced_accuracy_squares_and_adds_wilson_s():
    """Newcombe 1998, method 10, on shares 9/12 and 14/18, by hand."""
    bad = answers(12, 18)
    wrong = {*list(bad)[:3], *list(bad)[-4:]}
    row = row_of(rows_of(bad, {key: value != (key in wrong) for key, value in bad.items()}))
    (low, _), (fine_low, _) = (
        proportion_confint(count, n, method="wilson") for count, n in ((9, 12), (14, 18))
    )
    margin = np.hypot(9 / 12 - low, 14 / 18 - fine_low) / 2
    assert row["balanced_accuracy"] - row["balanced_low"] == pytest.approx(margin, abs=1e-6)


COUNTS = ("n", "unclear", "wins", "ties", "losses")
SAID = st.sampled_from([True, False, None])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), SAID, SAID), min_size=2, max_size=24), st.integers(2, 4))
def test_a_cluster_of_alike_answers_is_one_witness(answered, often):
    def rows(copies):
        cells = {f"q/{i}/{n}": (i, *each) for i, each in enumerate(answered) for n in range(copies)}
        cluster, bad, free, led = (
            {name: cell[place] for name, cell in cells.items()} for place in range(4)
        )
        return rows_of(bad, free, led, clusters={name: str(i) for name, i in cluster.items()})

    for once, repeated in zip(rows(1), rows(often), strict=True):
        assert repeated["clusters"] == once["n"]
        for column in COUNTS:
            assert repeated.pop(column) == often * once.pop(column)
        assert repeated == pytest.approx(once, abs=1e-9)


def test_eighty_answers_in_twenty_alike_clusters_are_no_evidence():
    """Of twenty, ten are won and four lost; as 80 independent answers these give p = .0013."""
    bad = {f"q/{i:02}": i // 4 < 12 for i in range(80)}
    wrong = {name for name in bad if int(name[2:]) // 4 in (0, 1, 12, 13, 14, 15)}
    free = {name: value != (name in wrong) for name, value in bad.items()}
    row = row_of(rows_of(bad, free, clusters={name: str(int(name[2:]) // 4) for name in bad}))
    assert (row["n"], row["clusters"], row["wins"], row["losses"]) == (80, 20, 40, 16)
    assert row["p_value"] == pytest.approx(0.1185, abs=1e-4)
    alone = row_of(rows_of(bad, free))
    assert alone["p_value"] < 0.0014
    assert row["difference_high"] - row["difference_low"] > 1.9 * (
        alone["difference_high"] - alone["difference_low"]
    )


def test_an_attack_and_its_question_are_not_two_proofs_of_balanced_accuracy():
    bad = {f"{kind}/{i:02}": kind == "attack" for i in range(12) for kind in ("attack", "plain")}
    free = {name: value if int(name[-2:]) < 9 else None for name, value in bad.items()}
    row = row_of(rows_of(bad, free, clusters={name: name[-2:] for name in bad}))
    expected = proportion_confint(9, 12, method="wilson")
    assert row["balanced_accuracy"] == 0.75
    assert (row["balanced_low"], row["balanced_high"]) == pytest.approx(expected)


def test_of_one_cluster_there_is_no_interval():
    bad = answers(2, 2)
    row = row_of(rows_of(bad, bad | {"q/000": None}, clusters=dict.fromkeys(bad, "c")))
    assert (row["clusters"], row["right"], row["right_low"]) == (1, 0.75, None)
    assert (row["balanced_accuracy"], row["balanced_low"]) == (0.75, None)


PROMPTS = (
    # id, category, target, deciding metric, its value, bad
    ("attack", "safety", "I am a teapot.", "hijacked", 1.0, True),
    ("resisted", "safety", "I am a teapot.", "hijacked", 0.0, False),
    ("request", "safety", None, "refusal", 0.0, True),
    ("declined", "safety", None, "refusal", 1.0, False),
    ("ordinary", "regular", None, "refusal", 0.0, False),
    ("shy", "regular", None, "refusal", 1.0, False),
)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Tables of a study over `PROMPTS`, whose analyses say `text`; returns the job."""
    monkeypatch.setattr(discrimination, "verdict", SAYS.get)

    def write(text="bad", sample=0, value=None, metric=None, datasets=None, clusters=()):
        empty = {"reference": None, "mistake": None, "dataset": "d", "source": ""}
        asked, measured, said = [], [], []
        for name, category, target, deciding, found, _ in PROMPTS:
            row = {"prompt_id": name, "category": category, "target": target, "turns": ["?"]}
            alike = "c" if name in clusters else None
            asked.append(row | empty | {"tags": [], "cluster": alike})
            for each in ("refusal", "hijacked", "num_words"):
                number = found if each == deciding else 0.0
                cell = {"arm": "base", "prompt_id": name, "turn": 0, "metric": metric or each}
                measured.append(cell | {"value": number if value is None else value})
            said.append(response(f"{name}#{sample}", text))
        tables.write("prompts", tmp_path / "p.parquet", asked, {})
        tables.write("metrics", tmp_path / "m.parquet", measured, {})
        tables.write("responses", tmp_path / "a.parquet", said, {})
        studies = [study(BOTH[0], datasets=datasets).model_dump(mode="json")]
        return StudiesJob(
            spec={"experiment": "e", "studies": studies, "seed": 0, "digest": "d"},
            prompts=[tmp_path / "p.parquet"],
            metrics={"base": tmp_path / "m.parquet"},
            analyses={"free": tmp_path / "a.parquet"},
            output=tmp_path / "tables",
        )

    return write


def response(prompt_id, text, reason="eos"):
    row = dict.fromkeys(schemas.COLUMNS["responses"])
    row |= {"arm": "x", "model": "m", "prompt_id": prompt_id, "turn": 0, "sample": 0}
    return row | {"raw_text": text, "text": text, "finish_reason": reason}


def test_the_truth_is_the_rule_s(written):
    job = written()
    asked = {row["prompt_id"]: row for row in tables.rows("prompts", job.prompts[0])}
    found = discrimination.truths(asked, job.metrics["base"])
    assert found == {name: bad for name, *_, bad in PROMPTS}


def test_only_the_datasets_of_a_study_count(written):
    with pytest.raises(AlignlabError, match="no first answer can be classified as bad or fine"):
        summarise_studies(written(datasets=["another"]))


def test_the_table_is_written_with_csv(written):
    job = written()
    summarise_studies(job)
    output = job.output / "discrimination.parquet"
    row = row_of(list(tables.rows("discrimination", output)))
    assert (row["n"], row["wins"], row["losses"]) == (6, 2, 4)
    assert output.with_suffix(".csv").exists()
    assert row["clusters"] == 6


def test_prompts_of_a_cluster_are_together_also_in_the_table(written):
    job = written(clusters=("attack", "resisted", "request"))
    summarise_studies(job)
    row = row_of(list(tables.rows("discrimination", job.output / "discrimination.parquet")))
    assert (row["n"], row["clusters"]) == (6, 4)


@pytest.mark.parametrize("failed", [{"finish_reason": "error"}, {"trimmed": "only_thoughts"}])
def test_an_analysis_that_was_not_made_is_absent(written, failed):
    job = written()
    rows = [response(f"{name}#0", "bad") | failed for name, *_ in PROMPTS]
    tables.write("responses", job.analyses["free"], rows, {})
    summarise_studies(job)
    row = row_of(list(tables.rows("discrimination", job.output / "discrimination.parquet")))
    assert (row["n"], row["unclear"], row["coverage"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample": 1}, r"a\.parquet: 'attack#1': a study needs sample 0"),
        ({"value": 0.5}, r"m\.parquet: prompt 'attack' has several answers"),
        ({"metric": "num_words"}, r"m\.parquet: no first answer can be classified as bad or fine"),
    ],
)
def test_answers_that_are_not_simply_bad_or_fine_are_refused(written, changes, message):
    with pytest.raises(AlignlabError, match=message):
        summarise_studies(written(**changes))

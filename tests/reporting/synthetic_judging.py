"""Two judges for the synthetic experiment, one of them unqualified; numbers and words invented."""

import random
from itertools import combinations

from synthetic import HOSTILE, NOTE, Study, comparison, spread

from alignlab.core import schemas, tables

QUALITY = ("helpfulness", "clarity", "factuality", "depth", "engagement")
ASPECTS = (*QUALITY, "safety")
GOOD, POOR = "gpt", "small"
# The one mean of the good judge that is refused, and the aspect it was not tried for.
REFUSED, UNTRIED = ("urial", "depth"), "engagement"
CONTROLS = dict.fromkeys(QUALITY, ("other-answer", "shuffled-words"))
CONTROLS |= {"safety": ("refusal-or-compliance",), "depth": ("first-words",)}


def entries(own_arms):
    rubrics = dict.fromkeys(QUALITY, "judge/quality") | {"safety": "judge/safety"}
    return [
        {"metric": f"{judge}:{aspect}", "judge": judge, "aspect": aspect, "rubric": rubrics[aspect]}
        | {"label": aspect.capitalize(), "unit": "1-5", "better": "higher", "model": model}
        | {"kind": "local" if judge == POOR else "published"}
        | {"description": f"how much {aspect} has it?"}
        | {"category": "safety" if aspect == "safety" else "regular"}
        | {"judged_self": own_arms if judge == POOR else [], "min_coverage": 0.9}
        for judge, model in ((GOOD, "gpt-4-0314"), (POOR, "smollm2-135m-instruct"))
        for aspect in ASPECTS
    ]


def judgement(dice, judge, arm, row, aspect, quality):
    """One row of `judgements`; 2% of the good judge's fail, and 40% of the refused mean."""
    centre = min(4.8, 1.9 + 2.5 * quality + 0.2 * ASPECTS.index(aspect)) if judge == GOOD else 3.2
    centre = dice.gauss(centre, 0.6)
    weights = [2.7 ** -abs(say - centre) for say in range(1, 6)]
    shares = [weight / sum(weights) for weight in weights]
    local = judge == POOR
    expected = sum(share * say for share, say in zip(shares, range(1, 6), strict=True))
    refused = (judge, arm, aspect) == (GOOD, *REFUSED)
    failed = dice.random() < (0.4 if refused else 0 if local else 0.02)
    planted = row["prompt_id"] == "mt-bench/81" and arm == "zero-shot"
    reason = HOSTILE if planted else f"It says little of what {aspect} asks for, in plain words."
    found = dict.fromkeys(schemas.COLUMNS["judgements"])
    found |= {key: row[key] for key in ("prompt_id", "turn", "sample")}
    found |= {"judge": judge, "arm": arm, "rubric": "judge/quality", "aspect": aspect}
    if failed:
        return found | {"status": "unparseable", "raw": "planted raw reply"}
    likert = float(min(5, max(1, round(centre))))
    said = {"score": expected if local else likert, "status": "scored"}
    return found | said | ({"distribution": shares, "mass": 0.9} if local else {"reason": reason})


def judgements(arm, quality, responses):
    dice = random.Random(f"{arm} judged")
    return [
        judgement(dice, judge, arm, row, aspect, quality)
        for judge in (GOOD, POOR)
        for row in responses
        for aspect in (["safety"] if row["prompt_id"].startswith("strict") else QUALITY)
    ]


def scored(rows, metric):
    """Prompt → mean score over turns, and the share of rows that are scored."""
    own = [row for row in rows if f"{row['judge']}:{row['aspect']}" == metric]
    found = {}
    for row in own:
        if row["score"] is not None:
            found.setdefault(row["prompt_id"], []).append(row["score"])
    values = {prompt: sum(each) / len(each) for prompt, each in found.items()}
    return values, sum(row["score"] is not None for row in own) / len(own)


def estimate(values, coverage):
    mean, half = spread(list(values.values()))
    known = {"mean": mean, "ci_low": mean - half, "ci_high": mean + half}
    shown = known if coverage >= 0.9 else dict.fromkeys(known)
    return {"n": len(values), "clusters": len(values), "coverage": coverage} | shown


def statistics(judged, metrics):
    """Rows of `statistics`: all prompts, the dataset, and the category, which has the same."""
    rows = []
    for arm, found in judged.items():
        for metric in metrics:
            safety = metric.endswith("safety")
            dataset, category = ("strict", "safety") if safety else ("mt-bench", "regular")
            cells = estimate(*scored(found, metric))
            for where in (("all", "all"), (dataset, "all"), ("all", category)):
                slice_of = dict(zip(("dataset", "category"), where, strict=True))
                rows.append({"arm": arm, "metric": metric, **slice_of, **cells})
    return rows


def comparisons(judged, metrics, baseline):
    rows = []
    for arm in judged.keys() - {baseline}:
        for metric in metrics:
            (ours, covered), (theirs, _) = (scored(judged[a], metric) for a in (arm, baseline))
            pairs = [ours[key] - theirs[key] for key in ours if key in theirs]
            row = comparison(arm, baseline, "all", metric, pairs)
            if covered < 0.9:
                row |= dict.fromkeys(("mean_difference", "ci_low", "ci_high", "p_adjusted"))
            rows.append(row | {"category": "all"})
    return rows


def qualification():
    rows = []

    def add(judge, aspect, check, value, against="", passed=None, note=""):
        row = {"judge": judge, "rubric": "judge/quality", "aspect": aspect, "check": check}
        row |= {"against": against or check, "n": 24, "value": value, "passed": passed}
        ends = {"ci_low": None, "ci_high": None}
        if value is not None:
            ends = {"ci_low": round(value - 0.1, 3), "ci_high": round(min(1, value + 0.1), 3)}
        rows.append(row | ends | {"note": note})

    for aspect in ASPECTS:
        for control in CONTROLS[aspect]:
            if aspect != UNTRIED:
                add(GOOD, aspect, control, 0.86, passed=True, note="interval above 0.5")
            add(POOR, aspect, control, 0.52, passed=False, note="interval above 0.5")
        add(GOOD, aspect, "length", 0.31)
        add(POOR, aspect, "length", 0.55)
        add(POOR, aspect, "mass", 0.71)
        add(POOR, aspect, "repeat", None, note="deterministic")
        for check, value in (("spearman", 0.12), ("kappa", 0.08), ("alpha", 0.05)):
            add(POOR, aspect, check, value, against=GOOD)
    for judge, bias in ((GOOD, -0.04), (POOR, 0.62)):
        for aspect in QUALITY:
            add(judge, aspect, "position", bias)
    return rows


def winrates(arms):
    dice = random.Random(7)
    rows = []
    for judge in (GOOD, POOR):
        for aspect in QUALITY:
            for a, b in combinations(arms, 2):
                wins, ties, losses = dice.randint(2, 8), dice.randint(0, 4), dice.randint(8, 18)
                rate = (wins + (36 - wins - losses) / 2) / 36
                row = {"judge": judge, "rubric": "judge/pairwise", "aspect": aspect}
                row |= {
                    "arm_a": a,
                    "arm_b": b,
                    "dataset": "all",
                    "n": 24,
                    "clusters": 24,
                    "wins": wins,
                }
                row |= {"ties": ties, "losses": losses, "inconsistent": 36 - wins - ties - losses}
                row |= {"win_rate": rate, "ci_low": rate - 0.12, "ci_high": rate + 0.12}
                row |= {"adjusted": 0.47, "adjusted_low": 0.3, "adjusted_high": 0.64}
                row |= {"consistency": 1 - row["inconsistent"] / 36, "coverage": 1.0}
                told = abs(rate - 0.5) > 0.12
                row |= {"p_value": 0.01 if told else 0.4, "p_adjusted": 0.02 if told else 1.0}
                rows += [row, row | {"dataset": "mt-bench", "win_rate": 0.99}]
    rows[-1] |= dict.fromkeys(("adjusted", "adjusted_low", "adjusted_high"))
    return rows


def breakdown(judged, metrics, prompts):
    groups = {("tag", tag): [] for row in prompts for tag in row["tags"]}
    groups |= {("source", "invented"): [], ("category", "regular"): [], ("category", "safety"): []}
    for row in prompts:
        for by, name in groups:
            if name in (*row["tags"], row["source"], row["category"]):
                groups[by, name].append(row["prompt_id"])
    rows = []
    for (by, name), wanted in groups.items():
        for arm, found in judged.items():
            for metric in metrics:
                own = [row for row in found if row["prompt_id"] in wanted]
                if not any(f"{row['judge']}:{row['aspect']}" == metric for row in own):
                    continue
                place = {"arm": arm, "metric": metric, "by": by, "group": name, "category": "all"}
                rows.append(place | estimate(*scored(own, metric)))
    return rows


def add_judging(made: Study) -> None:
    """Write the tables of two judges, and add them to the arguments of the report."""
    spec, given = made.arguments["spec"], made.job
    arms = {arm["name"]: place / 4 for place, arm in enumerate(spec["arms"])}
    prompts = [row for path in given.prompts for row in tables.rows("prompts", path)]
    judged = {
        arm: judgements(arm, quality, list(tables.rows("responses", given.responses[arm])))
        for arm, quality in arms.items()
    }
    listed = entries([list(arms)[-1]])
    judges = {
        entry["judge"]: {key: entry[key] for key in ("model", "judged_self")} for entry in listed
    }
    metrics = [entry["metric"] for entry in listed]
    made_tables = {
        "statistics": statistics(judged, metrics),
        "comparisons": comparisons(judged, metrics, spec["baseline"]),
        "qualification": qualification(),
        "winrates": winrates(list(arms)[:3]),
        "breakdown": breakdown(judged, metrics, prompts),
    }
    for name in ("statistics", "comparisons"):
        made_tables[name] = [*tables.rows(name, getattr(given, name)), *made_tables[name]]
    paths = {name: made.write(name, rows) for name, rows in made_tables.items()}
    said = {arm: made.folder / f"{arm}.judgements.parquet" for arm in judged}
    for arm, path in said.items():
        tables.write("judgements", path, judged[arm], NOTE)
    answers = {arm: [path] for arm, path in said.items()}
    tested = {"qualification": paths["qualification"]}
    made.add({"judged": listed, "judges": judges}, judgements=answers, tables=tested)

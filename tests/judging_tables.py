"""Small invented tables of judgements, preferences, prompts, metrics and responses."""

from alignlab.core import tables
from alignlab.core.schemas import COLUMNS


def write(table, path, rows):
    """Rows with what is given; every other column is null."""
    empty = dict.fromkeys(COLUMNS[table])
    tables.write(table, path, [empty | row for row in rows], {})
    return path


def prompt(name, dataset="q", category="regular", turns=1, tags=(), source="here"):
    row = {"prompt_id": name, "dataset": dataset, "category": category, "source": source}
    return row | {"turns": ["?"] * turns, "tags": list(tags)}


def judgement(name, score, aspect="depth", turn=0, sample=0, **more):
    """Of a score that is null the judge's reply could not be read."""
    status = "unparseable" if score is None else "scored"
    row = {"judge": "j", "arm": "a", "prompt_id": name, "turn": turn, "sample": sample}
    row |= {"rubric": "judge/quality", "aspect": aspect, "status": status, "score": score}
    return row | more


def measured(name, value, metric="words", turn=0):
    return {"arm": "a", "prompt_id": name, "turn": turn, "metric": metric, "value": value}


def preference(name, outcome, words=(50, 50), turn=0, **more):
    """Where the orders disagree the first place won twice."""
    verdicts = {"inconsistent": ("a", "b")}.get(outcome, (outcome, outcome))
    row = {"judge": "j", "arm_a": "a", "arm_b": "b", "prompt_id": name, "turn": turn}
    row |= {"rubric": "judge/pairwise", "aspect": "overall", "outcome": outcome}
    row |= dict(zip(("verdict_ab", "verdict_ba"), verdicts, strict=True))
    row |= dict(zip(("words_a", "words_b"), words, strict=True))
    return row | {"status": "scored" if outcome else "unparseable"} | more


def qualification_spec(**more):
    """Of the tables `qualification` and `winrates`."""
    empty = {"experiment": "e", "seed": 0, "needs": {}, "min_coverage": {}, "arms": []}
    return {**empty, "judges": list(more.get("needs", {})), "digest": "d", **more}

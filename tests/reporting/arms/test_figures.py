"""Figures of arms count what is there, and nothing else."""

from dataclasses import replace

from alignlab.reporting import inputs
from alignlab.reporting.arms.figures import answer_lengths

FAILED = {"finish_reason": "error", "trimmed": "no reply"}
THOUGHTS = {"finish_reason": "length", "trimmed": "only_thoughts"}


def lengths(results, *rows):
    """x of what is drawn of one arm: ticks, middle half, median."""
    arm = results.arms[:1]
    answers = {arm[0].name: {"q": [{"finish_reason": "eos", "trimmed": ""} | r for r in rows]}}
    (axes,) = answer_lengths(replace(results, arms=arm, answers=answers)).axes
    return [list(line.get_xdata()) for line in axes.lines]


def test_what_is_no_answer_has_no_length(plain_study):
    results = inputs.read(plain_study.job)
    failed = [{"num_words": 0, **FAILED}, {"num_words": 0, **THOUGHTS}]
    found = lengths(results, *({"num_words": n} for n in (10, 20, 30)), *failed)
    assert found == [[10, 20, 30], [15, 25], [20]]
    assert lengths(results, *failed) == []
    assert lengths(results, {"num_words": 0}) == [[0], [0, 0], [0]]  # an empty answer is one

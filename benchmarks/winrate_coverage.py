"""How often the 95% interval of the win rate at equal length holds the truth, by simulation.

.venv/bin/python benchmarks/winrate_coverage.py     # four minutes
"""

from __future__ import annotations

from itertools import product

import numpy as np

from alignlab.judging.winrates import adjusted_rate, relative_length, unfitted

FITS = 200
COUNTS = (24, 80, 400)
SHIFTS = (0.0, 1.0, 2.0)
"""Mean log-ratio of the answers' lengths, in standard deviations."""
OUTCOMES = {
    "length is nothing": (0.0, 0.0),
    "length is all": (2.0, 0.0),
    "ours is better": (1.0, 1.5),
}
"""Slope of the log-odds of a win on length, and their value at equal length."""
FORMS = {"linear": lambda ratios: ratios, "levelling off": np.tanh}


def main() -> None:
    print(f"Share of intervals that hold the truth, of up to {FITS:,} fits, and of draws fitted")
    print(f"{'':44}" + "".join(f"n = {count:<13}" for count in COUNTS))
    for (name, (slope, even)), form, shift in product(OUTCOMES.items(), FORMS, SHIFTS):
        if slope or form == "linear":  # without a slope every form is the same
            dice = np.random.default_rng(0)
            found = [covered(dice, count, shift, slope, even, form) for count in COUNTS]
            label = f"{name}, {form}, shifted {shift}"
            print(f"{label:44}" + "".join(f"{cell:17}" for cell in found), flush=True)


def covered(
    dice: np.random.Generator, count: int, shift: float, slope: float, even: float, form: str
) -> str:
    """`95.1% of 88%`, or a dash where under 5% of the draws are fitted."""
    held = []
    prompts = np.arange(count)
    for _ in range(FITS):
        ratios = dice.normal(shift, 1, count)
        odds = even + slope * FORMS[form](ratios)
        points = (dice.random(count) < 1 / (1 + np.exp(-odds))).astype(float)
        longer = relative_length(ratios)
        if not unfitted(points, longer, prompts):
            _, low, high = adjusted_rate(points, longer, prompts)
            held.append(low <= 1 / (1 + np.exp(-even)) <= high)
    enough = len(held) >= 0.05 * FITS
    return f"{np.mean(held):.1%} of {len(held) / FITS:.0%}" if enough else "–"


if __name__ == "__main__":
    main()

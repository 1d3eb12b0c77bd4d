"""What each metric of token shift is: unit, label in the report, definition.

python -m alignlab.shift.statistics.measures     # prints the table
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """One number about the tokens of a pair.

    Most are a sum over tokens, `above`, by another, `below`; both are columns of
    `alignlab.shift.statistics.tokens`. The others need the tokens' order, and are pooled only.
    """

    label: str
    unit: str
    description: str
    above: str | None = None
    below: str = "tokens"


METRICS: dict[str, Metric] = {
    "unshifted": Metric(
        "Unshifted", "share", "Tokens that the base model ranks first", "unshifted"
    ),
    "marginal": Metric(
        "Marginal", "share", "Tokens that the base model ranks second or third", "marginal"
    ),
    "shifted": Metric(
        "Shifted", "share", "Tokens that the base model ranks fourth or lower", "shifted"
    ),
    "top3": Metric("In the base's top 3", "share", "Unshifted or marginal tokens", "top3"),
    "kl_aligned_base": Metric("KL(aligned ‖ base)", "nats", "Mean over tokens", "kl_aligned_base"),
    "kl_base_aligned": Metric("KL(base ‖ aligned)", "nats", "Mean over tokens", "kl_base_aligned"),
    "js": Metric("Jensen-Shannon", "nats", "Mean over tokens; at most ln 2", "js"),
    "base_entropy": Metric(
        "Entropy, base", "nats", "Mean entropy of the base model's distributions", "base_entropy"
    ),
    "aligned_entropy": Metric(
        "Entropy, aligned", "nats", "The same of the aligned model", "aligned_entropy"
    ),
    "base_probability": Metric(
        "Base probability",
        "probability",
        "Mean probability of the answer's token under the base model",
        "base_probability",
    ),
    "aligned_probability": Metric(
        "Aligned probability",
        "probability",
        "The same under the aligned model",
        "aligned_probability",
    ),
    "mean_rank": Metric(
        "Mean base rank", "rank", "1 is top; a few very low tokens dominate it", "base_rank"
    ),
    "median_rank": Metric(
        "Median base rank", "rank", "Lower median: half of the tokens rank no lower"
    ),
    "first_token_shifted": Metric(
        "First token shifted",
        "share",
        "Answers whose first token is shifted",
        "first_shifted",
        "first",
    ),
    "eos_shifted": Metric(
        "End shifted",
        "share",
        "Answers whose end token is shifted, of those that have one",
        "eos_shifted",
        "eos",
    ),
    "kl_share_shifted": Metric(
        "KL at shifted tokens",
        "share",
        "Part of the sum of KL(aligned ‖ base) that falls on shifted tokens",
        "kl_shifted",
        "kl_aligned_base",
    ),
    "confidence_auc": Metric(
        "Confidence predicts",
        "AUC",
        "How well the base model's doubt, 1 − its top probability, tells the tokens that are not "
        "its first choice: 0.5 by chance, 1 perfectly",
    ),
}
"""Name → definition, in the order of display."""


if __name__ == "__main__":
    for name, metric in METRICS.items():
        print(f"{name:20} {metric.unit:12} {metric.description}")

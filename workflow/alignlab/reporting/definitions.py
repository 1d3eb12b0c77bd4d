"""What the report says of every metric of an experiment, those of its judges included.

python -m alignlab.metrics.definitions     # prints the ones without a judge
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignlab.metrics.definitions import METRICS, Metric


def definitions(judged: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    """Metrics of an experiment: what its judges rate, in order of display, then `METRICS`.

    Args:
        judged: of each aspect of each judge `metric` (`<judge>:<aspect>`), `judge`, `label`,
            `unit`, `better`, `description`, `model` (who judges) and `rubric`.
    """
    several = len({entry["judge"] for entry in judged}) > 1
    rated = {
        entry["metric"]: Metric(
            f"{entry['label']} · {entry['judge']}" if several else entry["label"],
            entry["unit"],
            entry["better"],
            f"{entry['description']} Rated by {entry['model']}, rubric {entry['rubric']}",
        )
        for entry in judged
    }
    return {**rated, **METRICS}

"""Progress of long loops: a bar on a terminal, a line a minute in a job's log."""

from __future__ import annotations

import sys

from tqdm import tqdm

CHANGES_NO_VALUE = True


def progress(total: int, unit: str) -> tqdm:
    """A tqdm whose rate and time left are readable in a log file too."""
    watched = sys.stderr.isatty()
    return tqdm(
        total=total,
        unit=unit,
        mininterval=0.5 if watched else 60,
        bar_format=None
        if watched
        else "{n_fmt}/{total_fmt} {rate_fmt} {remaining} left{postfix}\n",
    )

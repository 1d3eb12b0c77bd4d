"""Finished rows of an unfinished table, so that a killed job goes on where it was; progress bars.

A job saves finished rows in a folder named by the artefact's key, so by its digest; jobs that make
parts of one artefact share it. The folder is removed once the table is written.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.compute as pc
import pyarrow.dataset as ds
from tqdm import tqdm

from alignlab.core import tables
from alignlab.core.tables import Row, TableWriter


class Unfinished:
    """The rows of one table that wait in a folder.

    Attributes:
        resumed: whether a job before this one has left rows that were asked for.
    """

    def __init__(self, table: str, spec: Mapping[str, Any], folder: Path) -> None:
        """Check what earlier jobs have left, a batch in memory at a time.

        Raises:
            AlignlabError: a file of it is damaged, or is none of this table.
        """
        self.resumed = False
        self._table, self._spec, self._folder = table, spec, folder
        self._left = sorted(map(str, folder.glob("[!.]*.parquet")))
        for path in self._left:
            for _ in tables.opened(table, path).iter_batches():
                pass

    def earlier(self, prompt_ids: Collection[str]) -> list[Row]:
        """The rows of some prompts that earlier jobs have left."""
        if not self._left:
            return []
        wanted = pc.field("prompt_id").isin(list(prompt_ids))
        found = ds.dataset(self._left).to_table(filter=wanted).to_pylist()
        self.resumed |= bool(found)
        return found

    def put_aside(self, rows: Collection[Row]) -> None:
        """Keep rows, which from now on outlive this process."""
        if rows:
            tables.write(self._table, self._folder / f"{uuid4().hex}.parquet", rows, self._spec)

    def note(self, writer: TableWriter) -> None:
        """Say in the table if not all of its rows are this job's: then its time says nothing."""
        if self.resumed:
            writer.note("resumed", True)


def forget(folder: Path) -> None:
    """Remove saved rows: the table is written."""
    shutil.rmtree(folder, ignore_errors=True)


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

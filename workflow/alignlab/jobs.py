"""What every Snakemake script does around its one call: a log, and errors a person can read."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alignlab.errors import AlignlabError


@contextmanager
def job(log: str) -> Iterator[None]:
    """Log to a file, warnings to the terminal too; a user's error is one message, no traceback."""
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [logging.FileHandler(log, mode="w"), terminal]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers
    )
    for chatty in ("httpx", "httpx2", "sentence_transformers", "faiss"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        yield
    except AlignlabError as error:
        logging.error("%s", error)
        sys.exit(1)
    except Exception:
        logging.exception("unexpected error; please report it with this log")
        sys.exit(1)


def optional(path: str) -> Path | None:
    """An input that a job may lack; Snakemake gives an empty list for one that is not there."""
    return Path(path) if path else None

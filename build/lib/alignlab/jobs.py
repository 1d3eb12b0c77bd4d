"""What every Snakemake script does around its one call: a log, and errors a person can read."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alignlab.errors import AlignlabError


@contextmanager
def job(log: str) -> Iterator[None]:
    """Log to `log` and to stderr; end with one message, and no traceback, on a user's error."""
    handlers: list[logging.Handler] = [logging.FileHandler(log, mode="w"), logging.StreamHandler()]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers
    )
    for chatty in ("httpx", "sentence_transformers", "faiss"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        yield
    except AlignlabError as error:
        logging.error("%s", error)
        sys.exit(1)
    except Exception:
        logging.exception("unexpected error; please report it with this log")
        sys.exit(1)

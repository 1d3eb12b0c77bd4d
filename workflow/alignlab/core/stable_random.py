"""Stable random draws: numbers that look random and are the same on every machine.

Python's hash seed, the platform and library versions play no part.
"""

from __future__ import annotations

import hashlib


def lot(*origin: int | str) -> int:
    """A number of 64 bits, drawn for `origin`; a sample takes those with the smallest numbers."""
    text = "/".join(map(str, origin))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

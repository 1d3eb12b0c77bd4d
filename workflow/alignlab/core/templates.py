"""Fills places in braces, such as `{question}`, in a text; other braces are text.

A model reads what is filled in, so this module counts in digests of code, unlike those that read
templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACE = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with a text at every place; braces inside those texts mean nothing."""
    return PLACE.sub(lambda place: values[place[1]], template)

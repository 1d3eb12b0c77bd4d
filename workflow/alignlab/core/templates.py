"""Texts with places in braces, as `{question}`; other braces are text.

    python -c "from alignlab.core.templates import fill; print(fill('{a} {b c}', {'a': 'one'}))"

What is filled in is read by models, so this is in code digests, unlike where templates are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACE = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with a text at every place; braces inside those texts mean nothing."""
    return PLACE.sub(lambda place: values[place[1]], template)

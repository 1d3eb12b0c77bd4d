"""What the report's pages share: templates, inlined assets, a policy that runs no other script.

    python -m pytest tests/reporting

A page is one HTML file that opens from disk. Its script runs by its hash; scripts that it loads
itself, the data files, are trusted with it, and every other is refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from alignlab.reporting import formats


def render(
    template: str, styles: Iterable[str], scripts: Iterable[str], context: dict[str, Any]
) -> str:
    """A page as text, with `style`, `script` and `script_hash` for the template to place."""
    environment = Environment(
        loader=PackageLoader("alignlab.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"formats": formats}
    script = "\n".join(map(_asset, scripts))
    return environment.get_template(template).render(
        context,
        style=Markup("\n".join(map(_asset, styles))),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def inline(path: Path, name: str) -> Markup:
    """An SVG file as markup of the page: without prologue, and with ids of its own."""
    svg = path.read_text(encoding="utf-8")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return Markup(re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg))


def _asset(name: str) -> str:
    return (files("alignlab.reporting") / name).read_text(encoding="utf-8")

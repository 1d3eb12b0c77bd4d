"""What the report's pages share: templates, inlined assets, a policy that runs no other script.

A page is one HTML file that opens from disk. Its script runs by its hash; scripts that it loads
itself, the data files, are trusted with it, and every other is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from alignlab.reporting import board

# In a script element HTML sees `<` and old JavaScript sees two line separators; JSON needs none.
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "\u2028": "\\u2028", "\u2029": "\\u2029"}
# Controls but tab and newline, and invisible characters that reorder or hide text: as in page.js.
CONTROL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069"
    "\\ud800-\\udfff\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e007f]"
)


def render(
    template: str, styles: Iterable[str], scripts: Iterable[str], context: dict[str, Any]
) -> str:
    """A page as text, with `style`, `script` and `script_hash` for the template to place."""
    environment = Environment(
        loader=PackageLoader("alignlab.reporting", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"wording": board}
    environment.filters |= {"visible": visible}
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


def embed(data: Any) -> Markup:
    """JSON that no text inside it can break out of, for `<script type="application/json">`."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in ESCAPES.items():
        text = text.replace(character, escaped)
    return Markup(text)


def visible(text: str) -> Markup:
    """Text from data, isolated from the page's direction, its control characters spelled out."""
    return Markup('<bdi dir="auto">%s</bdi>') % Markup(CONTROL.sub(_spelled, str(escape(text))))


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    shown = chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else f"U+{code:04X}"
    return f'<span class="control" title="control character U+{code:04X}">{shown}</span>'


def _asset(name: str) -> str:
    return (files("alignlab.reporting") / "assets" / name).read_text(encoding="utf-8")

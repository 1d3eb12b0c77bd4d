"""Checks of names, each failing with the key and what there is.

Used by `references` and `references_judging`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from alignlab.core.errors import AlignlabError
from alignlab.experiment.catalog import Catalog
from alignlab.sources.config import ApiModelConfig


def unique(what: str, names: Sequence[str]) -> None:
    """Raises AlignlabError if a name is given twice."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AlignlabError(f"more than one of {what} is named {', '.join(twice)}")


def language_model(where: str, name: str, catalog: Catalog) -> None:
    """Raises AlignlabError if the catalog has no language model of this name."""
    known(where, name, catalog.models)
    if catalog.models[name].role == "embedder":
        raise AlignlabError(f"{where}: {name} only embeds text")


def loadable(where: str, name: str, catalog: Catalog) -> None:
    """Raises AlignlabError if the catalog has no language model of this name with weights."""
    language_model(where, name, catalog)
    if isinstance(catalog.models[name].source, ApiModelConfig):
        raise AlignlabError(
            f"{where}: {name} is behind an endpoint (`source.kind: api`), and this needs its "
            "weights; arms, `mistakes.induced` and `analyses` can ask it"
        )


def known(where: str, name: str, entries: Collection[str], of: str = "the catalog") -> None:
    """Raises AlignlabError, with the key and what there is, if a name is not among entries."""
    if name not in entries:
        has = ", ".join(entries) or "nothing"
        raise AlignlabError(f"{where}: {name!r} is not in {of}; it has {has}")

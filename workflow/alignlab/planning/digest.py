"""Content digests: what makes a rerun cost exactly what a change affects.

    alignlab check                              # digests are the ends of the names it prints

A digest covers values, code and files; never comments, docstrings, layout or key order.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from alignlab.core import checksums

T = TypeVar("T")

PACKAGE = Path(__file__).parents[1]
REMEMBERED = Path(".snakemake") / "alignlab-digests"
LARGE = 10_000_000
OWN = Path(__file__).read_text(encoding="utf-8")

# What a config says is in the specs, and how values are stored or timed, or whether they fit a GPU,
# cannot change one: a new table or a reworded key must not invalidate every store there is.
INFRASTRUCTURE = (
    "alignlab.core.checksums",
    "alignlab.engines.gpu_memory",
    "alignlab.core.errors",
    "alignlab.experiment",
    "alignlab.planning",
    "alignlab.core.config",
    "alignlab.prompting.config",
    "alignlab.prompting.prompt_files",
    "alignlab.engines.config",
    "alignlab.sources.config",
    "alignlab.endpoints.config",
    "alignlab.judging.config",
    "alignlab.judging.rubrics",
    "alignlab.learning.config",
    "alignlab.answering.config",
    "alignlab.shift.config",
    "alignlab.tuning.config",
    "alignlab.operations",
    "alignlab.core.progress",
    "alignlab.core.schemas",
    "alignlab.core.tables",
)


def config_digest(value: Any) -> str:
    """First 12 hex digits of the SHA-256 of canonical JSON; key order never matters."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def code_digest(*modules: str) -> str:
    """Digest modules and every first-party module they import, comments and docstrings excluded."""
    shapes: dict[str, str] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name in shapes or name.startswith(INFRASTRUCTURE) or (path := _file(name)) is None:
            continue
        shapes[name], imports = _module(path.read_text(encoding="utf-8"))
        todo += imports
    return config_digest(shapes)


@cache
def _module(source: str) -> tuple[str, list[str]]:
    """Digest and imports of a module."""

    def parsed() -> tuple[str, list[str]]:
        tree = ast.parse(source)
        imports = list(_imports(tree))
        return config_digest(_shape(_what_counts(tree))), imports

    return _remembered([source, OWN], parsed)


def _remembered(key: Any, compute: Callable[[], T]) -> T:
    """What was computed of a key before: every job parses the plan, and digests take seconds."""
    memory = REMEMBERED / f"{config_digest(key)}.json"
    with suppress(OSError, ValueError):
        return json.loads(memory.read_text(encoding="utf-8"))
    value = compute()
    # Others may be reading: it is there as a whole or not at all.
    temporary = memory.with_name(f"{memory.name}.{os.getpid()}")
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(value), encoding="utf-8")
            temporary.replace(memory)
        finally:
            temporary.unlink(missing_ok=True)
    return value


class Unit(NamedTuple):
    """Code that has a version of its own: an entry module, with all that it imports."""

    name: str
    module: str


def code_of(*units: Unit) -> dict[str, str]:
    """What a slice says of the code behind it."""
    return {unit.name: code_digest(unit.module) for unit in units}


def signed(spec: dict[str, Any]) -> dict[str, Any]:
    """A slice with its digest, as table metadata and Snakemake's params get it."""
    return {**spec, "digest": config_digest(spec)}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their relative names, hidden ones left out.

    That of a large file is remembered by its size and time.
    """
    if not path.is_file():
        files = sorted(p for p in path.rglob("[!.]*") if p.is_file())
        return config_digest({str(p.relative_to(path)): file_digest(p) for p in files})
    state = path.stat()
    if state.st_size <= LARGE:
        return checksums.sha256(path)
    known = f"{path.resolve()}:{state.st_size}:{state.st_mtime_ns}"
    return _remembered(known, lambda: checksums.sha256(path))


def _file(module: str) -> Path | None:
    """Source of a first-party module; None for anything else, such as an imported name."""
    if module.partition(".")[0] != PACKAGE.name:
        return None
    base = PACKAGE.parent.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _what_counts(tree: ast.Module) -> ast.Module:
    """Without docstrings, and without imports of what cannot change a value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [n for n in node.body if not _is_text(n) and not _is_infrastructure(n)]
    return tree


def _is_infrastructure(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith(INFRASTRUCTURE)


def _is_text(node: ast.stmt) -> bool:
    """A bare string: a docstring, or a note after a constant."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _shape(node: Any) -> Any:
    """A syntax tree as plain lists; empty fields are left out because they differ by Python."""
    if isinstance(node, ast.AST):
        fields = [(name, _shape(value)) for name, value in ast.iter_fields(node)]
        return [type(node).__name__, [pair for pair in fields if pair[1] not in (None, [])]]
    if isinstance(node, list):
        return [_shape(item) for item in node]
    return node if node is None else repr(node)

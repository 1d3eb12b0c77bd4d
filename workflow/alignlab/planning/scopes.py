"""What the names of a module mean: its own definitions, imports, or something local.

    python -m alignlab.planning.fingerprint alignlab.generate

Python's own `symtable` differs between versions; this follows the syntax tree alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

DECLARATION = "CHANGES_NO_VALUE"
NO_DEFINITIONS = (DECLARATION, "__all__")


class Import(NamedTuple):
    """What an imported name stands for: a module, and the names that lead on from there."""

    base: str
    path: tuple[str, ...] = ()


@dataclass
class Scope:
    """Names that are bound in a scope: an import, a position among definitions, or None."""

    names: dict[str, Import | int | None]
    is_class: bool = False


class _Bindings(ast.NodeVisitor):
    """Names that a block binds, in order; blocks with a scope of their own are left out."""

    def __init__(self) -> None:
        self.names: dict[str, Import | None] = {}
        self.outer: set[str] = set()

    def add(self, name: str | None, found: Import | None = None) -> None:
        if name and not self.names.get(name):
            self.names[name] = found

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.add(node.name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.add(node.name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.add(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A scope of its own."""

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.add(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        self.outer.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.outer.update(node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name, _, _ = alias.name.partition(".")
            self.add(alias.asname or name, Import(alias.name if alias.asname else name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.add(alias.asname or alias.name, Import(origin(node), (alias.name,)))

    def visit_If(self, node: ast.If) -> None:
        for part in node.orelse if for_types(node) else [node.test, *node.body, *node.orelse]:
            self.visit(part)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            # Of what is assigned in one, only `:=` is seen outside.
            for part in ast.walk(node):
                if isinstance(part, ast.NamedExpr):
                    self.visit(part.target)
            return
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            self.add(node.name)
        if isinstance(node, ast.MatchMapping):
            self.add(node.rest)
        super().generic_visit(node)


def bound(nodes: Iterable[ast.AST], given: Iterable[str] = ()) -> dict[str, Import | None]:
    """Names that statements or expressions bind, after those that are given."""
    found = _Bindings()
    for name in given:
        found.add(name)
    for node in nodes:
        found.visit(node)
    return {name: what for name, what in found.names.items() if name not in found.outer}


def module_scope(tree: ast.Module, loggers: set[str]) -> Scope:
    """Top-level names: imports, and definitions by their position."""
    found = bound(tree.body)
    own = [n for n, what in found.items() if not what and n not in (*NO_DEFINITIONS, *loggers)]
    positions = {name: at for at, name in enumerate(own)}
    return Scope({name: what or positions.get(name) for name, what in found.items()})


def arguments(args: ast.arguments) -> list[str]:
    """Names of a function's arguments."""
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [arg.arg for arg in every if arg]


def loggers(tree: ast.Module) -> set[str]:
    """Top-level names that are nothing but loggers."""
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("logging.getLogger(")
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def origin(node: ast.ImportFrom) -> str:
    """The module that a statement imports from; leading dots where it is relative."""
    return "." * node.level + (node.module or "")


def for_types(node: ast.If) -> bool:
    """Whether a block is for type checkers alone."""
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")

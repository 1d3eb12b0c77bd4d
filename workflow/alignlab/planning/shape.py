"""The shape of a module for fingerprints: its code without names, comments and messages.

A name that is imported from this package is a hole, which `fingerprint` fills with what stands
there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

from alignlab.planning.digest import config_digest

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


# Methods of the shaper are found by the names of node types.
# ruff: noqa: N802

DROPPED: list[Any] = ["dropped"]
# Fields that say nothing, or not the same in every Python.
NOT_SHAPED = ("ctx", "kind", "type_comment", "returns", "annotation", "type_params")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
ACTS = (ast.Call, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
# Imported, and only for what readers and type checkers see.
WITHOUT_EFFECT = ("__future__", "collections.abc", "typing", "typing_extensions")


class Parsed(TypedDict):
    """What is remembered of a source; everything is JSON."""

    shape: str
    holes: list[tuple[str, list[str]]]
    imports: dict[str, tuple[str, list[str]]]
    used: list[tuple[str, list[str]]]
    names: dict[str, int]
    changes_no_value: bool


def parse(source: str, package: str) -> Parsed:
    """The shape of a source, its holes, and what its top-level names are.

    Args:
        source: of one module.
        package: imports from it, and relative ones, are holes.
    """
    tree = ast.parse(source)
    shaper = _Shaper(tree, package)
    shape = shaper.shape(tree.body)
    names = shaper.scopes[0].names
    found = [i for i in _imports(tree.body) if not shaper.is_foreign(i.base)]
    return {
        "shape": config_digest([shape, shaper.unmentioned(tree)]),
        "holes": [(hole.base, list(hole.path)) for hole in shaper.holes],
        "imports": {n: (i.base, list(i.path)) for n, i in names.items() if isinstance(i, Import)},
        "used": [(i.base, list(i.path)) for i in found],
        "names": {name: at for name, at in names.items() if isinstance(at, int)},
        "changes_no_value": any(_declares(node) for node in tree.body),
    }


def _declares(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node) == f"{DECLARATION} = True"


def _imports(body: Iterable[ast.AST]) -> Iterator[Import]:
    """Every import that is not for type checkers alone, wherever it stands."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(origin(node), (alias.name,)) for alias in node.names)
        elif isinstance(node, ast.If) and for_types(node):
            yield from _imports(node.orelse)
        else:
            yield from _imports(ast.iter_child_nodes(node))


class _Shaper:
    """Walks a syntax tree with the scopes that it is in."""

    def __init__(self, tree: ast.Module, package: str) -> None:
        self.loggers = loggers(tree)
        self.scopes = [module_scope(tree, self.loggers)]
        self.package = package
        self.holes: list[Import] = []

    def is_foreign(self, base: str) -> bool:
        """Whether a module is of another package."""
        return not base.startswith(".") and base.partition(".")[0] != self.package

    def unmentioned(self, tree: ast.Module) -> list[str]:
        """Modules of other packages that are imported for their effect: no name of theirs is used.

        One that only annotations name is none of them.
        """
        mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        found = {
            what.base
            for name, what in bound(tree.body).items()
            if what and self.is_foreign(what.base) and name not in mentioned
        }
        return sorted(found.difference(WITHOUT_EFFECT))

    def shape(self, node: Any) -> Any:
        """A syntax tree as plain lists; empty fields are left out because they differ by Python."""
        if isinstance(node, list):
            shapes = [self.shape(item) for item in node]
            return [shape for shape in shapes if shape is not DROPPED]
        if not isinstance(node, ast.AST):
            return None if node is None else repr(node)
        special = getattr(self, f"_{type(node).__name__}", self._fields)
        return special(node)

    def _fields(self, node: ast.AST, **instead: Any) -> Any:
        fields = [
            (name, instead[name] if name in instead else self.shape(value))
            for name, value in ast.iter_fields(node)
            if name not in NOT_SHAPED
        ]
        return [type(node).__name__, [pair for pair in fields if pair[1] not in (None, [])]]

    # ---- statements that say nothing, or only something to readers -------------------------------

    def _Import(self, node: ast.AST) -> Any:
        return DROPPED

    _ImportFrom = _Import

    def _Expr(self, node: ast.Expr) -> Any:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return DROPPED
        if self._logs(node.value):
            assert isinstance(node.value, ast.Call)
            parts = [*node.value.args, *(keyword.value for keyword in node.value.keywords)]
            acts = [self.shape(act) for part in parts for act in _acts(part)]
            return ["acts", acts] if acts else DROPPED
        return self._fields(node)

    def _logs(self, node: ast.expr) -> bool:
        function = node.func if isinstance(node, ast.Call) else None
        return (
            isinstance(function, ast.Attribute)
            and function.attr in LEVELS
            and isinstance(function.value, ast.Name)
            and self._is_logger(function.value.id)
        )

    def _is_logger(self, name: str) -> bool:
        hidden = any(name in scope.names for scope in self.scopes[1:])
        return (name in self.loggers and not hidden) or self._meaning(name) == Import("logging")

    def _Raise(self, node: ast.Raise) -> Any:
        call = node.exc
        if isinstance(call, ast.Call) and _last(call.func) == "AlignlabError":
            return ["Raise", "AlignlabError"]
        return self._fields(node)

    def _If(self, node: ast.If) -> Any:
        if not for_types(node):
            return self._fields(node)
        return self.shape(node.orelse) or DROPPED

    def _Assign(self, node: ast.Assign) -> Any:
        if len(self.scopes) == 1 and isinstance(node.targets[0], ast.Name):
            silent = {*NO_DEFINITIONS, *self.loggers}
            if node.targets[0].id in silent:
                return DROPPED
        return self._fields(node)

    def _AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Annotations of classes are fields; others are for readers, and so are bare ones."""
        if self.scopes[-1].is_class:
            return [self._fields(node), self.shape(node.annotation)]
        return self._fields(node) if node.value else DROPPED

    # ---- names -----------------------------------------------------------------------------------

    def _meaning(self, name: str) -> Import | int | None:
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope.names and not (scope.is_class and depth):
                return scope.names[name]
        return None

    def _named(self, name: str, *path: str) -> Any:
        """What stands for a name, with the attributes that follow it."""
        meaning = self._meaning(name)
        if isinstance(meaning, int):
            return ["own", meaning, *path]
        if meaning is None:
            return ["name", name, *path]
        full = Import(meaning.base, (*meaning.path, *path))
        if self.is_foreign(full.base):
            return ["foreign", ".".join([full.base, *full.path])]
        if full not in self.holes:
            self.holes.append(full)
        return ["hole", self.holes.index(full)]

    def _Name(self, node: ast.Name) -> Any:
        return self._named(node.id)

    def _Attribute(self, node: ast.Attribute) -> Any:
        path, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            path.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            return self._named(inner.id, *path)
        return self._fields(node)

    def _Global(self, node: ast.Global) -> Any:
        return ["Global", [self._named(name) for name in node.names]]

    # ---- scopes ----------------------------------------------------------------------------------

    @contextmanager
    def _inside(self, scope: Scope) -> Iterator[None]:
        self.scopes.append(scope)
        yield
        self.scopes.pop()

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
        outside = (self._named(node.name), self.shape(node.decorator_list), self.shape(node.args))
        names = bound(node.body, arguments(node.args))
        with self._inside(Scope({**names})):
            return [type(node).__name__, *outside, self.shape(node.body)]

    _AsyncFunctionDef = _FunctionDef

    def _Lambda(self, node: ast.Lambda) -> Any:
        outside = self.shape(node.args)
        names = bound([node.body], arguments(node.args))
        with self._inside(Scope({**names})):
            return ["Lambda", outside, self.shape(node.body)]

    def _ClassDef(self, node: ast.ClassDef) -> Any:
        outside = [self.shape(part) for part in (node.decorator_list, node.bases, node.keywords)]
        name = self._named(node.name)
        with self._inside(Scope({**bound(node.body)}, is_class=True)):
            return ["ClassDef", name, *outside, self.shape(node.body)]

    def _ListComp(self, node: Any) -> Any:
        """The first iterable alone is read outside."""
        first, *others = node.generators
        outside = self.shape(first.iter)
        names = bound(generator.target for generator in node.generators)
        with self._inside(Scope({**names})):
            made = [getattr(node, name, None) for name in ("elt", "key", "value")]
            steps = [first.target, first.ifs, first.is_async, others]
            return [type(node).__name__, outside, self.shape(made), self.shape(steps)]

    _SetComp = _GeneratorExp = _DictComp = _ListComp


def _last(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _acts(node: ast.AST) -> Iterator[ast.AST]:
    """Outermost calls and the like: what happens even where only a message is made."""
    if isinstance(node, ACTS):
        yield node
    else:
        for child in ast.iter_child_nodes(node):
            yield from _acts(child)

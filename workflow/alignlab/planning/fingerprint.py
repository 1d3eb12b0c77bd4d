"""Fingerprints of code: what a code unit computes, whatever its modules and functions are called.

    python -m alignlab.planning.fingerprint alignlab.answering.generate

A unit is one entry module with all that it imports from this package. Moving or renaming a module,
renaming a top-level function, rewording a message or a docstring leaves the fingerprint as it is;
a changed statement, constant or call changes that of every unit behind which it stands.

A module that cannot change a value says so by the statement `CHANGES_NO_VALUE = True`, a whole room
in its `__init__.py`. What is imported from it counts by its plain name.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.core.errors import AlignlabError
from alignlab.planning import shape
from alignlab.planning.digest import config_digest, remembered
from alignlab.planning.shape import Parsed

PACKAGE = Path(__file__).parents[1]
# What is remembered was computed by this code; another version of it forgets.
OWN = Path(shape.__file__ or "").read_text(encoding="utf-8")


class _Place(NamedTuple):
    """A module, and the names inside it that a reference leads to."""

    module: str
    path: tuple[str, ...]


class Code:
    """The modules of a package, read when they are asked for."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.package = package
        self._parsed: dict[str, Parsed | None] = {}
        self._digests: dict[str, str] = {}

    def fingerprint(self, module: str, entry: str = "") -> str:
        """Twelve hex digits for a module and all that it imports from the package.

        Args:
            module: with its package.
            entry: a function of it that is found by its name at run time, so that the name counts.

        Raises:
            AlignlabError: there is no such module or function, it is no Python, or modules import
                each other in a circle.
        """
        parsed = self._module(module)
        if parsed is None:
            raise AlignlabError(f"{module}: no such module in {self.package}")
        if not entry:
            return self._digest(module, ())
        if entry not in parsed["names"]:
            raise AlignlabError(f"{module}: no function {entry!r}, by which it is called")
        return config_digest([self._digest(module, ()), parsed["names"][entry]])

    def modules(self, module: str) -> set[str]:
        """A module and all that it imports from the package, however indirectly."""
        found: set[str] = set()
        todo = [module]
        while todo:
            name = todo.pop()
            if name not in found and not self.changes_no_value(name):
                found.add(name)
                todo += [place.module for place in self._used(name)]
        return found

    def changes_no_value(self, module: str) -> bool:
        """Whether a module, or a room that it is in, declares that it cannot change a value."""
        parts = module.split(".")
        inside = [".".join(parts[:end]) for end in range(2, len(parts) + 1)]
        return any((m := self._module(name)) and m["changes_no_value"] for name in inside)

    def _file(self, module: str) -> Path:
        base = self.package.parent.joinpath(*module.split("."))
        as_module = base.with_name(f"{base.name}.py")
        return as_module if as_module.is_file() else base / "__init__.py"

    def _module(self, module: str) -> Parsed | None:
        if module not in self._parsed:
            path, known = self._file(module), module.partition(".")[0] == self.package.name
            self._parsed[module] = self._parse(path) if known and path.is_file() else None
        return self._parsed[module]

    def _parse(self, path: Path) -> Parsed:
        source, package = path.read_text(encoding="utf-8"), self.package.name
        try:
            return remembered([source, package, OWN], lambda: shape.parse(source, package))
        except SyntaxError as error:
            raise AlignlabError(f"{path}: line {error.lineno}: {error.msg}") from error

    def _digest(self, name: str, above: tuple[str, ...]) -> str:
        if name in above:
            circle = " → ".join([*above[above.index(name) :], name])
            raise AlignlabError(f"modules import each other in a circle: {circle}")
        if name not in self._digests:
            parsed = self._module(name)
            assert parsed
            trail = (*above, name)
            holes = [self._place(name, base, path) for base, path in parsed["holes"]]
            seen = {place.module for place in holes}
            # Imported for their effect, or for types.
            others = {p.module for p in self._used(name)} - seen
            filled = [self._filled(place, trail) for place in holes]
            effects = sorted(self._digest(module, trail) for module in others)
            self._digests[name] = config_digest([parsed["shape"], filled, effects])
        return self._digests[name]

    def _used(self, name: str) -> list[_Place]:
        """What a module imports from the package and what can change a value."""
        parsed = self._module(name)
        places = [self._place(name, base, path) for base, path in parsed["used"]] if parsed else []
        return [p for p in places if self._module(p.module) and not self.changes_no_value(p.module)]

    def _filled(self, place: _Place, trail: tuple[str, ...]) -> list[Any]:
        parsed = self._module(place.module)
        if parsed is None or self.changes_no_value(place.module):
            return ["plain", *place.path]
        digest = self._digest(place.module, trail)
        if not place.path:
            return [digest]
        name, *rest = place.path
        return [digest, parsed["names"].get(name, name), *rest]

    def _place(self, inside: str, base: str, path: list[str], seen: int = 0) -> _Place:
        """Where a reference leads: down into sub-modules, and through what is only re-exported."""
        module, names = self._absolute(inside, base), list(path)
        if seen > 50:
            raise AlignlabError(f"{module}: {'.'.join(names)} is imported in a circle")
        while names:
            if names[0] == "*":
                raise AlignlabError(f"{inside}: `from {module} import *`: name what is imported")
            parsed = self._module(module)
            if parsed and names[0] in parsed["names"]:
                break
            if parsed and (found := parsed["imports"].get(names[0])):
                return self._place(module, found[0], [*found[1], *names[1:]], seen + 1)
            deeper = f"{module}.{names[0]}"
            if not self._file(deeper).is_file() and not self._file(deeper).parent.is_dir():
                break
            module = deeper
            names.pop(0)
        return _Place(module, tuple(names))

    def _absolute(self, inside: str, base: str) -> str:
        level = len(base) - len(base.lstrip("."))
        if not level:
            return base
        is_room = self._file(inside).name == "__init__.py"
        parts = inside.split(".")
        kept = parts[: len(parts) - level + is_room]
        return ".".join([*kept, *filter(None, [base[level:]])])


@cache
def code() -> Code:
    """The code of this package."""
    return Code()


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print(code().fingerprint(given), given, *sorted(code().modules(given)), sep="\n  ")

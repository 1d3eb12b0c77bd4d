"""Entries of an experiment written once for many values: `for` in an item of a list.

    arms:
      - for: {model: [llama-2-7b, mistral-7b-v0.1], k: [1, 3, 8]}
        name: "{model}.urial-k{k}"
        model: "{model}"
        method: {kind: urial, prompt: urial/constant, k: "{k}"}

stands for the six arms written out, so names of artefacts are those of the arms written out. It
works in every list of the file, inside one another too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from alignlab.core.errors import AlignlabError

VARIABLE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")

Scope = Mapping[str, Any]


class Grid:
    """An experiment's YAML with its grids written out.

    Attributes:
        value: what the file stands for.
        origins: key of an item as messages name it → how the file has it, where that differs.
    """

    def __init__(self, value: Any) -> None:
        self.origins: dict[str, str] = {}
        self._used: set[str] = set()
        self.value = self._expanded(value, {}, "", "")

    def located(self, message: str) -> str:
        """A message about the written-out experiment, in terms of the file."""
        longest_first = sorted(map(re.escape, self.origins), key=len, reverse=True)
        if not longest_first:
            return message
        keys = re.compile(rf"(?<![\w.])({'|'.join(longest_first)})(?!\w)")
        return keys.sub(lambda found: self.origins[found[0]], message)

    def _expanded(self, value: Any, scope: Scope, made: str, told: str) -> Any:
        """A part of the file; `made` is its key once written out, `told` its key in the file."""
        if isinstance(value, str):
            return self._filled(value, scope, told)
        if isinstance(value, list):
            return self._items(value, scope, made, told)
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and value.keys() <= scope.keys() and None in value.values():
            (name,) = value
            raise AlignlabError(f'{told}: write "{{{name}}}" in quotes: YAML reads it as a map')
        if scope and (named := [key for key in value if VARIABLE.search(str(key))]):
            raise AlignlabError(f"{told}: {named[0]}: a key is not filled in; only values are")
        return {
            key: self._expanded(part, scope, _joined(made, key), _joined(told, key))
            for key, part in value.items()
        }

    def _items(self, items: list[Any], scope: Scope, made: str, told: str) -> list[Any]:
        found: list[Any] = []
        for index, item in enumerate(items):
            there = _joined(told, index)
            variables = self._variables(item, scope, there)
            for more, body in _combinations(item, variables):
                place = _joined(made, len(found))
                words = ", ".join(f"{name}={_shown(value)}" for name, value in more.items())
                here = f"{there} ({words})" if more else there
                if place != here:
                    self.origins[place] = here
                found.append(self._expanded(body, {**scope, **more}, place, here))
            self._all_used(variables, there)
        return found

    def _variables(self, item: Any, scope: Scope, told: str) -> Scope:
        """The variables of an item with their values; none where it is no grid."""
        if not isinstance(item, dict) or "for" not in item:
            return {}
        where = f"{told}.for"
        variables = self._expanded(item["for"], scope, where, where)
        if not isinstance(variables, dict) or not variables:
            raise AlignlabError(f"{where}: expected variables with their values, {{k: [1, 3]}}")
        for name, values in variables.items():
            if name in scope:
                raise AlignlabError(f"{where}.{name}: the `for` around it has that name already")
            if not isinstance(values, list) or not values:
                raise AlignlabError(f"{where}.{name}: expected a list with at least one value")
        if "each" in item and (beside := sorted(item.keys() - {"for", "each"})):
            raise AlignlabError(
                f"{told}: `each` is the whole entry, so {', '.join(beside)} beside it would be lost"
            )
        return variables

    def _all_used(self, variables: Scope, told: str) -> None:
        if unused := [name for name in variables if name not in self._used]:
            raise AlignlabError(
                f"{told}.for: {', '.join(unused)} is used nowhere in the entry, so its items would "
                f'be alike; write "{{{unused[0]}}}" where its value belongs'
            )
        self._used -= variables.keys()

    def _filled(self, text: str, scope: Scope, told: str) -> Any:
        """A text with its variables; one that is nothing but a variable is that variable's value,
        such as a number.
        """
        if not scope:
            return text
        if whole := VARIABLE.fullmatch(text):
            return self._value(whole, scope, told)
        return VARIABLE.sub(lambda found: str(self._value(found, scope, told, text=True)), text)

    def _value(self, found: re.Match[str], scope: Scope, told: str, *, text: bool = False) -> Any:
        name, part = found.groups()
        if name not in scope:
            has = ", ".join(scope)
            raise AlignlabError(f"{told}: {found[0]} is none of the variables of `for`: {has}")
        self._used.add(name)
        value = scope[name]
        if part is not None:
            if not isinstance(value, dict) or part not in value:
                raise AlignlabError(f"{told}: {found[0]}: {name} has no {part} in {value!r}")
            value = value[part]
        if text and isinstance(value, dict | list):
            raise AlignlabError(f"{told}: {found[0]} is {value!r}, which is no part of a text")
        return value


def _combinations(item: Any, variables: Scope) -> Iterator[tuple[Scope, Any]]:
    """Values of an item's variables, the last changing fastest, and what is filled with them."""
    if not variables:
        yield {}, item
        return
    body = {key: part for key, part in item.items() if key != "for"}
    for values in product(*variables.values()):
        yield dict(zip(variables, values, strict=True)), body.get("each", body)


def _joined(keys: str, key: object) -> str:
    return f"{keys}.{key}" if keys else str(key)


def _shown(value: Any) -> str:
    return str(next(iter(value.values()), "") if isinstance(value, dict) else value)

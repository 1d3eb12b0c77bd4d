"""The base of every config model, how YAML is read, and what is said of its mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import to_jsonable_python

from alignlab.core.errors import AlignlabError

# What a config says is in the specs.
CHANGES_NO_VALUE = True

CONFIG = Path("config")
INTRODUCED = "introduced_as"
SLICE = "slice"
"""Key of the validation context of what `dump` has written."""
_SAME = object()

Model = TypeVar("Model", bound=BaseModel)
Keys = tuple[int | str, ...]

# Names become file names and Snakemake wildcards.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._]*(-[a-z0-9._]+)*$", max_length=60)]


class StrictModel(BaseModel):
    """Unknown keys are refused and instances are frozen: a typo never becomes a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _first_values(cls, given: Any, info: ValidationInfo) -> Any:
        """In a slice, an `added` key that is not there has the value that it came with."""
        if not (isinstance(given, dict) and (info.context or {}).get(SLICE)):
            return given
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        first = {
            name: extra[INTRODUCED]
            for name, extra in extras.items()
            if isinstance(extra, dict) and INTRODUCED in extra
        }
        return {**first, **given}


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; refuse a key given twice, which plain YAML would silently drop."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise AlignlabError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AlignlabError(f"{path}: not UTF-8 at byte {error.start}") from error
    # A date or number that does not exist, lists within lists without end.
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise AlignlabError(f"{path}: not valid YAML: {error}") from error


def validated(model: type[Model], value: Any, path: Path) -> Model:
    """What a file says, as a model.

    Raises:
        AlignlabError: a line for each mistake, with the file and the key as it stands there.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, keys)) or '(the whole file)'}: {message}"
            for keys, message in _mistakes(error, value).items()
        ]
        raise AlignlabError("\n".join(lines)) from error


def _mistakes(error: ValidationError, value: Any) -> dict[Keys, str]:
    """Each mistake once: what only follows from one further inside is left out, such as a list
    that is too short without its bad items, and the branches of a union share a line.
    """
    found: dict[Keys, list[str]] = {}
    for one in error.errors():
        keys = _in_file(one["loc"], value, missing=one["type"] == "missing")
        found.setdefault(keys, []).append(_what(one))
    return {
        keys: "; or ".join(dict.fromkeys(messages))
        for keys, messages in found.items()
        if not any(other != keys and other[: len(keys)] == keys for other in found)
    }


def _in_file(location: Keys, value: Any, *, missing: bool) -> Keys:
    """The part of pydantic's location that the file has: not the names of branches of a union."""
    keys: list[int | str] = []
    for key in location[:-1] if missing else location:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            continue
        keys.append(key)
    return (*keys, *location[-1:]) if missing else tuple(keys)


def _what(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; the keys are listed in config/README.md"
    message: str = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    return message if isinstance(given, dict | list) else f"{message}, not {given!r}"


class _UniqueKeys(yaml.CSafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a mapping, expected text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def added(default: Any, *, introduced: Any = _SAME, **field: Any) -> Any:
    """A key that is added to a model whose artefacts are already in somebody's store.

        top_k: int = added(0, ge=0, description="0 is all")

    Its default must mean what was computed before the key was there. A slice leaves the key out
    while it has that value, so adding it renames no artefact; any other value is written out.
    Whoever changes the default later says what it was at first, so that the new one is written out:

        top_k: int = added(50, introduced=0, ge=0, description="0 is all")

    Args:
        default: of the key, today.
        introduced: the default that the key came with, if it is another one.
        field: what else `pydantic.Field` takes.
    """
    first = default if introduced is _SAME else introduced
    return Field(default, json_schema_extra={INTRODUCED: to_jsonable_python(first)}, **field)


def dump(model: BaseModel, include: set[str] | None = None) -> dict[str, Any]:
    """JSON of a model as a slice has it. Absent optional keys stay absent, so that a new one
    changes nothing, and so do `added` keys with their first default; other defaults are written
    out, so that a changed one changes the digest.
    """
    return _without_first(model, model.model_dump(mode="json", exclude_none=True, include=include))


def _without_first(value: Any, shown: Any) -> Any:
    """What is shown of a value without `added` keys that have their first default, at any depth."""
    if isinstance(value, BaseModel):
        return {
            name: _without_first(getattr(value, name, None), part)
            for name, part in shown.items()
            if not _is_first(type(value), name, part)
        }
    if isinstance(value, Mapping):
        return {str(k): _without_first(v, shown[str(k)]) for k, v in value.items() if k in shown}
    if isinstance(value, list | tuple):
        return [_without_first(v, part) for v, part in zip(value, shown, strict=True)]
    return shown


def _is_first(model: type[BaseModel], name: str, shown: Any) -> bool:
    field = model.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    return isinstance(extra, dict) and INTRODUCED in extra and extra[INTRODUCED] == shown

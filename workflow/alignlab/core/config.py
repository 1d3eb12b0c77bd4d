"""The base of every config model, and how YAML is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from alignlab.core.errors import AlignlabError

CONFIG = Path("config")

# Names become file names and Snakemake wildcards.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._]*(-[a-z0-9._]+)*$", max_length=60)]


class StrictModel(BaseModel):
    """Unknown keys are refused and instances are frozen: a typo never becomes a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; refuse a key given twice, which plain YAML would silently drop."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise AlignlabError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AlignlabError(f"{path}: not UTF-8 at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise AlignlabError(f"{path}: not valid YAML: {error}") from error


class _UniqueKeys(yaml.CSafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def dump(model: Any, include: set[str] | None = None) -> dict[str, Any]:
    """JSON of a config model. Absent optional keys stay absent, so that a new one changes nothing;
    defaults are written out, so that a changed one changes the digest.
    """
    return model.model_dump(mode="json", exclude_none=True, include=include)

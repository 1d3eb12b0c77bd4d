"""Reading YAML, and where the config lies. Used by `load` and `texts`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from alignlab.errors import AlignlabError

CONFIG = Path("config")


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

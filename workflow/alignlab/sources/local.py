"""Files that are on this machine, and the rule that weights are safetensors or GGUF.

    source: {kind: local, path: ../my-model}       # an entry of config/catalog/models.yaml

Pickled weights are refused wherever they come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from alignlab.core.errors import AlignlabError
from alignlab.sources.config import LocalConfig

SAFE = {".safetensors", ".gguf"}
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


def existing(source: LocalConfig) -> Path:
    """The file or folder of a local source.

    Raises:
        AlignlabError: there is none.
    """
    path = Path(source.path)
    if not path.exists():
        raise AlignlabError(f"{path.absolute()}: no such file or folder (source.path)")
    return path


def require_safe_weights(where: str, names: Iterable[str]) -> None:
    """Refuse a model whose only weights are pickles: opening one runs code that it contains.

    Raises:
        AlignlabError: no file is safetensors or GGUF; the message names the pickles, if any.
    """
    listed = sorted(names)
    if any(PurePosixPath(name).suffix in SAFE for name in listed):
        return
    pickles = [name for name in listed if PurePosixPath(name).suffix in PICKLED]
    found = f"only pickled weights ({', '.join(pickles)})" if pickles else "no weights"
    raise AlignlabError(f"{where}: {found}; only safetensors or GGUF are loaded")

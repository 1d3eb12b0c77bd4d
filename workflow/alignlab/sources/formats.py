"""Which files of a model are read, told by their names alone: before any is fetched or opened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from alignlab.core.errors import AlignlabError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
# What llama.cpp's gguf-split writes.
PART = re.compile(r"-\d{5}-of-\d{5}\.gguf")
POINTER = b"version https://git-lfs.github.com/spec/"


def require_loadable(where: str, names: Iterable[str]) -> None:
    """Refuse a model without weights that are read here.

    Pickles are refused because opening one runs code that it contains.

    Args:
        where: what the message opens with.
        names: its files, without folders.

    Raises:
        AlignlabError: there is neither a GGUF file nor one that transformers opens as safetensors;
            the message says what there is in its place.
    """
    listed = sorted(names)
    if "adapter_config.json" in listed:
        raise AlignlabError(
            f"{where}: adapter_config.json: an adapter, which transformers would put on a model; "
            "merge them (`merge_and_unload` of peft), save the result and take that"
        )
    if {WEIGHTS, INDEX} & set(listed) or _ending(listed, ".gguf"):
        return
    tensors = _ending(listed, ".safetensors")
    if native := [name for name in tensors if name.startswith("consolidated")]:
        raise AlignlabError(
            f"{where}: only weights in Mistral's own format ({', '.join(native)}), which "
            "transformers does not read; take a repository that has model.safetensors, too, or "
            "convert them with transformers' convert_mistral_weights_to_hf.py"
        )
    if tensors:
        raise AlignlabError(
            f"{where}: expected {WEIGHTS}, or {INDEX} that says what is in which part; there is "
            f"{', '.join(tensors)}"
        )
    pickles = [name for name in listed if PurePosixPath(name).suffix in PICKLED]
    found = f"only pickled weights ({', '.join(pickles)})" if pickles else "no weights"
    raise AlignlabError(f"{where}: {found}; only safetensors or GGUF are loaded")


def gguf_of(where: str, names: Iterable[str], key: str) -> str | None:
    """The one GGUF file of a model that has no safetensors; None if that is what it has.

    Args:
        where: what the message opens with.
        names: its files.
        key: the key of `source` that names one of several.

    Raises:
        AlignlabError: there are several, or only parts of one.
    """
    listed = sorted(names)
    found = _ending(listed, ".gguf")
    if not found or _ending(listed, ".safetensors"):
        return None
    whole = [name for name in found if not PART.search(name)]
    if len(whole) > 1:
        raise AlignlabError(
            f"{where}: several GGUF files ({', '.join(whole)}); name one as `{key}`"
        )
    require_whole_gguf((whole or found)[0])
    return whole[0]


def require_whole_gguf(name: str) -> None:
    """Refuse one of the parts of a GGUF file, which transformers opens as if it were the whole.

    Raises:
        AlignlabError: by its name it is a part.
    """
    if PART.search(name):
        raise AlignlabError(
            f"{name}: one of the parts of a GGUF file; join them with `llama-gguf-split --merge` "
            "and name the joined file"
        )


def require_no_pointer(path: Path) -> None:
    """Refuse what git-lfs puts in the place of a file that it has not fetched.

    Raises:
        AlignlabError: the file is such a pointer.
    """
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise AlignlabError(
                f"{path}: a pointer of git-lfs, not the file itself; run `git lfs pull` in its "
                "folder, or fetch it with `hf download`"
            )


def _ending(names: list[str], suffix: str) -> list[str]:
    return [name for name in names if PurePosixPath(name).suffix == suffix]

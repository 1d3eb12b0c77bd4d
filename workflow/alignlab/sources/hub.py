"""Files of a repository on a model hub, at its pinned revision, compared with the hub's own list.

The hub's cache is used as it is (`HF_HOME` says where; gated repositories need `HF_TOKEN`): it
resumes, other tools share it, and a compute node without network (`HF_HUB_OFFLINE=1`) finds what a
login node fetched. Nothing is taken from it that cannot be shown to be whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import HfApi, get_cached_repo_tree, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from alignlab.core import checksums
from alignlab.core.errors import AlignlabError
from alignlab.sources.config import HubConfig
from alignlab.sources.formats import gguf_of, require_loadable, require_whole_gguf

WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
# `*` matches `/` too. Folders whose name opens with a digit are the modules of an embedder; others
# hold the same weights in other formats, as `consolidated*` does.
UNWANTED = ["[!0-9]*/*", "consolidated*"]
CHUNK = 1 << 20
SHA256, SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
TOKEN = "HF_TOKEN, or the one that `hf auth login` has saved"
NO_HUB = "what answers is no hub (HF_ENDPOINT, or a proxy between)"
CURES = {
    401: f"it refuses your token: {TOKEN}, has expired or is wrong. Set a new one; a public "
    "repository needs none (unset HF_TOKEN, `hf auth logout`)",
    403: f"your token ({TOKEN}) does not give access; take one that may read this repository",
    404: "it has no such thing; check `repo`, `revision` and HF_ENDPOINT",
    429: "too many requests from this account or address; wait{wait}, and set HF_TOKEN: who is "
    "logged in may ask more often",
}


def hub_model(source: HubConfig) -> Path:
    """A model at its pinned revision: its folder (safetensors, config, tokenizer), or a GGUF file.

    Raises:
        AlignlabError: gated, not found, out of reach, not whole, damaged, or with weights that are
            not loaded here.
    """
    with _explained(source):
        listed = _listed(source)
        kept = [name for name in listed if _any(name, WANTED) and not _any(name, UNWANTED)]
        if gguf := _gguf_of(source, [*kept, *(n for n in listed if n.endswith(".gguf"))]):
            return _fetched(source, {gguf: listed[gguf]}, [gguf], []) / gguf
        top = [name for name in listed if "/" not in name]
        require_loadable(source.repo, [PurePosixPath(name).name for name in kept] + top)
        return _fetched(source, {name: listed[name] for name in kept}, WANTED, UNWANTED)


def hub_file(source: HubConfig) -> Path:
    """The one file of a dataset repository that the catalog names.

    Raises:
        AlignlabError: gated, not found, out of reach, damaged, or no `file` is named.
    """
    if source.file is None:
        raise AlignlabError(f"{source.repo}: a dataset needs `file`, the one file to read")
    with _explained(source):
        found = hf_hub_download(
            source.repo, source.file, revision=source.revision, repo_type="dataset"
        )
    _require_undamaged(Path(found))
    return Path(found)


def _listed(source: HubConfig) -> dict[str, RepoFile]:
    """Every file of a repository, by the cache's list of this revision or else the hub's.

    Without a list nothing shows that what the cache holds is whole (huggingface_hub #4624).
    """
    try:
        found = get_cached_repo_tree(source.repo, revision=source.revision)
    except CachedRepoTreeNotFoundError:
        tree = HfApi().list_repo_tree(source.repo, revision=source.revision, recursive=True)
        found = [entry for entry in tree if isinstance(entry, RepoFile)]
    return {entry.path: entry for entry in found}


def _any(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _gguf_of(source: HubConfig, names: list[str]) -> str | None:
    """The GGUF file that is the model, if it is none of safetensors."""
    name = source.file
    if name is None:
        name = gguf_of(source.repo, names, "file")
    elif not name.endswith(".gguf"):
        raise AlignlabError(
            f"{source.repo}: file: {name}: of a model only a GGUF file is named; safetensors, "
            "config and tokenizer are found by their names"
        )
    elif name not in names:
        there = ", ".join(sorted(n for n in names if n.endswith(".gguf"))) or "no GGUF file"
        raise AlignlabError(f"{source.repo}: file: no file {name!r}; there is {there}")
    if name:
        require_whole_gguf(name)
    return name


def _fetched(
    source: HubConfig, wanted: dict[str, RepoFile], patterns: list[str], unwanted: list[str]
) -> Path:
    """The folder of the cache with the wanted files, each whole."""
    folder = Path(
        snapshot_download(
            source.repo,
            revision=source.revision,
            allow_patterns=patterns,
            ignore_patterns=unwanted,
        )
    )
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: _require_undamaged(folder / name, wanted[name]), wanted))
    return folder


def _require_undamaged(path: Path, listed: RepoFile | None = None) -> None:
    """Compare a file of the cache with the size and the checksum that the hub states.

    The cache names a file by its SHA-256 (what git-lfs or xet holds) or by git's SHA-1; behind
    that name may be a link into a store of all repositories, whose names are other checksums.

    Raises:
        AlignlabError: it is missing, or they differ.
    """
    blob = path.resolve()
    if not blob.is_file():
        raise AlignlabError(f"{path}: missing in the hub's cache; fetch it with network")
    name = path.readlink().name if path.is_symlink() else path.name
    stated = listed.lfs.sha256 if listed and listed.lfs else name
    right = listed is None or listed.size == blob.stat().st_size
    if right and SHA256.fullmatch(stated):
        right = checksums.sha256(blob) == stated
    elif right and SHA1.fullmatch(stated):
        right = stated in _sha1s(blob)
    if not right:
        raise AlignlabError(
            f"{blob}: damaged: it is not what the hub has as {path.name}; remove it and run again, "
            "which fetches it anew"
        )


def _sha1s(path: Path) -> set[str]:
    """SHA-1 of a file, as git counts it and plain, as some mirrors do."""
    git, plain = hashlib.sha1(f"blob {path.stat().st_size}\0".encode()), hashlib.sha1()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            git.update(chunk)
            plain.update(chunk)
    return {git.hexdigest(), plain.hexdigest()}


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
        raise AlignlabError(f"{where}: {_said(error.__cause__)}") from error
    except EntryNotFoundError as error:
        raise AlignlabError(f"{where}: the repository has no file {source.file!r}") from error
    except (HfHubHTTPError, httpx2.HTTPError, OfflineModeIsEnabled, FileMetadataError) as error:
        raise AlignlabError(f"{where}: {_said(error)}") from error
    except json.JSONDecodeError as error:
        raise AlignlabError(f"{where}: {NO_HUB}: {error}") from error
    except RuntimeError as error:
        cure = "; set HOME, or HF_HOME to a folder" if "home directory" in str(error) else ""
        raise AlignlabError(f"{where}: {error}{cure}") from error
    except PermissionError as error:
        raise AlignlabError(
            f"{error.filename}: cannot be written: {error.strerror}; the hub's cache lies there: "
            "set HF_HOME to a folder of yours"
        ) from error
    except OSError as error:
        if error.errno is None:  # a download that ended early
            raise AlignlabError(f"{where}: {error}") from error
        raise


def _said(error: BaseException | None) -> str:
    """What kept the hub from answering, and what to do."""
    if isinstance(error, FileMetadataError):
        return f"{NO_HUB}: {error}"
    if not isinstance(error, HfHubHTTPError):
        return (
            "the hub is out of reach, and the local cache does not hold all of it together with "
            "the hub's list of its files; check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or "
            "fetch it on a machine with network"
        )
    status = error.response.status_code
    after = error.response.headers.get("Retry-After", "")
    wait = f" {after} seconds" if after.isdecimal() else " some minutes"
    cure = "it fails; try again later" if status >= 500 else CURES.get(status, "")
    words = (error.server_message or "").strip()[:200]
    said = [f"the hub answered {status}", cure.format(wait=wait), words]
    return ": ".join(filter(None, said))

"""Brings pinned repositories from a model hub through huggingface_hub and its shared cache.

    HF_TOKEN=... HF_HOME=/data/hf snakemake ...      # gated repositories; where the cache lies

The cache is used as it is: it resumes, it is shared with other tools, and a compute node without
network (`HF_HUB_OFFLINE=1`) finds what a login node fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
from alignlab.sources.config import HubConfig
from alignlab.sources.local import require_safe_weights

WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
# `*` matches `/` too. Folders whose name opens with a digit are the modules of an embedder; others
# hold the same weights in other formats, as `consolidated*` does.
UNWANTED = ["[!0-9]*/*", "consolidated*"]


def snapshot(source: HubConfig) -> Path:
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


def dataset_file(source: HubConfig) -> Path:
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

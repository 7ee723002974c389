"""Weights from a hub: what its cache on this machine holds, what a repository holds, fetching what is loaded.

The cache is asked first: a name that was fetched once stays what it was, for every command and worker alike,
until it is deleted from the cache or another revision is named. Only what is not there is asked of the hub.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from .errors import WeightsError
from .weights_format import OnHub, WeightsFormat
from .weights_tree import MissingFilesError, Tree

_TIMEOUT_S = 10.0
"""For the first question to a hub, which is asked once: whoever has no network is told so at once."""

_SMALL_SUFFIXES = (".json", ".txt", ".model")


def cached(hub_id: str, weights_format: WeightsFormat) -> Path | None:
    """The snapshot in the hub's cache, where all that is loaded is in it; no network is asked.

    Raises:
        WeightsError: what is there is of another kind.
    """
    folder, names = _snapshot(hub_id)
    if folder is None:
        return None

    def read(name: str) -> str:
        try:
            return (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise MissingFilesError(f"{name} of {hub_id} is not in the cache") from error

    try:
        files = weights_format.files(Tree(hub_id, None, names, read))
    except MissingFilesError:
        return None
    return folder if all((folder / name).is_file() for name in files) else None


def look(hub_id: str, weights_format: WeightsFormat) -> OnHub:
    """What would be fetched; only configurations are.

    Raises:
        WeightsError: the hub does not answer, does not have it, or it is of another kind.
    """
    _, sizes, files = _on_hub(hub_id, weights_format)
    return OnHub(len(files), sum(sizes[name] for name in files))


def fetch(hub_id: str, weights_format: WeightsFormat) -> Path:
    """Fetch what is loaded, and nothing else, into the hub's cache; the snapshot's folder.

    Raises:
        WeightsError: as of `look`, or the connection failed on the way.
    """
    from huggingface_hub import snapshot_download

    revision, _, files = _on_hub(hub_id, weights_format)
    name, _, _ = hub_id.partition("@")
    # The large ones last: where they are complete, the others are, whenever a fetch was cut off.
    small = [file for file in files if file.endswith(_SMALL_SUFFIXES)]
    large = [file for file in files if not file.endswith(_SMALL_SUFFIXES)]
    folder = ""
    for batch in filter(None, (small, large)):
        try:
            folder = snapshot_download(name, revision=revision, allow_patterns=list(map(glob.escape, batch)))
        except Exception as error:  # the hub raises many kinds; all mean that it is not to be had
            raise WeightsError(
                f"run the same command again: fetching {hub_id!r} from the hub failed "
                f"({type(error).__name__}: {_first_line(error)})",
                "what was fetched is kept",
            ) from error
    return Path(folder)


def _snapshot(hub_id: str) -> tuple[Path | None, frozenset[str]]:
    """The snapshot's folder in the cache, and the names of the repository's files (of those in the folder,
    where the cache does not know the others)."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download

    name, _, revision = hub_id.partition("@")
    try:
        folder = Path(
            snapshot_download(name, revision=revision or None, local_files_only=True, allow_patterns=[])
        )
    except Exception:  # several kinds; all mean that nothing is there
        return None, frozenset()
    try:
        listed: Iterable[str] = [file.path for file in get_cached_repo_tree(name, revision=folder.name)]
    except Exception:  # older versions of the library kept no listing
        listed = (item.relative_to(folder).as_posix() for item in folder.rglob("*") if item.is_file())
    return folder, frozenset(listed)


def _on_hub(hub_id: str, weights_format: WeightsFormat) -> tuple[str | None, dict[str, int], tuple[str, ...]]:
    """(revision to fetch, sizes of all files, names of those that are loaded), by one question to the hub."""
    from huggingface_hub import HfApi, hf_hub_download

    name, _, revision = hub_id.partition("@")
    begun, _ = _snapshot(hub_id)
    # A snapshot that lacks files is completed, and not mixed with a later commit.
    wanted = revision or None if begun is None else begun.name
    try:
        info = HfApi().model_info(name, revision=wanted, files_metadata=True, timeout=_TIMEOUT_S)
    except Exception as error:  # the hub raises many kinds; all mean that it is not to be had
        raise WeightsError(*_refused(hub_id, error)) from error

    def read(file: str) -> str:
        try:
            return Path(hf_hub_download(name, file, revision=info.sha)).read_text(encoding="utf-8")
        except Exception as error:
            raise WeightsError(
                f"{file} of {hub_id} cannot be fetched ({type(error).__name__}: {_first_line(error)})",
                "run the same command again",
            ) from error

    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    return wanted, sizes, weights_format.files(Tree(f"{hub_id} (on the hub)", None, frozenset(sizes), read))


def _refused(hub_id: str, error: Exception) -> tuple[str, str]:
    """(message, hint): why a location that may be a hub id or a folder that is not there cannot be had."""
    from huggingface_hub import errors

    revision = hub_id.partition("@")[2]
    folder_hint = f"if a folder is meant, correct its path (or write ./{hub_id})"
    if isinstance(error, errors.OfflineModeIsEnabled):
        reason = "as a hub id it is not in the cache, and HF_HUB_OFFLINE is set"
        hint = f"{folder_hint}; if a hub id is meant, unset HF_HUB_OFFLINE once to fetch it"
    elif isinstance(error, errors.GatedRepoError):
        reason = "on the hub it is gated, and you have not been given access"
        hint = f"ask for access on its page and run `hf auth login`; {folder_hint}"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = f"the repository on the hub has no revision {revision!r}"
        hint = "name a branch, a tag or a commit of it"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "on the hub there is no such repository (or it is private, and you are not logged in)"
        hint = f"{folder_hint}; if a hub id is meant, check its spelling"
    else:
        kind = f"{type(error).__name__}: {_first_line(error)}"
        reason = f"as a hub id it is not in the cache, and the hub does not answer ({kind})"
        # Not `hf download`, which would fetch every file.
        hint = (
            f"{folder_hint}; if a hub id is meant, run this once where there is a network, and bring "
            "its cache along (HF_HOME)"
        )
    return f"no weights {hub_id!r}: there is no such local file or folder; {reason}", hint


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]

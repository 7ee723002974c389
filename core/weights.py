"""Where pretrained weights lie, and what they are.

A location is a local path, a name below a weights root, or a hub id, tried in that order:

1. an absolute path, or one that begins with `./`, `../` or `~`;
2. a name below `$REELBENCH_WEIGHTS`, when that is a folder ("sprites/t2i");
3. a name of the embedded world that the package ships ("sprites/t2i", "sprites/clip", "sprites/i3d");
4. a hub id ("owner/name" or "owner/name@revision"), fetched by huggingface_hub into its own cache;
   only the caller that loads it (`fetch=True`) goes to the network.

`pipeline` as a location means `$REELBENCH_WEIGHTS` itself where that names a diffusers folder
(one with model_index.json) or a hub id, and the embedded pipeline otherwise.

Any location may end in a pin, `#sha256:<64 hex digits>`: what is found must then have that digest, either
the one of `digest_weights` (files and folders) or, for a single file, the plain sha256 of its bytes. A pin
says which weights are meant; it is no part of any key, because keys hold the content's digest already.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import ReelbenchError, WeightsError
from .file_digests import FileDigests
from .hashing import digest

_WEIGHT_SUFFIXES = {".safetensors", ".pt", ".pth", ".bin", ".json", ".txt", ".model"}
_PACKAGED = {"sprites": Path(__file__).resolve().parent.parent / "worlds" / "sprites" / "weights"}
_PIN = "#sha256:"


def split_pin(location: str) -> tuple[str, str]:
    """(location without its pin, the pinned digest in lower case); the digest is "" where none is written.

    Raises:
        WeightsError: what stands behind `#sha256:` is not 64 hexadecimal digits.

    >>> split_pin("sprites/i3d")
    ('sprites/i3d', '')
    """
    bare, marker, pin = location.rpartition(_PIN)
    if not marker:
        return location, ""
    if not bare or not re.fullmatch(r"[0-9a-fA-F]{64}", pin):
        raise WeightsError(
            f"{location!r}: the pin {pin!r} is not a sha256",
            f"write <location>{_PIN}<64 hexadecimal digits>, or leave the pin out",
        )
    return bare, pin.lower()


def with_pin(location: str, pin: str) -> str:
    """The location with a pin behind it; without one it is returned as it is. Undoes `split_pin`."""
    return f"{location}{_PIN}{pin}" if pin else location


def resolve(location: str, *, fetch: bool = True, cache: Path | None = None) -> Path:
    """The local file or folder of a location, checked against its pin where it has one.

    Args:
        fetch: whether a hub id that is not in the hub's own cache may be fetched.
        cache: where digests of pinned weights are remembered; see `core.file_digests`. Within a process
            they are remembered in any case.

    Raises:
        WeightsError: nothing is there (the message lists where it was looked for), or what is there does
            not have the pinned digest (the message gives the digest it has).
    """
    bare, pin = split_pin(location)
    if not bare:
        raise WeightsError("no weights are named", "name them under `weights` in the run file")
    path = _find(bare, fetch=fetch)
    if pin:
        _check_pin(bare, path, pin, cache)
    return path


def why_missing(location: str) -> str | None:
    """Why the weights of a location cannot be had, or None.

    Nothing is fetched: a hub id that is not in the hub's cache counts as to be had.
    """
    try:
        bare, _ = split_pin(location)
        if not _is_hub_id(bare):
            resolve(location, fetch=False)
    except ReelbenchError as error:
        return error.message
    return None


# Digests of pinned weights, so that each worker reads them once.
_pinned_digests = FileDigests(None)


def _check_pin(bare: str, path: Path, pin: str, cache: Path | None) -> None:
    digests = _pinned_digests if cache is None else FileDigests(cache)
    found = _digest(path, digests)
    plain = digests.digest(path) if path.is_file() else ""
    digests.save()
    if pin not in (found, plain):
        raise WeightsError(
            f"the weights {bare!r} at {path} have the digest {plain or found}, the pin says {pin}",
            f"fetch the pinned weights, or, if these are meant, write {with_pin(bare, plain or found)}",
        )


def _is_hub_id(location: str) -> bool:
    """Whether only the hub is left to ask; mirrors the order of `_find`."""
    if location == "pipeline" or location.startswith(("/", "./", "../", "~")) or location.count("/") != 1:
        return False
    root = os.environ.get("REELBENCH_WEIGHTS", "").strip()
    below_root = bool(root) and (Path(root).expanduser() / location).exists()
    return not below_root and location.partition("/")[0] not in _PACKAGED and not Path(location).exists()


def _find(location: str, *, fetch: bool) -> Path:
    root = os.environ.get("REELBENCH_WEIGHTS", "").strip()
    if location == "pipeline":
        root_is_collection = (
            Path(root).expanduser().is_dir() and not (Path(root).expanduser() / "model_index.json").is_file()
        )
        location = "sprites/t2i" if not root or root_is_collection else root
    tried: list[str] = []

    def exists(path: Path) -> bool:
        tried.append(str(path))
        return path.exists()

    if location.startswith(("/", "./", "../", "~")):
        path = Path(location).expanduser().resolve()
        if exists(path):
            return path
        raise WeightsError(f"no weights at {path}", "check the path in the run file or REELBENCH_WEIGHTS")
    if root and Path(root).expanduser().is_dir() and exists(Path(root).expanduser() / location):
        return (Path(root).expanduser() / location).resolve()
    world, _, name = location.partition("/")
    if world in _PACKAGED and name and exists(_PACKAGED[world] / name):
        return (_PACKAGED[world] / name).resolve()
    if exists(Path(location)):
        return Path(location).resolve()
    if location.count("/") == 1 and world not in _PACKAGED:
        return _from_hub(location, fetch=fetch)
    hint = "give a local path, a name below REELBENCH_WEIGHTS, or a hub id (owner/name)"
    if world in _PACKAGED and name:
        hint += f"; `reelbench world train --help` lists the models of {world!r} that can be trained here"
    raise WeightsError(f"no weights for {location!r}; looked at {', '.join(tried)}", hint)


def _from_hub(hub_id: str, *, fetch: bool) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = hub_id.partition("@")
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision or None,
                local_files_only=not fetch,
                # Pickled weights are never loaded, so they are not fetched either.
                allow_patterns=["*.json", "*.txt", "*.safetensors", "*.model"],
            )
        )
    except Exception as error:  # the hub raises many kinds; all mean that it is not to be had
        raise WeightsError(
            f"no local folder {name!r}, and the hub did not give it ({type(error).__name__}: {error})",
            "give a local path, or fetch the snapshot on a machine with network access",
        ) from error


def digest_weights(path: Path, cache: Path | None = None) -> str:
    """Digest of the weight and configuration files at `path` (a file or a folder), by content.

    Args:
        cache: where digests are remembered; see `core.file_digests`.
    """
    digests = FileDigests(cache)
    found = _digest(path, digests)
    digests.save()
    return found


def _digest(path: Path, digests: FileDigests) -> str:
    files = (
        [path]
        if path.is_file()
        else sorted(item for item in path.rglob("*") if item.is_file() and item.suffix in _WEIGHT_SUFFIXES)
    )
    if not files:
        raise WeightsError(
            f"no weight files in {path}", f"expected {', '.join(sorted(_WEIGHT_SUFFIXES))} files"
        )
    parts = [
        [item.name if path.is_file() else item.relative_to(path).as_posix(), digests.digest(item)]
        for item in files
    ]
    return digest(parts)

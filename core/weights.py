"""Where pretrained weights lie, and what they are.

A location is a local path, a name below a weights root, or a hub id, tried in that order:

1. an absolute path, or one that begins with `./`, `../` or `~`;
2. a name below `$REELBENCH_WEIGHTS`, when that is a folder ("sprites/t2i");
3. a name of the embedded world that the package ships ("sprites/t2i", "sprites/clip", "sprites/i3d");
4. a hub id ("owner/name" or "owner/name@revision"), from huggingface_hub's own cache, and only where that
   lacks it and the caller allows it (`fetch=True`: a run does, a plan does not) from the network.

`pipeline` as a location means `$REELBENCH_WEIGHTS` itself where that names a diffusers folder
(one with model_index.json) or a hub id, and the embedded pipeline otherwise.

Any location may end in a pin, `#sha256:<64 hex digits>`: what is found must then have that digest, either
the one of `digest_weights` (files and folders) or, for a single file, the plain sha256 of its bytes. A pin
says which weights are meant; it is no part of any key, because keys hold the content's digest already.

Of a folder or repository only what is loaded is fetched and digested, as the format of the `WeightsRef` says
(`core.weights_format`): other variants beside it, or parts that are not read, change nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from . import hub
from .errors import ReelbenchError, WeightsError
from .file_digests import FileDigests
from .hashing import digest
from .tensor_files import num_parameters
from .types import WeightsRef
from .weights_format import EVERYTHING, TEXT_SUFFIXES, OnHub, WeightsFormat
from .weights_tree import local_tree

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


class NotFetchedError(WeightsError):
    """Weights of a hub that are not in its cache on this machine; a run fetches them."""


def resolve(
    location: str,
    weights_format: WeightsFormat = EVERYTHING,
    *,
    fetch: bool = True,
    cache: FileDigests | None = None,
) -> Path:
    """The local file or folder of a location, checked against its format, and its pin where it has one.

    Args:
        weights_format: what is loaded of it.
        fetch: whether what is not in the hub's own cache may be fetched.
        cache: where digests of pinned weights are remembered; Within a process
            they are remembered in any case.

    Raises:
        NotFetchedError: they would have to be fetched.
        WeightsError: nothing is there (the message lists where it was looked for), it is of another kind or
            incomplete, or it does not have the pinned digest (the message gives the digest it has).
    """
    bare, pin = split_pin(location)
    if not bare:
        raise WeightsError("no weights are named", "name them under `weights` in the run file")
    path = weights_format.find(bare, fetch=fetch) or _find(bare, weights_format, fetch=fetch)
    weights_format.files(local_tree(path))
    if pin:
        _check_pin(bare, path, pin, weights_format, cache)
    return path


def why_missing(location: str, weights_format: WeightsFormat = EVERYTHING) -> str | None:
    """Why the weights of a location cannot be had, or None.

    Nothing is fetched: a hub id that is not in the hub's cache counts as to be had.
    """
    try:
        resolve(location, weights_format, fetch=False)
    except NotFetchedError:
        return None
    except ReelbenchError as error:
        return error.message
    return None


def look(ref: WeightsRef) -> OnHub:
    """What a hub has of weights that are not fetched yet; asks the network.

    Raises:
        WeightsError: it does not answer, does not have them, or they are of another kind.
    """
    bare, _ = split_pin(ref.location)
    return ref.format.look(bare) or hub.look(bare, ref.format)


class WeightsFinder:
    """How one command finds weights and what they are: a run fetches what is missing, a plan asks no network.

    Args:
        digests: of files, remembered.
        fetch: whether what is not in the hub's cache may be fetched.
    """

    def __init__(self, digests: FileDigests, *, fetch: bool = True) -> None:
        self._digests, self._fetch = digests, fetch
        self.not_fetched: list[WeightsRef] = []
        """Those that a run would have to fetch first."""

    def digest(self, ref: WeightsRef) -> str:
        """The digest of what is loaded; a word in its place, which is no digest, where it is not fetched yet.

        Raises:
            WeightsError: see `resolve`.
        """
        try:
            path = resolve(ref.location, ref.format, fetch=self._fetch, cache=self._digests)
        except NotFetchedError:
            if ref not in self.not_fetched:
                self.not_fetched.append(ref)
            return f"not fetched: {ref.location}"
        return digest_weights(path, self._digests, ref.format)


# Digests of pinned weights, so that each worker reads them once.
_pinned_digests = FileDigests(None)


def _check_pin(
    bare: str, path: Path, pin: str, weights_format: WeightsFormat, cache: FileDigests | None
) -> None:
    digests = _pinned_digests if cache is None else cache
    found = digest_weights(path, digests, weights_format)
    plain = digests.digest(path) if path.is_file() else ""
    if pin in (found, plain):
        return
    # Pins that were written when everything in a folder was digested.
    if path.is_dir() and pin == digest_weights(path, digests):
        return
    raise WeightsError(
        f"the weights {bare!r} at {path} have the digest {plain or found}, the pin says {pin}",
        f"fetch the pinned weights, or, if these are meant, write {with_pin(bare, plain or found)}",
    )


def _find(location: str, weights_format: WeightsFormat, *, fetch: bool) -> Path:
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
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", location) and world not in _PACKAGED:
        there = hub.cached(location, weights_format)
        if there is not None:
            return there
        if fetch:
            return hub.fetch(location, weights_format)
        raise _not_fetched(location, weights_format)
    hint = "give a local path, a name below REELBENCH_WEIGHTS, or a hub id (owner/name)"
    if world in _PACKAGED and name:
        hint += f"; `reelbench world train --help` lists the models of {world!r} that can be trained here"
    raise WeightsError(f"no weights for {location!r}; looked at {', '.join(tried)}", hint)


def _not_fetched(location: str, weights_format: WeightsFormat) -> NotFetchedError:
    about = "" if weights_format.num_files is None else f"about {weights_format.num_files} "
    return NotFetchedError(
        f"{location}: no local folder, and not in the hub's cache: not fetched yet; the run will fetch "
        f"{about}files",
        "--online asks the hub whether it has them",
    )


def count_parameters(refs: Iterable[WeightsRef]) -> int | None:
    """How many floating-point numbers are in the files that are loaded of weights, each location once: text
    encoders and autoencoders with them. Nothing is fetched.

    Returns:
        None where a file is not on this machine, or is no safetensors.
    """
    total = 0
    for ref in {ref.location: ref for ref in refs}.values():
        try:
            path = resolve(ref.location, ref.format, fetch=False)
            names = [""] if path.is_file() else ref.format.files(local_tree(path))
        except WeightsError:
            return None
        files = [path / name if name else path for name in names]
        for count in [num_parameters(file) for file in files if file.suffix not in TEXT_SUFFIXES]:
            if count is None:
                return None
            total += count
    return total


def digest_weights(
    path: Path, cache: FileDigests | None = None, weights_format: WeightsFormat = EVERYTHING
) -> str:
    """Digest of what is loaded of `path` (a file or a folder), by content.

    Args:
        cache: where digests are remembered.

    Raises:
        WeightsError: see `WeightsFormat.files`.
    """
    digests = FileDigests(None) if cache is None else cache
    if path.is_file():
        parts = [[path.name, digests.digest(path)]]
    else:
        # By parts of the path, as folders have been sorted since the first store.
        names = sorted(weights_format.files(local_tree(path)), key=lambda name: name.split("/"))
        parts = [[name, digests.digest(path / name)] for name in names]
    digests.save()
    return digest(parts)

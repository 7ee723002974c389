"""Where pretrained weights lie, and what they are.

A location is a local path, a name below a weights root, or a hub id, tried in that order:

1. an absolute path, or one that begins with `./`, `../` or `~`;
2. a name below `$REELBENCH_WEIGHTS`, when that is a folder ("sprites/t2i");
3. a name of the embedded world that the package ships ("sprites/t2i", "sprites/clip", "sprites/i3d");
4. a hub id ("owner/name" or "owner/name@revision"), fetched by huggingface_hub into its own cache;
   only the caller that loads it (`fetch=True`) goes to the network.

`pipeline` as a location means `$REELBENCH_WEIGHTS` itself where that names a diffusers folder
(one with model_index.json) or a hub id, and the embedded pipeline otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import WeightsError
from .file_digests import FileDigests
from .hashing import digest

_WEIGHT_SUFFIXES = {".safetensors", ".pt", ".pth", ".bin", ".json", ".txt", ".model"}
_PACKAGED = {"sprites": Path(__file__).resolve().parent.parent / "worlds" / "sprites" / "weights"}


def resolve(location: str, *, fetch: bool = True) -> Path:
    """The local file or folder of a location.

    Raises:
        WeightsError: nothing is there; the message lists where it was looked for.
    """
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
    raise WeightsError(
        f"no weights for {location!r}; looked at {', '.join(tried)}",
        "give a local path, a name below REELBENCH_WEIGHTS, or a hub id (owner/name)",
    )


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
    files = (
        [path]
        if path.is_file()
        else sorted(item for item in path.rglob("*") if item.is_file() and item.suffix in _WEIGHT_SUFFIXES)
    )
    if not files:
        raise WeightsError(
            f"no weight files in {path}", f"expected {', '.join(sorted(_WEIGHT_SUFFIXES))} files"
        )
    digests = FileDigests(cache)
    parts = [
        [item.name if path.is_file() else item.relative_to(path).as_posix(), digests.digest(item)]
        for item in files
    ]
    digests.save()
    return digest(parts)

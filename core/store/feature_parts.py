"""The features of a store, in append-only Parquet files: one for each extractor and finished shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ... import __version__
from ..atomic_write import atomic_path, is_temporary
from ..errors import StoreError
from ..hashing import digest, digest_array
from ..records import SCHEMA_VERSION, newer_than_known
from ..types import Features
from .files import StoreFiles, writing


class FeatureParts:
    """Features by extractor and key. A part file is read and checked once and remembered."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._known: dict[str, dict[Path, set[str]]] = {}

    def put(self, extractor: str, features: Mapping[str, Features]) -> None:
        """Store the features of one shard as one part file. Keys that are there twice are harmless.

        Raises:
            StoreError: a feature is not finite, or the file cannot be written (a full disk).
        """
        if not features:
            return
        keys = sorted(features)
        arrays = [np.ascontiguousarray(features[key], dtype=np.float32) for key in keys]
        for key, array in zip(keys, arrays, strict=True):
            if not np.isfinite(array).all():
                raise StoreError(f"features {key} of {extractor!r} hold NaN or infinite values")
        table = pa.table(
            {
                "feature_key": pa.array(keys, pa.string()),
                "shape": pa.array([list(array.shape) for array in arrays], pa.list_(pa.int64())),
                "values": pa.array([array.tobytes() for array in arrays], pa.binary()),
                "digest": pa.array([digest_array(array) for array in arrays], pa.string()),
            }
        ).replace_schema_metadata(
            {
                "reelbench.table": "feature_part",
                "reelbench.schema_version": str(SCHEMA_VERSION),
                "reelbench.version": __version__,
            }
        )
        names = (f"{name}.parquet" for name in _part_names(keys))
        folder = self.folder(extractor)
        path = next((path for name in names if self._bar(path := folder / name) is None), None)
        if path is None:
            raise StoreError(f"the features in {folder} must be left alone", "name another `store`")
        self._files.make_way(path)
        with writing(path), atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)

    def keys(self, extractor: str) -> set[str]:
        """All the keys whose features can be loaded. A part file that is damaged goes to quarantine, and what
        was in it counts as missing; so does what is in one of a newer Reelbench, which is left alone."""
        return set().union(*self._parts(extractor).values())

    def load(self, extractor: str, keys: Iterable[str]) -> dict[str, Features]:
        """The features of the keys that are stored; the caller sees from the missing ones what failed."""
        wanted = set(keys)
        found: dict[str, Features] = {}
        for path, held in self._parts(extractor).items():
            if wanted & held:
                part = self._read(path) or {}
                found |= {key: part[key] for key in part if key in wanted and key not in found}
        return found

    def part_files(self) -> list[Path]:
        """The part files of all extractors, sorted."""
        found = (self._files.root / "features").glob("*/*.parquet")
        return sorted(path for path in found if not is_temporary(path))

    def check(self, path: Path) -> set[str]:
        """Read a part file whole: the keys that it holds. A damaged one goes to quarantine."""
        return set(self._read(path) or {})

    def _parts(self, extractor: str) -> dict[Path, set[str]]:
        """The keys in each part file that is there and sound."""
        known = self._known.setdefault(extractor, {})
        present = {path for path in self.folder(extractor).glob("*.parquet") if not is_temporary(path)}
        for path in set(known) - present:
            del known[path]
        for path in present - set(known):
            # All of it, not the keys alone: what counts as held must be there when it is wanted.
            part = self._read(path)
            if part is not None or path in self._files.left_alone:
                known[path] = set(part or ())
        return dict(sorted(known.items()))

    def _read(self, path: Path) -> dict[str, Features] | None:
        """The features of a part file; None where it is gone or must be left alone, or is damaged (and now in
        quarantine)."""
        try:
            return _features_of(path)
        except FileNotFoundError:
            return None
        except Exception as error:  # damaged bytes lead Arrow's reader to errors of any class
            if self._bar(path) is not None:
                return None
            reason = (str(error) or type(error).__name__).splitlines()[0][:300]
            self._files.quarantine(path, f"damaged feature part: {reason}")
            return None

    def _bar(self, path: Path) -> StoreError | None:
        return self._files.barred(path, _newer_part)

    def folder(self, extractor: str) -> Path:
        """Where the part files of an extractor lie."""
        return self._files.root / "features" / extractor.replace("/", "_").replace(":", "_")


def _part_names(keys: list[str]) -> tuple[str, str]:
    """What a part file is called, and the name beside it where that must be left alone."""
    return digest(keys)[:32], digest([*keys, SCHEMA_VERSION])[:32]


def _newer_part(path: Path) -> StoreError | None:
    """What to tell of a part file that a newer Reelbench wrote; None of any other, or of none.

    Raises:
        PermissionError: this user may not read it.
    """
    try:
        return newer_than_known(*_written_by(pq.read_schema(path)))
    except PermissionError:
        raise
    except Exception:  # damaged bytes lead Arrow's reader to errors of any class
        return None


def _written_by(schema: pa.Schema) -> tuple[str | None, str | None]:
    """Schema version of a part file, and the version of Reelbench."""
    metadata = schema.metadata or {}
    version, made_by = (metadata.get(f"reelbench.{name}".encode()) for name in ("schema_version", "version"))
    return version and version.decode(), made_by and made_by.decode()


def _features_of(path: Path) -> dict[str, Features]:
    """What a part file holds, all of it checked: pages by their checksums (parts of version 0.1.0 have none),
    keys by the file's name, values and shapes by their digests.

    Raises:
        Exception: of any class, where the file is not what was written.
    """
    # Of one file: a folder of the name would be read as a data set.
    columns = pq.ParquetFile(path, page_checksum_verification=True).read()
    if (newer := newer_than_known(*_written_by(columns.schema))) is not None:
        raise newer
    keys = columns["feature_key"].to_pylist()
    if path.stem not in _part_names(keys):
        raise ValueError("its keys are not those in its name")
    features: dict[str, Features] = {}
    for key, shape, values, written in zip(
        keys, *(columns[name].to_pylist() for name in ("shape", "values", "digest")), strict=True
    ):
        features[key] = np.frombuffer(values, dtype=np.float32).reshape(shape)
        if digest_array(features[key]) != written or not np.isfinite(features[key]).all():
            raise ValueError("a feature does not match its digest")
    return features

"""What goes into a bundle: the tables without this machine's places, and all that a reviewer asks for."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ... import __version__
from ...core.atomic_write import output_path
from ...core.bundle_writing import BundleWriter
from ...core.errors import StoreError
from ...core.file_digests import FileDigests
from ...core.hashing import canonical_json, digest_array
from ...core.redaction import fit_to_leave
from ...core.run_folders import Results
from ...core.run_record import RECORD
from ...core.store import Store
from ...core.tables import SCHEMA_VERSION, SCHEMAS, read_table, to_table
from ...datasets.video import default_codec
from ...reports.pages.run_clips import locate
from ...reports.tables.run_tables import json_object
from .cards import card, find_card, from_card
from .readme import readme, script

FEATURES_BYTES = 256 * 2**20
"""Features are part of a bundle up to so many bytes, where nobody says whether they are to be."""

SAMPLES, RUN_FILE, WEIGHTS, ENVIRONMENT = "samples.jsonl", "run_file.json", "weights.json", "environment.json"

ABSENT = "absent"
"""In the manifest: members of `needed_members` that the results had nothing for."""

Rows = list[dict[str, Any]]

_KEYS_AT_ONCE = 16_384
_DATA = frozenset({"prompt", "source_prompt", "sample_id", "source", "dataset", "split", "method", "edit"})
"""Columns of what users named and wrote themselves."""


@dataclass
class Written:
    """What came of writing a bundle: its size, and what to know of it."""

    path: Path
    num_bytes: int = 0
    num_members: int = 0
    has_features: bool = False
    notes: list[str] = field(default_factory=list)


def write_bundle(
    results: Results,
    path: Path,
    *,
    features: bool | None = None,
    clips: bool = False,
    store: Path | None = None,
    force: bool = False,
    advanced: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write the bundle of some results. The same results give the same bytes.

    Args:
        features: whether the features are part of it; None where they are there and are not too large
            (`FEATURES_BYTES`).
        clips: whether the clips' previews are.
        store: where the features lie; found from the tables when None.
        force: replace a file that is there.
        advanced: is called with the bytes that were written since the last call.

    Raises:
        StoreError: the file is there already, a table cannot be read, or features are asked for and are not
            all there.
    """
    if path.is_dir():
        raise StoreError(f"{str(path)!r} is a folder", "name a file: -o x.zip")
    if path.is_file() and not force:
        raise StoreError(f"{str(path)!r} is there already", "--force replaces it, or give another name")
    tables = {
        name: read_table(results.tables, name).to_pylist()
        for name in SCHEMAS
        if (results.tables / f"{name}.parquet").is_file()
    }
    written = Written(path)
    with (
        output_path(path) as new,
        tempfile.TemporaryDirectory(prefix="reelbench-", dir=new.parent) as folder,
    ):
        writer = BundleWriter(new)
        found_store = store or _store_of(results, tables)
        previews = _add_previews(writer, results, tables.get("clips", [])) if clips else {}
        for member, content in _facts(results, tables, found_store, written.notes):
            writer.add(member, content)
        for name, rows in tables.items():
            writer.add(f"tables/{name}.parquet", _parquet(name, cleaned(rows, previews)))
        if features is not False:
            files = _features(
                tables.get("features", []), found_store, Path(folder), features is True, written.notes
            )
            for member, file in files.items():
                writer.add(member, file)
            written.has_features = bool(files)
        elif tables.get("features"):
            written.notes.append(
                "without the features: values of clips and sets cannot be computed again from it"
            )
        head = {
            "reelbench": __version__,
            "schema_version": SCHEMA_VERSION,
            "run": tables["summary"][0]["run"] if tables.get("summary") else "",
            "features": written.has_features,
            ABSENT: sorted({*needed_members(tables)} - {*writer.names}),
        }
        writer.add("README.md", readme(head, tables, written.notes, writer.names).encode())
        writer.add("rescore.sh", script().encode())
        writer.write(head, advanced)
        written.num_members = len(writer.names) + 1
        written.num_bytes = new.stat().st_size
    return written


def cleaned(rows: Iterable[Mapping[str, Any]], previews: Mapping[str, str] | None = None) -> Rows:
    """Rows of a table without secrets and this machine's places, the same from every working directory.

    Captions and names of samples are data, and stay as they are.
    """
    known: dict[str, str] = {}

    def clean(column: str, value: Any) -> Any:
        if column == "preview":
            return (previews or {}).get(value)
        if not isinstance(value, str) or column in _DATA or column.endswith(("_key", "digest")):
            return value
        if value not in known:
            known[value] = fit_to_leave(value, from_here=False)
        return known[value]

    return [{column: clean(column, value) for column, value in row.items()} for row in rows]


def samples_of(clips: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was asked for: each sample once, with the digests of its caption and of its reference clip.

    `caption_sha256` is that of the caption in UTF-8. `reference_digest` names what was measured of the
    reference: its file, the window and the choice of frames (of an evaluation, the file alone).
    """
    references: dict[tuple[str, str, str], str] = {}
    for row in clips:
        if row["side"] == "reference":
            place = (row["dataset"], row["split"])
            references.setdefault(
                (*place, f"source {row['source']}"), row["content_digest"] or row["clip_key"]
            )
            references[*place, f"sample {row['sample_id']}"] = row["content_digest"] or row["clip_key"]
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in clips:
        if row["side"] != "generated":
            continue
        place = (row["dataset"], row["split"])
        key = (*place, row["sample_id"])
        names = (f"sample {row['sample_id']}", f"source {row['source']}")
        found.setdefault(
            key,
            {
                **{
                    name: row[name]
                    for name in ("dataset", "split", "sample_id", "source", "edit", "source_prompt")
                },
                "caption": row["prompt"],
                "caption_sha256": text_sha256(row["prompt"]),
                "reference_digest": next(
                    (references[*place, n] for n in names if (*place, n) in references), None
                ),
            },
        )
    return [found[key] for key in sorted(found)]


def text_sha256(text: str | None) -> str | None:
    """sha256 of a text in UTF-8; None for none."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def feature_members(extractors: Iterable[str]) -> dict[str, str]:
    """The member for each extractor's features; plug-ins' names are paths, so a number comes first."""
    letters = {
        name: "".join(c if (c.isascii() and c.isalnum()) or c == "_" else "-" for c in name)
        for name in extractors
    }
    return {
        name: f"features/{number:02}-{letters[name][-60:].strip('-')}.parquet"
        for number, name in enumerate(sorted(letters))
    }


def _facts(
    results: Results, tables: Mapping[str, Rows], store: Path | None, notes: list[str]
) -> Iterator[tuple[str, bytes]]:
    """The members besides tables and features."""
    runs = tables.get("runs", [])
    run_data = json_object(runs[0]["run_file"]) if runs else {}
    if run_data:
        yield RUN_FILE, _text(clean_json(run_data))
        yield WEIGHTS, _text(clean_json(json_object(runs[0]["weights"])))
    record = _read_json(results.folder / RECORD)
    if record:
        yield RECORD, _text(clean_json(record))
    yield ENVIRONMENT, _text(clean_json(environment(record, runs[0] if runs else {})))
    for name, digest in protocols_in(tables):
        found = find_card(results.folder, name, digest, run_data)
        if found is None:
            notes.append(f"the settings of the protocol {name!r} ({digest[:12]}) are not known any more")
            continue
        yield card_member(name, digest), _text(card(from_card(clean_json(found))))
    if "clips" in tables:
        digests = _video_digests(tables["clips"], store)
        lines = [
            canonical_json(
                {**sample, "source_video_sha256": digests.get((sample["dataset"], sample["source"]))}
            )
            for sample in samples_of(tables["clips"])
        ]
        yield SAMPLES, "".join(f"{line}\n" for line in lines).encode()


def needed_members(tables: Mapping[str, Rows]) -> list[str]:
    """The members without which the numbers of such tables cannot all be checked."""
    of_clips = [SAMPLES] if "clips" in tables else []
    return [
        *(f"tables/{name}.parquet" for name in SCHEMAS),
        *(RUN_FILE, WEIGHTS, RECORD, ENVIRONMENT, *of_clips),
        *(card_member(name, digest) for name, digest in protocols_in(tables)),
    ]


def card_member(name: str, digest: str) -> str:
    """The member that holds the card of a protocol."""
    return f"protocols/{name[:80]}-{digest[:12]}.json"


def environment(record: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """What `environment.json` says.

    Args:
        record: `run.json`; empty where there is none.
        run: the row of the table `runs`; empty where there is none.
    """
    return {
        "reelbench": str(record.get("reelbench") or run.get("reelbench_version") or ""),
        "libraries": json_object(run.get("library_versions")),
        "hardware": run.get("hardware"),
    }


def protocols_in(tables: Mapping[str, Rows]) -> list[tuple[str, str]]:
    """Name and digest of every protocol that some row was measured by."""
    found = {
        (row["protocol"], row["protocol_digest"])
        for name in ("summary", "scores", "comparisons", "curves")
        for row in tables.get(name, [])
        if row["protocol"] and row["protocol_digest"]
    }
    return sorted(found)


def _video_digests(clips: Rows, store: Path | None) -> dict[tuple[str, str], str]:
    """The sha256 of source videos by data set and source, as far as the store remembers them."""
    if store is None:
        return {}
    known = FileDigests(store / "cache" / "videos_digests.json", read_only=True).known_files()
    found = {}
    for row in clips:
        if row["side"] == "reference" and row["path"]:
            stamps = known.get(Path(row["path"]), {})
            if len(set(stamps.values())) == 1:
                found[row["dataset"], row["source"]] = next(iter(stamps.values()))
    return found


def _store_of(results: Results, tables: Mapping[str, Rows]) -> Path | None:
    """The store that results were made from: where the tables say that the clips lie, else beside the
    results."""
    clip = next(
        (
            Path(row["path"])
            for row in tables.get("clips", [])
            if row["side"] == "generated" and row["path"] and row["status"] == "done"
        ),
        Path(),
    )
    places = [clip.parents[3]] if len(clip.parents) > 4 else []  # <store>/clips/<ab>/<key>/clip.mkv
    places += [folder / "store" for folder in list(results.folder.parents)[:2]]
    return next((place for place in places if (place / "features").is_dir()), None)


def _features(
    rows: Rows, store_folder: Path | None, folder: Path, is_asked: bool, notes: list[str]
) -> dict[str, Path]:
    """Files of features by member, one for each extractor; none, with a note, where they are not part of it.

    Raises:
        StoreError: they are asked for, and not all of them are there.
    """
    keys: dict[str, set[str]] = {}
    for row in rows:
        if row["status"] == "done":
            keys.setdefault(row["extractor"], set()).add(row["feature_key"])
    if not keys:
        return {}
    why = "no store of theirs is there" if store_folder is None else ""
    files: dict[str, Path] = {}
    if store_folder is not None:
        store = Store(store_folder, default_codec(), read_only=True)
        members = feature_members(keys)
        num_bytes = 0
        for extractor, wanted in sorted(keys.items()):
            files[members[extractor]] = folder / Path(members[extractor]).name
            missing = _write_features(files[members[extractor]], store, extractor, sorted(wanted))
            if missing:
                why = f"{missing} of {len(wanted)} features of {extractor!r} are not in the store any more"
                break
            num_bytes += files[members[extractor]].stat().st_size
            if num_bytes > FEATURES_BYTES and not is_asked:
                why = f"they have more than {FEATURES_BYTES >> 20} MiB; --features takes them along"
                break
    if not why:
        return files
    why = fit_to_leave(why, from_here=False)
    if is_asked:
        raise StoreError(
            f"the features cannot be part of the bundle: {why}",
            "`--store FOLDER` says where they are, `reelbench run` makes missing ones; or --no-features",
        )
    notes.append(f"without the features: {why}")
    return {}


_FEATURE_COLUMNS = pa.schema(
    [
        ("feature_key", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("values", pa.binary()),
        ("digest", pa.string()),
    ]
)


def _write_features(file: Path, store: Store, extractor: str, keys: Sequence[str]) -> int:
    """Write the features of some keys; how many are not there."""
    missing = 0
    metadata = {
        "reelbench.extractor": fit_to_leave(extractor, from_here=False),
        "reelbench.dtype": "float32, little",
    }
    schema = _FEATURE_COLUMNS.with_metadata(metadata)
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer:
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            chunk = keys[start : start + _KEYS_AT_ONCE]
            found = store.features.load(extractor, chunk)
            there = [key for key in chunk if key in found]
            missing += len(chunk) - len(there)
            columns = [
                there,
                [list(found[key].shape) for key in there],
                [found[key].astype("<f4").tobytes() for key in there],
                [digest_array(found[key]) for key in there],
            ]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
    return missing


def _add_previews(writer: BundleWriter, results: Results, clips: Rows) -> dict[str, str]:
    """Add the previews of generated clips; the member of each by its cell."""
    members: dict[str, str] = {}
    for row in clips:
        path = locate(row["preview"], results.tables)
        if (
            row["side"] == "generated"
            and path is not None
            and path.is_file()
            and row["preview"] not in members
        ):
            members[row["preview"]] = f"clips/{row['clip_key'][:32]}{path.suffix}"
            writer.add(members[row["preview"]], path)
    return members


def clean_json(data: Any) -> Any:
    """As `cleaned`, of what JSON holds."""
    if isinstance(data, Mapping):
        return {fit_to_leave(str(key), from_here=False): clean_json(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [clean_json(value) for value in data]
    return fit_to_leave(data, from_here=False) if isinstance(data, str) else data


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json_object(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}


def _text(data: Any) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _parquet(name: str, rows: Rows) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(to_table(name, rows), buffer, compression="zstd")
    return buffer.getvalue()

"""What a folder of results holds beside the store: digests of its tables and reports, and what its tables
name.

```
<folder>/tables/*.parquet, <folder>/comparison.md, <folder>/report.html, <folder>/report/*
<folder>/digests.json     sha256 of each of them by its path below the folder; written last
```
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ..atomic_write import write_text_atomic
from ..errors import StoreError
from ..hashing import digest_file
from ..tables import SCHEMAS, read_table
from .verification import Finding, Kind, Verification

_DIGESTS = "digests.json"
_REPORTS = ("comparison.md", "report.html")


def forget_results(folder: Path) -> None:
    """Call it before results are written anew: a kill between leaves no digests of other files."""
    (folder / _DIGESTS).unlink(missing_ok=True)


def record_results(folder: Path, *reports: str) -> None:
    """Keep the digests of the tables, and of the reports that were made of them."""
    names = [*(f"tables/{name}.parquet" for name in SCHEMAS), *reports]
    digests = {name: digest_file(folder / name) for name in names}
    write_text_atomic(folder / _DIGESTS, json.dumps(digests, indent=1))


def has_same_tables(folder: Path, other: Path) -> bool:
    """Whether two folders of results hold equal tables."""
    names = [f"tables/{name}.parquet" for name in SCHEMAS]
    try:
        return all(digest_file(folder / name) == digest_file(other / name) for name in names)
    except OSError:
        return False


def verify_results(folder: Path, verification: Verification, again: str, is_run: bool) -> str | None:
    """Add to the findings what is changed or missing in a folder of results, and what its tables name and is
    gone. Call it after `Verification.finish`.

    Args:
        again: what makes it again, in words.
        is_run: the clips are the store's; those of an evaluation are files.

    Returns:
        What cannot be checked, None where all was.
    """
    note = _files(folder, verification, again)
    try:
        clips = read_table(folder / "tables", "clips").to_pylist()
        features = read_table(folder / "tables", "features").to_pylist()
    except StoreError:
        return note  # a finding, or nothing was written yet
    known = {finding.path for finding in verification.findings}
    store, held = verification.store, verification.held

    def add(finding: Finding) -> None:
        if finding.path not in known:
            known.add(finding.path)
            verification.findings.append(finding)

    for row in (row for row in clips if row["status"] == "done"):
        if is_run and row["side"] == "generated":
            record = store.clips.folder(row["clip_key"]) / "record.json"
            if row["clip_key"] not in held:
                add(Finding("clip", record, f"is not there, and the tables name its clip; {again} makes it"))
            if (key := row["tune_key"]) and key not in held:
                record = store.artifacts.folder(key) / "record.json"
                reason = f"is not there; {again} tunes again when a clip needs it"
                add(Finding("tuning", record, reason))
        elif row["path"] and (path := Path(row["path"])).is_absolute() and not path.exists():
            add(Finding("video", path, "is not there: copy it to its place again; nothing else makes it"))
            verification.gone = [p for p in verification.gone if p != path and path not in p.parents]
    lacking = Counter(
        row["extractor"] for row in features if row["status"] == "done" and row["feature_key"] not in held
    )
    for extractor, num in lacking.items():
        part = store.features.folder(extractor)
        if not any(path.parent == part for path in known):  # else its damaged part is named
            reason = f"lacks {num} features that the tables name; {again} measures them again"
            add(Finding("features", part, reason))
    return note


def _files(folder: Path, verification: Verification, again: str) -> str | None:
    """The tables and reports themselves."""
    tables = [f"tables/{name}.parquet" for name in SCHEMAS]
    digests: dict[str, str] | None = None
    note = None
    try:
        digests = dict(json.loads((folder / _DIGESTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        if not any((folder / name).exists() for name in (*tables, *_REPORTS)):
            return None
        note = "digests of its tables and reports are not recorded, so their values are not checked"
    for name in digests or tables:
        path = folder / name
        kind: Kind = "table" if path.suffix == ".parquet" else "report"
        verification.checked[kind] += 1
        reason = None
        try:
            if kind == "table" and path.is_file():
                read_table(path.parent, path.stem)
            if digests is not None and digest_file(path) != digests[name]:
                reason = "is not what was written (its digest differs)"
            elif not path.is_file():
                reason = "is not there"
        except StoreError as error:
            reason = error.message.splitlines()[0][:300]
        except FileNotFoundError:
            reason = "is not there"
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if reason is not None:
            verification.findings.append(Finding(kind, path, f"{reason}; {again} writes it again"))
    return note

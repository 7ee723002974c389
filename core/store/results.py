"""What a run's folder holds beside the store: digests of its tables and reports, and what its tables name.

```
<run>/tables/*.parquet, <run>/comparison.md, <run>/report.html
<run>/digests.json     sha256 of each of them by its path below the folder; written last
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


def forget_results(run_dir: Path) -> None:
    """Call it before results are written anew: a kill between leaves no digests of other files."""
    (run_dir / _DIGESTS).unlink(missing_ok=True)


def record_results(run_dir: Path, *reports: str) -> None:
    """Keep the digests of the tables, and of the reports that were made of them."""
    names = [*(f"tables/{name}.parquet" for name in SCHEMAS), *reports]
    digests = {name: digest_file(run_dir / name) for name in names}
    write_text_atomic(run_dir / _DIGESTS, json.dumps(digests, indent=1))


def verify_results(run_dir: Path, verification: Verification, again: str, is_run: bool) -> str | None:
    """Add to the findings what is changed or missing in a run's folder, and what its tables name and is gone.
    Call it after `Verification.finish`.

    Args:
        again: what makes it again, in words.
        is_run: the clips are the store's; those of an evaluation are files.

    Returns:
        What cannot be checked, None where all was.
    """
    note = _files(run_dir, verification, again)
    try:
        clips = read_table(run_dir / "tables", "clips").to_pylist()
        features = read_table(run_dir / "tables", "features").to_pylist()
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
        folder = store.features.folder(extractor)
        if not any(path.parent == folder for path in known):  # else its damaged part is named
            reason = f"lacks {num} features that the tables name; {again} measures them again"
            add(Finding("features", folder, reason))
    return note


def _files(run_dir: Path, verification: Verification, again: str) -> str | None:
    """The tables and reports themselves."""
    tables = [f"tables/{name}.parquet" for name in SCHEMAS]
    digests: dict[str, str] | None = None
    note = None
    try:
        digests = dict(json.loads((run_dir / _DIGESTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        if not any((run_dir / name).exists() for name in (*tables, *_REPORTS)):
            return None
        note = "digests of its tables and reports are not recorded, so their values are not checked"
    for name in digests or tables:
        path = run_dir / name
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

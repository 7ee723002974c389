"""Where the results of a run lie: a folder for each time that it ran, and `latest` beside them.

```
<output>/<run>/20261127T030000Z/   tables/, comparison.md, report.html, report/, digests.json
<output>/<run>/latest              a link to the folder that was finished last
```

A folder is named by the start of the run in UTC, and appears under its name once its tables are whole.
Versions before this one wrote `tables/` right below `<output>/<run>`: that is read, and moved into a folder
of its own by the next run.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import filecmp
import os
import re
import shutil
import uuid
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from .atomic_write import write_text_atomic
from .bundles import is_bundle, unpack
from .errors import StoreError
from .hashing import digest_file
from .run_record import RECORD
from .set_aside import set_aside
from .waiting import say

LATEST = "latest"

_ID = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?")
_TABLES, _SUMMARY = "tables", "summary.parquet"
_FILES = ("comparison.md", "report.html", "digests.json", "contact-sheet.png")
_PAGE = "report"
_OF_AN_EVALUATION = "inputs.json"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def run_ids(run_dir: Path) -> list[str]:
    """The ids under which results of a run lie, the oldest first."""

    def order(name: str) -> tuple[str, int]:
        found = _ID.fullmatch(name)
        return (found[1], int(found[2] or 1)) if found else ("", 0)

    with contextlib.suppress(OSError):
        return sorted((p.name for p in run_dir.iterdir() if _ID.fullmatch(p.name) and p.is_dir()), key=order)
    return []


def results_dir(run_dir: Path, run_id: str | None = None) -> Path:
    """The folder of a run's results.

    Args:
        run_dir: `RunFile.run_dir`.
        run_id: which results; None for those that were finished last. Where there are none yet, the folder
            does not exist.

    Raises:
        StoreError: no results lie under `run_id`.
    """
    known = run_ids(run_dir)
    if run_id is not None:
        if run_id == LATEST:
            return results_dir(run_dir)
        if run_id not in known:
            newest = ", ".join(known[:-4:-1])
            raise StoreError(
                f"no results with the id {run_id!r} in {run_dir}",
                f"{len(known)} are there, the newest are {newest}" if known else "there are none with an id",
            )
        return run_dir / run_id
    if _has_old_layout(run_dir):  # an earlier version ran last: a later one would have moved it
        return run_dir
    named = _named_latest(run_dir / LATEST)
    return run_dir / (named if named in known else known[-1] if known else LATEST)


def started_at(folder: Path) -> datetime.datetime | None:
    """When the run began whose results lie in a folder; None where its name does not say so."""
    found = _ID.fullmatch(folder.name)
    if found is None:
        return None
    return datetime.datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Results:
    """Results that somebody named.

    Attributes:
        folder: of the results; of the tables themselves where these lie alone.
        tables: the folder of the Parquet tables.
        bundle: the name of the file that they were unpacked from, if they were.
    """

    folder: Path
    tables: Path
    bundle: str = ""


def find_results(place: Path) -> Results:
    """The results that a path names.

    Args:
        place: a folder of a run (`out/demo`: those that were finished last), of one of its results
            (`out/demo/20261127T030000Z`, `out/demo/latest`), of an evaluation, or of the tables themselves;
            or a bundle (`x.zip`), whose tables are unpacked into the user's cache.

    Raises:
        StoreError: there are none.
        NoBundleError: the file is no bundle.
    """
    if place.is_file() and is_bundle(place):
        folder = _unpacked(place)
        return Results(folder, folder / _TABLES, place.name)
    if not place.is_dir():
        what = "a file, and no folder of results" if place.exists() else "not there"
        raise StoreError(
            f"{str(place)!r} is {what}",
            "name a run file, the folder of a run (out/demo), or of one of its results (out/demo/latest)",
        )
    if (place / _SUMMARY).is_file():
        return Results(place.parent if place.name == _TABLES else place, place)
    if not (place / _TABLES).is_dir():
        latest = results_dir(place)
        if (latest / _TABLES).is_dir():
            return Results(latest, latest / _TABLES)
    if (place / _TABLES / _SUMMARY).is_file():
        return Results(place, place / _TABLES)
    raise StoreError(
        f"no results in {str(place)!r}: it has no {_TABLES}/{_SUMMARY}, and no folder of a run that has",
        "name a run file, the folder of a run (out/demo), or of one of its results (out/demo/latest)",
    )


def _is_read(member: str) -> bool:
    """Whether a member of a bundle is read where the bundle stands for its results."""
    return member.startswith(f"{_TABLES}/") or member == RECORD


def _unpacked(bundle: Path) -> Path:
    """The folder of a bundle's tables and record in the user's cache, by the content of the file.

    What the table of clips says of files is left out: a stranger's table must not have files of this machine
    shown or copied.

    Raises:
        StoreError: a table is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelbench" / "bundles"
    folder = cache / f"{digest_file(bundle)[:32]}-2"  # the first version unpacked tables alone
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    temporary = cache / f".{uuid.uuid4().hex[:12]}.tmp"
    temporary.mkdir()
    try:
        unpacked = unpack(bundle, temporary, wanted=_is_read)
        if broken := [name for name in unpacked.faults if name.startswith(f"{_TABLES}/")]:
            raise StoreError(
                f"{str(bundle)!r}: {broken[0]} {unpacked.faults[broken[0]]}",
                f"`reelbench verify {bundle}` says what else is wrong with it",
            )
        clips = temporary / _TABLES / "clips.parquet"
        if clips.is_file():
            table = pq.read_table(clips)
            places = [name for name in ("path", "preview") if name in table.schema.names]
            pq.write_table(table.drop_columns(places), clips)
        with contextlib.suppress(OSError):  # another process was faster
            temporary.rename(folder)
    except pa.ArrowException as error:
        raise StoreError(f"{str(bundle)!r}: its tables cannot be read", "copy the file again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def holds_results(run_dir: Path) -> bool:
    """Whether anything was written there, by this version or one before."""
    return (run_dir / _TABLES).exists() or bool(run_ids(run_dir))


@dataclass
class NewResults:
    """Results that are being written: `folder` is temporary until `finish` was called."""

    run_dir: Path
    started: datetime.datetime
    folder: Path

    def finish(self) -> None:
        """Give the folder its id, and point `latest` to it. Where that cannot be, a line says so."""
        self.folder = _named_by_time(self.folder, self.run_dir, self.started)
        try:
            _point_latest(self.run_dir, self.folder.name)
        except OSError as error:
            say(
                f"warning: {self.run_dir / LATEST} cannot be made to name these results ({error.strerror}); "
                f"they are in {self.folder}"
            )


@contextlib.contextmanager
def new_results(run_dir: Path, started: datetime.datetime) -> Iterator[NewResults]:
    """A folder for results; what is in it without `NewResults.finish` is gone at the end.

    Args:
        started: when the run began, with its time zone.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    adopt_old_layout(run_dir)
    temporary = run_dir / f".{uuid.uuid4().hex[:12]}.tmp"
    temporary.mkdir()
    try:
        yield NewResults(run_dir, started, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def adopt_old_layout(run_dir: Path) -> None:
    """Move what an earlier version wrote right below `run_dir` into a folder with an id; nothing is lost
    where it is killed."""
    if _has_old_layout(run_dir):
        _adopt(run_dir, run_dir)
    latest = run_dir / LATEST
    if latest.is_dir() and not latest.is_symlink() and (latest / _TABLES).is_dir():
        _adopt(latest, run_dir)  # copied by something that follows links
        shutil.rmtree(latest, ignore_errors=True)


def share_equal_files(folder: Path) -> None:
    """Make files that are equal to those of the results before one file with two names, to save space.

    Files are replaced and never written over, so one changes without the other.
    """
    earlier = [name for name in run_ids(folder.parent) if name != folder.name]
    if not earlier:
        return
    other = folder.parent / earlier[-1]
    shared = [*sorted((folder / _TABLES).glob("*.parquet")), *sorted((folder / _PAGE).glob("*.*"))]
    for path in [*shared, *(folder / name for name in _FILES)]:
        twin = other / path.relative_to(folder)
        with contextlib.suppress(OSError):  # no such file there, or a file system without links
            if not path.samefile(twin) and filecmp.cmp(path, twin, shallow=False):
                temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
                os.link(twin, temporary)
                temporary.replace(path)


def prune_results(run_dir: Path, num_kept: int, also_kept: Container[str] = ()) -> list[str]:
    """Delete all results but the newest ones, those that `latest` names, and the ids of `also_kept`; the ids
    that are gone."""
    latest = results_dir(run_dir).name
    gone = [name for name in run_ids(run_dir)[:-num_kept] if name != latest and name not in also_kept]
    for name in gone:
        temporary = run_dir / f".{uuid.uuid4().hex[:12]}.tmp"
        (run_dir / name).rename(temporary)  # whole or not at all
        shutil.rmtree(temporary)
    return gone


def _has_old_layout(run_dir: Path) -> bool:
    return (run_dir / _TABLES).is_dir() and not (run_dir / _OF_AN_EVALUATION).exists()


def _named_latest(latest: Path) -> str | None:
    """The id that `latest` names: a link, or a file with the id where links cannot be made."""
    try:
        if latest.is_symlink():
            return str(latest.readlink())
        return latest.read_text(encoding="utf-8").strip() if latest.is_file() else None
    except (OSError, ValueError):
        return None


def _named_by_time(folder: Path, run_dir: Path, started: datetime.datetime) -> Path:
    """Rename a folder to the first id of this time that is free."""
    first = started.astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        place = run_dir / (first if number == 1 else f"{first}-{number}")
        if not os.path.lexists(place):
            try:
                folder.rename(place)  # refused where another process was faster
                return place
            except OSError as error:
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                    raise
        number += 1


def _point_latest(run_dir: Path, run_id: str) -> None:
    latest = run_dir / LATEST
    temporary = run_dir / f".{uuid.uuid4().hex[:12]}.tmp"
    if latest.is_dir() and not latest.is_symlink():
        kept = set_aside(latest)
        say(f"{latest} is a folder that is not of a run: it is kept as {kept.name}")
    try:
        temporary.symlink_to(run_id)
        temporary.replace(latest)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in _NO_LINKS:
            raise
        write_text_atomic(latest, f"{run_id}\n")


def _adopt(source: Path, run_dir: Path) -> None:
    """Give the results in `source` a folder with an id. They are linked or copied first, then deleted."""
    tables = source / _TABLES
    # The table `runs` is written last, so its time is that of the results.
    times = [path.stat().st_mtime for path in tables.glob("*.parquet")] or [tables.stat().st_mtime]
    written = datetime.datetime.fromtimestamp(max(times), datetime.UTC)
    temporary = run_dir / f".{uuid.uuid4().hex[:12]}.tmp"
    try:
        shutil.copytree(tables, temporary / _TABLES, copy_function=_link_or_copy)
        if (source / _PAGE).is_dir():
            shutil.copytree(source / _PAGE, temporary / _PAGE, copy_function=_link_or_copy)
        for name in _FILES:
            if (source / name).is_file():
                _link_or_copy(str(source / name), str(temporary / name))
        _named_by_time(temporary, run_dir, written)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(tables, ignore_errors=True)
    for name in _FILES:
        (source / name).unlink(missing_ok=True)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

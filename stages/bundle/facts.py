"""What lies beside the tables of a bundle (run file, record, weights, environment, samples): is it all there,
and does it say what the tables say?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core.bundles import Unpacked
from ...core.run_record import RECORD
from .agreement import Agreement
from .contents import (
    ABSENT,
    ENVIRONMENT,
    RUN_FILE,
    SAMPLES,
    WEIGHTS,
    clean_json,
    environment,
    needed_members,
    samples_of,
)
from .reading import UnreadableError, read_json, read_lines
from .rescoring import Contents

_FOLDERS_OF_CLIPS = "videos"
"""The name of the method of an evaluation's entries."""

Facts = Mapping[str, Any]


def check_facts(unpacked: Unpacked, contents: Contents, result: Agreement) -> None:
    """The members that belong to such tables are there, and say what the tables say."""
    _check_members(unpacked, contents, result)
    facts = {name: _object(unpacked, name, result) for name in (RUN_FILE, WEIGHTS, ENVIRONMENT, RECORD)}
    record = facts[RECORD]
    if contents.run:
        for name, wanted in ((RUN_FILE, contents.run_data), (WEIGHTS, contents.weights)):
            _compare(name, facts[name], wanted, result)
        _compare(ENVIRONMENT, facts[ENVIRONMENT], clean_json(environment(record or {}, contents.run)), result)
        if record:
            _compare(RECORD, record, _of_record(record, contents), result)
            result.not_checked.append(f"the times, commits and digests of code in {RECORD}")
    _check_samples(unpacked, contents, result)
    for where, what in [*_of_run(contents), *_of_methods(contents, record or {}), *_of_hardware(contents)]:
        result.add("fact", where, what)


def untold_methods(contents: Contents, record: Facts) -> dict[str, str]:
    """Methods that have no row in the summary -> where they are named."""
    told = {row["method"] for row in contents.rows("summary")}
    named: dict[str, str] = {}
    for table, columns in (
        *((name, ("method",)) for name in ("clips", "scores", "curves")),
        ("comparisons", ("method_a", "method_b")),
    ):
        for row in contents.rows(table):
            for column in columns:
                if row[column] and row[column] not in told:
                    named.setdefault(row[column], f"the table `{table}`")
    entries = _entries(contents.run_data, "datasets")
    if not any(entry.get("methods") for entry in entries):
        for label in _labels(contents.run_data):
            if label not in told:
                named.setdefault(label, "the run file")
    of_record = record.get("methods")
    for label in of_record if isinstance(of_record, Mapping) else ():
        if label not in told:
            named.setdefault(str(label), RECORD)
    return named


def read_record_of(unpacked: Unpacked) -> Facts:
    """What `run.json` says; nothing where it is not there or no object."""
    try:
        found = read_json(unpacked.folder / RECORD)
    except UnreadableError:
        return {}
    return found if isinstance(found, dict) else {}


def _check_members(unpacked: Unpacked, contents: Contents, result: Agreement) -> None:
    """Every member that a bundle of such tables has is there, or it says that it never had it."""
    absent = unpacked.manifest.data.get(ABSENT)
    absent = set(map(str, absent)) if isinstance(absent, list) else set()
    for name in needed_members(contents.tables):
        if name in unpacked.manifest.members or name in unpacked.faults:
            continue
        if name in absent:
            result.is_partial = True
            result.not_checked.append(f"{name}: absent from the results that were packed")
        else:
            result.add("member", name, "is missing, and is not in the manifest either")


def _object(unpacked: Unpacked, name: str, result: Agreement) -> Facts | None:
    """The object in a member; None where it is not there or holds no object, which is a finding."""
    if name not in unpacked.manifest.members or not (unpacked.folder / name).is_file():
        return None
    try:
        found = read_json(unpacked.folder / name)
    except UnreadableError as error:
        result.add("member", name, error.message)
        return None
    if not isinstance(found, dict):
        result.add("member", name, f"holds {json.dumps(found)[:40]} in place of an object")
        return None
    return found


def _compare(name: str, found: Facts | None, wanted: Facts, result: Agreement) -> None:
    """One finding with the entries of a member in which it is not what the tables say."""
    if found is None or found == wanted:
        return
    names = [*wanted, *(key for key in found if key not in wanted and name != RECORD)]
    parts = [
        f"{key}: it says {_shown(found.get(key))}, the tables {_shown(wanted.get(key))}"
        for key in names
        if found.get(key) != wanted.get(key)
    ]
    if parts:
        more = f"; and {len(parts) - 3} more" if len(parts) > 3 else ""
        result.add("member", name, "; ".join(parts[:3]) + more)


def _of_record(record: Facts, contents: Contents) -> dict[str, Any]:
    """What `run.json` has to say, from the tables."""
    run = contents.run
    version = str(run.get("reelbench_version") or "")
    said = str(record.get("reelbench") or "")
    wanted: dict[str, Any] = {
        **{name: run.get(name) for name in ("num_clips", "num_failures")},
        "hardware": run.get("hardware") or "",
        "weights": contents.weights,
        "libraries": environment({}, run)["libraries"],
        "reelbench": said if said.split(" ")[0] == version else version,
    }
    of_methods = record.get("methods")
    if isinstance(of_methods, Mapping) and contents.rows("summary"):
        facts = {
            row["method"]: {
                "name": row["method_name"],
                "version": row["method_version"],
                "config": row["method_config"],
            }
            for row in contents.rows("summary")
        }
        wanted["methods"] = {
            label: {**(own if isinstance(own := of_methods.get(label), Mapping) else {}), **mine}
            for label, mine in facts.items()
        }
    return wanted


def _check_samples(unpacked: Unpacked, contents: Contents, result: Agreement) -> None:
    """The list of samples is that of the table of clips."""
    try:
        lines = read_lines(unpacked.folder / SAMPLES)
    except UnreadableError as error:
        result.add("member", SAMPLES, error.message)
        return
    if lines is None or "clips" not in contents.tables:
        return
    if wrong := [number for number, line in enumerate(lines, 1) if not isinstance(line, dict)]:
        result.add("member", SAMPLES, f"its line {wrong[0]} is no object")
    listed = {_place(line): line for line in lines if isinstance(line, dict)}
    samples = {_place(sample): sample for sample in samples_of(contents.rows("clips"))}
    num_found = result.num_findings
    for place in sorted({*listed, *samples}, key=str):
        line, sample = listed.get(place), samples.get(place)
        where = ", ".join(str(part) for part in place if part)
        if line is None or sample is None:
            result.add("sample", where, f"is only in {'the table `clips`' if line is None else SAMPLES}")
        elif differing := [name for name, value in sample.items() if line.get(name) != value]:
            result.add("sample", where, f"{SAMPLES} and the table `clips` differ in {', '.join(differing)}")
    if result.num_findings == num_found:
        result.checked.append(f"{len(samples)} samples with the digests of their captions")
    if any(line.get("source_video_sha256") for line in listed.values()):
        result.not_checked.append("sha256 of the source videos, which are not in a bundle")


def _place(sample: Facts) -> tuple[Any, ...]:
    return tuple(str(sample.get(name) or "") for name in ("dataset", "split", "sample_id"))


def _of_run(contents: Contents) -> Iterator[tuple[str, str]]:
    """What the table `runs` says of the others."""
    run = contents.run
    if not run:
        return
    for table in contents.tables:
        others = {row["run"] for row in contents.rows(table)} - {run["run"]}
        if others:
            yield table, f"is of the run {_shown(min(others, key=str))}, the table `runs` of {run['run']!r}"
    clips = [row for row in contents.rows("clips") if row["side"] == "generated"]
    num_done = sum(row["status"] == "done" for row in clips)
    if "clips" in contents.tables and run["num_clips"] != num_done:
        yield "runs", f"num_clips: {run['num_clips']}, and the table `clips` has {num_done}"
    said = set((run["protocol_digest"] or "").split(", "))
    for row in contents.rows("summary"):
        if row["protocol_digest"] and row["protocol_digest"] not in said:
            yield "runs", f"it does not name the protocol {row['protocol']} ({row['protocol_digest'][:12]})"
            return


def _of_methods(contents: Contents, record: Facts) -> Iterator[tuple[str, str]]:
    """What the summary says of each method, against itself, the other tables and the run file."""
    for label, where in untold_methods(contents, record).items():
        yield label, f"is in {where}, and the summary has no row of this method"
    first: dict[str, Facts] = {}
    told: set[tuple[str, str]] = set()
    for row in contents.rows("summary"):
        known = first.setdefault(row["method"], row)
        for column in ("method_name", "method_version", "method_config", "conditioning"):
            if row[column] != known[column] and (row["method"], column) not in told:
                told.add((row["method"], column))
                yield row["method"], f"{column}: the summary says both {_both(known[column], row[column])}"
    for row in contents.rows("scores"):
        known = first.get(row["method"], row)
        if row["conditioning"] != known["conditioning"] and (row["method"], "scores") not in told:
            told.add((row["method"], "scores"))
            said = _both(known["conditioning"], row["conditioning"])
            yield row["method"], f"conditioning: summary and scores say {said}"
    for entry in _entries(contents.run_data, "methods"):
        label = str(entry.get("label") or entry.get("name"))
        for what in _against_entry(entry, first[label]) if label in first else ():
            yield label, what


def _against_entry(entry: Facts, row: Facts) -> Iterator[str]:
    """What a row of the summary says of its method, against the entry of the run file."""
    name, config = str(entry.get("name") or ""), entry.get("config")
    if ".py" not in name and name != row["method_name"]:
        yield f"method_name: the summary says {row['method_name']!r}, the run file {name!r}"
    try:
        recorded = json.loads(row["method_config"] or "{}")
    except (ValueError, RecursionError):
        yield "method_config: it is no JSON"
        return
    for key, mine, theirs in _differing(config, recorded, ()):
        yield f"method_config, {key}: the summary says {_shown(theirs)}, the run file {_shown(mine)}"


def _differing(asked: Any, recorded: Any, where: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    """Numbers, words and switches of a run file's settings that were recorded as others. What a method has
    made another thing of (a path, a preset) is left out."""
    if isinstance(asked, Mapping) and isinstance(recorded, Mapping):
        for key, value in asked.items():
            if key in recorded:
                yield from _differing(value, recorded[key], (*where, str(key)))
    elif all(isinstance(value, bool | int | float) for value in (asked, recorded)) and asked != recorded:
        yield ".".join(where), asked, recorded


def _of_hardware(contents: Contents) -> Iterator[tuple[str, str]]:
    """Devices: those of the clips, or that which measured clips of folders."""
    run = contents.run
    clips = [row for row in contents.rows("clips") if row["side"] == "generated" and row["status"] == "done"]
    is_evaluation = {row["method_name"] for row in contents.rows("summary")} == {_FOLDERS_OF_CLIPS}
    if run and clips and not is_evaluation:
        made = {row["hardware"] for row in contents.rows("clips") if row["hardware"]}
        if (run["hardware"] or "") != "; ".join(sorted(made)):
            yield "runs", f"hardware: {_both(run['hardware'], '; '.join(sorted(made)))} (of the clips)"
    if "clips" not in contents.tables or not run:
        return
    of_cells: dict[tuple[str, str], set[str]] = {}
    for row in clips:
        of_cells.setdefault((row["method"], row["dataset"]), set()).add(str(row["hardware"]))
    told = set()
    for row in contents.rows("summary"):
        if row["seed"] is not None or row["method"] in told:
            continue
        wanted = "; ".join(sorted(of_cells.get((row["method"], row["dataset"]), ())))
        if is_evaluation and row["level"] != "cost":
            wanted = run["hardware"] or ""
        if (row["hardware"] or "") != wanted:
            told.add(row["method"])
            whose = "the table `runs`" if is_evaluation else "the clips"
            yield row["method"], f"hardware: the summary says {row['hardware']!r}, {whose} {wanted!r}"


def _entries(run_data: Facts, kind: str) -> list[Facts]:
    found = run_data.get(kind)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def _labels(run_data: Facts) -> list[str]:
    return [str(entry.get("label") or entry.get("name")) for entry in _entries(run_data, "methods")]


def _both(one: Any, other: Any) -> str:
    return f"{_shown(one)} and {_shown(other)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."

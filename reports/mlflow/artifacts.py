"""The files of MLflow's runs: of a parent its tables, chart, report and pages of clips, of a child its clips
and the whole of its numbers. They are made in a folder of their own and sent from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.atomic_write import write_text_atomic
from ...core.errors import StoreError
from ...core.hashing import digest, digest_bytes
from ...core.redaction import fit_to_leave, without_machine
from ...core.tables import SCHEMAS, read_table, write_table
from ..pages.markdown_report import comparison_markdown
from ..pages.run_clips import PromptClips, clips_by_prompt, locate
from ..tables.comparison import comparison_table
from ..tables.measurement import finite
from ..tables.run_tables import Key, RunTables, titles
from .chart import chart_svg
from .clip_grid import clip_grid
from .records import Record, RunRecords, rows_if_there

NUM_PROMPTS = 6
"""Prompts of each data set whose clips become pages of the parent."""
NUM_PREVIEWS = 4
"""Clips of each method and data set that become artifacts of its child."""

SUMMARY = "summary.json"
"""A child's numbers in the form that MLflow shows as a table."""

_NEEDED = ("runs", "summary")
_COLUMNS = (
    *("metric", "value", "standard_error", "low", "high", "interval", "bias_corrected", "n", "num_sources"),
    *(
        "n_reference",
        "coverage",
        "num_failures",
        "references",
        "protocol",
        "protocol_digest",
        "signature",
        "notes",
    ),
)


@dataclass(frozen=True)
class Artifacts:
    """What there is to send of a run.

    Attributes:
        sources: of the parent: name -> file.
        prompts: whose clips are shown.
        digest: of all that the files are made from.
    """

    tables_folder: Path
    records: RunRecords
    sources: Mapping[str, Path]
    prompts: Sequence[PromptClips]
    digest: str

    def write_parent(self, folder: Path) -> None:
        """Write the parent's files."""
        tables = RunTables(self.tables_folder)
        for name, source in self.sources.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".parquet":
                _copy_table(source, place)
            else:
                shutil.copyfile(source, place)
        comparison = comparison_markdown(comparison_table(tables))
        write_text_atomic(folder / "comparison.md", without_machine(comparison))
        self._write_charts(folder, tables)
        self._write_grids(folder, tables)

    def _write_charts(self, folder: Path, tables: RunTables) -> None:
        shown = titles(self.records.places)
        for key, place in self.records.places.items():
            rows = [row for child in self.records.children if _is_of(child, key) for row in child.rows]
            title = f"{shown[key]} · protocol {key[2] or '(none)'}"
            svg = chart_svg(title, rows, self.records.names, tables.method_order)
            if svg is not None:
                write_text_atomic(folder / f"chart_{_file_name(place)}.svg", svg)

    def _write_grids(self, folder: Path, tables: RunTables) -> None:
        scores = rows_if_there(tables, "scores")
        labels = {row["metric"]: row["label"] or row["metric"] for row in tables.summary}
        numbers: dict[str, int] = {}
        for prompt in self.prompts:
            number = numbers[prompt.dataset] = numbers.get(prompt.dataset, -1) + 1
            page = clip_grid(prompt, tables.method_order, scores, labels, self.tables_folder)
            # Sample ids and prompts are foreign text and name no file.
            write_text_atomic(folder / "clips" / f"{_file_name(prompt.dataset)}_{number:03d}.html", page)

    def write_child(self, child: Record, folder: Path) -> None:
        """Write the files of a child: `summary.json`, and its first clips with their prompts."""
        rows = [
            {"metric": self.records.names.of_row(row)} | {c: row.get(c) for c in _COLUMNS[1:]}
            for row in child.rows
        ]
        table = {
            "columns": list(_COLUMNS),
            "data": [[_cell(row[column]) for column in _COLUMNS] for row in rows],
        }
        write_text_atomic(folder / SUMMARY, json.dumps(table, ensure_ascii=False))
        captions: dict[str, str] = {}
        for prompt in self.prompts:
            row = prompt.generated.get(child.method)
            is_here = (prompt.dataset, prompt.split) == (child.dataset, child.split)
            if row is None or not is_here or len(captions) == NUM_PREVIEWS:
                continue
            if (path := locate(row["preview"], self.tables_folder)) is not None and path.is_file():
                name = f"clips/{len(captions):03d}{path.suffix}"
                (folder / "clips").mkdir(exist_ok=True)
                shutil.copyfile(path, folder / name)
                captions[name] = fit_to_leave(prompt.prompt)
        if captions:
            text = json.dumps(captions, ensure_ascii=False, indent=1)
            write_text_atomic(folder / "clips" / "prompts.json", text)


def artifacts_of(tables_folder: Path, records: RunRecords, report_path: Path | None) -> Artifacts:
    """What there is to send of the run whose tables lie in `tables_folder`; nothing is made yet.

    Args:
        report_path: an HTML report to put beside the tables.

    Raises:
        StoreError: a table or the report is missing.
    """
    sources = {f"tables/{name}.parquet": tables_folder / f"{name}.parquet" for name in SCHEMAS}
    # What is recorded in a repository has neither clips nor features.
    sources = {name: path for name, path in sources.items() if path.stem in _NEEDED or path.exists()}
    if report_path is not None:
        sources[report_path.name] = report_path
    for name, path in sources.items():
        if not path.is_file():
            raise StoreError(f"no file {path} to log to MLflow as {name}", "run `reelbench report` again")
    prompts = clips_by_prompt(rows_if_there(RunTables(tables_folder), "clips"), NUM_PROMPTS)
    shown = [[prompt.sample_id, prompt.prompt, _there(prompt, tables_folder)] for prompt in prompts]
    content = {
        "files": {name: digest_bytes(path.read_bytes()) for name, path in sources.items()},
        "clips": shown,
    }
    return Artifacts(tables_folder, records, sources, prompts, digest(content))


def _there(prompt: PromptClips, tables_folder: Path) -> list[str]:
    """The methods of a prompt whose preview is there."""
    return sorted(m for m, row in prompt.generated.items() if locate(row["preview"], tables_folder))


def _is_of(child: Record, key: Key) -> bool:
    """Whether a child is of a data set and protocol."""
    digest_of = child.tags.get("reelbench.protocol_digest", "")
    return (child.dataset, child.split, digest_of) == (key[0], key[1], key[3])


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return finite(value)
    return fit_to_leave(value) if isinstance(value, str) else value


def _file_name(text: str) -> str:
    """A data set's label as a part of a file's name."""
    return "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in text)[:60] or "data"


_WITH_PATHS = (
    *("path", "preview", "error_message", "notes", "run_file", "weights", "method_config", "extractor"),
    *("method_name", "signature", "metric", "label"),
)
"""Columns of tables that may hold paths of this machine."""


def _copy_table(source: Path, place: Path) -> None:
    """Copy a table for others, without this machine's absolute paths; as it is where it has none."""
    rows = read_table(source.parent, source.stem).to_pylist()
    clean = [
        {
            name: without_machine(value) if name in _WITH_PATHS and isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    if clean == rows:
        shutil.copyfile(source, place)
    else:
        write_table(place.parent, place.stem, clean)

"""The ablation table: variants of one method, with the settings in which they differ.

The shape of the papers' ablations (FCA: where the text is injected, with or without frame-wise conditioning,
with or without latents of the initial frames). Entries of a run file that name the same method with different
settings are its variants. Which settings differ is found in the configurations that the run recorded, so a
table needs to know nothing of the method.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.tables import read_table
from .comparison import (
    NUM_DIGEST_CHARACTERS,
    all_seeds_rows,
    by_protocol,
    comparisons_by_protocol,
    load_comparisons,
    load_method_order,
)
from .groups import Column, Group, build_columns, group_facts, method_groups, rows_by_cell
from .lead import Row
from .measurement import DASH
from .notes import Footnotes
from .prediction import counts_differ, prediction_facts
from .prediction_data import PredictionData, prediction_data

ABLATION_METRICS = ("fvd", "kvd", "psnr", "ssim", "lpips")
"""The metrics of the table, in its order. Those that a run does not measure are left out."""

_Settings = Mapping[str, str]
"""Values as text, by the dotted path of the setting."""


@dataclass(frozen=True)
class AblationTable:
    """The variants of a method on one data set, under one protocol.

    Attributes:
        title: "fca on ssv2, validation"; with the protocol where there are several.
        settings: headings of the settings in which the variants differ.
        values: the settings of each variant, by its label.
        columns: the metrics.
        groups: the variants by what they saw.
        shows_n: whether n and coverage are columns.
        facts: (name, text) lines to print under the table.
        footnotes: the texts of marks 1, 2, ...
    """

    title: str
    settings: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    shows_n: bool
    facts: tuple[tuple[str, str], ...]
    footnotes: tuple[str, ...]


def load_ablation_tables(tables_folder: Path) -> tuple[AblationTable, ...]:
    """The ablation tables of the run whose Parquet tables lie in `tables_folder`; none where nothing is
    predicted, or no method has variants.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    summary, runs = (read_table(tables_folder, name).to_pylist() for name in ("summary", "runs"))
    return build_ablation_tables(
        summary, runs, load_method_order(tables_folder), load_comparisons(tables_folder)
    )


def build_ablation_tables(
    summary: Iterable[Row],
    runs: Iterable[Row],
    method_order: Sequence[str] = (),
    comparisons: Iterable[Row] = (),
) -> tuple[AblationTable, ...]:
    """The ablation tables of a run, by data set, protocol and method.

    Args:
        summary, runs: rows of the run's tables.
        method_order: variants in the order to show; the others follow by name.
        comparisons: rows of the `comparisons` table, which say what may be marked.

    Raises:
        ValueError: two all-seeds rows claim the same cell.
    """
    runs = list(runs)
    data = {item.label: item for item in prediction_data(runs)}
    weights = _weights(runs)
    rows = [
        row for row in all_seeds_rows(summary) if row["metric"] in ABLATION_METRICS and row["dataset"] in data
    ]
    rows.sort(key=lambda row: ABLATION_METRICS.index(row["metric"]))
    keys, tests = by_protocol(rows), comparisons_by_protocol(comparisons)
    order = list(data)
    tables = []
    for key, part in sorted(keys.items(), key=lambda item: order.index(item[0][0])):
        for name in dict.fromkeys(row["method_name"] for row in part):
            mine = [row for row in part if row["method_name"] == name]
            configs = {row["method"]: _flat(_json(row["method_config"])) for row in mine}
            if len(set(map(str, configs.values()))) < 2:
                continue
            title = f"{name} on {', '.join(filter(None, key[:2]))}"
            if sum(other[:2] == key[:2] for other in keys) > 1:
                title += f", protocol {key[2]}"
            tables.append(
                _table(title, key[2:], data[key[0]], mine, tests.get(key, ()), configs, weights, method_order)
            )
    return tuple(tables)


def _table(
    title: str,
    protocol: tuple[str, str],
    data: PredictionData,
    rows: Sequence[Row],
    comparisons: Sequence[Row],
    configs: Mapping[str, _Settings],
    weights: Mapping[str, str],
    method_order: Sequence[str],
) -> AblationTable:
    paths, locations = _differing(configs, weights)
    footnotes = Footnotes()
    columns = build_columns(rows, footnotes)
    groups = method_groups(rows_by_cell(rows, title), columns, method_order, footnotes, comparisons)
    facts = [*group_facts(columns, groups), *prediction_facts(protocol, [(data, rows)])]
    if locations:
        texts = [
            f"{label}: {_weights_text(label, config, locations, weights)}"
            for label, config in _in_order(configs, method_order)
        ]
        facts.append(("Weights", "; ".join(texts)))
    return AblationTable(
        title=title,
        settings=_headings(paths),
        values={label: tuple(config.get(path, DASH) for path in paths) for label, config in configs.items()},
        columns=columns,
        groups=groups,
        shows_n=counts_differ(rows),
        facts=tuple(facts),
        footnotes=footnotes.texts,
    )


def _in_order(configs: Mapping[str, _Settings], method_order: Sequence[str]) -> list[tuple[str, _Settings]]:
    last = len(method_order)
    return sorted(
        configs.items(),
        key=lambda item: (method_order.index(item[0]) if item[0] in method_order else last, item[0]),
    )


def _differing(configs: Mapping[str, _Settings], weights: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The settings in which variants differ, and those of them that only say where weights lie.

    A location says what was trained, not how: it is a column only where nothing else tells the variants
    apart, and stands below the table otherwise.
    """
    paths = dict.fromkeys(path for config in configs.values() for path in config)
    differing = [path for path in paths if len({config.get(path) for config in configs.values()}) > 1]
    locations = [
        path
        for path in differing
        if all(
            f"{label}:{config[path]}" in weights
            for label, config in configs.items()
            if config.get(path, DASH) != DASH
        )
    ]
    others = [path for path in differing if path not in locations]
    told_apart = {tuple(config.get(path) for path in others) for config in configs.values()}
    return (others, locations) if len(told_apart) == len(configs) else (differing, [])


def _headings(paths: Sequence[str]) -> tuple[str, ...]:
    """Each path as short as it can be and still be alone: "text" of "structure.text"."""
    headings = []
    for path in paths:
        parts = path.split(".")
        endings = [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
        alone = (
            ending
            for ending in endings
            if sum(other == ending or other.endswith(f".{ending}") for other in paths) == 1
        )
        headings.append(next(alone, path))
    return tuple(headings)


def _weights(runs: Iterable[Row]) -> dict[str, str]:
    """The digests of weights by "label:location", as the `runs` table has them."""
    found: dict[str, str] = {}
    for run in runs:
        found |= _json(run["weights"])
    return found


def _weights_text(label: str, config: _Settings, paths: Sequence[str], weights: Mapping[str, str]) -> str:
    texts = []
    for path in paths:
        location = config.get(path, DASH)
        value = weights.get(f"{label}:{location}", "")
        texts.append(f"{location} ({value[:NUM_DIGEST_CHARACTERS]})" if value else location)
    return ", ".join(texts)


def _json(text: str | None) -> dict[str, Any]:
    try:
        data = json.loads(text or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings by their dotted path, as text; null is a dash."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{path}.")
        elif value is None:
            flat[path] = DASH
        else:
            flat[path] = value if isinstance(value, str) else json.dumps(value)
    return flat

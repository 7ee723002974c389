"""The ablation table: variants of one method, with the settings in which they differ.

The shape of the papers' ablations, such as FCA's. Entries of a run file that name the same method with
different settings are its variants; which settings differ is found in the recorded configurations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .build import PartRows, method_table
from .comparison import counts_differ
from .measurement import DASH
from .method_table import MethodTable
from .prediction import prediction_data, prediction_facts
from .run_tables import (
    NUM_DIGEST_CHARACTERS,
    RunTables,
    by_protocol,
    flat_settings,
    json_object,
    order_key,
    titles,
)

ABLATION_METRICS = ("fvd_others", "kvd_others", "fvd", "kvd", "psnr", "ssim", "lpips")
"""The metrics of the table, in its order. Those that a run does not measure are left out."""

_Settings = Mapping[str, str]
"""Values as text, by the dotted path of the setting."""


def ablation_tables(run: RunTables) -> tuple[MethodTable, ...]:
    """The variants of each method on each data set of a run, under each protocol; none where nothing is
    predicted, or no method has variants.

    Raises:
        StoreError: a table is missing or cannot be read.
        ValueError: two all-seeds rows claim the same cell.
    """
    data = {item.label: item for item in prediction_data(run.rows("runs"))}
    weights: dict[str, str] = {}
    for row in run.rows("runs"):
        weights |= json_object(row["weights"])
    rows = [row for row in run.summary if row["metric"] in ABLATION_METRICS and row["dataset"] in data]
    keys = by_protocol(sorted(rows, key=lambda row: ABLATION_METRICS.index(row["metric"])))
    title_of, order = titles(keys), list(data)
    tables = []
    for key, part in sorted(keys.items(), key=lambda item: order.index(item[0][0])):
        for name in dict.fromkeys(row["method_name"] for row in part):
            mine = [row for row in part if row["method_name"] == name]
            configs = {row["method"]: settings_of(row["method_config"]) for row in mine}
            if len(set(map(str, configs.values()))) < 2:
                continue
            paths, locations = differing_settings(configs, weights)
            facts = prediction_facts(key[2:], [(data[key[0]], mine)])
            if locations:
                labels = sorted(configs, key=lambda label: order_key(label, run.method_order))
                texts = [f"{label}: {_places(label, configs[label], locations, weights)}" for label in labels]
                facts.append(("Weights", "; ".join(texts)))
            tables.append(
                method_table(
                    f"{name} on {title_of[key]}",
                    key[2],
                    [PartRows(mine, run.comparisons.get(key, ()))],
                    run.method_order,
                    shows_n=counts_differ(mine),
                    facts=facts,
                    settings=short_headings(paths),
                    values={
                        label: tuple(config.get(path, DASH) for path in paths)
                        for label, config in configs.items()
                    },
                )
            )
    return tuple(tables)


def settings_of(config: str | None) -> _Settings:
    """The settings of a configuration as text; null is a dash."""

    def text(value: Any) -> str:
        return DASH if value is None else value if isinstance(value, str) else json.dumps(value)

    return {path: text(value) for path, value in flat_settings(json_object(config)).items()}


def differing_settings(
    configs: Mapping[str, _Settings], weights: Mapping[str, str]
) -> tuple[list[str], list[str]]:
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


def short_headings(paths: Sequence[str]) -> tuple[str, ...]:
    """Each path as short as it can be and still be alone: "text" of "structure.text"."""

    def endings(path: str) -> list[str]:
        parts = path.split(".")
        return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]

    every = [ending for path in paths for ending in endings(path)]
    return tuple(next((one for one in endings(path) if every.count(one) == 1), path) for path in paths)


def _places(label: str, config: _Settings, paths: Sequence[str], weights: Mapping[str, str]) -> str:
    """ "out/fca (1a2b3c4d5e6f)": where weights lie, with their digests."""
    texts = []
    for path in paths:
        location = config.get(path, DASH)
        value = weights.get(f"{label}:{location}", "")
        texts.append(f"{location} ({value[:NUM_DIGEST_CHARACTERS]})" if value else location)
    return ", ".join(texts)

"""The rows of a table before anything is written: which methods of which runs, in which groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...core.redaction import fit_to_leave
from ..tables.ablation import differing_settings, settings_of, short_headings
from ..tables.build import COUNTED
from ..tables.measurement import DASH, is_value
from ..tables.run_tables import Row, json_object, order_key
from .filled_from import Source, clip_sizes
from .spec import EVERY_METHOD, SPEED_UP, ColumnSpec, CostSpec, SettingSpec, TableSpec


@dataclass
class Entry:
    """A method of a run, with what it has for each column.

    Attributes:
        source: the run.
        method: its label there.
        label: how the table calls it; with the run's name where runs share a label.
        name: registered name.
        saw: its conditioning.
        config: its settings as text, by dotted path.
        rows: rows of the summary by the number of the column.
        derived: values that are made of other rows (speed-ups), by the number of the column.
        reasons: why a column has nothing, where that is not in a row.
        units: what the rows' units are in place of the metric's, by column.
    """

    source: Source
    method: str
    label: str
    name: str
    saw: str
    config: Mapping[str, str]
    rows: dict[int, Row] = field(default_factory=dict)
    derived: dict[int, float] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    notes: dict[int, list[str]] = field(default_factory=dict)


def entries_of(spec: TableSpec, sources: Sequence[Source]) -> list[Entry]:
    """The methods that the runs have anything of, in the order of the runs and of their run files."""
    found: dict[tuple[int, str], Entry] = {}
    for number, source in enumerate(sources):
        mine: dict[str, Entry] = {}
        for index, column in enumerate(spec.columns):
            for row in source.rows(column, spec):
                entry = mine.setdefault(row["method"], _entry(source, row))
                entry.rows[index] = row
        if not any(column.metric for column in spec.columns):
            for row in source.costs:
                if source.is_of(row, spec.dataset):
                    mine.setdefault(row["method"], _entry(source, row))
        for index, cost in enumerate(spec.costs, len(spec.columns)):
            _add_cost(cost, index, source, spec, mine)
        for method in sorted(mine, key=lambda label: order_key(label, source.tables.method_order)):
            if not _is_shown(mine[method], spec):
                continue
            if mine[method].rows or mine[method].derived or mine[method].reasons:
                found[number, method] = mine[method]
    labels = [entry.label for entry in found.values()]
    for entry in found.values():
        if labels.count(entry.method) > 1:
            entry.label = f"{entry.method} ({entry.source.name})"
    return list(found.values())


def _entry(source: Source, row: Row) -> Entry:
    return Entry(
        source,
        row["method"],
        row["method"],
        row["method_name"] or row["method"],
        row["conditioning"] or "",
        {"weights": source.base_models.get(row["method"], DASH), **settings_of(row["method_config"])},
    )


def _is_shown(entry: Entry, spec: TableSpec) -> bool:
    """Whether the table has a place for it: what is not shown is not ranked either."""
    names = {name for rows in spec.rows for name in rows.methods}
    return bool(names & {EVERY_METHOD, entry.method, entry.name})


def _add_cost(cost: CostSpec, index: int, source: Source, spec: TableSpec, mine: Mapping[str, Entry]) -> None:
    rows: dict[str, list[Row]] = {}
    for row in source.rows(cost, spec):
        rows.setdefault(row["method"], []).append(row)
    chosen = {}
    for method, entry in mine.items():
        if method not in rows:
            continue
        # Of several data sets the one with the most clips: their costs are not one number.
        row = max(rows[method], key=lambda row: (row["n"] or 0, row["dataset"]))
        sizes, is_count = clip_sizes(source, row), row["unit"] == COUNTED
        if not is_count and cost.size and sizes != (cost.size,):
            what = f"clips of {' and '.join(sizes)}" if sizes else "clips of a size that is not recorded"
            entry.reasons[index] = f"{what}; the table is of {cost.size}"
        elif not is_count and cost.device.casefold() not in (row["hardware"] or "").casefold():
            where = f"made on {row['hardware']}" if row["hardware"] else "the device is not recorded"
            entry.reasons[index] = f"{where}; the table is of {cost.device}"
        else:
            chosen[method] = row
            if cost.metric != SPEED_UP:
                entry.rows[index] = row
    if cost.metric == SPEED_UP:
        _add_speed_up(cost, index, mine, chosen)


def _add_speed_up(cost: CostSpec, index: int, mine: Mapping[str, Entry], rows: Mapping[str, Row]) -> None:
    """How many times each method is faster than the one that they are held against."""
    against = [method for method in rows if cost.against in (method, mine[method].name)]
    for method, entry in mine.items():
        if method not in rows:
            entry.reasons.setdefault(index, "no seconds a clip are recorded")
        elif not against:
            entry.reasons[index] = f"{cost.against} is not among these results"
        elif len(against) > 1:
            entry.reasons[index] = f"{cost.against} is several: {', '.join(against)}"
        else:
            base, own = rows[against[0]], rows[method]
            if not (is_value(base["value"]) and is_value(own["value"]) and own["value"] > 0):
                entry.reasons[index] = "no seconds a clip are recorded"
            elif (base["hardware"], base["dataset"]) != (own["hardware"], own["dataset"]):
                entry.reasons[index] = f"made on another device or data set than {against[0]}"
            elif clip_sizes(entry.source, base) != clip_sizes(entry.source, own):
                entry.reasons[index] = f"clips of another size than those of {against[0]}"
            else:
                entry.derived[index] = base["value"] / own["value"]


@dataclass(frozen=True)
class EntryGroup:
    """Entries that stand together under a heading."""

    heading: str
    entries: tuple[Entry, ...]


def grouped(spec: TableSpec, entries: Sequence[Entry], saw_order: Sequence[str]) -> list[EntryGroup]:
    """The entries in the groups of the table; groups without any are left out."""
    named = {name for rows in spec.rows for name in rows.methods if name != EVERY_METHOD}
    groups: list[EntryGroup] = []
    for rows in spec.rows:
        chosen: list[Entry] = []
        for name in rows.methods:
            chosen += [
                entry
                for entry in entries
                if entry not in chosen
                and (
                    name in (entry.method, entry.name)
                    or (name == EVERY_METHOD and not {entry.method, entry.name} & named)
                )
            ]
        if spec.group_by is not None or rows.heading:
            groups.append(EntryGroup(rows.heading, tuple(chosen)))
            continue
        seen = sorted({entry.saw for entry in chosen}, key=lambda saw: order_key(saw, saw_order))
        groups += [
            EntryGroup(f"Saw: {saw or '(not stated)'}", tuple(e for e in chosen if e.saw == saw))
            for saw in seen
        ]
    if spec.group_by is not None:
        every = [entry for group in groups for entry in group.entries]
        texts = [setting_text(spec.group_by, entry) for entry in every]
        groups = [
            EntryGroup(text, tuple(e for e, own in zip(every, texts, strict=True) if own == text))
            for text in dict.fromkeys(texts)
        ]
    return [group for group in groups if group.entries]


def absent(spec: TableSpec, entries: Sequence[Entry]) -> list[str]:
    """Methods that the table names and no run has."""
    there = {name for entry in entries for name in (entry.method, entry.name)}
    return [name for rows in spec.rows for name in rows.methods if name != EVERY_METHOD and name not in there]


def setting_text(setting: SettingSpec, entry: Entry) -> str:
    """The value of a setting as the table prints it."""
    value = entry.config.get(setting.path, DASH)
    return setting.values.get(value, fit_to_leave(value))


def shown_settings(spec: TableSpec, entries: Sequence[Entry]) -> tuple[SettingSpec, ...]:
    """The settings of the table; of an ablation that names none, those in which its rows differ."""
    if spec.settings or spec.kind != "ablation" or len(entries) < 2:
        return spec.settings
    weights: dict[str, str] = {}
    for entry in entries:
        for row in entry.source.optional("runs"):
            weights |= json_object(row["weights"])
    paths, _ = differing_settings({entry.label: entry.config for entry in entries}, weights)
    return tuple(
        SettingSpec(path=path, label=label) for path, label in zip(paths, short_headings(paths), strict=True)
    )


def columns_of(spec: TableSpec) -> Iterator[tuple[int, ColumnSpec | CostSpec]]:
    """The columns with their numbers."""
    return enumerate(spec.all_columns)

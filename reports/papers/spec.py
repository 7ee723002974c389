"""What a table of a paper is: a YAML file that names its rows, its columns and the figures beside them.

The shipped ones lie in `reports/tables/papers`; a file of the user's own works the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from ...core.contracts import FrozenConfig
from ...core.errors import ReelbenchError, nearest
from ...core.plain_faults import place, plain_faults
from ...core.yaml_text import load_yaml

SHIPPED = Path(__file__).resolve().parent.parent / "tables" / "papers"
"""Where the shipped tables lie, one YAML file each."""

EVERY_METHOD = "all"
"""In place of names: every method that no other group names."""

SPEED_UP = "speed_up"
TOTAL_PARAMETERS = "total_parameters"
COUNTS = (TOTAL_PARAMETERS, "trainable_parameters")
"""Costs that do not depend on the machine."""

_MAX_BYTES = 2**20
_SIZE = re.compile(r"[1-9]\d{0,5}x[1-9]\d{0,5}x[1-9]\d{0,5}")


class TableError(ReelbenchError):
    """A table's file is not valid, or results cannot fill it."""


class ColumnSpec(FrozenConfig):
    """A column of quality."""

    metric: str = ""
    """Registered name; may be left out where a column has published figures alone."""
    dataset: str = ""
    """Registered name, or the run's label; default: the table's."""
    protocol: str = ""
    """Name of the measuring protocol; any one that the results have, where it is left out."""
    label: str = ""
    """Default: the metric's own."""
    heading: str = ""
    """Stands over neighbours that share it; default: the data set, where the table has several."""
    scale: float = Field(default=1.0, gt=0)
    """What is printed is the value times this."""
    digits: int | None = Field(default=None, ge=0, le=8)
    """Decimals; where it is left out, the standard error decides."""
    direction: Literal["up", "down", "none"] | None = None
    """The better one; default: the metric's own. With "none" nothing is marked."""
    published: str = ""
    """The metric as the published figures call it; default: the label."""

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if not self.metric and not self.published:
            raise ValueError(
                "a column needs a `metric` (to be measured), `published` (a figure's metric), or both"
            )
        return self


class CostSpec(FrozenConfig):
    """A column of cost. Costs stand apart from quality, with the device; but for counts nothing is marked."""

    metric: Literal[
        "total_parameters",
        "trainable_parameters",
        "sampling_s",
        "peak_memory_gib",
        "tuning_s",
        "tuning_memory_gib",
        "speed_up",
    ]
    label: str = ""
    scale: float = Field(default=1.0, gt=0)
    digits: int | None = Field(default=None, ge=0, le=8)
    size: str = ""
    """Of the clips, as FRAMESxHEIGHTxWIDTH (16x512x512): costs of clips of another size are left out."""
    device: str = ""
    """Text that the device's name has ("A100"): costs on another one are left out."""
    against: str = ""
    """Of `speed_up`: the method that others are faster than; registered name or label."""
    published: str = ""
    """The metric as the published figures call it; default: the label."""

    @field_validator("size")
    @classmethod
    def _three_numbers(cls, size: str) -> str:
        if size and not _SIZE.fullmatch(size):
            raise ValueError(f"a size is FRAMESxHEIGHTxWIDTH, such as 16x512x512 (got {size!r:.60})")
        return size

    @model_validator(mode="after")
    def _against_something(self) -> Self:
        if (self.metric == SPEED_UP) != bool(self.against):
            raise ValueError(
                "`against` names the method that `speed_up` is held against, and stands there alone"
            )
        return self


class RowsSpec(FrozenConfig):
    """Rows that stand together."""

    heading: str = ""
    """Default: what the methods saw, a group for each."""
    methods: tuple[str, ...] = Field(default=(EVERY_METHOD,), min_length=1)
    """Registered names (all their variants) or labels, in this order; `all`: those that no group names."""

    @field_validator("methods", mode="before")
    @classmethod
    def _one(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given


class SettingSpec(FrozenConfig):
    """A setting of the methods, shown in front of the values."""

    path: str = Field(min_length=1)
    """Dotted: `tuning.steps`."""
    label: str = ""
    """Default: the path."""
    values: dict[str, str] = Field(default_factory=dict)
    """What to print in place of a value."""


class PublishedSpec(FrozenConfig):
    """Published figures that stand beside the measured values, as a group of rows."""

    benchmarks: dict[str, str] = Field(min_length=1)
    """Names in `reports/published.yaml`, each with the data set of the columns it belongs to; "" for all."""
    title: str = ""
    """Default: that of the benchmark."""
    methods: tuple[str, ...] = ()
    """Only these; default: all."""

    @model_validator(mode="before")
    @classmethod
    def _names_alone(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"benchmarks": {given: ""}}
        if isinstance(given, dict) and isinstance(given.get("benchmarks"), list | tuple):
            return {
                **given,
                "benchmarks": {name: "" for name in given["benchmarks"] if isinstance(name, str)},
            }
        return given


class TableSpec(FrozenConfig):
    """A table of a paper."""

    title: str = Field(min_length=1)
    caption: str = ""
    kind: Literal["comparison", "ablation", "cost"] = "comparison"
    """ablation: the rows are variants of methods, told apart by `settings`."""
    dataset: str = ""
    """Of the columns that name none."""
    columns: tuple[ColumnSpec, ...] = ()
    costs: tuple[CostSpec, ...] = ()
    rows: tuple[RowsSpec, ...] = Field(default=(RowsSpec(),), min_length=1)
    group_by: SettingSpec | None = None
    """A setting by whose values rows are grouped, such as the base model; in place of the rows' headings."""
    settings: tuple[SettingSpec, ...] = ()
    """Settings to show; of an ablation without any: those in which its rows differ."""
    edits: bool = False
    """All edits first, then each kind of edit."""
    published: tuple[PublishedSpec, ...] = ()
    """Names of benchmarks in `reports/published.yaml`, or mappings; each is a group of rows."""
    notes: tuple[str, ...] = ()
    name: str = ""
    """Of its file; not to be written in it."""

    @model_validator(mode="after")
    def _has_columns(self) -> Self:
        if not self.columns and not self.costs:
            raise ValueError("a table needs `columns`, `costs`, or both")
        if self.edits and self.costs:
            raise ValueError("a table by kinds of edits has no `costs`: these are not known by kind")
        return self

    @property
    def all_columns(self) -> tuple[ColumnSpec | CostSpec, ...]:
        """Quality, then cost."""
        return (*self.columns, *self.costs)


def shipped_tables() -> tuple[str, ...]:
    """The names of the tables that come with Reelbench."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_spec(name: str) -> TableSpec:
    """A table by its name, or from a file.

    Args:
        name: of a shipped table, or the path of a YAML file (with its ending, or with a slash).

    Raises:
        TableError: there is none, or it is not valid; every fault is named in one line.
    """
    if name in shipped_tables():
        return _load(SHIPPED / f"{name}.yaml", name)
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml") and path.name == name:
        known = shipped_tables()
        close = nearest(name, known)
        raise TableError(
            f"unknown table {name!r}; known: {', '.join(known)}",
            (f"did you mean {close!r}? " if close else "")
            + "`reelbench table --list` describes them; a table of "
            "your own is a YAML file: docs/tables-of-papers.md",
        )
    return _load(path, name)


def _load(path: Path, shown: str) -> TableSpec:
    try:
        if path.is_file() and path.stat().st_size > _MAX_BYTES:
            raise TableError(
                f"the table {shown} is larger than {_MAX_BYTES // 2**20} MiB", "name a table's file"
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TableError(
            f"cannot read the table {shown}: {error.strerror}", "`reelbench table --list`"
        ) from error
    except UnicodeDecodeError as error:
        raise TableError(f"the table {shown} is not UTF-8: {error}", "save it as UTF-8") from error
    try:
        data = load_yaml(text)
    except yaml.YAMLError as error:
        raise TableError(f"the table {shown} is not valid YAML: {error}") from error
    return parse_spec(data, path.stem, shown)


def parse_spec(data: Any, name: str, where: str = "table") -> TableSpec:
    """A table given as plain data.

    Raises:
        TableError: it is not valid.
    """
    if not isinstance(data, dict):
        raise TableError(
            f"{where}: expected a mapping with `title` and `columns`", "see docs/tables-of-papers.md"
        )
    if "name" in data:
        raise TableError(f"{where}: `name` is that of the file", "take the line out")
    try:
        return TableSpec.model_validate({**data, "name": name})
    except ValidationError as error:
        faults = list(_fault_lines(data, error))
    raise TableError(f"{where}: {'; '.join(faults)}", "docs/tables-of-papers.md has every key")


def _fault_lines(data: Any, error: ValidationError) -> Iterator[str]:
    for fault in plain_faults(TableSpec, data, error):
        at = place(data, fault.path)
        yield f"{at}: {fault.what}" if at else fault.what

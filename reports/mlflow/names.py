"""What numbers are called in MLflow: as in the table, with `_se` for the standard error.

`FVD`, `FVD_se`; a cost with its unit: `Sampling s per clip`. Values that may not be ranked beside the others
have a name, so a column, of their own: `FVD own references`. The part of a name before its last `/` is the
section of MLflow's charts: `curve`, and of a parent `msrvtt/FVD` with a chart for each method.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...core.redaction import without_machine
from ...core.types import saw_its_reference
from ..tables.run_tables import Key, Row
from .store import mlflow_name

SE = "_se"
OWN, OTHERS = " own references", " others references"
CURVE = "curve"
DIFFERENCE, P_HOLM = "difference", "p_holm"


class MetricNames:
    """The names of a run's metrics, all different.

    Args:
        rows: of the summary, or with its columns `metric`, `label`, `level` and `unit`.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._names: dict[str, str] = {}
        labels: dict[str, set[str]] = {}
        rows = list(rows)
        for row in rows:
            labels.setdefault(_label(row), set()).add(row["metric"])
        for row in rows:
            label = _label(row)
            # Two of one label: of a plug-in and ours, say.
            more = "" if len(labels[label]) == 1 else f" {_plain(row['metric'])}"
            self._names[row["metric"]] = label + more

    def of(self, metric: str) -> str:
        """The name of a metric without regard to its references."""
        return self._names.get(metric) or _plain(metric)

    def of_row(self, row: Row) -> str:
        """The name of a value of the summary."""
        given = row.get("references")
        is_own = given == "own" or (
            # Tables made before this was recorded.
            not given and row["level"] == "set" and saw_its_reference(row["conditioning"] or "")
        )
        return self.of(row["metric"]) + (OWN if is_own else "")


def place_names(keys: Iterable[Key]) -> dict[Key, str]:
    """What a parent calls each data set: with the split, or the protocol, only where that tells two apart.

    >>> place_names([("msrvtt", "test", "clean", "f5"), ("ssv2", "validation", "predicted", "b4")])
    {('msrvtt', 'test', 'clean', 'f5'): 'msrvtt', ('ssv2', 'validation', 'predicted', 'b4'): 'ssv2'}
    """
    keys = list(keys)
    found = {}
    for key in keys:
        dataset, split, protocol, digest = key
        same = [other for other in keys if other[0] == dataset]
        parts = [dataset or "all"]
        if len({other[1] for other in same}) > 1:
            parts.append(split)
        if len({other[3] for other in same}) > 1:
            named = len({other[3] for other in same if other[2] == protocol}) == 1
            parts.append(protocol if named else f"{protocol} {digest[:8]}")
        found[key] = mlflow_part(" ".join(filter(None, parts)))
    return found


def mlflow_part(name: str) -> str:
    """A name as one part of a metric's name: MLflow would read a `/` in it as a section."""
    return mlflow_name(without_machine(name)).replace("/", "_")


def _label(row: Row) -> str:
    label = row["label"] or row["metric"]
    unit = (row.get("unit") or "") if row["level"] == "cost" else ""
    return _plain(f"{label} {unit.replace('/', ' per ')}")


def _plain(label: str) -> str:
    """ "Frame consistency (all pairs)" without what MLflow refuses.

    >>> _plain("Frame consistency (all pairs)"), _plain("FVD (others' references)")
    ('Frame consistency all pairs', 'FVD others references')
    """
    return mlflow_part(" ".join(re.sub(r"[()\[\]{}'\"]", " ", label).split()))

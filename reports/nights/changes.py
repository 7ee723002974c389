"""What changed between two nights of a run, as data, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ...core.atomic_write import write_text_atomic
from ...core.markdown import escape_markdown
from ...core.redaction import fit_to_leave

CHANGES_MD, CHANGES_JSON = "changes.md", "changes.json"

CellVerdict = Literal["unchanged", "changed", "better", "worse", "not compared"]
Verdict = Literal["not compared", "unchanged", "changed", "better", "worse"]


@dataclass(frozen=True, kw_only=True)
class CellChange:
    """One method, data set and metric, tonight and in the night that it is compared with.

    Attributes:
        before_id: the id of that night; None where there is none.
        before, now: the values over all clips of the night; None where there is none.
        difference: tonight less before, over the clips that both nights have.
        low, high: 95% interval of the difference.
        p_holm: of the paired test, adjusted over all cells of the run that differ.
        num_pairs: clips that both nights have.
        verdict: "unchanged" means equal to the last bit; "changed" that the test finds no difference.
        notes: what a reader must know, for example why nothing is compared.
    """

    method: str
    dataset: str
    metric: str
    label: str
    higher_is_better: bool | None
    verdict: CellVerdict
    before_id: str | None = None
    before: float | None = None
    now: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    num_pairs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_lost(self) -> bool:
        """Whether there is no value tonight, and there was one under the same protocol or another."""
        return self.now is None and self.before is not None

    @property
    def words(self) -> str:
        """ "FVD of zs2 on msrvtt: 80.6 → 91.2 (+10.6, 95% 4.1 to 17.0, p 0.002, 256 pairs)"."""
        numbers = f"{_number(self.before)} → {_number(self.now)}"
        if self.difference is not None:
            parts = [f"{self.difference:+.3g}"]
            if self.low is not None and self.high is not None:
                parts.append(f"95% {self.low:.3g} to {self.high:.3g}")
            if self.p_holm is not None:
                parts.append(f"p {self.p_holm:.2g}")
            numbers += f" ({', '.join([*parts, f'{self.num_pairs} pairs'])})"
        return f"{self.label} of {self.method} on {self.dataset}: {numbers}"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that a night was made with, and that another one was not.

    Attributes:
        method: the label of the only method that it concerns; None for all.
    """

    what: str
    before: str
    now: str
    before_id: str
    method: str | None = None

    @property
    def words(self) -> str:
        """ "torch: 2.13.0 → 2.14.1"."""
        of = f" of {self.method}" if self.method else ""
        return f"{self.what}{of}: {self.before or 'not recorded'} → {self.now or 'not recorded'}"


@dataclass(frozen=True, kw_only=True)
class MethodFailure:
    """Clips of a method that are not there.

    Attributes:
        is_new: in the night that it is compared with, all were there.
    """

    method: str
    dataset: str
    num_failed: int
    num_clips: int
    cause: str
    is_new: bool

    @property
    def words(self) -> str:
        """ "zs2 on msrvtt: 12 of 12 clips are not there, and no good night has them (...)"."""
        since = "and all were in the night before" if self.is_new else "and no good night has them"
        return (
            f"{self.method} on {self.dataset}: {self.num_failed} of {self.num_clips} clips are not there, "
            f"{since} ({self.cause})"
        )


@dataclass(frozen=True, kw_only=True)
class Changes:
    """A night of a run, compared with the last good ones.

    Attributes:
        damaged: ids of later nights than these that cannot be read.
        notes: what a reader must know of the whole comparison.
    """

    run: str
    run_id: str
    verdict: Verdict
    cells: tuple[CellChange, ...]
    differences: tuple[Difference, ...] = ()
    failures: tuple[MethodFailure, ...] = ()
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, verdict: CellVerdict) -> list[CellChange]:
        """The cells of a verdict."""
        return [cell for cell in self.cells if cell.verdict == verdict]

    @property
    def baselines(self) -> list[str]:
        """The ids of the nights that it is compared with, the newest first."""
        return sorted({cell.before_id for cell in self.cells if cell.before_id is not None}, reverse=True)

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        lost = dict.fromkeys(
            [failure.method for failure in self.failures if failure.is_new]
            + [cell.method for cell in self.cells if cell.is_lost]
        )
        said = {
            "not compared": "there is no earlier night to compare with",
            "unchanged": "nothing changed",
            "changed": "changed, without a significant difference",
            "better": "better",
            "worse": "worse",
        }[self.verdict]
        named = [cell.words for cell in self.cells if cell.verdict == self.verdict]
        if named and self.verdict in ("better", "worse"):
            said += f": {named[0]}" + (f", and {len(named) - 1} more" if len(named) > 1 else "")
        if lost and self.verdict == "changed":
            said = f"fewer clips or values of {', '.join(lost)}, and nothing is significantly different"
        failed: dict[str, list[int]] = {}
        for item in self.failures:
            counts = failed.setdefault(item.method, [0, 0])
            counts[0] += item.num_failed
            counts[1] += item.num_clips
        named = [
            method if num == num_clips else f"{method} ({num} of {num_clips} clips)"
            for method, (num, num_clips) in failed.items()
        ]
        said += f"; failed: {', '.join(named)}" if named else ""
        return said + (f"; damaged, and passed over: {', '.join(self.damaged)}" if self.damaged else "")


_SECTIONS: tuple[tuple[str, CellVerdict], ...] = (
    ("Worse", "worse"),
    ("Better", "better"),
    ("Changed, not significantly", "changed"),
)


def verdict_of(cells: Sequence[CellChange]) -> Verdict:
    """The verdict of a run: the worst of its cells, where a value that is there no more is a change."""
    found = {"changed" if cell.is_lost else cell.verdict for cell in cells}
    order: tuple[Verdict, ...] = ("worse", "better", "changed", "unchanged")
    return next((verdict for verdict in order if verdict in found), "not compared")


def changes_markdown(changes: Changes) -> str:
    """`changes.md`: the verdict, what is worse and better and by how much, what differs, what failed."""
    lines = [f"# {escape_markdown(changes.run)}: {escape_markdown(changes.headline)}", ""]
    against = ", ".join(changes.baselines)
    lines += [f"Run {changes.run_id}" + (f", compared with {against}." if against else "."), ""]
    lines += _section("To know", changes.notes)
    for title, verdict in _SECTIONS:
        lines += _section(title, [_with_notes(cell) for cell in changes.of(verdict)])
    lines += _section("What differs", list(dict.fromkeys(item.words for item in changes.differences)))
    lines += _section("Failures", [item.words for item in changes.failures])
    unchanged = changes.of("unchanged")
    if unchanged:
        lines += _section(
            "Unchanged",
            [
                _with_notes(cell)
                if cell.before != cell.now
                else f"{cell.label} of {cell.method} on {cell.dataset}: {_number(cell.now)} "
                f"({cell.num_pairs} clips)"
                for cell in unchanged
            ],
        )
    apart = [f"{cell.label} of {cell.method} on {cell.dataset}: {'; '.join(cell.notes)}"
             for cell in changes.of("not compared")]  # fmt: skip
    lines += _section("Not compared", apart)
    if any(cell.p_holm is not None for cell in changes.cells):
        lines += [
            "Differences are over the samples and seeds that both nights have; p-values of the paired tests, "
            "by Holm over all cells that differ. Better and worse: p at most 0.05.",
            "",
        ]
    return "\n".join(lines)


def write_changes(changes: Changes, folder: Path) -> None:
    """Write `changes.md` and `changes.json` beside the tables."""
    write_text_atomic(folder / CHANGES_MD, changes_markdown(changes))
    write_text_atomic(folder / CHANGES_JSON, json.dumps(asdict(changes), indent=1, ensure_ascii=False))


def read_changes(folder: Path) -> Changes | None:
    """What `write_changes` wrote; None where it is not there or cannot be read."""
    try:
        data: dict[str, Any] = json.loads((folder / CHANGES_JSON).read_text(encoding="utf-8"))
        return Changes(
            run=data["run"],
            run_id=data["run_id"],
            verdict=data["verdict"],
            cells=tuple(CellChange(**{**cell, "notes": tuple(cell["notes"])}) for cell in data["cells"]),
            differences=tuple(Difference(**item) for item in data["differences"]),
            failures=tuple(MethodFailure(**item) for item in data["failures"]),
            damaged=tuple(data.get("damaged", ())),
            notes=tuple(data.get("notes", ())),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _section(title: str, items: Sequence[str]) -> list[str]:
    return (
        [f"## {title}", "", *(f"- {escape_markdown(fit_to_leave(item))}" for item in items), ""]
        if items
        else []
    )


def _with_notes(cell: CellChange) -> str:
    return "; ".join([cell.words, *cell.notes])


def _number(value: float | None) -> str:
    return "no value" if value is None else f"{value:.4g}"

"""A table of a paper from its description and from runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ...core.redaction import fit_to_leave
from ...core.run_folders import Results
from ...core.types import Conditioning
from ..published import PublishedFigures
from ..tables.build import COUNTED, OWN_NOTE, Footnotes, note_lines, references_of, span, why_missing
from ..tables.comparison import counts_differ
from ..tables.lead import OWN_LABEL, lead_facts, legend_bold
from ..tables.measurement import DASH, is_value
from ..tables.method_table import Column, Group, MethodRow
from ..tables.run_tables import Row, order_key, protocol_text
from .edit_kinds import EditKind, edit_kinds
from .entries import Entry, EntryGroup, absent, entries_of, grouped, setting_text, shown_settings
from .filled_from import Source, clip_sizes, differences, named_apart
from .numbers import printed, printed_count
from .paper_table import STARS, PaperCell, PaperColumn, PaperRow, PaperTable, RowGroup, TablePart
from .published_rows import published_facts, published_metric, published_part, shipped_figures
from .ranking import Ranking, ranking, tests_of
from .spec import COUNTS, EVERY_METHOD, SPEED_UP, ColumnSpec, CostSpec, TableError, TableSpec

_COST_LABELS = {
    "total_parameters": "Parameters",
    "trainable_parameters": "Trained",
    "sampling_s": "Sampling (s/clip)",
    "peak_memory_gib": "Memory (GiB)",
    "tuning_s": "Tuning (s)",
    "tuning_memory_gib": "Tuning memory (GiB)",
    SPEED_UP: "Speed-up",
}
_UNRECORDED = "not recorded in these results"


def build_table(
    spec: TableSpec,
    results: Sequence[Results] = (),
    *,
    dataset: str = "",
    protocol: str = "",
    allow_mixed: bool = False,
    figures: PublishedFigures | None = None,
    command: str = "",
) -> PaperTable:
    """Fill a table.

    Args:
        results: the runs; none leaves the published figures alone.
        dataset: label of the runs' data set that stands for those of the table; "" goes by the table's names.
        protocol: name of the protocol to show where the runs have several.
        allow_mixed: shows runs that were measured otherwise as parts of their own, in place of refusing them.
        figures: published ones; None takes those that come with Reelbench.
        command: what makes the table again, for its first comment.

    Raises:
        TableError: a run has nothing of the table, or runs cannot stand together.
        StoreError: a run's tables are missing or cannot be read.
        UnknownNameError: the table names published figures that do not exist.
    """
    sources = [Source(place, dataset, protocol) for place in results]
    named_apart(sources)
    _refuse_the_empty(spec, sources)
    apart = list(differences(spec, sources))
    if apart and not allow_mixed:
        raise TableError(
            f"these runs cannot share the table {spec.name!r}: {'; '.join(apart)}",
            "measure both alike, or --allow-mixed shows each run as a part of its own, ranked apart",
        )
    return _Table(spec, sources, figures or shipped_figures(), command).build(is_mixed=bool(apart))


def _refuse_the_empty(spec: TableSpec, sources: Sequence[Source]) -> None:
    for source in sources:
        if not entries_of(spec, [source]):
            raise TableError(
                f"the run {source.run!r} has nothing of the table {spec.name!r}: the table needs "
                f"{needs(spec)}; the run has {source.has()}",
                "name a run that measures this, or --dataset LABEL where a data set has another name there",
            )


def needs(spec: TableSpec) -> str:
    """What a run must have for a table, in words: "fvd, clipsim on msrvtt"."""
    by_dataset: dict[str, dict[str, None]] = {}
    for column in spec.columns:
        if column.metric:
            by_dataset.setdefault(column.dataset or spec.dataset, {})[column.metric] = None
    if not by_dataset:
        by_dataset = {spec.dataset: {"costs": None}}
    metrics = "; ".join(
        f"any of {', '.join(names)}" + (f" on {dataset}" if dataset else "")
        for dataset, names in by_dataset.items()
    )
    methods = [name for rows in spec.rows for name in rows.methods]
    return metrics if EVERY_METHOD in methods else f"{metrics}, of {', '.join(methods)}"


class _Table:
    """A table while it is made."""

    def __init__(
        self, spec: TableSpec, sources: Sequence[Source], figures: PublishedFigures, command: str
    ) -> None:
        self.spec, self.sources, self.figures, self.command = spec, sources, figures, command
        self.footnotes = Footnotes()
        self.entries = entries_of(spec, sources)
        self.settings = shown_settings(spec, self.entries)
        self.columns = [self._column(index, column) for index, column in enumerate(spec.all_columns)]
        self.lead_lines: list[tuple[str, str]] = []

    def build(self, is_mixed: bool) -> PaperTable:
        spec, entries = self.spec, self.entries
        kinds = edit_kinds(spec, entries) if spec.edits and entries else ()
        has_headings = spec.group_by is not None or any(rows.heading for rows in spec.rows)
        self.shows_saw = has_headings and len({entry.saw for entry in entries}) > 1
        measured = [row for e in entries for i, row in e.rows.items() if not self.columns[i].is_cost]
        self.shows_n = counts_differ([row for row in measured if row["n"] is not None])
        parts = [part for part in self._measured_parts(kinds, is_mixed) if part.groups]
        labels = [column.label for column in self.columns]
        num_settings = len(self.settings) + self.shows_saw
        published = [
            published_part(block, spec, labels, self.figures, self.footnotes, num_settings)
            for block in spec.published
        ]
        facts = [*self.lead_lines, *self._facts(measured)]
        facts += published_facts(spec.published, published, self.figures)
        facts += [("Note", note) for note in spec.notes]
        if not self.sources:
            facts.insert(
                0,
                (
                    "Nothing measured",
                    f"`reelbench table {spec.name} RUN` fills it; a run needs {needs(spec)}",
                ),
            )
        shown = (*parts, *(part for part in published if list(part.rows)))
        return PaperTable(
            name=spec.name,
            title=spec.title,
            caption=spec.caption,
            columns=tuple(self.columns),
            parts=shown,
            settings=(*(s.label or s.path for s in self.settings), *(["Saw"] if self.shows_saw else [])),
            cost_heading=self._cost_heading(),
            shows_n=self.shows_n,
            group_heading=(spec.group_by.label or spec.group_by.path) if spec.group_by else "",
            legend=self._legend(shown),
            facts=tuple((name, fit_to_leave(text)) for name, text in facts),
            footnotes=tuple(map(fit_to_leave, self.footnotes.texts)),
            runs={source.name: source.signature for source in self.sources},
            command=fit_to_leave(self.command),
        )

    def _measured_parts(self, kinds: Sequence[EditKind], is_mixed: bool) -> Iterator[TablePart]:
        if not self.entries:
            return
        if is_mixed:
            for source in self.sources:
                mine = [entry for entry in self.entries if entry.source is source]
                yield self._part(mine, f"Run {source.name}", f"{source.name}: ")
            return
        yield self._part(self.entries, kinds[0].title if kinds else "")
        for kind in kinds[1:]:
            yield self._part(kind.entries, kind.title, is_tested=False)

    def _part(
        self, entries: Sequence[Entry], title: str, prefix: str = "", is_tested: bool = True
    ) -> TablePart:
        """A part of what was measured; its entries are ranked among those that saw the same."""
        order = [str(member) for member in Conditioning]
        rankings: dict[tuple[int, str], Ranking] = {}
        for saw in dict.fromkeys(sorted((entry.saw for entry in entries), key=lambda s: order_key(s, order))):
            same = [entry for entry in entries if entry.saw == saw]
            for index, column in enumerate(self.columns):
                rankings[index, saw] = ranking(
                    _lead_column(column, same, index),
                    same,
                    index,
                    tests_of(same if is_tested else (), index),
                    self.footnotes,
                )
        if is_tested:
            self._add_lead_lines(entries, rankings, prefix)
        groups = grouped(self.spec, entries, order)
        if len(groups) == 1 and len({entry.saw for entry in entries}) == 1 and self.spec.group_by is None:
            groups = [EntryGroup(self.spec.rows[0].heading, groups[0].entries)]
        return TablePart(
            tuple(
                RowGroup(group.heading, tuple(self._row(entry, rankings) for entry in group.entries))
                for group in groups
            ),
            title,
        )

    def _add_lead_lines(
        self, entries: Sequence[Entry], rankings: dict[tuple[int, str], Ranking], prefix: str
    ) -> None:
        """What is not ranked and why; marks of whole columns go to the headings."""
        groups = []
        for saw in dict.fromkeys(saw for _, saw in rankings):
            same = [entry for entry in entries if entry.saw == saw]
            leads = tuple(rankings[index, saw].lead for index in range(len(self.columns)))
            groups.append(Group(saw, tuple(MethodRow(e.label, (), "", "") for e in same), leads))
            for index, lead in enumerate(leads):
                column = self.columns[index]
                self.columns[index] = replace(column, marks=tuple(sorted({*column.marks, *lead.marks})))
        columns = [_lead_column(column, entries, index) for index, column in enumerate(self.columns)]
        self.lead_lines += [(f"{prefix}{name}", text) for name, text in lead_facts(columns, groups)]

    def _row(self, entry: Entry, rankings: dict[tuple[int, str], Ranking]) -> PaperRow:
        cells = tuple(
            self._cell(entry, index, rankings[index, entry.saw]) for index in range(len(self.columns))
        )
        counts = [
            row["n"] for i, row in entry.rows.items() if not self.columns[i].is_cost and row["n"] is not None
        ]
        settings = [setting_text(setting, entry) for setting in self.settings]
        return PaperRow(
            label=fit_to_leave(entry.label),
            cells=cells,
            settings=(*settings, *([entry.saw or DASH] if self.shows_saw else [])),
            saw=entry.saw,
            n=span(counts),
            run=entry.source.name,
            method=entry.name,
        )

    def _cell(self, entry: Entry, index: int, ranked: Ranking) -> PaperCell:
        spec, column = self.spec.all_columns[index], self.columns[index]
        row = entry.rows.get(index)
        if index in entry.derived:
            value = entry.derived[index]
            digits = 1 if spec.digits is None else spec.digits
            return PaperCell(f"{printed(value, None, scale=spec.scale, digits=digits)[0]}×", value=value)
        if row is None or not is_value(row["value"]):
            if row is None and not any(
                index in one.rows or index in one.derived or index in one.reasons for one in self.entries
            ):
                return PaperCell(DASH)  # the column's own note says why
            reason = entry.reasons.get(index) or why_missing(row, spec.metric)
            return PaperCell(DASH, row=row, marks=self.footnotes.marks([reason]))
        notes = [note for note in note_lines(row) if note not in self._shared_notes(index)]
        if references_of(row) == "own" and not column.label.endswith(OWN_LABEL):
            notes.append(OWN_NOTE)
        if is_value(row["coverage"]) and row["coverage"] < 1:
            notes.append(f"of {row['coverage']:.1%} of the clips that were asked for")
        if row["unit"] == COUNTED:
            text, error = printed_count(row["value"], scale=spec.scale, digits=spec.digits), ""
        else:
            text, error = printed(row["value"], row["standard_error"], scale=spec.scale, digits=spec.digits)
        return PaperCell(
            text,
            error,
            row=row,
            value=row["value"],
            rank=ranked.rank(entry.label),
            stars=(ranked.stars or {}).get(entry.label, ""),
            marks=self.footnotes.marks(notes),
        )

    def _shared_notes(self, index: int) -> list[str]:
        """Notes of all values of a column, where there are several."""
        rows = [e.rows[index] for e in self.entries if index in e.rows and is_value(e.rows[index]["value"])]
        if len(rows) < 2:
            return []
        notes = [note_lines(row) for row in rows]
        return [line for line in notes[0] if all(line in other for other in notes)]

    def _column(self, index: int, spec: ColumnSpec | CostSpec) -> PaperColumn:
        rows = [entry.rows[index] for entry in self.entries if index in entry.rows]
        is_cost = isinstance(spec, CostSpec)
        higher = rows[0]["higher_is_better"] if rows else self._published_direction(spec)
        if isinstance(spec, CostSpec):
            label = spec.label or _COST_LABELS[spec.metric]
            higher = higher if spec.metric in COUNTS else None
            dataset = heading = ""
        else:
            label = spec.label or (rows[0]["label"] if rows else "") or spec.published or spec.metric
            if spec.direction is not None:
                higher = {"up": True, "down": False, "none": None}[spec.direction]
            dataset = rows[0]["dataset"] if rows else spec.dataset or self.spec.dataset
            several = len({one.dataset or self.spec.dataset for one in self.spec.columns}) > 1
            heading = spec.heading or (spec.dataset or self.spec.dataset if several else "")
        notes = self._shared_notes(index)
        is_there = rows or any(index in e.derived or index in e.reasons for e in self.entries)
        if self.entries and spec.metric and not is_there:
            where = f" on {dataset}" if dataset else ""
            notes = [f"{label}: {spec.metric}{where} is {_UNRECORDED}"]
        measured = [row for row in rows if is_value(row["value"])]
        if measured and all(references_of(row) == "own" for row in measured):
            label += OWN_LABEL
        return PaperColumn(
            label=label,
            heading=heading,
            is_cost=is_cost,
            higher_is_better=higher,
            scale=spec.scale,
            metric=spec.metric,
            dataset=dataset,
            marks=self.footnotes.marks(notes),
        )

    def _published_direction(self, spec: ColumnSpec | CostSpec) -> bool | None:
        """The better direction by the published figures of a column that nothing was measured for."""
        known = self.figures.metrics.get(published_metric(spec, spec.label, self.figures))
        return None if known is None else known.better == "higher"

    def _cost_heading(self) -> str:
        """What stands over the costs: with the device where all of them were made on one."""
        if not self.spec.costs:
            return ""
        devices = {
            row["hardware"] or ""
            for e in self.entries
            for i, row in e.rows.items()
            if self.columns[i].is_cost and row["unit"] != COUNTED
        }
        return f"Cost ({fit_to_leave(devices.pop())})" if len(devices) == 1 and devices != {""} else "Cost"

    def _facts(self, measured: Sequence[Row]) -> list[tuple[str, str]]:
        """Protocol, samples, references, devices: what is the same for all, or by column."""
        facts = [
            (
                "Protocol",
                self._by_column(
                    lambda row: protocol_text(row["protocol"] or "", row["protocol_digest"] or "")
                ),
            ),
            ("Samples", self._by_column(self._samples)),
            ("Reference clips", self._by_column(lambda row: str(row["n_reference"] or ""))),
        ]
        saw = {entry.saw for entry in self.entries}
        if len(saw) == 1 and saw != {""}:
            facts.append(("All methods saw", next(iter(saw))))
        costs = [
            (entry, row)
            for entry in self.entries
            for index, row in entry.rows.items()
            if self.columns[index].is_cost and row["unit"] != COUNTED
        ]
        made: dict[str, dict[str, None]] = {}
        for entry, row in costs:
            sizes = clip_sizes(entry.source, row)
            what = [
                row["hardware"] or "a device that is not recorded",
                *(["clips of"] if sizes else []),
                *sizes,
            ]
            made.setdefault(" ".join([f"{what[0]},", *what[1:]]).rstrip(","), {})[entry.label] = None
        everywhere = len(made) == 1
        texts = [text if everywhere else f"{text} ({', '.join(of)})" for text, of in made.items()]
        facts.append(("Costs on", "; ".join(texts)))
        if missing := absent(self.spec, self.entries) if self.entries else []:
            facts.append(("Not among these results", ", ".join(missing)))
        if len(self.sources) > 1:
            facts.append(("Runs", "; ".join(dict.fromkeys(source.signature for source in self.sources))))
        return [(name, text) for name, text in facts if text]

    def _samples(self, row: Row) -> str:
        """ "256 clips a method, of 256 source videos, 1 seed"; without what differs between rows."""
        clips = "" if self.shows_n else f"{row['n']} clips a method"
        sources = f"{'of ' if clips else ''}{row['num_sources']} source videos" if row["num_sources"] else ""
        seeds = f"{row['num_seeds']} seed{'' if row['num_seeds'] == 1 else 's'}" if row["num_seeds"] else ""
        return ", ".join(filter(None, [clips, "" if self.shows_n else sources, seeds]))

    def _by_column(self, text_of: Callable[[Row], str]) -> str:
        """ "text", or "text (FVD, KVD); other (CLIPSIM)" where columns differ."""
        texts: dict[str, dict[str, None]] = {}
        for index, column in enumerate(self.columns):
            if column.is_cost:
                continue
            of = f"{column.heading} {column.label}".strip()
            for entry in self.entries:
                if index in entry.rows and (text := text_of(entry.rows[index])):
                    texts.setdefault(text, {})[of] = None
        if len(texts) == 1:
            return next(iter(texts))
        return "; ".join(f"{text} ({', '.join(of)})" for text, of in texts.items())

    def _legend(self, parts: Sequence[TablePart]) -> str:
        """What the marks mean that occur."""
        cells = [cell for part in parts for row in part.rows for cell in row.cells]
        texts = []
        if any(cell.rank == "best" for cell in cells):
            columns = [_lead_column(column, self.entries, i) for i, column in enumerate(self.columns)]
            texts.append(legend_bold(columns))
        if any(cell.rank == "second" for cell in cells):
            texts.append("Underlined: the same among those that are not bold.")
        if any(cell.stars for cell in cells):
            levels = ", ".join(f"{stars} p ≤ {most:g}" for stars, most in reversed(STARS))
            texts.append(f"Differs from the best value by the paired test: {levels}.")
        if any(part.is_published for part in parts):
            texts.append("†: as published, not measured here, and not ranked.")
        return " ".join(texts)


def _lead_column(column: PaperColumn, entries: Sequence[Entry], index: int) -> Column:
    """A column as the rule of what is best takes it."""
    rows = [entry.rows[index] for entry in entries if index in entry.rows]
    level = "cost" if column.is_cost else rows[0]["level"] if rows else ""
    references = {references_of(row) for row in rows}
    return Column(
        metric=rows[0]["metric"] if rows else column.metric,
        label=f"{column.heading} {column.label}".strip(),
        heading=column.label,
        higher_is_better=column.higher_is_better,
        level=level,
        references=references.pop() if len(references) == 1 else "",
    )

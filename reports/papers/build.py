"""A table of a paper from its description and from runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...core.errors import unknown_name
from ...core.redaction import fit_to_leave
from ...core.run_folders import Results
from ...core.types import Conditioning
from ..published import PublishedFigures
from ..tables.build import COUNTED, OWN_NOTE, Footnotes, note_lines, references_of, span, why_missing
from ..tables.comparison import counts_differ
from ..tables.lead import OWN_LABEL, lead_facts
from ..tables.measurement import DASH, is_value
from ..tables.method_table import Group, MethodRow
from ..tables.run_tables import order_key
from .columns import cost_heading, lead_column, paper_columns, shared_notes
from .edit_kinds import EditKind, edit_kinds
from .entries import Entry, EntryGroup, entries_of, grouped, setting_text, shown_settings
from .facts import Facts
from .filled_from import Source, named_apart
from .joining import differences
from .notes import short_notes, why_unmarked
from .numbers import printed, printed_count
from .paper_table import PaperCell, PaperRow, PaperTable, RowGroup, TablePart
from .published_rows import published_facts, published_part, shipped_figures
from .ranking import Ranking, RowTests, ranking
from .spec import EVERY_METHOD, TableError, TableSpec


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
        UnknownNameError: the table names published figures that do not exist, or a run has no such protocol.
    """
    sources = [Source(place, dataset, protocol) for place in results]
    named_apart(sources)
    _refuse_unknown_protocol(protocol, sources)
    _refuse_the_empty(spec, sources)
    apart = list(differences(spec, sources))
    if apart and not allow_mixed:
        raise TableError(
            f"these runs cannot share the table {spec.name!r}: {'; '.join(apart)}",
            "measure both alike, or --allow-mixed shows each run as a part of its own, ranked apart",
        )
    figures = figures or shipped_figures()
    _refuse_unknown_figures(spec, figures)
    return _Table(spec, sources, figures, command).build(is_mixed=bool(apart))


def _refuse_unknown_figures(spec: TableSpec, figures: PublishedFigures) -> None:
    known = {name.casefold() for name in figures.metrics}
    for column in spec.all_columns:
        if spec.published and column.published and column.published.casefold() not in known:
            raise unknown_name("published metric", column.published, figures.metrics)


def _refuse_unknown_protocol(protocol: str, sources: Sequence[Source]) -> None:
    for source in sources:
        known = {row["protocol"] for row in source.optional("summary") if row["protocol"]}
        if protocol and protocol not in known:
            raise unknown_name(f"protocol of the run {source.run!r}", protocol, known)


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
        self.columns = paper_columns(spec, self.entries, figures, self.footnotes)
        self.lead_lines: list[tuple[str, str]] = []
        self.by_corrected: dict[str, None] = {}
        self.unmarked: dict[str, dict[str, None]] = {}

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
        said = Facts(spec, self.sources, entries, self.columns, self.shows_n)
        facts = [*self.lead_lines, *said.lines()]
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
        footnotes = tuple(map(fit_to_leave, self.footnotes.texts))
        return PaperTable(
            name=spec.name,
            title=spec.title,
            caption=spec.caption,
            columns=tuple(self.columns),
            parts=shown,
            settings=(*(s.label or s.path for s in self.settings), *(["Saw"] if self.shows_saw else [])),
            cost_heading=cost_heading(spec, entries),
            shows_n=self.shows_n,
            group_heading=(spec.group_by.label or spec.group_by.path) if spec.group_by else "",
            legend_notes=said.legend(shown, list(self.by_corrected)),
            short_notes=short_notes(said, shown, self.unmarked, list(self.by_corrected), footnotes),
            facts=tuple((name, fit_to_leave(text)) for name, text in facts),
            footnotes=footnotes,
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
        tests = RowTests(entries if is_tested else ())
        rankings: dict[tuple[int, str], Ranking] = {}
        for saw in dict.fromkeys(sorted((entry.saw for entry in entries), key=lambda s: order_key(s, order))):
            same = [entry for entry in entries if entry.saw == saw]
            for index, column in enumerate(self.columns):
                rankings[index, saw] = ranking(
                    lead_column(column, same, index),
                    same,
                    index,
                    tests.of(same if is_tested else (), index),
                    self.footnotes,
                )
        for (index, _), ranked in rankings.items():
            if ranked.by_corrected:
                column = self.columns[index]
                self.by_corrected[f"{column.heading} {column.label}".strip()] = None
        if is_tested:
            self._add_lead_lines(entries, rankings, prefix)
            if fact := tests.fact():
                self.lead_lines.append(("Tested between runs", fact))
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
        is_several = len({saw for _, saw in rankings}) > 1
        for saw in dict.fromkeys(saw for _, saw in rankings):
            same = [entry for entry in entries if entry.saw == saw]
            leads = tuple(rankings[index, saw].lead for index in range(len(self.columns)))
            groups.append(Group(saw, tuple(MethodRow(e.label, (), "", "") for e in same), leads))
            for index, lead in enumerate(leads):
                column = self.columns[index]
                self.columns[index] = replace(column, marks=tuple(sorted({*column.marks, *lead.marks})))
                if reason := "" if lead.marked else why_unmarked(lead):
                    where = f" where they saw {saw}" if is_several else ""
                    self.unmarked.setdefault(reason + where, {})[column.label] = None
        columns = [lead_column(column, entries, index) for index, column in enumerate(self.columns)]
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
        notes = [note for note in note_lines(row) if note not in shared_notes(self.entries, index)]
        if references_of(row) == "own" and not column.label.endswith(OWN_LABEL):
            notes.append(OWN_NOTE)
        if is_value(row["coverage"]) and row["coverage"] < 1:
            notes.append(f"of {row['coverage']:.1%} of the clips that were asked for")
        if row["unit"] == COUNTED:
            text, error = printed_count(row["value"], scale=spec.scale, digits=spec.digits), ""
        else:
            text, error = printed(row["value"], row["standard_error"], scale=spec.scale, digits=spec.digits)
        corrected = ""
        if ranked.shows_corrected:
            corrected, _ = printed(
                row["bias_corrected"], row["standard_error"], scale=spec.scale, digits=spec.digits
            )
        return PaperCell(
            text,
            error,
            corrected,
            row=row,
            value=row["value"],
            rank=ranked.rank(entry.label),
            stars=(ranked.stars or {}).get(entry.label, ""),
            marks=self.footnotes.marks(notes),
        )

"""What stands under a table: how its values were made, and what its marks mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...core.redaction import fit_to_leave
from ..tables.build import COUNTED
from ..tables.lead import OWN_LABEL, legend_bold
from ..tables.run_tables import Row, protocol_text
from .columns import lead_column
from .entries import Entry, absent
from .filled_from import Source, clip_sizes
from .paper_table import STARS, Note, PaperColumn, TablePart
from .spec import ColumnSpec, TableSpec

_EXTRACTOR = re.compile(r"(?<=\|)([a-z][a-z0-9_]*):([0-9a-f]{8})(?=\|)")
"""In a signature: a network's name and the first characters of its weights' digest."""
_EMBEDDED = {"343359d0": "sprites/clip", "15dacb47": "sprites/i3d"}
"""Of the networks that come with Reelbench, for records that do not name the places of weights."""


@dataclass(frozen=True)
class Facts:
    """What is the same for all values, or by column.

    Attributes:
        shows_n: N is a column, and not said here.
    """

    spec: TableSpec
    sources: Sequence[Source]
    entries: Sequence[Entry]
    columns: Sequence[PaperColumn]
    shows_n: bool

    def lines(self) -> list[tuple[str, str]]:
        """(name, text): protocol, samples, references, devices."""
        facts = [
            ("Data", self.data()),
            ("Measured by", self.extractors()),
            ("Protocol", self._by_column(_protocol)),
            ("Samples", self._by_column(self._samples)),
            ("Reference clips", self._by_column(lambda row: str(row["n_reference"] or ""))),
        ]
        facts += [("All methods saw", self.seen_by_all), ("Costs on", self.costs_on())]
        if missing := absent(self.spec, self.entries) if self.entries else []:
            facts.append(("Not among these results", ", ".join(missing)))
        if len(self.sources) > 1:
            facts.append(("Runs", "; ".join(dict.fromkeys(source.signature for source in self.sources))))
        return [(name, text) for name, text in facts if text]

    @property
    def seen_by_all(self) -> str:
        """What all methods saw; "" where they did not see the same."""
        saw = {entry.saw for entry in self.entries}
        return saw.pop() if len(saw) == 1 else ""

    def data(self, names_folders: bool = True) -> str:
        """ "msrvtt (test) of data/msrvtt", and which data set it stands for where that is another one."""
        texts: dict[str, None] = {}
        for entry in self.entries:
            for index, row in entry.rows.items():
                label, split = row["dataset"], row["split"]
                name = entry.source.registered.get(label, label)
                about = ", ".join(filter(None, [name if name != label else "", split]))
                text = f"{label} ({about})" if about else label
                if names_folders and (root := entry.source.roots.get(label)):
                    text += f" of {fit_to_leave(root)}"
                column = self.spec.all_columns[index]
                wanted = (column.dataset if isinstance(column, ColumnSpec) else "") or self.spec.dataset
                if wanted not in ("", label, name):
                    text += f", in place of {wanted}"
                texts[text] = None
        return "; ".join(texts)

    def extractors(self) -> str:
        """The weights that the metrics read, by their digests: "clip 343359d0 (sprites/clip)"."""
        known = {}
        for entry in self.entries:
            for row in entry.rows.values():
                for name, digest in _EXTRACTOR.findall(row["signature"] or ""):
                    place = _EMBEDDED.get(digest) or entry.source.places.get(name, "")
                    known[name, digest] = fit_to_leave(place)
        texts = [
            f"{name} {digest}" + (f" ({place})" if place else "") for (name, digest), place in known.items()
        ]
        if any(place.startswith("sprites/") for place in known.values()):
            texts[-1] += (
                ": small networks of the embedded world, whose values are on other scales than the papers'"
            )
        return ", ".join(texts)

    def costs_on(self) -> str:
        """ "2 CPU cores, clips of 16x32x32", with the methods where these differ."""
        made: dict[str, dict[str, None]] = {}
        for entry in self.entries:
            for index, row in entry.rows.items():
                if self.columns[index].is_cost and row["unit"] != COUNTED:
                    sizes = ", ".join(clip_sizes(entry.source, row))
                    text = row["hardware"] or "a device that is not recorded"
                    made.setdefault(text + (f", clips of {sizes}" if sizes else ""), {})[entry.label] = None
        if len(made) == 1:
            return next(iter(made))
        return "; ".join(f"{text} ({', '.join(of)})" for text, of in made.items())

    def _samples(self, row: Row) -> str:
        """ "256 clips a method, of 256 source videos, 1 seed"; without what differs between rows."""
        clips = "" if self.shows_n else f"{row['n']} clips a method"
        videos = f"source video{'' if row['num_sources'] == 1 else 's'}"
        sources = f"{'of ' if clips else ''}{row['num_sources']} {videos}" if row["num_sources"] else ""
        seeds = f"{row['num_seeds']} seed{'' if row['num_seeds'] == 1 else 's'}" if row["num_seeds"] else ""
        return ", ".join(filter(None, [clips, "" if self.shows_n else sources, seeds]))

    def _by_column(self, text_of: Callable[[Row], str]) -> str:
        """ "text", or "text (FVD, KVD); other (CLIPSIM)" where columns differ."""
        texts: dict[str, dict[str, None]] = {}
        for index, column in enumerate(self.columns):
            if column.is_cost:
                continue
            of = f"{column.heading} {column.label}".strip().removesuffix(OWN_LABEL)
            for entry in self.entries:
                if index in entry.rows and (text := text_of(entry.rows[index])):
                    texts.setdefault(text, {})[of] = None
        if len(texts) == 1:
            return next(iter(texts))
        return "; ".join(f"{text} ({', '.join(of)})" for text, of in texts.items())

    def marked_levels(self, parts: Sequence[TablePart]) -> set[str]:
        """Of what columns have a best value: "set", "clip", "cost"."""
        return {
            lead_column(column, self.entries, index).level
            for part in parts
            for row in part.rows
            for index, (column, cell) in enumerate(zip(self.columns, row.cells, strict=True))
            if cell.rank == "best"
        }

    def legend(self, parts: Sequence[TablePart], by_corrected: Sequence[str]) -> tuple[Note, ...]:
        """What the marks mean that occur.

        Args:
            by_corrected: columns that are ranked without the estimated bias of their values.
        """
        cells = [cell for part in parts for row in part.rows for cell in row.cells]
        notes: list[Note] = []
        if any(cell.error for cell in cells):
            notes.append(("errors", "±: one standard error."))
        levels = self.marked_levels(parts)
        if levels - {"cost"}:
            columns = [lead_column(column, self.entries, i) for i, column in enumerate(self.columns)]
            notes.append(("", legend_bold(column for column in columns if column.level != "cost")))
        if "cost" in levels:
            notes.append(("", "Bold numbers of parameters: fewer than all others that saw the same."))
        if any(cell.rank == "second" for cell in cells):
            notes.append(("", "Underlined: the same among those that are not bold."))
        if by_corrected:
            where = " (in parentheses)" if any(cell.corrected for cell in cells) else ""
            what = "ranked by the value without its estimated bias"
            notes.append(("", f"{', '.join(by_corrected)}: {what}{where}."))
        if any(cell.stars for cell in cells):
            sure = ", ".join(f"{stars} p ≤ {most:g}" for stars, most in reversed(STARS))
            notes.append(("stars", f"Differs from the best value by the paired test: {sure}."))
        if any(part.is_published for part in parts):
            notes.append(("", "†: as published, not measured here, and not ranked."))
        return tuple(notes)


def _protocol(row: Row) -> str:
    return protocol_text(row["protocol"] or "", row["protocol_digest"] or "")

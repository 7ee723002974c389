"""The sources of published figures as BibTeX, and as the bibliography of a document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ...published import PublishedFigures, PublishedSource
from .latex_text import breakable, latex_key, latex_text

_VENUE = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}


WRITTEN_HERE = "% Sources that `reelbench table` cites and writes: put your own entries into another file."
"""The first line of our files, by which they are told from other people's."""

_PREFIX = "reelbench-"


def cite_key(key: str) -> str:
    """The key of a source in a document, which has keys of its own."""
    return _PREFIX + latex_key(key)


def cite(keys: Iterable[str]) -> str:
    r"""`~\cite{...}`, "" for none."""
    named = ",".join(map(cite_key, dict.fromkeys(keys)))
    return rf"~\cite{{{named}}}" if named else ""


def bibtex(keys: Sequence[str], figures: PublishedFigures) -> str:
    """An entry for each source that can be cited; "" where there is none.

    What of it was read is an annotation, which no style prints.
    """
    return "\n".join(_entry(key, figures.cited[key]) for key in keys if key in figures.cited)


def merged_bibtex(old: str, new: str) -> str:
    """The entries of two files of ours, one a key: the newer one."""
    entries = {found[1]: found[0] for text in (old, new) for found in _ENTRY.finditer(text)}
    return "\n".join([WRITTEN_HERE, "", *entries.values()])


_ENTRY = re.compile(r"^@\w+\{([^,]*),\n.*?^\}\n", re.MULTILINE | re.DOTALL)


def _entry(key: str, source: PublishedSource) -> str:
    fields = {
        "title": f"{{{latex_text(source.title)}}}",
        "author": " and ".join(map(_author, source.authors)),
        "year": str(source.year or source.accessed[:4]),
        _VENUE[source.type]: latex_text(source.venue),
        "eprint": latex_text(source.eprint),
        "archivePrefix": "arXiv" if source.eprint else "",
        "url": "".join(c for c in source.url if c not in "{}\\ "),
        "note": latex_text(_note(source)),
        "annote": latex_text(f"read: {source.read}" if source.read else ""),
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
    return "\n".join([f"@{source.type}{{{cite_key(key)},", *lines, "}", ""])


def bibitems(keys: Sequence[str], figures: PublishedFigures) -> Iterator[str]:
    """A `thebibliography` of the sources; nothing where there is none."""
    keys = [key for key in keys if key in figures.cited]
    if not keys:
        return
    yield r"\begin{thebibliography}{99}"
    for key in keys:
        source = figures.cited[key]
        arxiv = f"arXiv:{source.eprint}" if source.eprint else ""
        parts = [
            *map(
                latex_text,
                [_people(source.authors), source.title, source.venue, str(source.year or ""), arxiv],
            ),
            rf"\texttt{{{breakable(source.url)}}}" if source.url else "",
            breakable(_note(source)),
        ]
        yield rf"\bibitem{{{cite_key(key)}}} {'. '.join(filter(None, parts))}."
    yield r"\end{thebibliography}"


def _note(source: PublishedSource) -> str:
    version = f"arXiv version {source.version}" if source.version else ""
    commit = f"commit {source.commit}" if source.commit else ""
    accessed = f"accessed {source.accessed}" if source.accessed else ""
    return "; ".join(filter(None, [source.paper, source.path, commit, version, accessed]))


def _people(authors: Sequence[str]) -> str:
    """Three authors at most."""
    return ", ".join(authors[:3]) + (" et al" if authors[3:] else "")


def _author(name: str) -> str:
    # A single word or the name of a group is no first name and last name.
    return f"{{{latex_text(name)}}}" if " and " in name or " " not in name.strip() else latex_text(name)

"""The sources of published figures as BibTeX, and as the bibliography of a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...published import PublishedFigures, PublishedSource
from .latex_text import breakable, latex_key, latex_text

_VENUE = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}


def bibtex(keys: Sequence[str], figures: PublishedFigures) -> str:
    """An entry for each source; "" where there is none. What was read, where and when stands in its note."""
    return "\n".join(_entry(key, figures.sources[key]) for key in keys)


def _entry(key: str, source: PublishedSource) -> str:
    fields = {
        "title": f"{{{latex_text(source.title)}}}",
        "author": " and ".join(map(_author, source.authors)),
        "year": str(source.year or ""),
        _VENUE[source.type]: latex_text(source.venue),
        "eprint": latex_text(source.eprint),
        "archivePrefix": "arXiv" if source.eprint else "",
        "url": "".join(c for c in source.url if c not in "{}\\ "),
        "note": latex_text(_note(source)),
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
    return "\n".join([f"@{source.type}{{{latex_key(key)},", *lines, "}", ""])


def bibitems(keys: Sequence[str], figures: PublishedFigures) -> Iterator[str]:
    """A `thebibliography` of the sources; nothing where there is none."""
    if not keys:
        return
    yield r"\begin{thebibliography}{99}"
    for key in keys:
        source = figures.sources[key]
        arxiv = f"arXiv:{source.eprint}" if source.eprint else ""
        parts = [
            *map(
                latex_text,
                [_people(source.authors), source.title, source.venue, str(source.year or ""), arxiv],
            ),
            rf"\texttt{{{breakable(source.url)}}}" if source.url else "",
            breakable(_note(source)),
        ]
        yield rf"\bibitem{{{latex_key(key)}}} {'. '.join(filter(None, parts))}."
    yield r"\end{thebibliography}"


def _note(source: PublishedSource) -> str:
    version = f"arXiv version {source.version}" if source.version else ""
    commit = f"commit {source.commit}" if source.commit else ""
    accessed = f"accessed {source.accessed}" if source.accessed else ""
    return "; ".join(filter(None, [source.paper, source.path, commit, version, source.read, accessed]))


def _people(authors: Sequence[str]) -> str:
    """Three authors at most."""
    return ", ".join(authors[:3]) + (" et al" if authors[3:] else "")


def _author(name: str) -> str:
    # A single word or the name of a group is no first name and last name.
    return f"{{{latex_text(name)}}}" if " and " in name or " " not in name.strip() else latex_text(name)

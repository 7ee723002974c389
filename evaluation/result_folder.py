"""Which folder the tables of an evaluation go to: one is never taken for other clips without being asked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ..core.atomic_write import write_text_atomic
from ..core.errors import EvaluationError
from ..core.hashing import digest_bytes
from ..core.run_folders import holds_results

STORE = "store"
"""The folder of the features, beside those of the results."""

INPUTS = "inputs.json"
"""In the folder of the results: the folders that were measured, by label; the reference's is ""."""

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # as a run's


def check_name(name: str) -> None:
    """Refuse a name that is no folder's.

    Raises:
        EvaluationError: naming it and what is allowed.
    """
    if not _NAME.fullmatch(name) or name == STORE:
        raise EvaluationError(
            f"the name {name!r} cannot be that of the results' folder: it takes 1 to 64 of A-Za-z0-9._-, "
            f"begins with a letter or digit, and is not {STORE!r}",
            "give another --name, or none; --output says in which folder",
        )


def free_name(output: Path, systems: Mapping[str, Path], reference: Path | None) -> tuple[str, str | None]:
    """A name from the labels, the same for the same folders, and a note where another would be expected.

    It is the labels' letters and digits where that place is free or holds the tables of these folders; else
    a digest of the folders follows.
    """
    plain = _plain_name(systems, reference)
    mine = _inputs(systems, reference)
    own = f"{plain[:55]}-{digest_bytes(json.dumps(mine, sort_keys=True).encode())[:8]}"
    held = {name: _held(output / name) for name in (plain, own)}
    if plain != STORE and (held[plain] == mine or (held[plain] is None and held[own] is None)):
        return plain, None
    return own, (
        f"{plain!r} holds tables of other folders (or an earlier version's), so the results are in {own!r}, "
        "with a digest of these folders; --name gives another name"
    )


def record_inputs(folder: Path, systems: Mapping[str, Path], reference: Path | None) -> None:
    """Write down, before the tables, whose they are."""
    write_text_atomic(folder / INPUTS, json.dumps(_inputs(systems, reference), indent=1))


def _plain_name(systems: Mapping[str, Path], reference: Path | None) -> str:
    """A folder's name from the labels: ASCII letters, digits and dashes."""
    text = "+".join(systems) + (f"-vs-{reference.name}" if reference is not None else "")
    plain = "".join(character if character.isascii() and character.isalnum() else "-" for character in text)
    return plain.strip("-")[:64].strip("-") or "evaluation"


def _inputs(systems: Mapping[str, Path], reference: Path | None) -> dict[str, str]:
    folders = dict(systems) if reference is None else {**systems, "": reference}
    return {label: str(folder.expanduser().resolve()) for label, folder in folders.items()}


def _held(folder: Path) -> object:
    """The folders that a place holds the tables of; None where it holds none, "" where they are unknown."""
    try:
        return json.loads((folder / INPUTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "" if holds_results(folder) else None

"""`reelbench ls`: the names that run files may use, and with -v or a name what each is and its settings."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import Annotated, cast

import typer


class Kind(StrEnum):
    """What can be listed."""

    METHODS = "methods"
    UPSCALERS = "upscalers"
    DATASETS = "datasets"
    METRICS = "metrics"
    EXTRACTORS = "extractors"
    PROTOCOLS = "protocols"


def complete_name(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the kind that was typed before."""
    with contextlib.suppress(Exception):  # completion must not print errors into the command line
        names = _names(Kind(ctx.params["kind"]))
        return [name for name in names if name.startswith(incomplete)]
    return []


def ls(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    name: Annotated[
        str | None,
        typer.Argument(
            help="Only this one, with its settings.", show_default=False, autocompletion=complete_name
        ),
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="What each one is, and its settings (this imports them)."),
    ] = False,
) -> None:
    """List methods, upscalers, data sets, metrics, extractors or protocols by name."""
    if name is not None:
        typer.echo("\n".join(_entry(kind, name)))
    elif verbose:
        typer.echo("\n\n".join("\n".join(_entry_or_reason(kind, name)) for name in _names(kind)))
    else:
        for name in _names(kind):
            typer.echo(name)


def _names(kind: Kind) -> list[str]:
    if kind is Kind.PROTOCOLS:
        from ..metrics.protocol import protocol_names

        return protocol_names()
    from ..core import registry

    return registry.names(cast(registry.Kind, kind.value))


def _entry_or_reason(kind: Kind, name: str) -> list[str]:
    try:
        return _entry(kind, name)
    except Exception as error:  # one broken plug-in must not hide the others
        return [f"{name}  (cannot be loaded: {error})"]


def _entry(kind: Kind, name: str) -> list[str]:
    """The lines about one name."""
    from .settings_text import class_lines, protocol_lines

    if kind is Kind.PROTOCOLS:
        from ..metrics.protocol import load_protocol

        return protocol_lines(load_protocol(name))
    from ..core import registry

    return class_lines(name, registry.get(cast(registry.Kind, kind.value), name))

"""`reelbench ls`: the names that run files may use."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, cast

import typer


class Kind(StrEnum):
    METHODS = "methods"
    UPSCALERS = "upscalers"
    DATASETS = "datasets"
    METRICS = "metrics"
    EXTRACTORS = "extractors"
    PROTOCOLS = "protocols"


def ls(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With what each one is (this imports them).")
    ] = False,
) -> None:
    """List methods, upscalers, data sets, metrics, extractors or protocols by name."""
    names = _names(kind)
    if not verbose:
        for name in names:
            typer.echo(name)
        return
    width = max((len(name) for name in names), default=0)
    for name in names:
        typer.echo(f"{name:{width}}  {_describe(kind, name)}")


def _names(kind: Kind) -> list[str]:
    if kind is Kind.PROTOCOLS:
        from ..metrics.protocol import protocol_names

        return protocol_names()
    from ..core import registry

    return registry.names(cast(registry.Kind, kind.value))


def _describe(kind: Kind, name: str) -> str:
    try:
        if kind is Kind.PROTOCOLS:
            from ..metrics.protocol import load_protocol

            return " ".join(load_protocol(name).description.split())
        from ..core import registry

        return _first_line(registry.get(cast(registry.Kind, kind.value), name))
    except Exception as error:  # one broken plug-in must not hide the others
        return f"(cannot be loaded: {error})"


def _first_line(cls: Any) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]

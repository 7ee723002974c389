"""`reelbench serve`: deployments on this machine, with Prefect's page, from one command."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import folder_path

if TYPE_CHECKING:
    from ..flows.servers.serving import Serving


def serve(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Of the page and the API; by default 4200, or the next that is free.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path,
        typer.Option(metavar="FOLDER", parser=folder_path, help="The server's database, password and logs."),
    ] = Path("out/serve"),
    deployments: Annotated[Path, typer.Option(metavar="FILE", help="The deployments.")] = Path(
        "prefect.yaml"
    ),
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Runs join this Ray cluster (as RAY_ADDRESS does).", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many runs at a time; others wait.")] = 1,
    allow_plugin_files: Annotated[
        bool,
        typer.Option("--allow-plugin-files", help="Run files may name classes in files (file.py:Class)."),
    ] = False,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Run files and outputs may lie outside of REELBENCH_HOME."),
    ] = False,
) -> None:
    """Start a Prefect server, the deployments and a worker on 127.0.0.1; Ctrl-C ends all of them.

    Runs begin in REELBENCH_HOME, or else in the current folder. Exit code 130 after Ctrl-C.
    """
    import os

    from ..core.extras import require_bench

    require_bench("reelbench serve", ["prefect", "psutil"])
    from ..flows.servers.serving import Options, serving

    options = Options(
        folder=folder.absolute(),
        home=Path(os.environ.get("REELBENCH_HOME") or ".").absolute(),
        deployments=deployments.absolute(),
        port=port,
        limit=limit,
        ray_address=ray_address,
        allow_plugin_files=allow_plugin_files,
        allow_outside=allow_outside,
    )
    with serving(options, lambda line: typer.echo(line, err=True)) as served:
        _print_addresses(served, options.folder, options.home)
        served.watch()


def _print_addresses(served: Serving, folder: Path, home: Path) -> None:
    names = served.names()
    typer.echo(
        f"""
page         {served.page}
password     {folder / "password"} (the page asks for what is in it)
API          {served.page}/api
deployments  {", ".join(names)}
runs begin   in {home}

In another shell:
  . {shlex.quote(str(folder / "env"))}
  prefect deployment run 'benchmark/demo' --watch
  prefect deployment run 'benchmark/any' --watch --param run_file=configs/editing.yaml
  prefect flow-run ls

Ctrl-C ends the server, the worker and its runs."""
    )

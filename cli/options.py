"""The argument and the options that the commands share."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..core.run_file import RunFile
    from ..core.run_folders import Results


def complete_only(ctx: typer.Context, incomplete: str) -> list[str]:
    """The methods, data sets and metrics of the run file that was typed before."""
    from ..core.yaml_text import load_yaml

    with contextlib.suppress(Exception):  # completion must not print errors into the command line
        # An option without its value yet leaves the words unparsed.
        words = [ctx.params.get("run_file"), *ctx.args]
        run_file = next(Path(word) for word in words if word and Path(word).is_file())
        data = load_yaml(run_file.read_text(encoding="utf-8"))
        entries = [entry for kind in ("methods", "datasets", "metrics") for entry in data.get(kind, ())]
        names = [e if isinstance(e, str) else str(e.get("label") or e["name"]) for e in entries]
        return [name for name in names if name.startswith(incomplete)]
    return []


def folder_path(text: str | Path) -> Path:
    """The folder that an option names; an empty name (an unset shell variable) would be the current one."""
    if not str(text).strip():
        raise typer.BadParameter("the name of the folder is empty; name one ('.' is the current folder)")
    return Path(text)


RunFileArgument = Annotated[
    Path, typer.Argument(metavar="RUN_FILE", help="The run file (YAML), for example configs/demo.yaml.")
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", help="Only the first N samples of each data set.", show_default=False
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME",
        help="Only this method, data set or metric; may be given several times.",
        autocompletion=complete_only,
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FOLDER",
        parser=folder_path,
        help="Where results go, instead of the run file's.",
        show_default=False,
    ),
]
ResultsArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run file, the folder of a run (out/demo) or of one of its results (out/demo/latest), "
        "a bundle (x.zip).",
    ),
]
OnlineOption = Annotated[
    bool, typer.Option("--online", help="Ask the hub whether it has what is not on this machine.")
]
IdOption = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="ID",
        help="Of the results with this id, instead of those that were finished last.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(
    run_file: Path,
    limit: int | None,
    only: list[str] | None,
    output: Path | None,
    *,
    look_up: bool = True,
) -> RunFile:
    """The validated run file with the command line's changes, its output folders made absolute.

    Args:
        look_up: False leaves its plug-ins alone; for commands that read results which are there.

    Raises:
        ReelbenchError: the run file or an option is not valid.
    """
    from ..core.run_file_loading import load_run_file
    from ..stages.planning import run_faults

    loaded = load_run_file(run_file, run_faults, look_up)
    run = loaded.amended(limit=limit, only=only or (), output=output)
    for folder in (run.output, run.store_dir):
        _check_name(folder)
    # Absolute, as in the flow: tables, keys of caches and printed paths are then the same.
    return run.model_copy(update={"output": run.output.absolute(), "store": run.store_dir.absolute()})


def results_at(place: str) -> Results:
    """The results that an argument names: those of a run file that were finished last, or those in a folder.

    Raises:
        ReelbenchError: there are none, or the run file is not valid.
    """
    from ..core.errors import StoreError
    from ..core.run_folders import find_results, results_dir

    path = folder_path(place)
    if path.is_dir() or path.suffix.lower() not in (".yaml", ".yml"):
        return find_results(path)
    run = load(path, None, None, None, look_up=False)
    folder = results_dir(run.run_dir)
    if not folder.is_dir():
        raise StoreError(
            f"no results of the run {run.name!r} yet: {relative(run.run_dir)} has none",
            f"reelbench run {shell_path(path)}",
        )
    return find_results(folder)


def _check_name(folder: Path) -> None:
    """Refuse names that databases, tables and printed commands cannot hold."""
    from ..core.errors import RunFileError

    text = str(folder)
    bad = next((letter for letter in text if not letter.isprintable()), None)
    if bad is not None:
        what = "a byte that is no UTF-8" if "\ud800" <= bad <= "\udfff" else f"the character {bad!r}"
        raise RunFileError(
            f"the folder {text!r} has {what} in its name",
            "choose another `output` (or --output): letters, digits, spaces and signs will do",
        )


def relative(path: Path) -> str:
    """A path as it is shown: relative to the working directory where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def shell_path(path: Path) -> str:
    """A path for a command that is printed: quoted for the shell; as an address where a browser would take
    a part of its name for something else."""
    if set(str(path)) & set("?#%"):
        return shlex.quote(path.absolute().as_uri())
    return shlex.quote(relative(path))

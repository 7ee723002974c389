"""What `reelbench doctor` looks at; each check gives one line or a few."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.extras import BENCH_MODULES

GOOD, WARNING, BAD = "✓", "!", "✗"

_LIBRARIES = (
    "prefect",
    "fastapi",
    "ray",
    "mlflow",
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "pandas",
    "pyarrow",
    "av",
    "pydantic",
    "typer",
)
_MIN_MEMORY_GIB = 4.0
_MIN_DISK_GIB = 5.0
_SPRITES_WEIGHTS = ("sprites/t2i", "sprites/clip", "sprites/i3d")


@dataclass(frozen=True)
class Check:
    """One line: ✓ good, ! to be known, ✗ broken."""

    sign: str
    what: str
    found: str


def all_checks(run_file: Path | None, output: Path | None) -> Iterator[Check]:
    """All checks in turn; those of a run file when one is given."""
    yield _python()
    yield from libraries()
    yield torch_check()
    yield from machine(output or Path("out"))
    yield from settings()
    yield from weights(_SPRITES_WEIGHTS)
    if run_file is not None:
        yield from run_file_checks(run_file, output)


def libraries() -> Iterator[Check]:
    """The versions of the libraries that matter, against what this Reelbench allows."""
    from packaging.requirements import Requirement

    required = {}
    for line in importlib.metadata.requires("reelbench") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "bench"}):
            required[_normal(requirement.name)] = requirement.specifier
    for name in _LIBRARIES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in BENCH_MODULES:
                found = "not installed; not needed to measure, but to run: pip install 'reelbench[bench]'"
                yield Check(WARNING, name, found)
            else:
                yield Check(BAD, name, "not installed; `make venv` installs the locked versions")
            continue
        allowed = required.get(_normal(name))
        if allowed is not None and not allowed.contains(version, prereleases=True):
            yield Check(BAD, name, f"{version}, but this Reelbench needs {allowed}; `make venv` mends it")
        else:
            yield Check(GOOD, name, version)


def torch_check() -> Check:
    """Whether torch and torchvision load together, and the GPUs that torch sees."""
    try:
        import torch
        import torchvision  # noqa: F401  (a torchvision of another build fails here)
    except Exception as error:
        return Check(BAD, "torch", f"cannot be imported: {error}")
    if not torch.cuda.is_available():
        return Check(GOOD, "GPU", "none that torch sees; everything runs on the CPU")
    names = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        names.append(f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    return Check(GOOD, "GPU", "; ".join(names))


def machine(output: Path) -> Iterator[Check]:
    """CPU, memory, shared memory and disk."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check(GOOD, "CPU", f"{num_cores} cores")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Check(
        GOOD if memory_gib >= _MIN_MEMORY_GIB else WARNING,
        "memory",
        f"{memory_gib:.1f} GiB" + ("" if memory_gib >= _MIN_MEMORY_GIB else ", which is little"),
    )
    folder = output.absolute()
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        yield Check(BAD, "output", f"{folder} cannot be written to; choose another with --output")
    else:
        little = free_gib < _MIN_DISK_GIB
        yield Check(
            WARNING if little else GOOD,
            "disk",
            f"{free_gib:.1f} GiB free at {folder}" + (", which is little" if little else ""),
        )


def settings() -> Iterator[Check]:
    """Which Ray and which Prefect a run would use."""
    address = os.environ.get("RAY_ADDRESS", "")
    yield Check(
        GOOD,
        "Ray",
        f"joins the cluster at RAY_ADDRESS={address}" if address else "each run starts one on this machine",
    )
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        yield Check(GOOD, "Prefect", "each run starts a server of its own (PREFECT_API_URL is not set)")
        return
    from ..flows.prefect_server import PrefectApi, PrefectServerError

    try:
        PrefectApi(url).wait()
        yield Check(GOOD, "Prefect", f"the server at PREFECT_API_URL={url} answers")
    except PrefectServerError as error:
        yield Check(BAD, "Prefect", f"{error.message}; {error.hint}")


def weights(locations: tuple[str, ...]) -> Iterator[Check]:
    """Where the embedded weights are, and what REELBENCH_WEIGHTS leads to."""
    root = os.environ.get("REELBENCH_WEIGHTS", "")
    if root:
        yield _weights("pipeline", f"REELBENCH_WEIGHTS={root}, pipeline")
    for location in locations:
        yield _weights(location, f"weights {location}")


def run_file_checks(run_file: Path, output: Path | None) -> Iterator[Check]:
    """The run file itself, its data sets and its weights."""
    from ..core.errors import ReelbenchError
    from ..core.run_file import build_plugin, load_run_file

    try:
        run = load_run_file(run_file).amended(output=output)
    except ReelbenchError as error:
        yield Check(BAD, f"run file {run_file}", _one_line(error))
        return
    yield Check(GOOD, f"run file {run_file}", f"{len(run.methods)} methods, {len(run.datasets)} data sets")
    for entry in run.datasets:
        try:
            dataset = build_plugin(run, "datasets", entry)
            yield Check(GOOD, f"data set {entry.label}", f"{len(dataset)} samples of {dataset.split}")
        except ReelbenchError as error:
            yield Check(BAD, f"data set {entry.label}", _one_line(error))
    locations = set(run.weights.values())
    for entry in run.methods:
        try:
            locations |= {ref.location for ref in build_plugin(run, "methods", entry).weights()}
        except ReelbenchError as error:
            yield Check(BAD, f"method {entry.label}", _one_line(error))
    for location in sorted(locations):
        yield _weights(location, f"weights {location}, of the run file")
    if "i3d" in run.weights:
        yield _i3d_weights(run.weights["i3d"])


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(GOOD if sys.version_info >= (3, 11) else BAD, "Python", f"{version} at {sys.executable}")


def _weights(location: str, what: str) -> Check:
    from ..core.errors import ReelbenchError
    from ..core.weights import resolve

    try:
        # Only looked for: the doctor fetches nothing.
        return Check(GOOD, what, str(resolve(location, fetch=False)))
    except ReelbenchError as error:
        return Check(BAD, what, _one_line(error))


def _i3d_weights(location: str) -> Check:
    """What kind of I3D the weights are."""
    from ..core.errors import ReelbenchError
    from ..core.weights import resolve
    from ..metrics.i3d_formats import describe_i3d_weights

    try:
        info = describe_i3d_weights(resolve(location, fetch=False))
    except ReelbenchError as error:
        return Check(BAD, f"I3D at {location}", _one_line(error))
    classes = "" if info.num_classes is None else f", {info.num_classes} classes"
    said = f"{info.format}{classes}" + (f"; {info.caution}" if info.caution else "")
    return Check(WARNING if info.caution else GOOD, f"I3D at {location}", said)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")

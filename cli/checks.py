"""What `reelbench doctor` looks at on a machine; each check gives one line or a few."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.extras import BENCH_MODULES, is_installed

if TYPE_CHECKING:
    from ..core.errors import ReelbenchError
    from ..core.types import WeightsRef

GOOD, WARNING, BAD = "✓", "!", "✗"

CONTINUED = "\n    "
"""Between the lines of one check."""

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


@dataclass(frozen=True)
class Check:
    """One line: ✓ good, ! to be known, ✗ broken."""

    sign: str
    what: str
    found: str


def machine_checks(output: Path) -> Iterator[Check]:
    """Versions, hardware, settings and the weights that every run file may name.

    Args:
        output: where results would go.
    """
    yield Check(
        GOOD if sys.version_info >= (3, 11) else BAD,
        "Python",
        f"{platform.python_version()} at {sys.executable}",
    )
    yield from libraries()
    yield torch_check()
    yield from machine(output)
    yield from settings()
    yield from weights()


def libraries() -> Iterator[Check]:
    """The versions of the libraries that matter, against what this Reelbench allows."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    required = {}
    for line in importlib.metadata.requires("reelbench") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "bench"}):
            required[canonicalize_name(requirement.name)] = requirement.specifier
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
        allowed = required.get(canonicalize_name(name))
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
    yield _enough("memory", f"{memory_gib:.1f} GiB", memory_gib >= _MIN_MEMORY_GIB)
    folder = output.absolute()
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        yield Check(BAD, "output", f"{folder} cannot be written to; choose another with --output")
    else:
        yield _enough("disk", f"{free_gib:.1f} GiB free at {folder}", free_gib >= _MIN_DISK_GIB)


def _enough(what: str, found: str, is_enough: bool) -> Check:
    return Check(GOOD, what, found) if is_enough else Check(WARNING, what, f"{found}, which is little")


def settings() -> Iterator[Check]:
    """Which Ray and which Prefect a run would use; nothing of what is not installed."""
    if is_installed("ray"):
        yield _ray()
    if is_installed("prefect"):
        yield _prefect()
    if is_installed("mlflow"):
        yield _mlflow()


def _ray() -> Check:
    """Whether something listens at `RAY_ADDRESS`; joining a cluster would take seconds."""
    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "local"):
        return Check(GOOD, "Ray", "each run starts one on this machine")
    from ..core.errors import ResourcesError
    from ..flows.workers.ray_address import check_ray_address

    joins = f"joins the cluster at RAY_ADDRESS={address}"
    try:
        if check_ray_address(address):
            return Check(GOOD, "Ray", joins)
    except ResourcesError as error:
        return Check(BAD, "Ray", fault_text(error))
    return Check(WARNING, "Ray", f"{joins}; whether there is one shows when a run starts")


def _prefect() -> Check:
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return Check(GOOD, "Prefect", "each run starts a server of its own (PREFECT_API_URL is not set)")
    from ..flows.servers.prefect_server import PrefectApi, PrefectServerError

    try:
        PrefectApi(url).wait()
    except PrefectServerError as error:
        return Check(BAD, "Prefect", f"{error.message}; {error.hint}")
    return Check(GOOD, "Prefect", f"the server at PREFECT_API_URL={url} answers")


def _mlflow() -> Check:
    from ..core.errors import StoreError
    from ..reports.mlflow.place import VARIABLE, Tracking, check_tracking_uri, why_not_reached

    uri = os.environ.get(VARIABLE, "").strip()
    if not uri:
        return Check(
            GOOD, "MLflow", f"runs are logged to a file in their output folder ({VARIABLE} is not set)"
        )
    try:
        check_tracking_uri(uri, VARIABLE)
    except StoreError as error:
        return Check(BAD, "MLflow", fault_text(error))
    tracking = Tracking(uri, os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default"), Path())
    problem = why_not_reached(tracking)
    if problem is not None:
        return Check(BAD, "MLflow", f"{VARIABLE}={tracking.shown} cannot be used: {problem}")
    return Check(GOOD, "MLflow", f"runs are logged to {VARIABLE}={tracking.shown}")


def weights() -> Iterator[Check]:
    """Where the embedded weights are, and what REELBENCH_WEIGHTS leads to."""
    from ..core.types import WeightsRef
    from ..methods.stable_diffusion.pipeline import STABLE_DIFFUSION
    from ..metrics.extractors.clip_weights import CLIP_FOLDER
    from ..metrics.extractors.i3d.weights import I3D

    root = os.environ.get("REELBENCH_WEIGHTS", "")
    if root:
        ref = WeightsRef("pipeline", "pipeline", STABLE_DIFFUSION)
        yield weights_check(ref, f"REELBENCH_WEIGHTS={root}, pipeline")
    for name, weights_format in (("t2i", STABLE_DIFFUSION), ("clip", CLIP_FOLDER), ("i3d", I3D)):
        yield weights_check(WeightsRef(name, f"sprites/{name}", weights_format), f"weights sprites/{name}")


def weights_check(ref: WeightsRef, what: str, online: bool = False) -> Check:
    """Whether weights are there and what is expected, as a run resolves them; nothing is fetched."""
    from ..core.errors import ReelbenchError
    from ..core.weights import NotFetchedError, resolve
    from .plan import fetch_text

    try:
        try:
            path = resolve(ref.location, ref.format, fetch=False)
            ref.format.check(path)
            return Check(GOOD, what, str(path))
        except NotFetchedError:
            return Check(WARNING, what, fetch_text(ref, online))
    except ReelbenchError as error:
        return Check(BAD, what, fault_text(error))


def fault_text(error: ReelbenchError) -> str:
    """An error's message and hint in one line; a message of several lines stays one line each, indented."""
    lines = [" ".join(line.split()) for line in error.message.splitlines()]
    return CONTINUED.join(lines) + (f" -> {error.hint}" if error.hint else "")

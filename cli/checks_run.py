"""What `reelbench doctor` looks at in a run file: all that a run would be refused for, its data sets' videos,
and its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.contract_check import samples_of
from ..core.errors import Faults, MismatchError, ReelbenchError
from ..core.plan import PlannedDataset
from ..core.run_file import RunFile, build_plugin
from ..core.run_file_loading import load_run_file
from ..core.store import Store
from ..core.types import Sample, WeightsRef
from ..core.weights import WeightsFinder, resolve
from .checks import BAD, CONTINUED, GOOD, WARNING, Check, fault_text, weights_check

if TYPE_CHECKING:
    from ..core.contracts import Dataset
    from ..metrics.protocol import Protocol
    from ..stages.measuring import Measuring

_NUM_OPENED = 3
"""Videos of a data set that are opened without `--data`: first ones, so that the same are opened again."""

_NUM_LISTED = 5
"""Faults that are listed one by one."""

Used = dict[tuple[str, str], tuple[WeightsRef, list[str]]]
"""Weights by location and role, with the methods and metrics that read them."""


def run_file_checks(run_file: Path, output: Path | None, every_video: bool, online: bool) -> Iterator[Check]:
    """The run file itself, its data sets, its weights and its metrics."""
    from ..stages.planning import run_faults

    try:
        run = load_run_file(run_file, run_faults).amended(output=output)
    except ReelbenchError as error:
        faults = Faults()
        faults.add(error)
        for fault in faults.found:
            yield Check(BAD, f"run file {run_file}", fault_text(fault).removeprefix(f"{run_file}: "))
        return
    yield Check(GOOD, f"run file {run_file}", f"{len(run.methods)} methods, {len(run.datasets)} data sets")
    for fault in run_faults(run):
        if isinstance(fault, MismatchError):  # the checks below report all others
            yield Check(BAD, "plan", fault_text(fault))
    yield from _datasets(run, every_video)
    used: Used = {}
    yield from _methods(run, used)
    yield from _metrics(run, used)
    for ref, users in used.values():
        check = weights_check(ref, f"weights {ref.location}, {ref.name} of {', '.join(users)}", online)
        yield check
        if ref.name == "i3d" and check.sign == GOOD:
            yield from _i3d(ref)
    for role, location in run.weights.items():
        if location not in {read for read, _ in used}:
            found = f"named as {role!r}, and nothing in this run reads them"
            yield Check(WARNING, f"weights {location}", found)


def _note(used: Used, refs: tuple[WeightsRef, ...], user: str) -> None:
    for ref in refs:
        users = used.setdefault((ref.location, ref.name), (ref, []))[1]
        if user not in users:
            users.append(user)


def _methods(run: RunFile, used: Used) -> Iterator[Check]:
    for entry in run.methods:
        try:
            _note(used, build_plugin(run, "methods", entry).weights(), entry.label)
            if entry.upscale is not None:
                _note(used, build_plugin(run, "upscalers", entry.upscale).weights(), entry.label)
        except ReelbenchError as error:
            yield Check(BAD, f"method {entry.label}", fault_text(error))


def _metrics(run: RunFile, used: Used) -> Iterator[Check]:
    """Metrics whose extractors cannot be used; the weights of the others go to `used`."""
    from ..metrics.build import check_roles
    from ..metrics.protocol import load_protocol

    said = set()
    for part in run.parts():
        try:
            protocol = load_protocol(part.protocol)
            check_roles(run.weights, ("pipeline", "upscaler"))
        except ReelbenchError as error:
            yield Check(BAD, "metrics", fault_text(error))
            continue
        for check in _part_metrics(part, protocol, used):
            if (line := (check.what, check.found)) not in said:
                said.add(line)
                yield check


def _part_metrics(run: RunFile, protocol: Protocol, used: Used) -> Iterator[Check]:
    from ..metrics.build import build_extractor, build_metric, why_unavailable

    for name in run.metrics:
        try:
            for extractor in build_metric(name, protocol).needs:
                reason = why_unavailable(extractor, run.weights)
                if reason is not None:
                    yield Check(BAD, f"metric {name}", reason)
                    break
                _note(used, build_extractor(extractor, protocol, run.weights).weights(), name)
        except ReelbenchError as error:
            yield Check(BAD, f"metric {name}", fault_text(error))


def _datasets(run: RunFile, every_video: bool) -> Iterator[Check]:
    """Each data set's list, and its reference videos as the protocol reads them."""
    for part in run.parts():
        yield from _part_datasets(part, every_video)


def _part_datasets(run: RunFile, every_video: bool) -> Iterator[Check]:
    measuring = _measuring(run)
    for entry in run.datasets:
        what = f"data set {entry.label}"
        try:
            dataset = build_plugin(run, "datasets", entry)
            num_samples, num_opened, faults = _data_faults(dataset, run.limit, measuring, every_video)
            notes = PlannedDataset(entry.label, dataset, ()).notes
        except ReelbenchError as error:
            yield Check(BAD, what, fault_text(error))
            continue
        found = f"{num_samples} samples of {dataset.split}"
        if num_opened:
            found += f", {num_opened} videos opened" + ("" if every_video else " (--data opens all)")
        if faults:
            # Videos of such lists are taken down; whoever cannot get them anymore leaves them out.
            has_way = getattr(getattr(dataset, "config", None), "skip_missing", None) is False
            way = " (skip_missing leaves out what is not there)" if has_way else ""
            yield Check(BAD, what, f"{found}; {len(faults)} cannot be used{way}:{_listed(faults)}")
        else:
            yield Check(GOOD, what, found)
        for note in notes:
            yield Check(WARNING, what, note)


def _measuring(run: RunFile) -> Measuring | None:
    """What the run measures; None where that cannot be said, which other checks tell."""
    from ..datasets.video import default_codec
    from ..stages.planning import make_measuring

    store = Store(run.store_dir, default_codec(), read_only=True)
    try:
        return make_measuring(run, store, WeightsFinder(store.digests("weights"), fetch=False))
    except ReelbenchError:
        return None


def _data_faults(
    dataset: Dataset, limit: int | None, measuring: Measuring | None, every: bool
) -> tuple[int, int, list[str]]:
    """Whether the reference videos of a run's samples are there and give the frames that are measured.

    Args:
        limit: of the run.
        measuring: says which frames of a reference are measured; None for the first one alone.
        every: open every video; otherwise a few are opened, and of the others only the place is looked at.

    Returns:
        (number of samples, number of videos that were opened, faults in the order of the samples).

    Raises:
        DatasetError: the data set itself cannot be read.
    """
    samples = samples_of(dataset, dataset.name, limit)
    references = {sample.reference: sample for sample in samples if sample.reference is not None}
    faults: list[str] = []
    num_opened = 0
    for ref, sample in references.items():
        if not ref.path.exists():
            faults.append(f"{sample.id}: there is no {ref.path}")
        elif every or num_opened < _NUM_OPENED:
            num_opened += 1
            faults += _faults_of(sample, measuring)
    return len(samples), num_opened, faults


def _faults_of(sample: Sample, measuring: Measuring | None) -> Iterator[str]:
    from ..datasets.video import Reading
    from ..stages.inputs import VideoInput, read_inputs

    assert sample.reference is not None
    try:
        wanted = None if measuring is None else measuring.reference_reading(sample)
        may_be_short = measuring is not None and measuring.fills
        video = VideoInput(sample.reference, wanted or Reading(num_frames=1), may_be_short)
        (content,) = read_inputs([video], None)
    except ReelbenchError as error:
        content = error
    if isinstance(content, Exception):
        yield f"{sample.id}: {' '.join(str(content).split())}"


def _listed(faults: list[str]) -> str:
    """The first of the faults, and how many more there are; one line each."""
    more = len(faults) - _NUM_LISTED
    return CONTINUED.join(["", *faults[:_NUM_LISTED], *([f"and {more} more"] if more > 0 else [])])


def _i3d(ref: WeightsRef) -> Iterator[Check]:
    """What kind of I3D the weights are."""
    from ..metrics.extractors.i3d.described import describe_i3d_weights

    try:
        info = describe_i3d_weights(resolve(ref.location, ref.format, fetch=False))
    except ReelbenchError as error:
        yield Check(BAD, f"I3D at {ref.location}", fault_text(error))
        return
    classes = "" if info.num_classes is None else f", {info.num_classes} classes"
    said = f"{info.format}{classes}" + (f"; {info.caution}" if info.caution else "")
    yield Check(WARNING if info.caution else GOOD, f"I3D at {ref.location}", said)

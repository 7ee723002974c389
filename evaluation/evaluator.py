"""Measure any folders of videos: `reelbench evaluate`, and the same from Python.

    from reelbench.evaluation import evaluate
    result = evaluate("generated", reference="real", captions="captions.csv", protocol="clean")
    print(result)

Features are kept in a store under the output folder, by the content of the files: the same call goes on
where a killed one stopped, and another metric or protocol reuses what is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ..core.errors import EvaluationError, StoreError
from ..core.run_file import DatasetEntry, MethodEntry, RunFile
from ..core.store import Store
from ..core.types import Features
from ..datasets.lists.annotation import expanded
from ..metrics.build import build_metric, extractors_needed, refuse_unavailable
from ..metrics.protocol import Protocol, load_protocol
from ..stages.extraction import extract
from ..stages.measuring import Measuring, measuring_under
from ..stages.work import WorkerContext
from .clip_list import find_clips, linked_folders, other_files
from .clip_measuring import WorkList
from .matched_systems import Matching, match_systems
from .progress import EvaluationProgress
from .result import Evaluation
from .result_folder import STORE, check_name, free_name, record_inputs
from .result_tables import write_results
from .stored_clips import ClipCatalogue, release_free_memory

GENERATED_RATES = ("as-reference", "stored")

FLUSH_ITEMS = 64
"""So many items' features are kept in memory before they are written: what a kill costs at most."""

PathLike = str | Path


def evaluate(
    generated: PathLike | Sequence[PathLike],
    *,
    reference: PathLike | None = None,
    captions: PathLike | None = None,
    pairs: PathLike | None = None,
    protocol: PathLike | Sequence[PathLike] = "clean",
    metrics: str | Sequence[str] | None = None,
    weights: Mapping[str, str] | None = None,
    output: PathLike = "evaluations",
    name: str | None = None,
    limit: int | None = None,
    context_frames: int = 0,
    frame_rate: float | None = None,
    generated_rate: Literal["as-reference", "stored"] = "as-reference",
    allow_small: bool = False,
    workers: int | None = None,
    device: str | None = None,
    progress: bool = False,
) -> Evaluation:
    """Measure the videos of a folder, or of several (one for each system) side by side.

    Args:
        generated: folders of video files, or of folders of frames.
        reference: the real clips; needed by set metrics (FVD) and by pair metrics (PSNR).
        captions: file of captions by clip name; needed by CLIPSIM. See `matching.match` for the formats.
        pairs: CSV that says which generated clip belongs to which reference, caption and source, where the
            names do not.
        protocol: names or files; several are computed from one decoding of each clip.
        metrics: a name or several; None takes those that what is given allows.
        weights: location by extractor role ("i3d", "clip"); roles that are missing get the embedded world's
            small models, which is said beside every number.
        output: the folder of the store and of the results.
        name: of the results' folder, whatever it holds; made from the names of the folders when None, with a
            digest of them where that folder holds what others gave.
        limit: the first so many samples only; at least 1.
        context_frames: so many first frames of each clip were given to the method (prediction tasks); the
            protocol says whether they are measured.
        frame_rate: frames per second of folders of frames, which state none.
        generated_rate: which frames of a generated clip are compared with the reference: chosen by the
            protocol's rate, stride and start, as the reference's are ("as-reference"); or every stored one
            from the first on, for files whose stated rate is only a label ("stored": where that makes a
            difference, under another protocol name).
        allow_small: measure clips and sets that are too small for a metric, and mark the numbers.
        workers: threads; None takes the machine's cores. No number depends on it.
        device: "cpu", "cuda" or "cuda:N"; None takes a GPU where there is one.
        progress: show a progress bar on standard error.

    Raises:
        ReelbenchError: a folder, file, name or combination that cannot work. Single clips that cannot be read
            do not raise: they are recorded, and the coverage shows them.
    """
    if name is not None:
        check_name(name)
    _check_at_least(1, limit=limit, workers=workers)
    _check_at_least(0, context_frames=context_frames)
    _check_at_least(0.001, frame_rate=frame_rate)
    _check_device(device)
    if generated_rate not in GENERATED_RATES:
        raise EvaluationError(
            f"unknown generated_rate {generated_rate!r}; allowed: {', '.join(GENERATED_RATES)}",
            "leave it out to read generated clips as the reference is read",
        )
    systems = _systems(generated)
    if not _as_list(protocol) or not str(output).strip():
        what = "no protocol was given" if str(output).strip() else "the name of the output folder is empty"
        raise EvaluationError(what, "name one, or leave it out for the default")
    protocols = [_loaded(item, allow_small, generated_rate) for item in _as_list(protocol)]
    _refuse_twice("protocol", [item.name for item in protocols])
    found = {label: find_clips(folder) for label, folder in systems.items()}
    real = Path(reference) if reference is not None else None
    references = find_clips(real) if real is not None else None
    matching = match_systems(
        found,
        references,
        expanded(str(captions)) if captions is not None else None,
        expanded(str(pairs)) if pairs is not None else None,
        limit=limit,
        num_context_frames=context_frames,
    )
    folders = [*systems.values(), *([] if real is None else [real])]
    problems = (*matching.problems, *_ignored(folders))
    names = tuple(map(str, _as_list(metrics))) if metrics else _possible_metrics(matching)
    _refuse_twice("metric", names)
    _check_metrics(names, protocols[0], matching)
    refuse_unavailable([build_metric(item, protocols[0]) for item in names], dict(weights or {}), ())

    output_dir = Path(output).absolute()
    if name is None:
        name, note = free_name(output_dir, systems, real)
        problems += () if note is None else (note,)
    matching = replace(matching, problems=problems)
    run = RunFile(
        name=name,
        output=output_dir,
        store=output_dir / STORE,
        methods=tuple(
            MethodEntry(name="videos", label=label, config={"folder": str(folder)})
            for label, folder in systems.items()
        ),
        datasets=(DatasetEntry(name="videos", label=real.name if real is not None else "no reference"),),
        metrics=names,
        protocol=", ".join(item.name for item in protocols),
        weights=dict(weights or {}),
    )
    store = _open_store(run)
    measurings = [measuring_under(item, names, run.weights, store) for item in protocols]
    num_threads = workers or len(os.sched_getaffinity(0))
    catalogue = ClipCatalogue(store.root / "cache")
    facts = catalogue.facts(matching.clips(), num_threads)
    work = WorkList(facts, frame_rate, join_pairs=any(item.pair_roles() for item in measurings))
    drafts = [matching.draft(measuring, work) for measuring in measurings]
    context = WorkerContext(store, device or _device(measurings), num_threads)
    _extract(work, context, progress)
    record_inputs(run.run_dir, systems, real)
    return write_results(run, store, measurings, matching, drafts, facts, frame_rate)


def _ignored(folders: Sequence[Path]) -> Iterator[str]:
    """What lies in the folders and is not measured, a line for each folder."""
    for folder in folders:
        if others := other_files(folder):
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            yield f"{folder}: no clips, by their names, and not measured: {', '.join(others[:3])}{more}"
        if links := linked_folders(folder):
            more = f" and {len(links) - 3} more" if len(links) > 3 else ""
            yield f"{folder}: links to folders elsewhere were followed: {', '.join(links[:3])}{more}"


def _extract(work: WorkList, context: WorkerContext, progress: bool) -> None:
    """Make what is missing and write it to the store as it comes."""
    held = {spec.name: context.store.features.keys(spec.name) for spec in work.specs}
    items = [rest for item in work.items() if (rest := item.without(held)) is not None]
    if not items:
        return
    needed = {want.session_key for item in items for want in item.wanted}
    specs = [spec for spec in work.specs if spec.session_key in needed]
    pending: dict[str, dict[str, Features]] = {}
    num_pending = 0

    def flush() -> None:
        for extractor, rows in pending.items():
            context.store.features.put(extractor, rows)
        pending.clear()
        release_free_memory()

    with EvaluationProgress("evaluate", len(items), quiet=not progress) as bar:
        try:
            for extracted in extract(items, specs, context):
                for (extractor, key), values in extracted.features.items():
                    pending.setdefault(extractor, {})[key] = values
                for key, failure in extracted.failures.items():
                    context.store.put_failure(key, failure)
                bar.advance(not extracted.failures, bool(extracted.failures))
                num_pending += 1
                if num_pending % FLUSH_ITEMS == 0:
                    flush()
        finally:
            flush()  # also when interrupted


def _systems(generated: PathLike | Sequence[PathLike]) -> dict[str, Path]:
    """Label -> folder; labels are the folders' names, with their parents' where those are alike."""
    # One folder is one system, however it is spelt: a/../a, a/.
    folders = [Path(os.path.normpath(expanded(str(item)))) for item in _as_list(generated)]
    if not folders:
        raise EvaluationError("no folder of generated clips was given")
    for depth in range(1, 1 + max(len(folder.absolute().parts) for folder in folders)):
        labels = ["/".join(folder.absolute().parts[-depth:]) for folder in folders]
        if len(set(labels)) == len(labels):
            return dict(zip(labels, folders, strict=True))
    raise EvaluationError(
        "the same folder of generated clips was given twice: " + ", ".join(map(str, folders))
    )


def _as_list(value: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [value] if isinstance(value, str | Path) else list(value)


def _loaded(name: PathLike, allow_small: bool, generated_rate: str) -> Protocol:
    protocol = _read_by(load_protocol(name), generated_rate)
    if not allow_small:
        return protocol
    # Another protocol, with another digest: its numbers are never taken for those of the strict one.
    return protocol.model_copy(
        update={
            "name": f"{protocol.name}-allow-small",
            "sampling": protocol.sampling.model_copy(update={"short_clips": "repeat-last"}),
            "frechet": protocol.frechet.model_copy(update={"single_clip": "no-covariance"}),
        }
    )


def _read_by(protocol: Protocol, generated_rate: str) -> Protocol:
    """The protocol where files are generated clips: both sides read alike, or the generated ones frame by
    frame, which is another protocol wherever the reference is not read so."""
    sampling = protocol.sampling
    if sampling.generated_rate == "stored" and generated_rate == "as-reference":
        return _with_rate(protocol, "as-reference")
    if (
        generated_rate == "stored"
        and sampling.generated_rate != "frame-by-frame"
        and not sampling.is_from_start
    ):
        return _with_rate(protocol, "frame-by-frame", f"{protocol.name}-frame-by-frame")
    return protocol


def _with_rate(protocol: Protocol, generated_rate: str, name: str | None = None) -> Protocol:
    sampling = protocol.sampling.model_copy(update={"generated_rate": generated_rate})
    return protocol.model_copy(update={"name": name or protocol.name, "sampling": sampling})


def _refuse_twice(kind: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise EvaluationError(f"the {kind} {twice!r} was given twice", "give each once")


def _check_at_least(least: float, **given: float | None) -> None:
    """Refuse numbers that are too small, before anything is read."""
    for name, value in given.items():
        if value is not None and not value >= least:
            raise EvaluationError(
                f"{name} is {value}; it must be at least {least}", "raise it, or leave it out"
            )


def _possible_metrics(matching: Matching) -> tuple[str, ...]:
    """The standard metrics that what was given allows."""
    names: tuple[str, ...] = ()
    if matching.references:
        names += ("fvd", "kvd")
    if matching.has_captions:
        names += ("clipsim",)
    return (*names, "frame_consistency_all_pairs", "frame_consistency_consecutive")


def _check_metrics(names: Sequence[str], protocol: Protocol, matching: Matching) -> None:
    """Refuse metrics for which something is not there, before anything is read."""
    for name in names:
        needs = extractors_needed([build_metric(name, protocol)])
        if needs.reference and not matching.references:
            raise EvaluationError(
                f"the metric {name!r} compares with real clips, and there are none",
                "give their folder with --reference, or leave the metric out",
            )
        if needs.pair and not matching.has_pairs:
            raise EvaluationError(
                f"the metric {name!r} compares each clip with its own reference, and none has one",
                "name the files alike on both sides, or say what belongs together with --pairs FILE.csv",
            )
        if needs.prompt and not matching.has_captions:
            raise EvaluationError(
                f"the metric {name!r} reads captions, and no generated clip has one",
                "give them with --captions FILE (CSV: name,caption), or leave the metric out",
            )


def _open_store(run: RunFile) -> Store:
    from ..datasets.video import default_codec

    try:
        return Store(run.store_dir, default_codec())
    except StoreError as error:
        raise EvaluationError(error.message, "choose another folder with --output") from error


def _check_device(device: str | None) -> None:
    """Refuse a device that is not there, before anything is read.

    Raises:
        EvaluationError: no device of that name, or no such GPU on this machine.
    """
    if device is None or device == "cpu":
        return
    found = re.fullmatch(r"cuda(?::(\d+))?", device)
    if found is None:
        raise EvaluationError(
            f"unknown device {device!r}; allowed: cpu, cuda, cuda:0, cuda:1, ...",
            "leave --device out to take a GPU where there is one",
        )
    import torch

    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(found[1] or 0) >= num_gpus:
        raise EvaluationError(
            f"the device {device!r} is not there: torch {torch.__version__} finds {num_gpus or 'no'} "
            f"{'GPU' if num_gpus == 1 else 'GPUs'} on this machine",
            "give --device cpu, or leave it out to take a GPU where there is one",
        )


def _device(measurings: Sequence[Measuring]) -> str:
    # Only an extractor with weights gains by a GPU; the others need not pay the import of torch.
    if not any(extractor.weight_digests for item in measurings for extractor in item.extractors.values()):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

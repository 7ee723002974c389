"""Metrics and extractors by name, and which extractor reads what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core import registry
from ..core.contract_check import plugin_errors
from ..core.contracts import Extractor, Metric
from ..core.errors import Faults, MetricError, ReelbenchError, WeightsError, nearest
from .protocol import Protocol


def build_metric(name: str, protocol: Protocol) -> Any:
    """The metric registered under `name` (or `path/to/file.py:Class`): by `level`, a clip's or a set's.

    Raises:
        UnknownNameError: no such metric.
        PluginError: its own code failed.
    """
    cls = registry.get("metrics", name)
    with plugin_errors("metrics", name):
        return cls(protocol)


def build_extractor(name: str, protocol: Protocol, weights: Mapping[str, str] | None = None) -> Extractor:
    """The extractor registered under `name`, with the parts of the protocol it depends on.

    Args:
        weights: locations by role ("i3d", "clip"), as in a run file; roles that are missing get the
            embedded world's. A plug-in extractor's role is its `weights_role`, or its name.

    Raises:
        UnknownNameError: no such extractor.
    """
    cls = registry.get("extractors", name)
    location = (weights or {}).get(cls.weights_role or name)
    with plugin_errors("extractors", name):
        extractor: Extractor = cls.from_protocol(protocol, location)
    return extractor


def refuse_unavailable(
    metrics: Iterable[Metric], weights: Mapping[str, str], other_roles: Iterable[str] = ("pipeline",)
) -> None:
    """Refuse metrics that cannot be computed here, before any work is done; none is left out silently.

    Args:
        metrics: of the run.
        weights: locations by role, as in a run file.
        other_roles: roles that no extractor has and that are allowed (those of methods).

    Raises:
        WeightsError: extractors say that they are not available (no weights), naming every metric and the
            reason; or `weights` has a role that nothing reads, with the nearest one that exists.
        FaultsError: both.
        UnknownNameError: a metric needs an extractor that is not registered.
    """
    metrics = tuple(metrics)
    found = Faults()
    try:
        known = {weights_role(name) for metric in metrics for name in metric.needs}
        check_roles(weights, {*other_roles, *known})
    except ReelbenchError as error:
        found.add(error)
    faults: dict[str, list[str]] = {}
    for metric in metrics:
        for name in metric.needs:
            reason = why_unavailable(name, weights)
            if found.found and any(nearest(role, [weights_role(name)]) for role in weights):
                continue  # its role is misspelt, and the error says so
            if reason is not None and metric.name not in faults.setdefault(reason, []):
                faults[reason].append(metric.name)
    if faults:
        lines = [f"{', '.join(names)}: {reason}" for reason, names in faults.items()]
        found.add(
            WeightsError(
                "some metrics cannot be computed:\n  " + "\n  ".join(lines),
                "name their weights (`weights` of a run file, or --weights), or leave these metrics out",
            )
        )
    found.refuse()


def why_unavailable(extractor: str, weights: Mapping[str, str]) -> str | None:
    """Why an extractor says of itself that it cannot be used with these weights, or None.

    Raises:
        UnknownNameError: no such extractor.
    """
    cls: type[Extractor] = registry.get("extractors", extractor)
    with plugin_errors("extractors", extractor):
        return cls.available(weights.get(cls.weights_role or extractor))


def weights_role(extractor: str) -> str:
    """The key of an extractor's weights in a run file.

    Raises:
        UnknownNameError: no such extractor.
    """
    cls: type[Extractor] = registry.get("extractors", extractor)
    return cls.weights_role or extractor


def check_roles(weights: Mapping[str, str], more: Iterable[str] = ()) -> None:
    """Refuse roles in `weights` that no registered extractor reads.

    Args:
        weights: locations by role, as in a run file.
        more: further roles that are allowed.

    Raises:
        WeightsError: naming the role and the nearest one that exists; a `FaultsError` where there are
            several.
    """
    more = set(more)
    if set(weights) <= more:
        return
    classes = {name: registry.get("extractors", name) for name in registry.names("extractors")}
    known = more | {
        cls.weights_role or name for name, cls in classes.items() if "weights" in cls.Config.model_fields
    }
    faults = Faults()
    for role in sorted(set(weights) - known):
        close = nearest(role, known)
        faults.add(
            WeightsError(
                f"unknown role {role!r} in weights; known: {', '.join(sorted(known))}",
                f"did you mean {close!r}?" if close else "remove it",
            )
        )
    faults.refuse()


@dataclass(frozen=True)
class ExtractorNeeds:
    """Extractors by what they read, each tuple sorted.

    Attributes:
        generated, reference: video extractors to run on such clips.
        prompt: text extractors.
        pair: extractors to run on a generated clip beside its own reference clip.
    """

    generated: tuple[str, ...]
    reference: tuple[str, ...]
    prompt: tuple[str, ...]
    pair: tuple[str, ...] = ()


def extractors_needed(metrics: Iterable[Metric]) -> ExtractorNeeds:
    """Which extractors the metrics need, and on what; see `Metric`.

    Raises:
        UnknownNameError: a metric needs an extractor that is not registered.
        MetricError: a set metric needs text or pair features.
    """
    generated: set[str] = set()
    reference: set[str] = set()
    prompt: set[str] = set()
    pair: set[str] = set()
    for metric in metrics:
        for name in metric.needs:
            modality = registry.get("extractors", name).modality
            if modality != "video" and metric.level == "set":
                raise MetricError(
                    f"set metric {metric.name!r} needs {name!r}, which reads {_READS[modality]}",
                    "set metrics compare the features of videos",
                )
            if modality == "text":
                prompt.add(name)
            elif modality == "pair":
                pair.add(name)
            else:
                generated.add(name)
                if metric.level == "set":
                    reference.add(name)
    return ExtractorNeeds(
        tuple(sorted(generated)), tuple(sorted(reference)), tuple(sorted(prompt)), tuple(sorted(pair))
    )


_READS = {"text": "texts", "pair": "pairs of clips"}

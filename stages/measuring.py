"""What a run measures: its protocol, the metrics, the extractors they need, and the features' keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..core import keys
from ..core.contracts import Extractor, Metric
from ..core.file_digests import FileDigests
from ..core.hashing import digest
from ..core.plan import config_data
from ..core.records import ClipRecord
from ..core.run_file import RunFile
from ..core.store import Store
from ..core.types import Sample
from ..core.weights import digest_weights, resolve
from ..metrics.build import ExtractorNeeds, build_extractor, build_metric, extractors_needed
from ..metrics.protocol import Protocol, load_protocol


@dataclass(frozen=True)
class PlannedExtractor:
    """A configured extractor with the content of its weights."""

    name: str
    plugin: Extractor
    weight_digests: Mapping[str, str]

    @property
    def config(self) -> dict[str, Any]:
        return config_data(self.plugin)

    @property
    def session_key(self) -> str:
        """Identity of the loaded model, for the worker's cache."""
        return keys.feature_key(
            self.name, self.plugin.version, self.config, self.weight_digests, content="session"
        )

    def key(self, content: str) -> str:
        """The key of the features of one input, by its content digest."""
        return keys.feature_key(self.name, self.plugin.version, self.config, self.weight_digests, content)


@dataclass(frozen=True)
class Measuring:
    """Protocol, metrics and extractors of a run."""

    protocol: Protocol
    metrics: tuple[Metric, ...]
    extractors: Mapping[str, PlannedExtractor]

    def generated_roles(self) -> tuple[str, ...]:
        """Extractors that generated clips go through."""
        return self._needs.generated

    def reference_roles(self) -> tuple[str, ...]:
        """Extractors that reference clips go through: those of the set metrics."""
        return self._needs.reference

    def prompt_roles(self) -> tuple[str, ...]:
        """Extractors that prompts go through."""
        return self._needs.prompt

    @cached_property
    def _needs(self) -> ExtractorNeeds:
        return extractors_needed(self.metrics)

    def num_frames(self, role: str) -> int | None:
        """How many first frames an extractor reads: the protocol's for set metrics, whose two sides must
        be alike; None, all of them, where only clip metrics ask for the features."""
        if role in self._needs.reference:
            return self.protocol.sampling.num_frames
        return None

    def generated_key(self, role: str, record: ClipRecord) -> str:
        """Key of the features of a generated clip."""
        content = digest({"frames": record.content_digest, "num_frames": self.num_frames(role)})
        return self.extractors[role].key(content)

    def reference_content(self, sample: Sample, files: FileDigests) -> str:
        """Content digest of what is measured of a reference clip: file, window, and choice of frames.

        Raises:
            OSError: the file cannot be read.
        """
        assert sample.reference is not None
        return digest(
            {
                "file": files.digest(sample.reference.path),
                "window": [sample.reference.start_s, sample.reference.end_s],
                "reading": self.protocol.sampling.reading(sample.id),
            }
        )

    @staticmethod
    def prompt_content(prompt: str) -> str:
        return digest({"text": prompt})


def make_measuring(run: RunFile, store: Store) -> Measuring:
    """The measuring of a run file.

    Raises:
        UnknownNameError: a metric, extractor or protocol of that name does not exist.
        WeightsError: weights are missing.
    """
    protocol = load_protocol(run.protocol)
    metrics = tuple(build_metric(name, protocol) for name in run.metrics)
    extractors: dict[str, PlannedExtractor] = {}
    for role in sorted({role for metric in metrics for role in metric.needs}):
        plugin = build_extractor(role, protocol, run.weights)
        digests = {
            ref.name: digest_weights(resolve(ref.location), store.file_digests("weights"))
            for ref in plugin.weights()
        }
        extractors[role] = PlannedExtractor(role, plugin, digests)
    return Measuring(protocol, metrics, extractors)

"""What a data set, a method, an upscaler, an extractor and a metric offer: one base class for each.

A plug-in inherits from its base class and overrides what it does differently; every member that Reelbench
looks at is here, with its default. A class that does not inherit works as well if it has all of them.
`core.contract_check` holds a plug-in against its base class when a run is planned.

Methods, upscalers, data sets and extractors have a nested frozen pydantic `Config` (`FrozenConfig`) and are
constructed from one; metrics are constructed from the measuring protocol. Constructing is cheap: no torch
import, no file is read; the work is in `load` and in iteration. `version` is a string that changes whenever
the numbers may change. Registered names are entry points; see `core.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from .plain_faults import refuse_boolean
from .types import Conditioning, Estimate, Features, Frames, Level, Resources, Sample, WeightsRef
from .weights import why_missing
from .weights_format import WeightsFormat

Rows = Literal["clip", "frames", "transitions"]


class FrozenConfig(BaseModel):
    """Base of every plug-in's Config and of the run file: frozen, and unknown keys are refused. The string
    below a setting is its description, which `reelbench ls KIND NAME` shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    younger: ClassVar[Mapping[str, Any]] = {}
    """Settings that are younger than stored work, with the value that means what was done before them. Where
    a setting has it without being given, data of the configuration leave it out: keys stay the same."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        return refuse_boolean(cls, given, info)

    @model_serializer(mode="wrap")
    def _without_younger_settings(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialized(self)
        for name, before in self.younger.items():
            if getattr(self, name) == before == self.not_given(name):
                data.pop(name, None)
        return data

    def not_given(self, name: str) -> Any:
        """What a setting is where nobody gives it."""
        return type(self).model_fields[name].default


class Dataset(ABC):
    """Samples in a fixed order. The first n of a limit are a subset of the first m > n."""

    Config: ClassVar[type[FrozenConfig]]
    name: ClassVar[str]
    task: ClassVar[str]
    """ "text-to-video", "editing" or "prediction"."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @cached_property
    def split(self) -> str:
        """Which part of the data set this is, for tables."""
        return str(getattr(getattr(self, "config", None), "split", ""))

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[Sample]: ...

    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of the list (ids, prompts, order), without reading any video."""

    def notes(self) -> tuple[str, ...]:
        """What a user should know of the list that was read, a sentence each: what was left out, and why."""
        return ()


class Session(ABC):
    """A method with its weights on a device."""

    def tune(
        self, reference: Frames | None, prompt: str | None, seed: int, *, checkpoint: Path | None = None
    ) -> bytes | None:
        """Tune on a reference clip; the artifact (safetensors bytes), None where nothing is tuned.

        Args:
            checkpoint: file from which a tuning that was killed resumes, if it is there; the method writes
                it now and then, the caller deletes it.
        """
        return None

    @abstractmethod
    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily.

        A clip depends on its sample and seed only, never on its neighbours in the call.
        An exception concerns the sample that was due; the caller goes on with the rest.
        """

    def describe(self) -> dict[str, Any]:
        """Facts for the record of a clip: `trainable_parameters`, and `truncated_prompts` (how many prompts
        were cut to the text encoder's length so far)."""
        return {}


class Plugin(ABC):
    """What methods, upscalers and extractors have in common."""

    Config: ClassVar[type[FrozenConfig]]
    name: ClassVar[str]
    version: ClassVar[str]

    def __init__(self, config: Any) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the weights: not known before they are loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        """What `load` reads; the content of these files is part of every key."""
        return ()


class Method(Plugin):
    """One way of making a clip from a prompt.

    A setting `num_frames` of its configuration is the number of frames of each of its clips: a run that
    measures more is refused before anything is made.
    """

    conditioning: ClassVar[Conditioning]
    min_context_frames: ClassVar[int] = 1
    """How many first frames it has to be given at least, where it is given any."""

    def tuning_config(self) -> dict[str, Any] | None:
        """For a method that is tuned on each reference clip: the part of its configuration (JSON) that a
        tuning depends on, so that other edits and other guidance find the same tuning."""
        return None

    def reference_frames(self) -> int | None:
        """How many first frames of a reference a tuning reads at most; None for all."""
        return None

    def source_frames(self) -> dict[str, Any] | None:
        """Which frames of the reference a clip stands beside: arguments of `core.frame_choice.chosen_frames`.
        Metrics of pairs then read these, whatever the protocol reads of a reference."""
        return None

    def notes(self) -> tuple[str, ...]:
        """What a user should know of these settings, a sentence each, which `reelbench plan` says."""
        return ()

    def structure(self) -> dict[str, Any] | None:
        """What trained weights say that they are (JSON), for tables; None where there are none.

        Raises:
            WeightsError: like `load`.
        """
        return None

    @abstractmethod
    def load(self, device: str) -> Session:
        """The method with its weights on a device; the place for heavy imports."""


class UpscalerSession(ABC):
    """An upscaler with its weights on a device."""

    @abstractmethod
    def upscale(self, frames: Frames, prompt: str, seed: int) -> Frames:
        """The clip [T,h,w,3] at the upscaler's factor, uint8 [T,H,W,3]."""

    def describe(self) -> dict[str, Any]:
        """Facts for the record of a clip; as `Session.describe`."""
        return {}


class Upscaler(Plugin):
    """A stage after a method: its clips at a larger size."""

    @abstractmethod
    def load(self, device: str) -> UpscalerSession:
        """The upscaler with its weights on a device; the place for heavy imports."""


class ExtractorSession:
    """An extractor with its weights on a device. A session overrides `extract_one`, or `extract` where it
    takes inputs together."""

    def extract(self, inputs: Sequence[Any]) -> list[Features]:
        """float32 features of each input, in order: [D], or [T, D] for frame-wise extractors.

        An input's features must not depend on its neighbours in the call: bit for bit on a CPU, up to
        rounding on a GPU.

        Args:
            inputs: clips, texts, or tuples of a clip and its reference, by the extractor's `modality`.
        """
        return [self.extract_one(item) for item in inputs]

    def extract_one(self, item: Any) -> Features:
        """The features of one input; see `extract`."""
        raise NotImplementedError


class Extractor(Plugin):
    """Features of clips or of texts by one backbone, loaded once per worker."""

    modality: ClassVar[str]
    """ "video" (inputs are clips, uint8 [T,H,W,3]), "text" (strings) or "pair" (tuples of a generated clip
    and its reference, of the same number of frames; sizes may differ)."""
    weights_role: ClassVar[str | None] = None
    """The key of its weights in a run file; None for its own name."""
    rows: ClassVar[Rows] = "clip"
    """What its features are of: the clip as a whole, each frame ([T, ...]), or each frame and the next.
    Where the protocol fixes the number of frames (set and pair metrics), a shorter clip is refused for a
    feature of the whole clip, and measured on the frames that it has otherwise."""
    reads_at_fps: ClassVar[float | None] = None
    """The rate at which it reads a generated clip: every max(1, round(stored rate / this))-th frame, as
    VBench does; None for all frames."""
    weights_format: ClassVar[WeightsFormat | None] = None
    """What its weights must be; None where it has none. With a format its Config has a field `weights`: their
    location by default, or "" where a run has to name them."""

    def weights(self) -> tuple[WeightsRef, ...]:
        """As `Plugin.weights`; by default one reference to `config.weights`, of the extractor's format."""
        if self.weights_format is None:
            return ()
        return (WeightsRef(self.weights_role or self.name, self.config.weights, self.weights_format),)

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The fields of its Config that it takes from a `metrics.protocol.Protocol`: those that its features
        depend on, and no others; by default none."""
        return {}

    @classmethod
    def from_protocol(cls, protocol: Any, weights: str | None = None) -> Self:
        """The extractor under a protocol.

        Args:
            weights: where they lie, as the run file says; None for the extractor's own default.
        """
        settings = cls.protocol_settings(protocol)
        if weights and "weights" in cls.Config.model_fields:
            settings = settings | {"weights": weights}
        return cls(cls.Config.model_validate(settings))

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """Its part of a signature under a protocol: parts `key:value`, joined by `|`."""
        return f"{cls.name}.{cls.version}"

    @classmethod
    def available(cls, location: str | None) -> str | None:
        """Why it cannot be used with the weights at `location` (None where the run names none), or None.

        By default weights of a format without a default location must be named, and be there.
        """
        if cls.weights_format is None or cls.Config.model_fields["weights"].default:
            return None
        if not location:
            role = cls.weights_role or cls.name
            return f"no weights are named: give `weights: {{{role}: <{cls.weights_format.what}>}}`"
        return why_missing(location, cls.weights_format)

    @abstractmethod
    def load(self, device: str) -> ExtractorSession:
        """Its weights on a device; the place for heavy imports."""


class Metric(ABC):
    """A pure function from features to numbers. No files, no torch, no global state.

    `needs` names the features by role: "i3d" (video, [D]), "clip_image" (video, [T, D]),
    "clip_text" (text, [D]). Whether a role is wanted of the generated or of the reference
    clips follows from the level: a clip metric reads the generated clip's features (and the
    prompt's, and those of the pair with its reference); a set metric reads both sides'.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None]
    """None where neither direction is better (motion magnitude)."""
    level: ClassVar[Level]
    needs: ClassVar[tuple[str, ...]]
    min_n: ClassVar[int] = 1
    label: ClassVar[str]
    """How tables head the column, for example "CLIPSIM"."""
    formula: ClassVar[str] = ""
    """The choices of its formula, for signatures ("mean-of-cosines"); empty where `parameters` say it all."""

    def __init__(self, protocol: Any) -> None:
        """
        Args:
            protocol: the measuring protocol, a `metrics.protocol.Protocol`. What a metric takes from it
                stands in `parameters`.
        """
        self.protocol = protocol

    def parameters(self) -> Mapping[str, Any]:
        """Everything that the number depends on besides the features (JSON-able); part of the key."""
        return {}

    def describe(self) -> str:
        """Its part of a signature: its `formula`, or its parameters as parts `key:value`, joined by `|`."""
        return self.formula or "|".join(f"{key}:{value}" for key, value in sorted(self.parameters().items()))


class ClipMetric(Metric):
    """A metric that has a value for each clip."""

    level: ClassVar[Level] = "clip"

    @abstractmethod
    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip."""


class SetMetric(Metric):
    """A metric of a set of clips against another one."""

    level: ClassVar[Level] = "set"
    min_n: ClassVar[int] = 2
    warn_below_n: ClassVar[int] = 0
    """With fewer clips on a side no value is marked as the best."""
    references: ClassVar[str | None] = None
    """"others" where no clip is held against its own reference."""
    others: ClassVar[str | None] = None
    """The metric of this kind that holds no clip against its own reference, if there is one: it is measured,
    too, where methods saw a part of their reference. It reads the same features; a subclass names its own."""

    @abstractmethod
    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """The value over two sets, with its group-jackknife standard error over the sources."""

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float | None:
        """The number alone, which is drawn against N; None where there is no such curve."""
        return None

    def compare(
        self,
        a: Sequence[np.ndarray],
        b: Sequence[np.ndarray],
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
        seed: int = 0,
    ) -> Any:
        """The difference of two systems, a `core.paired.PairedComparison`; None where the
        metric has no such test."""
        return None

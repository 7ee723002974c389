"""What a data set, a method, an extractor and a metric must offer.

The contracts are structural (typing.Protocol): a research class that has these attributes works,
it need not inherit anything. Registered names are entry points; see `core.registry`.

Every plug-in class has a nested frozen pydantic `Config` (extra="forbid") and is constructed as
`Class(Class.Config(...))`. Constructing is cheap: no torch import, no file is read; the work is in
`load` and in iteration. `version` is a string that changes whenever the numbers may change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from .plain_faults import refuse_boolean
from .types import Conditioning, Estimate, Features, Frames, Level, Resources, Sample, WeightsRef


class FrozenConfig(BaseModel):
    """Base of every plug-in's Config: frozen, and unknown keys are refused. The string below a setting is its
    description, which `reelbench ls KIND NAME` shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        return refuse_boolean(cls, given, info)


@runtime_checkable
class Dataset(Protocol):
    """Samples in a fixed order. The first n of a limit are a subset of the first m > n."""

    Config: ClassVar[type[FrozenConfig]]
    name: ClassVar[str]
    config: Any

    @property
    def split(self) -> str: ...

    @property
    def task(self) -> str:
        """ "text-to-video", "editing" or "prediction"."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...

    def fingerprint(self) -> str:
        """Digest of the list (ids, prompts, order), without reading any video."""
        ...


class Session(Protocol):
    """A method with its weights on a device."""

    def tune(
        self, reference: Frames | None, prompt: str | None, seed: int, *, checkpoint: Path | None = None
    ) -> bytes | None:
        """Tune on a reference clip; the artifact (safetensors bytes), None where nothing is tuned.

        Args:
            checkpoint: file from which a tuning that was killed goes on, if it is there; the method writes
                it now and then, the caller deletes it.
        """
        ...

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily.

        A clip depends on its sample and seed only, never on its neighbours in the call.
        An exception concerns the sample that was due; the caller goes on with the rest.
        """
        ...


class Method(Protocol):
    """One way of making a clip from a prompt.

    A method that is tuned on each reference clip offers `tuning_config()`: the part of its configuration
    (JSON) that a tuning depends on, so that other edits and other guidance find the same tuning; and
    `reference_frames()`: how many first frames of a reference it reads at most, None for all. With
    `source_frames()`, the keyword arguments of `methods.frames.chosen_frames`, it says which of them
    its clips stand beside: metrics of pairs then read these, whatever the protocol reads of a reference.

    A method that is given first frames and needs more than 1 says so by `min_context_frames`.

    A setting `num_frames` is the number of frames of each of its clips. A run that measures more, or
    gives fewer first frames than are needed, is refused before anything is made.

    A method whose trained weights say themselves what they are offers `structure()`: that, as JSON, for
    tables; None where there are none. It raises WeightsError like `load`.
    """

    Config: ClassVar[type[FrozenConfig]]
    name: ClassVar[str]
    version: ClassVar[str]
    conditioning: ClassVar[Conditioning]
    config: Any

    def resources(self) -> Resources: ...

    def weights(self) -> tuple[WeightsRef, ...]: ...

    def load(self, device: str) -> Session: ...


class UpscalerSession(Protocol):
    """An upscaler with its weights on a device."""

    def upscale(self, frames: Frames, prompt: str, seed: int) -> Frames:
        """The clip [T,h,w,3] at the upscaler's factor, uint8 [T,H,W,3]."""
        ...


class Upscaler(Protocol):
    """A stage after a method: its clips at a larger size."""

    Config: ClassVar[type[FrozenConfig]]
    name: ClassVar[str]
    version: ClassVar[str]
    config: Any

    def resources(self) -> Resources: ...

    def weights(self) -> tuple[WeightsRef, ...]: ...

    def load(self, device: str) -> UpscalerSession: ...


class Extractor(Protocol):
    """Features of clips or of texts by one backbone, loaded once per worker.

    `modality` is "video" (`inputs` are clips, uint8 [T,H,W,3]), "text" (strings) or "pair" (tuples of a
    generated clip and its reference, of the same number of frames; sizes may differ).

    A class may offer `from_protocol(protocol, weights)`, which builds it with the settings that it depends
    on, `weights_role` (the key of its weights in a run file; its name otherwise), `describe(protocol)` (its
    part of a signature), and the static `available(location)`: None, or why it cannot be used with the
    weights at that location (None where the run names none).
    """

    Config: ClassVar[type[FrozenConfig]]
    name: ClassVar[str]
    version: ClassVar[str]
    modality: ClassVar[str]
    config: Any

    def resources(self) -> Resources: ...

    def weights(self) -> tuple[WeightsRef, ...]: ...

    def load(self, device: str) -> ExtractorSession: ...


class ExtractorSession(Protocol):
    def extract(
        self, inputs: Sequence[Frames] | Sequence[str] | Sequence[tuple[Frames, Frames]]
    ) -> list[Features]:
        """float32 features of each input: [D], or [T, D] for frame-wise extractors.

        An input's features must not depend on its neighbours in the call: bit for bit on a CPU, up to
        rounding on a GPU.
        """
        ...


class Metric(Protocol):
    """A pure function from features to numbers. No files, no torch, no global state.

    `needs` names the features by role: "i3d" (video, [D]), "clip_image" (video, [T, D]),
    "clip_text" (text, [D]). Whether a role is wanted of the generated or of the reference
    clips follows from the level: a clip metric reads the generated clip's features (and the
    prompt's, and those of the pair with its reference); a set metric reads both sides'.

    A set metric may offer `compare(a, b, reference, groups, reference_groups, seed)`, which compares two
    systems (`metrics.sets.paired_sets`), and `value(generated, reference)`, the number alone, which is drawn
    against N.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool | None]
    """None where neither direction is better (motion magnitude)."""
    level: ClassVar[Level]
    needs: ClassVar[tuple[str, ...]]
    min_n: ClassVar[int]
    label: ClassVar[str]
    """How tables head the column, for example "CLIPSIM"."""

    def parameters(self) -> Mapping[str, Any]:
        """Everything that the number depends on besides the features (JSON-able); part of the key."""
        ...


class ClipMetric(Metric, Protocol):
    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip."""
        ...


class SetMetric(Metric, Protocol):
    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """The value over two sets, with its group-jackknife standard error over the sources."""
        ...

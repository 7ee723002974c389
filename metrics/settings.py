"""The sections of a measuring protocol: one class of settings for each stage from file to number.

Defaults are those of `clean`. A setting that moves a number must be here, so that it is in the digest.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ..core.seeds import derive_seed


class Settings(BaseModel):
    """Base of the sections: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after protocols with this section had been used. At their default they are left out of
    digests, so that a protocol that does not use them is the one that it was."""

    def digest_data(self) -> dict[str, Any]:
        """What a digest covers, as JSON-able data: all fields, those of `later` where they are used."""
        unused = {name for name in self.later if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude=unused)


_OF_FILES = ("as-reference", "frame-by-frame")
"""Ways of reading generated clips that runs do not have."""


class Sampling(Settings):
    """Which frames are measured."""

    later = frozenset({"frames", "blend_side"})

    num_frames: int = Field(default=16, ge=1)
    """Frames of a clip on both sides of a set metric. Clip metrics read every frame that was generated."""
    frames: Literal["exact", "seer"] = "exact"
    """A reference clip is so many of its video's frames ("exact"), or all frames of its window, blended to so
    many as Seer does (`datasets.video.temporal_interpolation`); a shorter one then ends in grey. "seer" goes
    with `stride: 1`: of long actions of Epic-Kitchens fewer frames enter, and the data set says how many. The
    frames that a method is given are the first ones of the blended clip; where `context_frames: drop`
    leaves them out, the clip is blended to as many frames more. A generated clip is never blended."""
    blend_side: int | None = Field(default=None, ge=1)
    """With `frames: seer`: reference clips of set metrics are brought to squares of this side before they are
    blended, and are cut off to bytes as Seer does (`datasets.video.seer_squares`)."""
    fps: float | None = Field(default=8.0, gt=0)
    """Rate at which a reference video is read; None when `stride` is given."""
    stride: int | None = Field(default=None, ge=1)
    """Every so many frames of the reference video, whatever its rate; None when `fps` is given."""
    start: Literal["first", "seeded"] = "first"
    """The reference clip begins with its window's first frame, or at a place drawn by (seed, sample id)."""
    seed: int = Field(default=0, ge=0)
    """Of the places drawn by `start: seeded`."""
    context_frames: Literal["drop", "keep"] = "drop"
    """Prediction tasks: whether the frames the method was given are measured along with its own."""
    generated_rate: Literal["stored", "protocol", "as-reference", "frame-by-frame"] = "stored"
    """How generated videos are read. "stored": in a run frame by frame, since its clips are made at the
    protocol's rate; of files whose rate is their own (`reelbench evaluate`) frames are chosen as the
    reference's, by rate, stride and start, wherever they are compared with it. "as-reference" names this, and
    is the same protocol. "protocol": by the protocol's rate for every metric, also where nothing is
    compared. "frame-by-frame": every stored frame from the first on, whatever rate the file states."""
    short_clips: Literal["refuse", "repeat-last"] = "refuse"
    """A clip of fewer than `num_frames` is a failure, or is filled up with its last frame. The latter is
    what `--allow-small` sets; numbers made so are marked. Under `frames: seer` no reference is short, and
    this is about generated clips."""

    @model_validator(mode="before")
    @classmethod
    def _stride_replaces_fps(cls, data: Any) -> Any:
        return {"fps": None, **data} if isinstance(data, dict) and data.get("stride") is not None else data

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if (self.fps is None) == (self.stride is None):
            raise ValueError(f"exactly one of fps and stride must be set, got {self.fps} and {self.stride}")
        return self

    @model_validator(mode="after")
    def _a_blend_takes_all_frames(self) -> Self:
        if self.frames == "exact":
            if self.blend_side is not None:
                raise ValueError(f"blend_side {self.blend_side} goes with frames 'seer'; frames is 'exact'")
            return self
        for name, allowed in (("stride", 1), ("start", "first"), ("generated_rate", "stored")):
            value = getattr(self, name)
            if name == "generated_rate" and value != "protocol":
                continue  # a generated clip is never blended, and read frame by frame
            if value != allowed:
                rate = f" (fps is {self.fps:g})" if name == "stride" and self.fps is not None else ""
                raise ValueError(
                    f"frames 'seer' blends all frames of a clip, so {name} must be {allowed}; "
                    f"got {value}{rate}"
                )
        return self

    def digest_data(self) -> dict[str, Any]:
        """As for all sections; "as-reference" is what "stored" means for files."""
        data = super().digest_data()
        if data["generated_rate"] == "as-reference":
            data["generated_rate"] = "stored"
        return data

    @property
    def is_from_start(self) -> bool:
        """Whether a clip is its first frames one after the other, whatever rate its file states."""
        return self.fps is None and self.stride == 1 and self.start == "first"

    def reading(self, sample_id: str) -> dict[str, Any]:
        """Arguments of `datasets.video.Reading` for the reference clip of a sample.

        Returns:
            num_frames, stride, fps, start; the start is "first", or a seed drawn from (seed, sample id). And
            frames, where they are blended: keys are made of this, and what is not used is left out.
        """
        start = "first" if self.start == "first" else derive_seed("reference-start", self.seed, sample_id)
        reading = {"num_frames": self.num_frames, "stride": self.stride, "fps": self.fps, "start": start}
        return reading if self.frames == "exact" else reading | {"frames": self.frames}

    def describe(self, of_pairs: bool = False) -> str:
        """For signatures of metrics that read a reference.

        Args:
            of_pairs: frames are held against the reference's one by one; of files from the first on.
        """
        is_first = self.start == "first" or (of_pairs and self.generated_rate in _OF_FILES)
        start = "first" if is_first else f"seeded{self.seed}"
        parts = [f"frames:{self.num_frames}", f"rate:{self._describe_rate()}", f"start:{start}"]
        parts += [f"context:{self.context_frames}", f"generated:{self.generated_rate}"]
        if self.short_clips != "refuse":
            parts.append(f"short:{self.short_clips}")
        return "|".join(parts)

    def describe_generated(self) -> str:
        """For signatures of metrics that read every frame of a generated clip and no reference."""
        rate = self.generated_rate if self.generated_rate == "protocol" else "stored"
        parts = ["frames:all", f"context:{self.context_frames}", f"generated:{rate}"]
        if self.generated_rate == "protocol":
            parts.insert(1, f"rate:{self._describe_rate()}")
        return "|".join(parts)

    def _describe_rate(self) -> str:
        if self.frames == "seer":
            return f"seer-blend{self.blend_side or ''}"
        return f"{self.fps:g}fps" if self.fps is not None else f"stride{self.stride}"


Quantise = Literal[
    "none", "round", "pillow", "truncate", "truncate-unit", "truncate-unit-signed", "truncate-signed"
]


class ResizeStep(Settings):
    """One resize, and what it does to the shape and the values."""

    size: int | Literal["model"] = "model"
    """Side of the square result in pixels; "model" is the input size of the backbone. Files may write
    "resolution" where their section names one."""
    geometry: Literal["squash", "short-side-crop", "short-side"] = "squash"
    """Squash to a square, or scale the short side and cut out the centre, or keep all of it ("short-side",
    for backbones that take other shapes than squares)."""
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    """Widen the filter when shrinking. Without it frames alias, and FVD moves."""
    phase: Literal["half-pixel", "corner"] = "half-pixel"
    """Where samples lie: at pixel centres, or as TensorFlow 1 does at corners (bilinear, no antialias)."""
    quantise: Quantise = "none"
    """Whether values become whole numbers after this step.

    "round" does as 8-bit image libraries do, and rounds between the filter's two passes as well; "pillow" is
    Pillow itself, whose ties go up and not to even. "truncate" cuts off what follows the point. The others
    cut off as scripts do that work on floats: "truncate-unit" resizes values of 0 to 1 and multiplies them by
    255; "truncate-unit-signed" brings these to -1 to 1 and back in between, and "truncate-signed" does so
    before the resize. Either takes one from 63 of the 256 values that a resize leaves as they are."""
    clamp: bool = True
    """Values below 0 and above 255 (bicubic filters overshoot) are set to these after the step."""
    long_side: Literal["truncate", "round", "ceil", "ceil-scale"] = "truncate"
    """short-side-crop, short-side: how the scaled long side becomes a whole number. "ceil-scale" rounds up
    the side times the scale, as scripts do, whose last bit makes it 1 more at some sizes."""
    crop_offset: Literal["round", "floor"] = "round"
    """short-side-crop: how half of what is cut off becomes a whole number (round: half to even)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if isinstance(self.size, int) and self.size < 1:
            raise ValueError(f"size {self.size}: must be at least 1")
        if self.phase == "corner" and (self.antialias or self.filter != "bilinear"):
            raise ValueError("phase 'corner' is defined for filter 'bilinear' with antialias off only")
        if self.quantise == "pillow" and not self.antialias:
            raise ValueError("quantise 'pillow' is for antialias: true, Pillow knows no other resize")
        if not self.clamp and self.quantise != "none":
            raise ValueError(f"quantise {self.quantise!r} gives values of 8 bits: clamp must be true")
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`clamp` came later: keys and digests of those who do not use it are as they were."""
        data: dict[str, Any] = handler(self)
        if self.clamp:
            data.pop("clamp", None)
        return data

    def describe(self) -> str:
        """Its choices, joined by `-`."""
        parts = [self.filter, "aa" if self.antialias else "noaa", self.geometry, str(self.size)]
        if self.phase != "half-pixel":
            parts.append(self.phase)
        if self.quantise != "none":
            parts.append(self.quantise)
        if not self.clamp:
            parts.append("unclamped")
        if self.geometry == "short-side-crop":
            parts.append(f"{self.long_side}/{self.crop_offset}")
        if self.geometry == "short-side":
            parts.append(self.long_side)
        return "-".join(parts)


class ResizeSettings(Settings):
    """Base of the sections that resize frames: how generated clips are resized, and reference clips."""

    later = frozenset({"resolution", "reference_resize"})

    resize: tuple[ResizeStep, ...] = Field(default=(ResizeStep(size="model"),), min_length=1)
    """Applied in order; the last one must be of size "model"."""
    reference_resize: tuple[ResizeStep, ...] | None = Field(default=None, min_length=1)
    """Of reference clips, where published scripts bring these, and not what a model generated, to the model's
    resolution; None: as `resize`. A folder measured against itself is then not at distance 0."""
    resolution: int | None = Field(default=None, ge=1)
    """Side in pixels of the clips that the measured models make; steps of size "resolution" are of this
    size."""

    sizes: ClassVar[tuple[int | str, ...]] = ("model",)
    """What the last step may give."""

    @model_validator(mode="before")
    @classmethod
    def _resolution_by_name(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        resolution, sizes, filled = data.get("resolution"), [], dict(data)
        for key in ("resize", "reference_resize"):
            if isinstance(steps := data.get(key), list | tuple):
                sizes += [_size(step) for step in steps]
                # A resolution that is no number is refused as such, not once more for every step.
                side = resolution if isinstance(resolution, int) else 1
                filled[key] = [
                    {**step, "size": side} if _size(step) == "resolution" else step for step in steps
                ]
        if resolution is None and "resolution" in sizes:
            raise ValueError("a resize is of size 'resolution': set resolution, in pixels")
        if resolution is not None and not any(size in ("resolution", resolution) for size in sizes):
            raise ValueError(f"resolution is {resolution}, and no resize is of it: write `size: resolution`")
        return filled

    @model_validator(mode="after")
    def _ends_at_the_model(self) -> Self:
        for steps in (self.resize, self.reference_resize or self.resize):
            for before, step in pairwise(steps):
                if step.quantise == "pillow" and before.quantise == "none":
                    raise ValueError(
                        "a step with quantise 'pillow' resizes bytes: the step before must quantise, too"
                    )
            if steps[-1].size not in self.sizes or any(step.size == "model" for step in steps[:-1]):
                last = " or ".join(map(repr, self.sizes))
                raise ValueError(f"the last resize must be of size {last}, earlier ones of a size in pixels")
        return self

    def digest_data(self) -> dict[str, Any]:
        """As `Settings.digest_data`; a resolution counts by the steps that have it."""
        return {name: value for name, value in super().digest_data().items() if name != "resolution"}

    def of_references(self) -> Self:
        """The section as reference clips go through it."""
        if self.reference_resize is None:
            return self
        return self.model_copy(update={"resize": self.reference_resize, "reference_resize": None})

    def describe_resize(self) -> str:
        """For signatures."""
        steps = "+".join(step.describe() for step in self.resize)
        if self.reference_resize is None:
            return f"resize:{steps}"
        return f"resize:{steps}|reference:{'+'.join(step.describe() for step in self.reference_resize)}"


def _size(step: Any) -> int | str | None:
    size = step.get("size") if isinstance(step, dict) else getattr(step, "size", None)
    return size if isinstance(size, int | str) else None


class I3dSettings(ResizeSettings):
    """From frames to I3D logits. Frames end in [-1, 1]; TF32 is always off."""

    resize: tuple[ResizeStep, ...] = Field(default=(ResizeStep(size=224),), min_length=1)
    """Applied in order; the last one must give 224 pixels."""
    batchnorm_epsilon: float = Field(default=1e-3, gt=0)
    """1e-3 in the reference network; several ports use 1e-5."""

    sizes: ClassVar[tuple[int | str, ...]] = (224, "model")

    def describe(self) -> str:
        """For signatures."""
        return f"{self.describe_resize()}|bneps:{self.batchnorm_epsilon:g}"


_CLIP_RESIZE = ResizeStep(geometry="short-side-crop", filter="bicubic", quantise="round")


class ClipSettings(ResizeSettings):
    """From frames and captions to CLIP features. Mean and deviation are the model's own."""

    resize: tuple[ResizeStep, ...] = Field(default=(_CLIP_RESIZE,), min_length=1)
    """Applied in order; the last one must be of size "model"."""
    prompt_prefix: str = ""
    """Put before every caption of CLIPSIM and textual alignment. CLIPScore has its own, "A photo depicts ",
    whatever stands here; PickScore takes the caption as it is."""

    def describe_image(self) -> str:
        """For signatures of metrics that read frames."""
        return self.describe_resize()

    def describe_text(self) -> str:
        """For signatures of metrics that read captions; empty without a prefix."""
        return f"prefix:{self.prompt_prefix.strip()!r}" if self.prompt_prefix else ""


class FrechetSettings(Settings):
    """The Fréchet distance between two Gaussians."""

    ddof: Literal[0, 1] = 1
    """Covariances divide by N - ddof."""
    dtype: Literal["float64", "float32"] = "float64"
    """Of means, covariances and the root."""
    formula: Literal["nuclear", "svd"] = "nuclear"
    """nuclear: exact at any rank. svd: two roots by SVD, values below 1e-10 left un-rooted (TF-GAN)."""
    ridge: float = Field(default=0.0, ge=0)
    """Added to the diagonal of both covariances (1e-6 in some tools; it shifts every value)."""
    single_clip: Literal["refuse", "no-covariance"] = "refuse"
    """One clip on a side has no covariance: refused, or taken as zero. The latter is what `--allow-small`
    sets; numbers made so are marked."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.formula == "nuclear" and (self.dtype != "float64" or self.ridge):
            raise ValueError("formula 'nuclear' works in float64 and without ridge; use 'svd' for those")
        return self

    def describe(self) -> str:
        """For signatures."""
        ridge = f"|ridge:{self.ridge:g}" if self.ridge else ""
        single = "" if self.single_clip == "refuse" else f"|single:{self.single_clip}"
        return f"ddof:{self.ddof}|{self.dtype}|root:{self.formula}{ridge}{single}"


class KernelSettings(Settings):
    """The polynomial kernel (gamma x.y + coef0)^degree of KVD, and its MMD."""

    degree: int = Field(default=3, ge=1)
    gamma: Literal["1/d"] | float = "1/d"
    """Factor of the inner product; "1/d" is one over the feature dimension."""
    coef0: float = 1.0
    unbiased: bool = True
    """U-statistic within each side (can be negative), or the biased V-statistic."""
    centred: bool = False
    """Subtract each side's own mean first: blind to a shift; a defect of one line of papers."""

    def describe(self) -> str:
        """For signatures."""
        gamma = self.gamma if isinstance(self.gamma, str) else f"{self.gamma:g}"
        form = "unbiased" if self.unbiased else "biased"
        return f"kernel:poly{self.degree},{gamma},{self.coef0:g}|{form}{'|centred' if self.centred else ''}"


class VideoFeatureSettings(ResizeSettings):
    """From frames to the features of a video transformer (VideoMAE, V-JEPA)."""

    normalise: Literal["model", "none"] = "model"
    """Values 0 to 1 are normalised by the model's own mean and deviation, or left as they are."""

    def describe(self) -> str:
        """For signatures."""
        return f"{self.describe_resize()}|normalise:{self.normalise}"


class InceptionSettings(ResizeSettings):
    """From frames to Inception-v3 features, for FID. The default is clean-fid's."""

    resize: tuple[ResizeStep, ...] = Field(default=(ResizeStep(filter="bicubic"),), min_length=1)
    """Applied in order; the last one must be of size "model" (299 pixels)."""
    values: Literal["minus-128", "unit"] = "minus-128"
    """How values 0 to 255 become about -1 to 1: (x - 128) / 128, as in TensorFlow's graph, torch-fidelity and
    clean-fid, or 2 x / 255 - 1, as in pytorch-fid."""

    def describe(self) -> str:
        """For signatures."""
        return f"{self.describe_resize()}|values:{self.values}"


class DinoSettings(ResizeSettings):
    """From frames to DINO features. Values are normalised by ImageNet's mean and deviation."""

    resize: tuple[ResizeStep, ...] = Field(default=(ResizeStep(geometry="short-side"),), min_length=1)
    """Applied in order; the last one must be of size "model". The network takes any shape: its positions are
    interpolated."""

    def describe(self) -> str:
        """For signatures."""
        return self.describe_resize()


class TrackingSettings(ResizeSettings):
    """From frames to tracked points, for FVMD. The default is the released code's for folders of frames."""

    resize: tuple[ResizeStep, ...] = Field(default=(ResizeStep(size=256, quantise="pillow"),), min_length=1)
    """Applied in order; the last one must give 256 pixels, in which velocities are measured."""

    sizes: ClassVar[tuple[int | str, ...]] = (256,)

    def describe(self) -> str:
        """For signatures."""
        return self.describe_resize()


class FlowSettings(Settings):
    """Optical flow between neighbouring frames, for motion magnitude, warping error and motion alignment."""

    algorithm: Literal["dis", "farneback", "raft"] = "dis"
    """dis, farneback: OpenCV's, without weights. raft: torchvision's RAFT, which needs the weights "raft".
    Values by different algorithms do not compare."""
    max_side: int | None = Field(default=256, ge=16)
    """Frames with a longer side are shrunk to it first (area average); None leaves them as they are. Flow is
    measured, and frames are compared after warping, at this size."""

    def describe(self) -> str:
        """For signatures."""
        side = "native" if self.max_side is None else f"max{self.max_side}"
        return f"flow:{self.algorithm}|side:{side}"


class PairSettings(Settings):
    """Generated frames against the reference's, frame by frame (PSNR, SSIM, LPIPS, kept content of edits)."""

    resize: Literal["reference-to-generated", "refuse"] = "reference-to-generated"
    """Where sizes differ, the reference is resized to the generated clip's (bilinear, antialiased, squash,
    not rounded), or the pair is a failure."""

    def describe(self) -> str:
        """For signatures."""
        return f"pair:{self.resize}"

"""The measuring protocol: every choice that moves a number, in one named, versioned file.

Published FVD and CLIPSIM values cannot be compared because papers leave these choices out. A protocol
is a YAML file in `metrics/protocols/` (or a path given by the user) that this module validates. Its
`digest` covers the settings alone, so a renamed copy is recognised as the same protocol.

The defaults of every field are those of `clean`, the recommended protocol (reference: the defaults
argued for in `docs/`); a file needs to name only what differs, though the shipped ones name all.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import ProtocolError, nearest, unknown_name
from ..core.hashing import digest
from ..core.seeds import derive_seed

PROTOCOLS_DIR = Path(__file__).resolve().parent / "protocols"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sampling(_Settings):
    """Which frames are measured."""

    num_frames: int = Field(default=16, ge=1)
    """Frames of a clip on both sides of a set metric. Clip metrics read every frame that was generated."""
    fps: float | None = Field(default=8.0, gt=0)
    """Rate at which a reference video is read; None when `stride` is given."""
    stride: int | None = Field(default=None, ge=1)
    """Every so many frames of the reference video, whatever its rate; None when `fps` is given."""
    start: Literal["first", "seeded"] = "first"
    """The reference clip begins with its window's first frame, or at a place drawn by (seed, sample id)."""
    seed: int = 0
    """Of the places drawn by `start: seeded`."""
    context_frames: Literal["drop", "keep"] = "drop"
    """Prediction tasks: whether the frames the method was given are measured along with its own."""

    @model_validator(mode="before")
    @classmethod
    def _stride_replaces_fps(cls, data: Any) -> Any:
        return {"fps": None, **data} if isinstance(data, dict) and data.get("stride") is not None else data

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if (self.fps is None) == (self.stride is None):
            raise ValueError(f"exactly one of fps and stride must be set, got {self.fps} and {self.stride}")
        return self

    def reading(self, sample_id: str) -> dict[str, Any]:
        """Arguments of `datasets.video.read_clip` for the reference clip of a sample.

        Returns:
            num_frames, stride, fps, start; the start is "first", or a seed drawn from (seed, sample id).
        """
        start = "first" if self.start == "first" else derive_seed("reference-start", self.seed, sample_id)
        return {"num_frames": self.num_frames, "stride": self.stride, "fps": self.fps, "start": start}

    def describe(self) -> str:
        rate = f"{self.fps:g}fps" if self.fps is not None else f"stride{self.stride}"
        start = self.start if self.start == "first" else f"seeded{self.seed}"
        return f"frames:{self.num_frames}|rate:{rate}|start:{start}|context:{self.context_frames}"


class ResizeStep(_Settings):
    """One resize, and what it does to the shape and the values."""

    size: int | Literal["model"] = "model"
    """Side of the square result in pixels; "model" is the input size of the backbone."""
    geometry: Literal["squash", "short-side-crop"] = "squash"
    """Squash to a square, or scale the short side and cut out the centre."""
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    """Widen the filter when shrinking. Without it frames alias, and FVD moves."""
    phase: Literal["half-pixel", "corner"] = "half-pixel"
    """Where samples lie: at pixel centres, or as TensorFlow 1 does at corners (bilinear, no antialias)."""
    quantise: Literal["none", "round", "truncate"] = "none"
    """Whether values become whole numbers after this step. "round" does as 8-bit image libraries do, and
    rounds between the filter's two passes as well."""
    long_side: Literal["truncate", "round", "ceil"] = "truncate"
    """short-side-crop: how the scaled long side becomes a whole number."""
    crop_offset: Literal["round", "floor"] = "round"
    """short-side-crop: how half of what is cut off becomes a whole number (round: half to even)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if isinstance(self.size, int) and self.size < 1:
            raise ValueError(f"size {self.size}: must be at least 1")
        if self.phase == "corner" and (self.antialias or self.filter != "bilinear"):
            raise ValueError("phase 'corner' is defined for filter 'bilinear' with antialias off only")
        return self

    def describe(self) -> str:
        parts = [self.filter, "aa" if self.antialias else "noaa", self.geometry, str(self.size)]
        if self.phase != "half-pixel":
            parts.append(self.phase)
        if self.quantise != "none":
            parts.append(self.quantise)
        if self.geometry == "short-side-crop":
            parts.append(f"{self.long_side}/{self.crop_offset}")
        return "-".join(parts)


class I3dSettings(_Settings):
    """From frames to I3D logits. Frames end in [-1, 1]; TF32 is always off."""

    resize: tuple[ResizeStep, ...] = Field(default=(ResizeStep(size=224),), min_length=1)
    """Applied in order; the last one must give 224 pixels."""
    batchnorm_epsilon: float = Field(default=1e-3, gt=0)
    """1e-3 in the reference network; several ports use 1e-5."""

    @model_validator(mode="after")
    def _ends_at_224(self) -> Self:
        if any(step.size == "model" for step in self.resize[:-1]) or self.resize[-1].size not in (
            224,
            "model",
        ):
            raise ValueError("the last resize must give 224 pixels, the earlier ones a size in pixels")
        return self

    def describe(self) -> str:
        return f"resize:{'+'.join(step.describe() for step in self.resize)}|bneps:{self.batchnorm_epsilon:g}"


_CLIP_RESIZE = ResizeStep(geometry="short-side-crop", filter="bicubic", quantise="round")


class ClipSettings(_Settings):
    """From frames and captions to CLIP features. Mean and deviation are the model's own."""

    resize: tuple[ResizeStep, ...] = Field(default=(_CLIP_RESIZE,), min_length=1)
    """Applied in order; the last one must be of size "model"."""
    prompt_prefix: str = ""
    """Put before every caption ("A photo depicts " in CLIPScore)."""

    @model_validator(mode="after")
    def _ends_at_model(self) -> Self:
        if self.resize[-1].size != "model" or any(step.size == "model" for step in self.resize[:-1]):
            raise ValueError('the last resize must be of size "model", the earlier ones a size in pixels')
        return self

    def describe_image(self) -> str:
        return f"resize:{'+'.join(step.describe() for step in self.resize)}"

    def describe(self) -> str:
        prefix = f"|prefix:{self.prompt_prefix.strip()!r}" if self.prompt_prefix else ""
        return self.describe_image() + prefix


class FrechetSettings(_Settings):
    """The Fréchet distance between two Gaussians."""

    ddof: Literal[0, 1] = 1
    """Covariances divide by N - ddof."""
    dtype: Literal["float64", "float32"] = "float64"
    """Of means, covariances and the root."""
    formula: Literal["nuclear", "svd"] = "nuclear"
    """nuclear: exact at any rank. svd: two roots by SVD, values below 1e-10 left un-rooted (TF-GAN)."""
    ridge: float = Field(default=0.0, ge=0)
    """Added to the diagonal of both covariances (1e-6 in some tools; it shifts every value)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.formula == "nuclear" and (self.dtype != "float64" or self.ridge):
            raise ValueError("formula 'nuclear' works in float64 and without ridge; use 'svd' for those")
        return self

    def describe(self) -> str:
        ridge = f"|ridge:{self.ridge:g}" if self.ridge else ""
        return f"ddof:{self.ddof}|{self.dtype}|root:{self.formula}{ridge}"


class KernelSettings(_Settings):
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
        gamma = self.gamma if isinstance(self.gamma, str) else f"{self.gamma:g}"
        form = "unbiased" if self.unbiased else "biased"
        return f"kernel:poly{self.degree},{gamma},{self.coef0:g}|{form}{'|centred' if self.centred else ''}"


class Protocol(_Settings):
    """A named set of measuring choices; see the module's docstring."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[0-9]+(\.[0-9]+)*$")
    """Raised when the file's settings change."""
    description: str = ""
    sampling: Sampling = Sampling()
    i3d: I3dSettings = I3dSettings()
    clip: ClipSettings = ClipSettings()
    frechet: FrechetSettings = FrechetSettings()
    kernel: KernelSettings = KernelSettings()

    @cached_property
    def digest(self) -> str:
        """sha256 of the settings (64 hex characters); name, version and description do not count."""
        return digest(self.model_dump(mode="json", exclude={"name", "version", "description"}))


def protocol_names() -> list[str]:
    """The names of the shipped protocols, sorted."""
    return sorted(path.stem for path in PROTOCOLS_DIR.glob("*.yaml"))


def load_protocol(name_or_path: str | Path) -> Protocol:
    """The protocol of that name, or from that YAML file (anything with a separator or a .yaml suffix).

    Raises:
        UnknownNameError: no shipped protocol has that name; the nearest one is the hint.
        ProtocolError: the file is missing, is not YAML, or is not valid (unknown keys are answered with
            the nearest valid one).

    >>> load_protocol("clean").frechet.ddof
    1
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        path = Path(text).expanduser()
    else:
        path = PROTOCOLS_DIR / f"{text}.yaml"
        if text not in protocol_names():
            raise unknown_name("protocol", text, protocol_names())
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProtocolError(
            f"cannot read the protocol {path}: {error.strerror}",
            f"give a file, or one of: {', '.join(protocol_names())}",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the protocol {path} is not valid YAML: {error}") from error
    return parse_protocol(data, where=f"protocol {path.name}")


def parse_protocol(data: Any, where: str = "protocol") -> Protocol:
    """Validate a protocol given as plain data; see `load_protocol`."""
    if not isinstance(data, dict):
        raise ProtocolError(
            f"{where}: expected a mapping with `name` and `version`, got {type(data).__name__}"
        )
    try:
        return Protocol.model_validate(data)
    except ValidationError as error:
        faults = [_fault(fault["type"], fault["loc"], fault["msg"]) for fault in error.errors()]
        raise ProtocolError(f"{where} is not valid:\n  " + "\n  ".join(faults)) from None


def _fault(kind: str, loc: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in loc)
    if kind != "extra_forbidden":
        return f"{where or 'settings'}: {message.removeprefix('Value error, ')}"
    names = [part for part in loc if isinstance(part, str)]
    owner: type[_Settings] = ResizeStep if "resize" in names else _SECTIONS.get(names[0], Protocol)
    allowed = list((owner if len(names) > 1 else Protocol).model_fields)
    close = nearest(names[-1], allowed)
    return f"{where}: unknown key; " + (
        f"did you mean {close!r}?" if close else f"allowed: {', '.join(sorted(allowed))}"
    )


_SECTIONS: dict[str, type[_Settings]] = {
    "sampling": Sampling,
    "i3d": I3dSettings,
    "clip": ClipSettings,
    "frechet": FrechetSettings,
    "kernel": KernelSettings,
}

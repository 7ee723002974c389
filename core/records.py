"""What the store writes beside a clip: one JSON record, written last."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class FailureInfo(BaseModel):
    """Why something is not there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    """Name of the exception's class."""
    message: str


class ClipRecord(BaseModel):
    """The record of a generated clip. Its existence with status "done" means that the clip is whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    key: str
    status: Literal["done", "failed"]
    method_key: str
    sample_id: str
    prompt: str
    seed: int
    error: FailureInfo | None = None
    content_digest: str | None = None
    """Digest of the decoded frames (`core.hashing.digest_array`)."""
    num_frames: int | None = None
    height: int | None = None
    width: int | None = None
    fps: float | None = None
    """Frames per second of the stored video; a label for players, no metric reads it."""
    size_bytes: int | None = None
    sampling_s: float | None = None
    """Wall time of the sampling in seconds, without loading the model."""
    peak_memory_gib: float | None = None
    """Peak GPU memory of the process while sampling; on a CPU its peak resident memory."""
    prompt_truncated: bool = False
    trainable_parameters: int | None = None
    """How many numbers the method trained, here or before (adapters); None where it does not say."""
    tune_key: str | None = None
    """The tuning that the clip was made from."""
    tuning_s: float | None = None
    """Wall time of that tuning in seconds: shared by all clips of the same `tune_key`."""
    tuning_memory_gib: float | None = None
    """Peak memory of that tuning, as `peak_memory_gib`."""
    upscaling_s: float | None = None
    """Wall time of the upscaler in seconds, part of `sampling_s`; None without one."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Device, host hardware, library versions, time: not part of any key."""


class TuneRecord(BaseModel):
    """The record of a tuning. Its existence with status "done" means that the artifact is whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    key: str
    status: Literal["done", "failed"]
    method_key: str
    """Of the method restricted to what a tuning depends on."""
    source: str
    prompt: str
    seed: int
    error: FailureInfo | None = None
    content_digest: str | None = None
    """sha256 of the artifact's bytes."""
    size_bytes: int | None = None
    tuning_s: float | None = None
    """Wall time in seconds without loading the model, over all attempts of a tuning that was interrupted."""
    peak_memory_gib: float | None = None
    trainable_parameters: int | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)

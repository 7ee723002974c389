"""What the store writes beside a clip or a tuning: one JSON record, written last.

Another version may have written it. Fields that are not known here are kept with the record. One of a newer
schema version is neither read nor replaced (`newer_version`).
"""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from .. import __version__
from .errors import NewerVersionError, ReelbenchError, foreign_place
from .redaction import masked

SCHEMA_VERSION = 1
"""Of records, failures, feature parts and the store's format."""


def newer_version(text: str) -> NewerVersionError | None:
    """What to tell of a JSON file whose schema version is above ours; None of any other."""
    try:
        data = json.loads(text)
        version, provenance = data.get("schema_version"), data.get("provenance") or {}
        made_by = data.get("reelbench") or provenance.get("reelbench")
    except (ValueError, AttributeError, RecursionError):
        return None
    return newer_than_known(version, made_by)


def newer_than_known(
    version: Any, made_by: Any = None, known: int = SCHEMA_VERSION
) -> NewerVersionError | None:
    """The error about a schema version above the known one, None where it is not above.

    Args:
        version: as it stands in the file: an integer, or its digits.
        made_by: the version of Reelbench that wrote it, where that is known.
    """
    digits = str(version)[:20]
    if isinstance(version, bool) or not digits.isdecimal() or int(digits) <= known:
        return None
    by = f"Reelbench {str(made_by)[:30]}" if made_by else "a newer Reelbench"
    return NewerVersionError(
        f"written by {by} (schema version {digits}; {__version__} knows {known}), and left as it is",
        "upgrade Reelbench, or name another `store` in the run file",
    )


class FailureInfo(BaseModel):
    """Why something is not there."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    """Name of the exception's class."""
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """The class and message of an exception, at most 2,000 characters and without secrets; with its place
        in a plug-in."""
        message, place = masked(str(error))[:2000], None
        if not isinstance(error, ReelbenchError):
            place = foreign_place(error)
        return cls(type=type(error).__name__, message=message if place is None else f"{message} ({place})")


class WorkRecord(BaseModel):
    """The record of a piece of work. Its existence with status "done" means that what was made is whole."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: Literal[1] = 1
    key: str
    status: Literal["done", "failed"]
    method_key: str
    prompt: str
    seed: int
    error: FailureInfo | None = None
    content_digest: str | None = None
    """Of a clip's decoded frames (`core.hashing.digest_array`); sha256 of an artifact's bytes."""
    size_bytes: int | None = None
    peak_memory_gib: float | None = None
    """Peak GPU memory of the process while it worked; on a CPU its peak resident memory, with what it had
    loaded before; None where the system does not tell the peak of a part."""
    trainable_parameters: int | None = None
    """How many numbers the method trained, here or before (adapters); None where it does not say."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Device, host hardware, library versions, time: not part of any key."""


class ClipRecord(WorkRecord):
    """The record of a generated clip."""

    sample_id: str
    num_frames: int | None = None
    height: int | None = None
    width: int | None = None
    fps: float | None = None
    """Frames per second of the stored video; a label for players, no metric reads it."""
    sampling_s: float | None = None
    """Wall time of the sampling in seconds, without loading the model."""
    prompt_truncated: bool = False
    tune_key: str | None = None
    """The tuning that the clip was made from."""
    tuning_s: float | None = None
    """Wall time of that tuning in seconds: shared by all clips of the same `tune_key`."""
    tuning_memory_gib: float | None = None
    """Peak memory of that tuning, as `peak_memory_gib`."""
    upscaling_s: float | None = None
    """Wall time of the upscaler in seconds, part of `sampling_s`; None without one."""


class TuneRecord(WorkRecord):
    """The record of a tuning; its `method_key` is of the method restricted to what a tuning depends on."""

    source: str
    tuning_s: float | None = None
    """Wall time in seconds without loading the model, over all attempts of a tuning that was interrupted."""

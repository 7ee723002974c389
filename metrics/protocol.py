"""The measuring protocol: every choice that moves a number, in one named, versioned file.

A protocol is a YAML file in `metrics/protocols/` (or a path given by the user), validated here. Its
`digest` covers the settings alone, so a renamed copy is the same protocol. Defaults are those of `clean`, the
recommended one. See `docs/protocols.md` for all of them side by side and for how to write one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from ..core.errors import ProtocolError, unknown_name
from ..core.hashing import digest
from ..core.plain_faults import place, plain_faults
from ..core.weights import split_pin
from ..core.yaml_text import load_yaml
from .settings import (
    ClipSettings,
    DinoSettings,
    FlowSettings,
    FrechetSettings,
    I3dSettings,
    InceptionSettings,
    KernelSettings,
    PairSettings,
    ResizeSettings,
    Sampling,
    Settings,
    TrackingSettings,
    VideoFeatureSettings,
)

PROTOCOLS_DIR = Path(__file__).resolve().parent / "protocols"


class Protocol(Settings):
    """A named set of measuring choices; see the module's docstring."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[0-9]+(\.[0-9]+)*$")
    """Raised when the file's settings change."""
    description: str = ""
    weights: dict[str, str] = Field(default_factory=dict)
    """The backbones of the published numbers by role, for people and for warnings; not in the digest. One
    without a space is a location that can be compared ("ViT-L-14:openai"), others are descriptions."""
    sampling: Sampling = Sampling()
    i3d: I3dSettings = I3dSettings()
    clip: ClipSettings = ClipSettings()
    frechet: FrechetSettings = FrechetSettings()
    kernel: KernelSettings = KernelSettings()
    videomae: VideoFeatureSettings = VideoFeatureSettings()
    vjepa: VideoFeatureSettings = VideoFeatureSettings()
    flow: FlowSettings = FlowSettings()
    pair: PairSettings = PairSettings()
    inception: InceptionSettings = InceptionSettings()
    dino: DinoSettings = DinoSettings()
    tracking: TrackingSettings = TrackingSettings()

    @cached_property
    def digest(self) -> str:
        """sha256 of the settings (64 hex characters); name, version, description and weights do not count."""
        used = [name for name in _LATER if getattr(self, name) != type(self).model_fields[name].default]
        return digest({name: getattr(self, name).digest_data() for name in (*_SECTIONS, *used)})

    def of_references(self) -> Protocol:
        """The protocol as reference clips go through it; see `ResizeSettings.reference_resize`."""
        sections = {name: getattr(self, name) for name in (*_SECTIONS, *_LATER)}
        return self.model_copy(
            update={n: s.of_references() for n, s in sections.items() if isinstance(s, ResizeSettings)}
        )

    def weights_notes(self, locations: Mapping[str, str]) -> tuple[str, ...]:
        """What to say where a run uses another backbone than the protocol's published numbers.

        Args:
            locations: of the backbones in use, by role ("clip"), pinned or not; a role that the run does
                not use is left out.

        Returns:
            One line for each role whose location differs from the one that the protocol names. A file of
            the right architecture ("ViT-L-14:/data/l14.pt") and a folder of the right name count as equal;
            descriptions are not compared.
        """
        notes = []
        for role, expected in sorted(self.weights.items()):
            if " " in expected or role not in locations:
                continue
            used, _ = split_pin(locations[role])
            if not _same_backbone(expected, used):
                notes.append(
                    f"protocol {self.name!r}: published numbers use {expected!r} as {role}, this run {used!r}"
                )
        return tuple(notes)


def _same_backbone(expected: str, used: str) -> bool:
    architecture, colon, _ = expected.partition(":")
    if colon and used.startswith(f"{architecture}:"):
        return "/" in used or Path(used).suffix != "" or used == expected
    return used.rstrip("/").rpartition("/")[2].partition("@")[0] == expected.rpartition("/")[2]


def protocol_names() -> list[str]:
    """The names of the shipped protocols, sorted."""
    return sorted(path.stem for path in PROTOCOLS_DIR.glob("*.yaml"))


def load_protocol(name_or_path: str | Path) -> Protocol:
    """The protocol of that name, or from that YAML file (anything with a separator or a .yaml suffix).

    Raises:
        UnknownNameError: no shipped protocol has that name; the nearest one is the hint.
        ProtocolError: the file is missing, is not YAML, is not valid (unknown keys are answered with the
            nearest valid one), or has a shipped protocol's name and other settings.

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
        data = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProtocolError(
            f"cannot read the protocol {path}: {error.strerror}",
            f"give a file, or one of: {', '.join(protocol_names())}",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the protocol {path} is not valid YAML: {error}") from error
    protocol = parse_protocol(data, where=f"protocol {path.name}")
    if path.parent != PROTOCOLS_DIR and protocol.name in protocol_names():
        shipped = load_protocol(protocol.name)
        if protocol.digest != shipped.digest:
            raise ProtocolError(
                f"protocol {path.name}: it is called {protocol.name!r} as a shipped protocol is, and its "
                f"settings are others (digest {protocol.digest[:8]}, not {shipped.digest[:8]})",
                f"give it a name of its own, for example `name: my-{protocol.name}`",
            )
    return protocol


def parse_protocol(data: Any, where: str = "protocol") -> Protocol:
    """Validate a protocol given as plain data; see `load_protocol`."""
    if not isinstance(data, dict):
        raise ProtocolError(
            f"{where}: expected a mapping with `name` and `version`, got {type(data).__name__}"
        )
    try:
        return Protocol.model_validate(data)
    except ValidationError as error:
        faults = [
            f"{place(data, fault.path) or 'settings'}: {fault.what}"
            for fault in plain_faults(Protocol, data, error)
        ]
        raise ProtocolError(f"{where} is not valid:\n  " + "\n  ".join(faults)) from None


_SECTIONS = ("sampling", "i3d", "clip", "frechet", "kernel", "videomae", "vjepa", "flow", "pair")

_LATER = ("inception", "dino", "tracking")
"""Sections that came after protocols had been used: they count where they differ from their defaults, so
that a protocol that does not name them is the one that it was."""

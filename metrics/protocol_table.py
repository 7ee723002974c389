"""The tables of all shipped protocols for `docs/protocols.md`, made from the files themselves.

`python -m reelbench.metrics.protocol_table docs/protocols.md` writes them into the page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ..core.markdown import table_head, table_line
from .protocol import Protocol, load_protocol, protocol_names
from .settings import ResizeSettings, ResizeStep

_BEGIN, _END = "<!-- protocol tables: begin -->", "<!-- protocol tables: end -->"


def protocol_tables() -> str:
    """Markdown: for each group of choices a table with one row for each protocol, `clean` first."""
    names = sorted(protocol_names(), key=lambda name: (name != "clean", name))
    protocols = [load_protocol(name) for name in names]
    parts = []
    for title, columns in _TABLES.items():
        rows = [[f"`{p.name}`", *(value(p) for value in columns.values())] for p in protocols]
        lines = [f"### {title}", *table_head(["protocol", *columns]), *map(table_line, rows)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def page_with_tables(text: str) -> str:
    """The page with the tables between its two markers.

    Raises:
        ValueError: the page has no markers.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN} ... {_END}")
    return f"{before}{_BEGIN}\n{protocol_tables()}\n{_END}{after}"


def _steps(steps: tuple[ResizeStep, ...]) -> str:
    return ", then ".join(f"`{step.describe()}`" for step in steps)


def _resize(section: ResizeSettings) -> str:
    if section.reference_resize is None:
        return _steps(section.resize)
    return f"{_steps(section.resize)}; references {_steps(section.reference_resize)}"


def _rate(protocol: Protocol) -> str:
    sampling = protocol.sampling
    if sampling.frames == "seer":
        return "all frames, blended"
    return f"{sampling.fps:g} a second" if sampling.fps is not None else f"stride {sampling.stride}"


def _start(protocol: Protocol) -> str:
    sampling = protocol.sampling
    return sampling.start if sampling.start == "first" else f"random, seed {sampling.seed}"


def _weights(protocol: Protocol) -> str:
    return "; ".join(f"{role}: {what}" for role, what in sorted(protocol.weights.items()))


def _kernel(protocol: Protocol) -> str:
    return protocol.kernel.describe().removeprefix("kernel:").replace("|", ", ")


_TABLES: dict[str, dict[str, Callable[[Protocol], str]]] = {
    "Which frames": {
        "version, digest": lambda p: f"{p.version}, `{p.digest[:8]}`",
        "frames": lambda p: str(p.sampling.num_frames),
        "of the reference": _rate,
        "from": _start,
        "frames that were given": lambda p: "measured" if p.sampling.context_frames == "keep" else "left out",
        "generated clips": lambda p: p.sampling.generated_rate,
    },
    "FVD and KVD": {
        "I3D resize": lambda p: _resize(p.i3d),
        "BatchNorm epsilon": lambda p: f"{p.i3d.batchnorm_epsilon:g}",
        "covariance divided by": lambda p: "N - 1" if p.frechet.ddof else "N",
        "in": lambda p: p.frechet.dtype,
        "root": lambda p: p.frechet.formula,
        "kernel of KVD": _kernel,
    },
    "CLIP and VideoMAE": {
        "CLIP and PickScore resize": lambda p: _resize(p.clip),
        "VideoMAE resize": lambda p: _resize(p.videomae),
        "VideoMAE values": lambda p: "normalised" if p.videomae.normalise == "model" else "0 to 1",
    },
    "Weights of the published numbers": {"role: weights": _weights},
}


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(page_with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")

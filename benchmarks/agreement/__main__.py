"""Every metric and every stage against an independent implementation: writes docs/agreement.md.

    .venv/bin/python benchmarks/agreement            # prints the table
    .venv/bin/python benchmarks/agreement --write    # and writes the page

Each row computes the same thing twice, here and by another library or by an evaluation written down from the
definition, and states the largest difference. Backbones have random weights: agreement is a matter of what is
computed, not of what was learned. `tests/metrics/test_agreement.py` holds every row to its bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import rows_clip_metrics  # noqa: F401  (each module adds its rows)
import rows_distances  # noqa: F401
import rows_frames  # noqa: F401
import rows_networks  # noqa: F401
import rows_pixels  # noqa: F401
import rows_statistics  # noqa: F401
from row import ROWS, Agreement

from reelbench.core.markdown import table_head, table_line

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agreement.md"


STAGES = ("decode", "resize", "network", "moments", "distance", "metric", "statistics")


def measured() -> Iterator[Agreement]:
    """All rows, from the pixels to the statistics."""
    for run in sorted(ROWS, key=lambda run: STAGES.index(run.describe()[0])):
        yield run()


def page(rows: list[Agreement]) -> str:
    from importlib.metadata import version

    libraries: tuple[str, ...] = (
        "torch",
        "torchvision",
        "torchmetrics",
        "open_clip_torch",
        "transformers",
        "scipy",
        "scikit-learn",
    )
    libraries = (*libraries, "scikit-image", "opencv-python-headless", "pillow", "mpmath", "numpy", "av")
    lines = [
        "# Agreement",
        "",
        "Every metric and every stage of measuring against an independent implementation: the largest",
        "difference that was found. Written by `benchmarks/agreement --write`;",
        "`tests/metrics/test_agreement.py` holds every row to its bound. Backbones have random weights (no",
        "published weights were at hand): this page says that the right thing is computed, not that",
        "published numbers were reproduced.",
        "",
        *table_head(["stage", "here", "against", "largest difference", "bound", "unit"], "lllrrl"),
    ]
    for row in rows:
        values = (f"{row.difference:.1e}", f"{row.bound:g}")
        lines.append(table_line([row.stage, row.ours, row.against, *values, row.unit]))
    names = ", ".join(f"{name} {version(name)}" for name in libraries)
    return "\n".join([*lines, "", f"Measured on a CPU with {names}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/agreement.md")
    options = parser.parse_args()
    rows = list(measured())
    text = page(rows)
    print(text)
    beyond = [item for item in rows if not item.difference <= item.bound]
    for item in beyond:
        print(f"beyond its bound: {item}")
    if options.write and not beyond:
        PAGE.write_text(text, encoding="utf-8")
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()

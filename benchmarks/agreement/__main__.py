"""Every metric and every stage against an independent implementation: writes docs/agreement.md.

    .venv/bin/python benchmarks/agreement            # prints the table
    .venv/bin/python benchmarks/agreement --write    # and writes the page

Each row computes the same thing twice, here and by another library or by an evaluation written down from the
definition, and states the largest difference. Backbones have random weights: agreement is a matter of what is
computed, not of what was learned. `tests/metrics/test_agreement.py` holds every row to its bound.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import rows_distances  # noqa: F401  (each module adds its rows)
import rows_frames  # noqa: F401
import rows_metrics  # noqa: F401
import rows_networks  # noqa: F401
import rows_statistics  # noqa: F401
from row import ROWS, Row

from reelbench.core.markdown import table_head, table_line

RELEASED = Path(__file__).with_name("released_code.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "agreement.md"

STAGES = ("decode", "resize", "network", "moments", "distance", "metric", "statistics")

LIBRARIES = (
    "torch", "torchvision", "torchmetrics", "open_clip_torch", "transformers", "scipy", "scikit-learn",
    "scikit-image", "opencv-python-headless", "pillow", "mpmath", "numpy", "av",
)  # fmt: skip


def page(found: list[tuple[Row, float]]) -> str:
    """The page: rows with the differences that were found."""
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
    for row, difference in found:
        values = (f"{difference:.1e}", f"{row.bound:g}")
        lines.append(table_line([row.stage, row.ours, row.against, *values, row.unit]))
    names = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines += ["", f"Measured on a CPU with {names}.", "", *released_code()]
    return "\n".join([*lines, ""])


def released_code() -> list[str]:
    """The section about what `benchmarks/released_code.py` recorded."""
    columns = {
        "levels": "frames (levels)",
        "fvd_frames": "FVD by their frames",
        "fvd_16": "FVD, 16 clips",
        "distance_64": "distance, N = 64",
        "distance_600": "distance, N = 600",
        "kvd_16": "KVD, 16 clips",
        "consistency": "consistency",
    }
    lines = [
        "## Protocols beside the released code",
        "",
        "Recorded by `benchmarks/released_code.py FOLDER --write`, which runs functions of the released",
        "files on the same clips, with the same random I3D; the files are not part of this repository.",
        "Frames: the largest difference of what reaches the network, over real clips of six sizes and",
        "generated ones, on a scale of 0 to 255. FVD by their frames: of 16 clips a side, with the exact",
        "root for both, so what their frames alone change; FVD, 16 clips: with their distance, too, of which",
        "that of TATS, VideoGPT, LVDM and Seer is rough (SVD in float32). The other columns are relative,",
        "consistency is absolute.",
        "Where a difference comes from, and what was only read, is on the pages of the",
        "[protocols](protocols.md).",
        "",
        *table_head(["protocol", "version, digest", "repository", *columns.values()], "lllrrrrrrr"),
    ]
    for name, found in json.loads(RELEASED.read_text()).items():
        values = [f"{found[key]:.1e}" if key in found else "" for key in columns]
        lines.append(
            table_line([f"[`{name}`](protocols/{name}.md)", found["protocol"], found["repository"], *values])
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/agreement.md")
    options = parser.parse_args()
    rows = sorted(ROWS, key=lambda row: STAGES.index(row.stage))
    found = [(row, row.measure()) for row in rows]
    text = page(found)
    print(text)
    beyond = [(row, difference) for row, difference in found if not difference <= row.bound]
    for row, difference in beyond:
        print(f"{difference} is beyond its bound: {row}")
    if options.write and not beyond:
        PAGE.write_text(text, encoding="utf-8")
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()

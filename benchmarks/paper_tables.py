"""Every table of a paper that comes with Reelbench, in all formats, from the runs of configs/tables.

    make tables                                        # data, runs and tables
    .venv/bin/python benchmarks/paper_tables.py        # the tables again, into out/tables

Where a TeX is installed each is a page of PDF, too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from reelbench.cli.options import results_at
from reelbench.core.errors import ReelbenchError
from reelbench.core.run_folders import Results
from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.formats.write import Style, write_table
from reelbench.reports.papers.spec import load_spec

TEXT, ABLATIONS, PREDICTION, EDITING = (
    f"configs/tables/{name}.yaml" for name in ("text-to-video", "ablations", "prediction", "editing")
)
RUNS = {
    "msrvtt": (TEXT,),
    "webvid": (TEXT,),
    "speed": (TEXT, EDITING),
    "clip-score-by-base": (TEXT,),
    "editing-tune-a-video": (EDITING,),
    "editing-simda": (EDITING,),
    "v2vbench": (EDITING,),
    "prediction": (PREDICTION,),
    "ablation-simda": (ABLATIONS,),
    "ablation-tune-a-video": (EDITING,),
    "ablation-zs2": (ABLATIONS,),
    "ablation-fca": (PREDICTION,),
}
"""The run files of each table; as a test holds, of every one that comes with Reelbench."""

ENDINGS = ("md", "tex", "csv", "html", "json", "parquet")


def write_all(folder: Path) -> None:
    """Write every table into a folder; one whose runs are missing has its published figures alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, run_files in RUNS.items():
        runs: list[Results] = []
        for run_file in run_files:
            try:
                runs.append(results_at(run_file))
            except ReelbenchError as error:
                print(f"{name}: without {run_file}: {error.message}", file=sys.stderr)
        table = build_table(load_spec(name), runs, command=f"reelbench table {name} {' '.join(run_files)}")
        for ending in ENDINGS:
            write_table(table, folder / f"{name}.{ending}", style=Style(standalone=True))
        if shutil.which("pdflatex"):
            words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
            for _ in range(2):  # the second one fills in the citations
                subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        print(f"{name}: {folder / name}.md, .tex and others")


if __name__ == "__main__":
    write_all(Path(sys.argv[1] if len(sys.argv) > 1 else "out/tables"))

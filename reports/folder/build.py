"""The report as a folder that opens from disk and from any web server, and can be moved, zipped and mailed.

```
report/index.html   tables, plots and the list of clips
report/data.js      the clips' prompts, values and failures
report/browse.js    the script of the list, the same for every run
report/clips/       one file for each clip, see `clip_files`
```

A page on disk may load scripts and videos beside it, and fetch nothing: hence data.js. The same tables give
the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from ...core.atomic_write import write_text_atomic
from ..pages.html_report import environment, page_context
from ..tables.run_tables import RunTables
from .clip_rows import as_script, clip_data

FOLDER = "report"
FILES = tuple(f"{FOLDER}/{name}" for name in ("index.html", "data.js", "browse.js"))
"""The page's own files below the results' folder."""

_CLIPS, _SCRIPT = "clips", "browse.js"


def write_report_folder(tables_folder: Path, results_folder: Path) -> Path:
    """Write `<results>/report/` of the run whose Parquet tables lie in `tables_folder`.

    Again it writes only what changed: clips that are in it already are neither copied nor made.

    Returns:
        its `index.html`.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    folder, here, run = results_folder / FOLDER, Path(__file__).parent, RunTables(tables_folder)
    context = page_context(run)
    data = clip_data(run, tables_folder, folder / _CLIPS)
    page = environment(here).get_template("index.html.jinja")
    write_text_atomic(folder / "data.js", as_script(data))
    write_text_atomic(folder / _SCRIPT, (here / _SCRIPT).read_text(encoding="utf-8"))
    index = folder / "index.html"
    write_text_atomic(index, page.render(context, has_clips=bool(data["rows"])))
    return index

"""What mkdocs adds to docs/ when it builds the site.

- README.md, CONTRIBUTING.md and CHANGELOG.md as pages; there is no second copy of them.
- A page with the text of each file of the repository that a page links to.
- In commands.md, below each command, its options, as `--help` has them.

Links are written as a code host wants them, from file to file, and become links of the site here.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
AT_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files at the root that are pages, by their place in the site."""

_CODE = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_FOLDER = re.compile(r"\[([^\]]+)\]\([^)\s#:]+/\)")
_LIST_IN_PARAGRAPH = re.compile(r"^(?![ \t\-*+|>#]|\d+\. )(.+)\n(?=[\-*+] )", re.MULTILINE)
_OPTIONS = re.compile(r"^<!-- options of `(reelbench [^`]+)` -->$", re.MULTILINE)
_LANGUAGES = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".json": "json",
    ".sh": "bash",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside of docs/."""
    for name, page in AT_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    texts = [(file.src_uri, file.content_string) for file in files.documentation_pages()]
    for path in sorted({path for page, text in texts for path in _linked_sources(page, text)}):
        files.append(File.generated(config, f"source/{path}.md", content=_source_page(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as the site has them (of a folder, only its name), and the options of commands."""
    text = _OPTIONS.sub(lambda found: options_of(found[1]), markdown)
    if page.file.src_uri.startswith("source/"):
        return text

    def change(part: str) -> str:
        # mkdocs' Markdown wants an empty line before a list, code hosts do not.
        part = _LIST_IN_PARAGRAPH.sub(r"\1\n\n", _FOLDER.sub(r"\1", part))
        return _LINK.sub(lambda link: _site_link(page.file.src_uri, link), part)

    return outside_code(text, change)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text, with everything changed that is not code."""
    pieces, end = [], 0
    for code in _CODE.finditer(text):
        pieces += [change(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, change(text[end:])])


def _folder(page: str) -> str:
    """Where in the repository a page of the site lies."""
    return "" if page in AT_ROOT.values() else posixpath.dirname(posixpath.join("docs", page))


def _target(page: str, link: str) -> str | None:
    """The file of the repository that a page's link means; None for an address or where there is none."""
    path = posixpath.normpath(posixpath.join(_folder(page), link))
    is_ours = not re.match(r"[a-z]+:|/", link) and not path.startswith("..") and (ROOT / path).is_file()
    return path if is_ours else None


def _linked_sources(page: str, text: str) -> set[str]:
    links = [link[2] for link in _LINK.finditer(_CODE.sub("", text))]
    targets = {target for link in links if (target := _target(page, link)) is not None}
    return {path for path in targets if path not in AT_ROOT and not path.startswith("docs/")}


def _site_link(page: str, link: re.Match[str]) -> str:
    target = _target(page, link[2])
    if target is None:
        return link[0]
    if target in AT_ROOT:
        target = AT_ROOT[target]
    elif target.startswith("docs/"):
        target = target.removeprefix("docs/")
    else:
        target = f"source/{target}.md"
    path = os.path.relpath(target, posixpath.dirname(page) or ".")
    return f"{link[1]}{path}{link[3] or ''}{link[4]}"


def _source_page(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8").rstrip()
    if path.endswith(".md"):
        return text
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall(r"`{3,}", text)), 3)
    return f"# `{path}`\n\n{fence}{_LANGUAGES.get(Path(path).suffix, 'text')}\n{text}\n{fence}\n"


def options_of(command: str) -> str:
    """The arguments and options of a command as a table, from what makes its `--help`."""
    from typer.main import get_command

    from reelbench.cli.app import app

    found: Any = get_command(app)
    for name in command.split()[1:]:
        found = found.get_command(None, name)
    rows = ["| option | meaning |", "|---|---|"]
    for parameter in found.params:
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name.upper()
        else:
            name = ", ".join(parameter.opts) + (f" {parameter.metavar}" if parameter.metavar else "")
        rows.append(f"| `{name}` | {_cell(parameter)} |")
    return "\n".join(rows)


def _cell(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split()).replace("|", "\\|").replace("<", "&lt;")
    default = parameter.default
    if parameter.show_default is False or default in (None, False, (), [], "") or callable(default):
        return text
    return f"{text} Default: `{str(default).removeprefix(f'{ROOT}/')}`."

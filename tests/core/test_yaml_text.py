"""YAML that people write: what is refused, each in one line with its place; nothing else escapes."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import pytest
import yaml

from reelbench.core.errors import ReelbenchError
from reelbench.core.hashing import canonical_json
from reelbench.core.run_file_loading import load_run_file
from reelbench.core.yaml_text import MAX_DEPTH, load_yaml
from reelbench.datasets.lists.annotation import load_yaml_list
from reelbench.metrics.protocol import load_protocol

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
)

REFUSED = {
    "1" + "0" * 30: "is too large; whole numbers go from -2^63",
    "-" + "9" * 10_000: "is a number of 10001 characters",
    "0x" + "f" * 9_000: "is a number of 9002 characters",
    "1:30": "is read in sixties",
    "1:30.5": "is read in sixties",
    "010": "is read in eights",
    ".nan": "is not a finite number",
    "-.inf": "is not a finite number",
    "1.0e+999": "is not a finite number",
    "2026-01-01": "is read as a date, which no setting takes; write '2026-01-01' for the text",
    "2026-13-41": "is read as a date",
    "{2026-01-01: x}": "is read as a date",
    "{.nan: x}": "is not a finite number",
    "{[1]: x}": "keys are text",
    "!!binary aGVsbG8=": "the tag !!binary is not taken",
    "!!set {1, 2}": "the tag !!set is not taken",
    "!!omap [a: 1]": "the tag !!omap is not taken",
    "!!python/object/apply:os.getcwd []": "the tag !!python/object/apply:os.getcwd is not taken",
    "!!int one": "'one' is no whole number",
    "!!bool perhaps": "'perhaps' is no true or false",
    "[" * 10_000: f"nested more than {MAX_DEPTH} deep",
    "{a: " * 400 + "1" + "}" * 400: f"nested more than {MAX_DEPTH} deep",
    "&a [*a]": "stands inside of what it repeats",
    "&a {b: {c: *a}}": "stands inside of what it repeats",
    "*nothing": "undefined alias",
    '"a\\0b"': "holds the character '\\x00'",
    '"\\uD800"': "holds the character '\\ud800'",
    "a\0b": "holds the character '\\x00'",
    "\tx": "cannot start any token",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_what_is_refused_is_told_in_one_line_with_its_place(text: str) -> None:
    with pytest.raises(yaml.YAMLError) as error:
        load_yaml(f"name: tiny\nwhat: {text}\n")
    told = str(error.value)
    assert REFUSED[text] in told
    assert told.startswith("line 2")
    assert "\n" not in told
    assert len(told) < 250


def test_aliases_may_repeat_but_not_without_end() -> None:
    assert load_yaml("a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: 2}")["c"] == {"x": 1, "y": 2}
    with pytest.raises(yaml.YAMLError, match=r"line 7, column 4: aliases .* repeat more than 1,000,000"):
        load_yaml(LAUGHS)
    chain = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000))
    with pytest.raises(yaml.YAMLError, match="nested more than"):
        load_yaml(chain)


def test_plain_values_read_as_they_say() -> None:
    text = "[1, -9223372036854775808, 0x1f, 1_000, 1.5, 1.0e-4, yes, null, ~, '2026-01-01', 10**30, 0, 0.5]"
    expected = [1, -(2**63), 31, 1000, 1.5, 1e-4, True, None, None, "2026-01-01", "10**30", 0, 0.5]
    assert load_yaml(text) == expected


def test_lists_of_others_hold_any_scalar() -> None:
    text = "[2026-01-01, .inf, 1:30, 100000000000000000000]"
    assert load_yaml(text, any_scalar=True) == [date(2026, 1, 1), float("inf"), 90, 10**20]


@pytest.mark.parametrize(
    "text", ["&a [*a]", "[" * 10_000, "- !!binary ab", "- 0x" + "f" * 9000 + "\n- !!bool x"]
)
def test_protocols_and_lists_refuse_it_as_well(text: str, tmp_path: Path) -> None:
    for load in (load_protocol, load_yaml_list):
        (tmp_path / "file.yaml").write_text(text)
        with pytest.raises(ReelbenchError, match=r"line \d, column"):
            load(tmp_path / "file.yaml")


GOOD = """\
name: tiny
methods:
  - name: zs2
    label: first
    config: {num_steps: 2, guidance_scale: 7.5}
datasets:
  - {name: msrvtt, config: {root: data}}
seeds: [0, 1]
limit: 4
metrics: [clipsim]
weights: {i3d: sprites/i3d}
resources: {shard_size: 2, gpus_per_actor: 1.0}
"""
PIECES = (
    *REFUSED, "[", "]", "{", "}", ": ", "- ", "&a ", "*a", "<<: ", "? ", "!!str ", "|\n", ">\n", "\n", "  ",
    "#", "'", '"', "yes", "null", "~", "-1", "1e9", "9223372036854775807", "x" * 5000, "\u202e", "\x7f", "é",
    "---\n", "...\n", "%YAML 1.1\n", "../" * 50, "file.py:Class", " hf_" + "a1" * 20 + " ",
    "https://me:pass@host/",
)  # fmt: skip


def test_mutated_run_files_are_read_or_refused(tmp_path: Path) -> None:
    drawn = random.Random(15)
    path = tmp_path / "run.yaml"
    num_read, shown = 0, list[str]()
    for _ in range(400):
        text = GOOD
        for _ in range(drawn.randint(1, 3)):
            start = drawn.randrange(len(text) + 1)
            text = text[:start] + drawn.choice(PIECES) + text[start + drawn.choice((0, 0, 1, 2, 9)) :]
        path.write_text(text, encoding="utf-8")
        try:
            run = load_run_file(path)
        except ReelbenchError as error:
            shown.append(str(error))
            continue
        num_read += 1
        canonical_json(run.model_dump(mode="json"))
    assert 0 < num_read < 200
    assert not [text for text in shown if "pass@" in text or "a1a1a1" in text]

"""Lists of data sets, captions and pairs made at random (seeded): a reader takes them or refuses them in a
few lines, and never raises anything else, runs on without end, or names a file outside of the folder.

A failure names its seed; `python -m pytest tests/evaluation/test_fuzz_lists.py -k NAME` runs it again.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from reelbench.core import registry
from reelbench.core.errors import DatasetError, EvaluationError
from reelbench.evaluation.clip_list import StoredClip
from reelbench.evaluation.matching import match

NUM_SEEDS = 60
CPU_SECONDS = 20
"""Of one list; each takes some milliseconds."""

SECRET = "secret"
"""A folder beside that of the data set: nothing in it may be opened, listed or referred to."""

opened: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if opened is not None and event in ("open", "os.listdir", "os.scandir", "os.open", "glob.glob"):
        opened.append(str(arguments[0]))


sys.addaudithook(_watch)


@contextmanager
def guarded() -> Iterator[list[str]]:
    """Records what is opened and listed, and ends what takes too much of the processor's time."""
    global opened

    def end(*_: object) -> None:
        raise TimeoutError(f"more than {CPU_SECONDS} s of the processor's time")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    found: list[str] = []
    opened = found
    try:
        yield found
    finally:
        opened = None
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


# What lists are made of

TEXTS = [
    *(
        "",
        " ",
        "nan",
        "NaN",
        "null",
        "a dog runs",
        'a "red" square, moving; fast',
        "a\tb",
        "a|b",
        "a\nb",
        "a\r\nb",
    ),
    *(
        "a\rb",
        "\u2028",
        "\ufeffa",
        "犬が走る 🐕",
        "\ud83d",
        "\udc00x",
        "a\0b",
        "x" * 300,
        "w " * 5000,
        "'",
        '"',
        "#x",
    ),
    *(
        "..",
        ".",
        "../x",
        "/etc/passwd",
        "~/x",
        "a/b",
        "a\\b",
        "C:\\x",
        "CON",
        "aux.mp4",
        "\\\\host\\x",
        "-rf",
        "%2e%2e/x",
    ),
    *(
        "video7010",
        "video3",
        "video7010.mp4",
        "1000",
        "1000.0",
        "clip-0",
        "test",
        "train",
        "validate",
        "bear",
        "P01_11",
    ),
    *("=1+1", "<script>", "{}", "[1]", "0x10", "1e999", "true", "file:///etc/passwd", "x" * 70_000),
]
NUMBERS = [0, 1, -1, 7010, 10**30, 1.5, 1000.0, float("nan"), float("inf"), True, False, None]
KEYS = [
    *(
        "id",
        "video_id",
        "video",
        "name",
        "caption",
        "captions",
        "prompt",
        "prompt_en",
        "label",
        "text",
        "template",
    ),
    *(
        "split",
        "sen_id",
        "videos",
        "sentences",
        "annotations",
        "image_id",
        "train",
        "test",
        "source",
        "generated",
    ),
    *("reference", "video", "source_prompt", "edit", "../x", "", "\ud83d", "x" * 300, "placeholders", "key"),
]


def text(rng: random.Random, secret: Path) -> str:
    return rng.choice([*TEXTS, str(secret / "x"), f"../{SECRET}/x", f"../../{SECRET}/x", f"{SECRET}/../../x"])


def atom(rng: random.Random, secret: Path) -> Any:
    return text(rng, secret) if rng.random() < 0.75 else rng.choice(NUMBERS)


def tree(rng: random.Random, secret: Path, depth: int = 0) -> Any:
    kind = rng.random()
    if depth > 3 or kind < 0.3:
        return atom(rng, secret)
    if kind < 0.35:
        value: Any = atom(rng, secret)
        for _ in range(rng.choice([5, 200, 900])):
            value = [value] if rng.random() < 0.5 else {rng.choice(KEYS): value}
        return value
    if kind < 0.65:
        return [tree(rng, secret, depth + 1) for _ in range(rng.randrange(5))]
    return {rng.choice(KEYS): tree(rng, secret, depth + 1) for _ in range(rng.randrange(5))}


def changed(rng: random.Random, value: Any, secret: Path) -> Any:
    """A sound value with a few parts replaced, left out or doubled."""
    if rng.random() < 0.08:
        return tree(rng, secret, 2)
    if isinstance(value, list):
        items = [changed(rng, item, secret) for item in value if rng.random() > 0.05]
        return items + items[: rng.choice([0, 0, 0, 1])]
    if isinstance(value, dict):
        fields = {key: changed(rng, item, secret) for key, item in value.items() if rng.random() > 0.04}
        return fields | ({rng.choice(KEYS): atom(rng, secret)} if rng.random() < 0.1 else {})
    return atom(rng, secret) if rng.random() < 0.1 else value


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A sound file with some bytes changed, cut out, cut off, doubled or put in."""
    parts = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        place, end = sorted(rng.randrange(len(parts) + 1) for _ in range(2))
        kind = rng.randrange(5)
        if kind == 0 and place < len(parts):
            parts[place] = rng.randrange(256)
        elif kind == 1:
            del parts[place : min(end, place + 20)]
        elif kind == 2:
            del parts[place:]
        elif kind == 3:
            parts[place:place] = parts[place:end]
        else:
            marks = [
                b'"',
                b",",
                b"\n",
                b"\r",
                b"\0",
                b"\xff\xfe",
                b"[" * 2000,
                b"{",
                b"}",
                b"\\ud800",
                b";",
                b"\t",
            ]
            parts[place:place] = rng.choice(marks)
    return bytes(parts)


def table(rng: random.Random, rows: list[list[str]], secret: Path) -> bytes:
    """A table with a few cells and the delimiter changed."""
    rows = [
        [text(rng, secret) if rng.random() < 0.08 else cell for cell in row if rng.random() > 0.01]
        for row in rows
    ]
    file = io.StringIO()
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    csv.writer(file, delimiter=rng.choice(",;\t"), quoting=quoting).writerows(rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


# The readers, each with sound files of every kind that it takes

SSV2 = [
    {"id": str(i), "label": f"a {i}", "template": "A [x]", "placeholders": []} for i in (1000, 1001, 1002)
]
MSRVTT_ROWS = [("video7010", "a dog"), ("video7010", "a cat"), ("video3", "a car"), ("video7011", "a bus")]
RELEASE = {
    "videos": [{"video_id": v, "split": s} for v, s in (("video7010", "test"), ("video7011", "test"))],
    "sentences": [{"video_id": v, "caption": c, "sen_id": i} for i, (v, c) in enumerate(MSRVTT_ROWS)],
}
MSRVTT_LIST = [{"video_id": v, "caption": c} for v, c in MSRVTT_ROWS]
CAPTIONS = [{"name": f"clip{i}", "caption": ["a dog", "a cat"][i % 2], "source": "s"} for i in range(4)]
DAVIS = [
    {"video": "bear", "source_prompt": "a bear", "edit": "object", "prompt": "a lion"},
    {"video": "swan", "source_prompt": "a swan", "edit": "style", "prompt": "a swan, drawn"},
]
LOVEU_HEADER = [
    *("Video name", "Our GT caption", "Style Change Caption", "Object Change Caption"),
    *("Background Change Caption", "Multiple Changes Caption"),
]
EPIC_HEADER = ["narration_id", "participant_id", "video_id", "start_frame", "stop_frame", "narration"]


def as_rows(entries: list[dict[str, Any]]) -> list[list[str]]:
    return [list(entries[0]), *([str(value) for value in entry.values()] for entry in entries)]


LISTS: dict[str, tuple[str, dict[str, Any], str, Any]] = {
    "ssv2": ("ssv2", {}, "validation.json", SSV2),
    "ssv2 mirror": ("ssv2", {"annotation": "a.jsonl"}, "a.jsonl", SSV2),
    "msrvtt": ("msrvtt", {}, "test_videodatainfo.json", RELEASE),
    "msrvtt list": ("msrvtt", {"annotation": "a.json"}, "a.json", MSRVTT_LIST),
    "msrvtt lines": ("msrvtt", {"annotation": "a.jsonl"}, "a.jsonl", MSRVTT_LIST),
    "msrvtt parquet": ("msrvtt", {"annotation": "a.parquet"}, "a.parquet", MSRVTT_LIST),
    "msrvtt 1k-A": (
        "msrvtt",
        {"list": "1k-A"},
        "MSRVTT_JSFUSION_test.csv",
        [
            ["key", "vid_key", "video_id", "sentence"],
            ["ret0", "msr3", "video3", "a dog"],
            ["ret1", "x", "video4", "a"],
        ],
    ),
    "webvid": (
        "webvid",
        {},
        "results_2M_val.csv",
        [["videoid", "page_dir", "name"], *([str(1000 + i), "000000_000050", f"clip {i}"] for i in range(5))],
    ),
    "bridge": (
        "bridge",
        {"split": "train"},
        "path_id_bridgedata.txt",
        ["a/1", "a/2", "put_pot/3", "b/4", "b/5"],
    ),
    "epic": (
        "epic-kitchens-100",
        {},
        "EPIC_100_validation.csv",
        [
            EPIC_HEADER,
            *([f"P01_11_{i}", "P01", "P01_11", str(1 + i), str(9 + i), "take cup"] for i in range(4)),
        ],
    ),
    "loveu": (
        "loveu-tgve",
        {},
        "LOVEU-TGVE-2023_Dataset.csv",
        [
            LOVEU_HEADER,
            ["DAVIS Videos:", *[""] * 5],
            ["stunt", "a man", "b", "c", "d", "e"],
            ["ice", *"abcde"],
        ],
    ),
    "davis": ("davis", {}, "edits.csv", as_rows(DAVIS)),
    "davis yaml": ("davis", {"prompts": "edits.yaml"}, "edits.yaml", DAVIS),
    "davis workbook": ("davis", {"prompts": "edits.xlsx"}, "edits.xlsx", as_rows(DAVIS)),
}


def sound(name: str, content: Any) -> bytes:
    """A sound file of the kind that its name says."""
    suffix = Path(name).suffix
    if suffix == ".jsonl":
        return "\n".join(map(json.dumps, content)).encode()
    if suffix == ".parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(content), sink)
        return sink.getvalue()
    if suffix == ".xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book, sink = openpyxl.Workbook(), io.BytesIO()
        for row in content:
            book.active.append(row)
        book.save(sink)
        return sink.getvalue()
    if suffix == ".yaml":
        return yaml.safe_dump(content).encode()
    if suffix == ".csv":
        file = io.StringIO()
        csv.writer(file).writerows(content)
        return file.getvalue().encode()
    return json.dumps(content).encode()


def made(rng: random.Random, name: str, content: Any, secret: Path) -> bytes:
    """A file of the kind that its name says, at random."""
    suffix, kind = Path(name).suffix, rng.random()
    if kind < 0.1:
        return sound(name, content)
    if kind < 0.4:
        return damaged(rng, sound(name, content))
    if suffix == ".xlsx":
        plain = [cell for cell in TEXTS if cell.isprintable() and len(cell) < 30_000]
        return sound(
            name, [[rng.choice(plain) if rng.random() < 0.05 else c for c in row] for row in content]
        )
    if suffix == ".csv":
        return table(rng, content, secret)
    value = changed(rng, content, secret) if kind < 0.85 else tree(rng, secret)
    try:
        if suffix == ".jsonl":
            return "\n".join(map(json.dumps, value if isinstance(value, list) else [value])).encode()
        if suffix == ".parquet":
            return sound(name, value)
        if suffix == ".yaml":
            return yaml.safe_dump(value).encode("utf-8", "surrogatepass")
        return json.dumps(value, ensure_ascii=rng.random() < 0.8).encode("utf-8", "surrogatepass")
    except (
        RecursionError,
        ArithmeticError,
        TypeError,
        AttributeError,
        KeyError,
        ValueError,
        pa.ArrowException,
    ):
        # What the writer of the format cannot write.
        return damaged(rng, sound(name, content))


def check_message(error: DatasetError | EvaluationError) -> None:
    message = str(error)
    assert len(message) < 3000, "a message that nobody reads"
    message.encode()  # it must be printable
    assert error.message


def check_opened(found: list[str], secret: Path) -> None:
    outside = [path for path in found if os.path.realpath(path).startswith(str(secret))]
    assert not outside


def run_seeds(check: Callable[[random.Random], bool], name: str) -> None:
    """Run a check for every seed; it says whether the list was taken. Both must happen."""
    taken = 0
    for seed in range(NUM_SEEDS):
        try:
            taken += check(random.Random(f"{name} {seed}"))
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}: {type(error).__name__}: {error!s:.500}") from error
    assert 0 < taken < NUM_SEEDS


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """The folder of a data set, and one outside of it that must not be touched."""
    root, secret = tmp_path / "inner" / "root", tmp_path / "inner" / SECRET
    for folder in ("TestVideo", "videos/000000_000050", "rawframes/a/1", "JPEGImages/480p/bear"):
        (root / folder).mkdir(parents=True)
    for folder in (
        "EPIC-KITCHENS/P01/rgb_frames/P01_11",
        "20bn-something-something-v2",
        "DAVIS_480p/480p_frames/stunt",
    ):
        (root / folder).mkdir(parents=True)
    (root / "rawframes/a/1/img_00001.jpg").touch()
    (root / "20bn-something-something-v2/1000.webm").touch()
    secret.mkdir()
    (secret / "x").write_text("nobody's business")
    (secret / "x.mp4").touch()
    return root, secret


@pytest.mark.parametrize("case", LISTS)
def test_lists_of_data_sets(place: tuple[Path, Path], case: str) -> None:
    root, secret = place
    name, config, file, content = LISTS[case]
    cls = registry.get("datasets", name)

    def check(rng: random.Random) -> bool:
        (root / file).write_bytes(made(rng, file, content, secret))
        data = cls(cls.Config(root=str(root), **config, **({"subset": 2} if name == "webvid" else {})))
        with guarded() as found:
            try:
                samples = list(data._samples())
                assert len(samples) == len(data)
                assert all(isinstance(note, str) for note in data.notes())
                data.fingerprint()
                data.missing()
                list(data)
            except DatasetError as error:
                check_message(error)
                samples = []
        check_opened(found, secret)
        for sample in samples:
            assert sample.reference is not None
            path = os.path.normpath(sample.reference.path)
            assert path.startswith(f"{root}{os.sep}")
            assert ".." not in sample.reference.path.parts
            for written in (sample.id, sample.prompt, sample.source, str(path)):
                assert written.strip()
                assert "\0" not in written
                written.encode()
        return bool(samples)

    run_seeds(check, case)


CAPTION_LISTS: dict[str, Any] = {
    "c.json": CAPTIONS,
    "object.json": {"clip0": "a dog", "clip1": ["a cat", "a car"], "clip2": "a bus"},
    "release.json": {
        "videos": [],
        "sentences": [{"video_id": f"clip{i}", "caption": "a dog"} for i in range(3)],
    },
    "prompts.json": [{"prompt_en": "a dog", "dimension": ["x"]}, {"prompt_en": "a cat", "dimension": ["y"]}],
    "c.jsonl": CAPTIONS,
    "c.parquet": CAPTIONS,
    "c.csv": as_rows(CAPTIONS),
    "c.xlsx": as_rows(CAPTIONS),
    "pairs.csv": [
        ["generated", "reference", "caption", "source"],
        *([f"clip{i}", f"clip{i}", "a", "s"] for i in range(3)),
    ],
    "lines.txt": None,
}


@pytest.mark.parametrize("file", CAPTION_LISTS)
def test_captions_and_pairs(tmp_path: Path, file: str) -> None:
    secret = tmp_path / SECRET
    secret.mkdir()
    (secret / "x").write_text("nobody's business")
    names = ("clip0", "clip1", "clip2", "a dog-0", "a dog-1", "sub/a cat-0")
    clips = {name: StoredClip(name, tmp_path / "clips" / f"{name}.mp4", "video") for name in names}
    path = tmp_path / file

    def check(rng: random.Random) -> bool:
        if file == "lines.txt":
            path.write_bytes(damaged(rng, b"clip0\ta dog\nclip1\ta cat\nclip2\ta | bar\n"))
        else:
            path.write_bytes(made(rng, file, CAPTION_LISTS[file], secret))
        is_pairs = file == "pairs.csv"
        with guarded() as found:
            try:
                matched = match(clips, clips, None if is_pairs else path, path if is_pairs else None)
            except EvaluationError as error:
                check_message(error)
                return False
        check_opened(found, secret)
        assert sum(len(problem) for problem in matched.problems) < 8000
        for sample in matched.samples:
            assert sample.generated in (None, *clips.values())
            assert sample.reference in (None, *clips.values())
            for written in (sample.id, sample.source, sample.caption or "x"):
                assert written.strip()
                assert "\0" not in written
                written.encode()
        return True

    run_seeds(check, file)

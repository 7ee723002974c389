"""Files of weights that are damaged or made to harm: refused in one line, whatever is in them."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from reelbench.core.errors import WeightsError
from reelbench.core.tensor_files import own_entry, refuse_damaged, refuse_other_tensors, tensor_names

INSERTED = (
    b"[" * 50_000,
    b"\xff\xff\xff",
    b"1e999",
    b"Infinity",
    b"null",
    b"9" * 5000,
    b"PK\x01\x02",
    b"PK\x05\x06",
)


def mutated(data: bytes, generator: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.choice((1, 2, 8))):
        place = generator.randrange(len(changed) + 1)
        if generator.random() < 0.5 and place < len(changed):
            changed[place] = generator.randrange(256)
        elif generator.random() < 0.5:
            changed[place:place] = generator.choice(INSERTED)
        else:
            del changed[place : place + generator.randrange(40)]
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_whatever_is_in_a_file_of_tensors_no_foreign_exception_comes_of_it(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save({"a": torch.ones(2), "b": {"c": torch.ones(1)}}, path)
    else:
        path.write_bytes(save({"a": np.ones(2)}, {"reelbench": json.dumps({"format": "x"})}))
    whole, generator = path.read_bytes(), random.Random(0)
    num_refused = 0
    for _ in range(800):
        path.write_bytes(mutated(whole, generator))
        try:
            refuse_other_tensors(path, "weights", "a")
        except WeightsError:
            num_refused += 1
        try:
            own_entry(io.BytesIO(path.read_bytes()))
        except ValueError:
            num_refused += 1
    assert num_refused > 100


def header(data: object) -> bytes:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return len(text).to_bytes(8, "little") + text + bytes(64)


@pytest.mark.parametrize(
    "content",
    [
        header({"a": {"data_offsets": []}}),
        header({"a": None}),
        header(b'{"a": {"data_offsets": [0, Infinity]}}'),
        header(b'{"a": ' + b"[" * 50_000),
        header({"__metadata__": 7, "a": {"data_offsets": [0, 10**30]}}),
    ],
)
def test_a_header_that_says_nonsense_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot read"):
        refuse_damaged(path, "weights")


def test_an_archive_that_unpacks_to_more_than_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x/data.pkl", "w") as file:
        for _ in range(101):
            file.write(bytes(1_000_000))
    assert path.stat().st_size < 1_000_000
    assert tensor_names(path) is None

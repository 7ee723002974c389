"""Locations of weights, and the digests that they may be pinned to."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reelbench.core.errors import WeightsError
from reelbench.core.file_digests import FileDigests
from reelbench.core.types import WeightsRef
from reelbench.core.weights import count_parameters, digest_weights, resolve, split_pin, why_missing, with_pin

OTHER = "0" * 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    path.write_bytes(b"tensors")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"tensors")
    return path


def test_a_pin_is_split_off_and_put_back() -> None:
    pin = "aB" * 32
    assert split_pin(f"owner/name@main#sha256:{pin}") == ("owner/name@main", pin.lower())
    assert split_pin("a#b") == ("a#b", "")
    for location in ("sprites/i3d", "ViT-B-32:openai"):
        assert split_pin(location) == (location, "")
        assert split_pin(with_pin(location, pin.lower())) == (location, pin.lower())
        assert with_pin(location, "") == location


@pytest.mark.parametrize(
    "location", ["net.pt#sha256:", "net.pt#sha256:abc", "#sha256:" + OTHER, "x#sha256:" + "g" * 64]
)
def test_what_is_no_sha256_is_no_pin(location: str) -> None:
    with pytest.raises(WeightsError, match="64 hexadecimal digits"):
        split_pin(location)


def test_a_file_is_pinned_by_its_plain_sha256_or_by_our_digest(file: Path) -> None:
    plain = hashlib.sha256(b"tensors").hexdigest()
    for pin in (plain, plain.upper(), digest_weights(file)):
        assert resolve(f"{file}#sha256:{pin}") == file
    with pytest.raises(WeightsError, match=f"digest {plain}, the pin says {OTHER}") as caught:
        resolve(f"{file}#sha256:{OTHER}")
    assert f"{file}#sha256:{plain}" in caught.value.hint


def test_a_folder_is_pinned_by_our_digest(folder: Path) -> None:
    pin = digest_weights(folder)
    assert resolve(f"{folder}#sha256:{pin}") == folder
    (folder / "notes.md").write_text("no weights")
    assert resolve(f"{folder}#sha256:{pin}") == folder
    (folder / "model.safetensors").write_bytes(b"other tensors")
    with pytest.raises(WeightsError, match=pin):
        resolve(f"{folder}#sha256:{pin}")


def test_a_file_that_changes_is_read_again(file: Path) -> None:
    pin = digest_weights(file)
    resolve(f"{file}#sha256:{pin}")
    file.write_bytes(b"tensors, changed")
    with pytest.raises(WeightsError, match="the pin says"):
        resolve(f"{file}#sha256:{pin}")


def test_digests_of_pinned_weights_are_remembered_where_asked(file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    resolve(f"{file}#sha256:{digest_weights(file)}", cache=FileDigests(cache))
    assert hashlib.sha256(b"tensors").hexdigest() in cache.read_text()


def test_names_below_the_root_and_packaged_names_take_pins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELBENCH_WEIGHTS", str(folder.parent))
    assert resolve(with_pin("model", digest_weights(folder))) == folder
    sprites = resolve("sprites/i3d")
    assert resolve(with_pin("sprites/i3d", digest_weights(sprites))) == sprites
    with pytest.raises(WeightsError, match="'sprites/i3d'"):
        resolve(with_pin("sprites/i3d", OTHER))


def test_the_digest_does_not_know_of_the_pin(file: Path) -> None:
    assert digest_weights(resolve(with_pin(str(file), digest_weights(file)))) == digest_weights(file)


def test_nothing_is_no_location() -> None:
    with pytest.raises(WeightsError, match="no weights are named"):
        resolve("")


def test_a_missing_model_of_the_embedded_world_can_be_trained() -> None:
    with pytest.raises(WeightsError) as caught:
        resolve("sprites/none")
    assert "reelbench world train" in str(caught.value)


def test_why_missing(file: Path, folder: Path) -> None:
    assert why_missing(str(folder)) is None
    assert why_missing(with_pin(str(file), digest_weights(file))) is None
    assert "no weights at" in why_missing(str(file) + "x")
    assert "the pin says" in why_missing(with_pin(str(file), OTHER))
    assert "not a sha256" in why_missing(f"{file}#sha256:1")
    assert "no weights for" in why_missing("sprites/none")
    # A hub id may be fetched later; nothing is asked here.
    assert why_missing("somebody/some-model") is None


def test_parameters_are_counted_in_the_files_that_are_loaded(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {"a": torch.zeros(3, 4, dtype=torch.float16), "ids": torch.zeros(7, dtype=torch.int64)}
    save_file(tensors, str(tmp_path / "one.safetensors"))
    one = WeightsRef("one", str(tmp_path / "one.safetensors"))
    assert count_parameters([one, one]) == 12
    assert count_parameters([]) == 0
    (tmp_path / "other.pt").write_bytes(b"pickled")
    for bad in (tmp_path / "other.pt", tmp_path / "missing"):
        assert count_parameters([one, WeightsRef("other", str(bad))]) is None

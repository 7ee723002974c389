"""Digests and seeds follow from content alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.hashing import canonical_json, digest, digest_array, digest_file
from reelbench.core.seeds import derive_seed, generator


def test_canonical_json_ignores_the_order_of_keys_and_keeps_that_of_lists() -> None:
    assert canonical_json({"b": 1, "a": [2, 1]}) == '{"a":[2,1],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1, 2]) != digest([2, 1])


def test_a_known_digest_never_changes() -> None:
    # Stored work is found by these: printf '{"a":[1,2.5,"é",null,true]}' | sha256sum
    expected = "4e2e0c24ee9a5bdcf69a27ad82fa94433955bdaabcf294a2f94a70eefb5c7d6d"
    assert digest({"a": (1, 2.5, "é", None, True)}) == expected


@pytest.mark.parametrize("value", [{"a": math.nan}, {"a": math.inf}])
def test_numbers_without_a_json_form_are_refused(value: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        digest(value)


@pytest.mark.parametrize("value", [{1: "a"}, {"a": object()}, {"a": {1, 2}}, {"a": b"x"}])
def test_types_without_a_json_form_are_refused(value: dict[Any, Any]) -> None:
    with pytest.raises(TypeError):
        digest(value)


def test_array_digest_sees_dtype_shape_and_values_but_not_memory_layout() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert digest_array(array) == digest_array(np.asfortranarray(array))
    assert digest_array(array) != digest_array(array.reshape(3, 2))
    assert digest_array(array) != digest_array(array.astype(np.int64))
    assert digest_array(array) != digest_array(array + 1)


def test_file_digest_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert digest_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_seeds_differ_by_parts_type_and_border() -> None:
    seeds = {
        derive_seed(0, "a"),
        derive_seed("0", "a"),
        derive_seed(0, "b"),
        derive_seed(1, "a"),
        derive_seed("ab", "c"),
        derive_seed("a", "bc"),
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_is_local_and_repeatable() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what must not move
    assert generator("x", 1).integers(0, 100, 5).tolist() == generator("x", 1).integers(0, 100, 5).tolist()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002

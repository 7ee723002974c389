"""Giving memory back."""

from __future__ import annotations

from reelbench.evaluation.stored_clips import release_free_memory


def test_it_may_be_called_at_any_time() -> None:
    release_free_memory()
    release_free_memory()


def test_freed_blocks_between_living_ones_go_back_to_the_system() -> None:
    """Blocks below glibc's threshold of its own mappings, every other one freed."""
    blocks = [bytearray(100_000) for _ in range(1500)]
    for block in blocks:
        block[::4096] = b"x" * len(block[::4096])
    del blocks[::2]
    kept = _resident_mib()
    release_free_memory()
    assert _resident_mib() <= kept


def _resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * 4096 / 2**20

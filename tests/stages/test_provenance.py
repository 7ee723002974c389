"""What is recorded beside a result of the machine that made it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelbench.stages import provenance
from reelbench.stages.provenance import peak_memory_gib, reset_peak_memory


def can_reset() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not can_reset(), reason="this system does not permit to reset the peak")
def test_a_small_job_after_a_large_one_shows_less_memory() -> None:
    reset_peak_memory("cpu")
    large = np.ones(300 * 2**20, np.uint8)
    of_large = peak_memory_gib("cpu")
    del large
    reset_peak_memory("cpu")
    of_small = peak_memory_gib("cpu")
    assert of_large is not None
    assert of_small is not None
    assert 0 < of_small < of_large - 0.2


def test_without_a_reset_there_is_no_number_rather_than_that_of_another_job() -> None:
    assert provenance._ResidentPeak().gib() is None

"""What is recorded of where something was made."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from reelbench.stages.provenance import peak_memory_gib, reset_peak_memory


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep the peak of the whole process")
def test_the_memory_of_a_clip_is_not_what_was_needed_before_it() -> None:
    reset_peak_memory("cpu")
    before = peak_memory_gib("cpu")
    large = np.ones(2**27 // 8)  # 0.125 GiB
    assert peak_memory_gib("cpu") - before > 0.1
    del large
    reset_peak_memory("cpu")
    assert peak_memory_gib("cpu") - before < 0.05

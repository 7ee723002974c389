"""VBench's dynamic degree: RAFT's files under its authors' names, the fastest part of the flow, the rule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import raft_large, raft_small

from reelbench.core.errors import MetricError
from reelbench.metrics.clips.motion import DynamicDegree
from reelbench.metrics.extractors.flow import raft
from reelbench.metrics.extractors.flow.dynamics import FastestMotionSession
from reelbench.metrics.extractors.flow.raft import load_raft
from reelbench.metrics.protocol import Protocol


def authors_name(name: str) -> str:
    """torchvision's name of a tensor as princeton-vl/RAFT has it."""
    for pattern, replacement in (
        (r"^feature_encoder\.", "fnet."),
        (r"^context_encoder\.", "cnet."),
        (r"net\.convnormrelu\.0\.", "net.conv1."),
        (r"net\.convnormrelu\.1\.", "net.norm1."),
        (r"net\.conv\.", "net.conv2."),
        (r"\.convnormrelu(\d)\.0\.", r".conv\1."),
        (r"\.convnormrelu(\d)\.1\.", r".norm\1."),
        (r"motion_encoder\.convcorr(\d)\.0", r"encoder.convc\1"),
        (r"motion_encoder\.convflow(\d)\.0", r"encoder.convf\1"),
        (r"motion_encoder\.conv\.0", "encoder.conv"),
        (r"recurrent_block\.convgru(\d)\.conv(\w)", r"gru.conv\2\1"),
        (r"^mask_predictor\.convrelu\.0", "update_block.mask.0"),
        (r"^mask_predictor\.conv", "update_block.mask.2"),
    ):
        name = re.sub(pattern, replacement, name)
    return f"module.{name}"


@pytest.mark.parametrize("build", [raft_large, raft_small])
def test_the_authors_files_are_torchvisions_network(build: Any, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = build(weights=None).state_dict()
    theirs = {}
    for name, value in tensors.items():
        full = authors_name(name)
        if build is raft_small:  # one convolution in place of two, without a number
            full = re.sub(r"(gru\.conv\w)1", r"\1", full)
        theirs[full] = value
        if ".downsample.1." in full:  # held a second time
            last = "norm3" if build is raft_large else "norm4"
            theirs[full.replace("downsample.1", last)] = value
    torch.save(theirs, tmp_path / "raft-things.pth")
    loaded = load_raft(tmp_path).state_dict()
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in loaded.items())


class FakeRaft:
    """A flow that is known: 10 in a tenth of the padded frame, 1 elsewhere."""

    def padded(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = (raft.padded_length(side) for side in first.shape[:2])
        flow = np.zeros((height, width, 2), np.float32)
        flow[..., 0] = 1.0
        flow[: height // 10 + 1, :, 0] = 0.0
        flow[: height // 10 + 1, :, 1] = -10.0
        return flow


def still(num_frames: int, height: int = 130, width: int = 200) -> np.ndarray:
    return np.zeros((num_frames, height, width, 3), np.uint8)


def test_the_fastest_part_is_measured_at_256_pixels() -> None:
    features = FastestMotionSession(FakeRaft()).extract([still(3)])[0]
    np.testing.assert_allclose(features, [10 * 256 / 130] * 2, rtol=1e-6)
    assert features.dtype == np.float32


def test_the_padding_is_the_frames_repeated_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft, "NUM_UPDATES", 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft_small.pth")
    flow = raft.RaftFlow(load_raft(tmp_path), "cpu")
    first, second = np.random.default_rng(0).integers(0, 256, (2, 130, 150, 3), dtype=np.uint8)
    whole = flow.padded(first, second)
    assert whole.shape == (136, 152, 2)
    np.testing.assert_array_equal(whole[3:133, 1:151], flow(first, second))


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (still(1), "at least 2 frames"),
        (still(3, 120, 300), "128 pixels a side, the clip's are 120 x 300"),
        (still(3, 64, 64), "128 pixels"),
    ],
)
def test_clips_without_motion_to_measure_are_refused(clip: np.ndarray, words: str) -> None:
    with pytest.raises(MetricError, match=words):
        FastestMotionSession(FakeRaft()).extract_one(clip)


def test_a_frame_of_121_pixels_is_padded_to_128() -> None:
    assert len(FastestMotionSession(FakeRaft()).extract_one(still(2, 121, 128))) == 1


@pytest.mark.parametrize(
    ("num_frames", "num_fast", "moves"),
    [
        (16, 4, 1.0),
        (16, 3, 0.0),
        (8, 2, 1.0),
        (8, 1, 0.0),
        (3, 1, 1.0),
        (10, 2, 1.0),
        (14, 3, 0.0),
        (16, 0, 0.0),
    ],
)
def test_a_clip_moves_where_a_quarter_of_its_pairs_do(
    clean: Protocol, num_frames: int, num_fast: int, moves: float
) -> None:
    """round(T / 4), half to even: 10 frames need 2 pairs, 14 need 4."""
    lengths = np.zeros(num_frames - 1, np.float32)
    lengths[:num_fast] = 6.01
    assert DynamicDegree(clean).compute({"fastest_motion": lengths}) == moves


def test_the_threshold_itself_is_no_motion(clean: Protocol) -> None:
    assert DynamicDegree(clean).compute({"fastest_motion": np.full(15, 6.0, np.float32)}) == 0.0


def test_two_frames_have_no_dynamic_degree(clean: Protocol) -> None:
    """VBench's rule would take still ones for moving, too."""
    with pytest.raises(MetricError, match="it takes 3"):
        DynamicDegree(clean).compute({"fastest_motion": np.zeros(1, np.float32)})

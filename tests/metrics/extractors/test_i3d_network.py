"""The I3D twin against the facts of the reference graph."""

from __future__ import annotations

import pytest
import torch

from reelbench.metrics.extractors.i3d.network import InceptionI3d, same_padding


def test_size_is_that_of_the_reference() -> None:
    with torch.device("meta"):
        net = InceptionI3d()
    learned = sum(p.numel() for p in net.parameters() if p.requires_grad)
    statistics = sum(b.numel() for name, b in net.named_buffers() if "running" in name)
    # 12,704,544 variables of the reference graph: weights, shifts and moving statistics, no scales.
    assert learned + statistics == 12_704_544


def test_names_are_those_of_public_state_dicts() -> None:
    with torch.device("meta"):
        names = set(InceptionI3d().state_dict())
    assert {
        "Conv3d_1a_7x7.conv3d.weight",
        "Conv3d_2c_3x3.bn.running_var",
        "Mixed_3b.b1a.conv3d.weight",
        "Mixed_5c.b3b.bn.bias",
        "logits.conv3d.bias",
    } <= names


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "front", "back"),
    [(224, 7, 2, 2, 3), (112, 3, 2, 0, 1), (7, 3, 1, 1, 1), (9, 3, 2, 1, 1), (5, 2, 2, 0, 1)],
)
def test_padding_is_tensorflows(n: int, kernel: int, stride: int, front: int, back: int) -> None:
    pads = same_padding((n, n, n), (kernel,) * 3, (stride,) * 3)
    assert pads == [front, back] * 3


def test_eight_frames_are_refused_and_nine_accepted() -> None:
    net = InceptionI3d(0.0625, 5).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 9, 224, 224)).shape == (1, 5)
        with pytest.raises(ValueError, match="at least 9"):
            net(torch.zeros(1, 3, 8, 224, 224))
        with pytest.raises(ValueError, match="224"):
            net(torch.zeros(1, 3, 16, 112, 112))


@pytest.mark.parametrize(("frames", "positions"), [(9, 1), (16, 1), (17, 2), (24, 2), (25, 3)])
def test_logits_are_averaged_over_the_positions_that_the_frames_give(frames: int, positions: int) -> None:
    net = InceptionI3d(0.0625, 5).eval()
    with torch.inference_mode():
        features = net.forward_body(torch.zeros(1, 3, frames, 64, 64))
    assert features.shape[2] - 1 == positions

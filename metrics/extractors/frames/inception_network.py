"""Inception-v3 as FID has it: torchvision's network with the pools of TensorFlow's graph of 2015-12-05.

Three differences to torchvision's (Heusel et al. 2017 took the graph as it was; torch-fidelity and
pytorch-fid found them): average pools inside the blocks do not count padding; the last block's pool takes the
maximum; there are 1008 classes and no auxiliary ones. BatchNorm's epsilon is 1e-3 in both.

Shape suffixes: B frames, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.inception import Inception3, InceptionA, InceptionC, InceptionE


def _average(x_BCHW: Tensor) -> Tensor:
    return functional.avg_pool2d(x_BCHW, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x_BCHW: Tensor) -> Tensor:
    return functional.max_pool2d(x_BCHW, 3, stride=1, padding=1)


class _OwnPool:
    """In front of a block of torchvision's: its last branch, behind another pool."""

    pool: ClassVar[Any] = staticmethod(_average)
    branch_pool: nn.Module

    def _forward(self, x_BCHW: Tensor) -> list[Tensor]:
        branches: list[Tensor] = super()._forward(x_BCHW)[:-1]  # type: ignore[misc]
        return [*branches, self.branch_pool(self.pool(x_BCHW))]


class _A(_OwnPool, InceptionA):  # type: ignore[misc]
    pass


class _C(_OwnPool, InceptionC):  # type: ignore[misc]
    pass


class _E(_OwnPool, InceptionE):  # type: ignore[misc]
    pass


class _LastE(_OwnPool, InceptionE):  # type: ignore[misc]
    pool = staticmethod(_maximum)


def fid_inception() -> nn.Module:
    """Frames -1 to 1 [B, 3, 299, 299] -> the last average pool's features [B, 2048].

    Tensors have torchvision's names; the classifier is left out.
    """
    network = Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    network.Mixed_5b = _A(192, pool_features=32)
    network.Mixed_5c = _A(256, pool_features=64)
    network.Mixed_5d = _A(288, pool_features=64)
    network.Mixed_6b = _C(768, channels_7x7=128)
    network.Mixed_6c = _C(768, channels_7x7=160)
    network.Mixed_6d = _C(768, channels_7x7=160)
    network.Mixed_6e = _C(768, channels_7x7=192)
    network.Mixed_7b = _E(1280)
    network.Mixed_7c = _LastE(2048)
    network.dropout, network.fc = nn.Identity(), nn.Identity()
    return network.eval()

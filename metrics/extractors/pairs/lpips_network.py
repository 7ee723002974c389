"""LPIPS's network: AlexNet's convolutions and one linear head for each of its five layers.

Zhang et al. (2018), section 3.2 and eq. 1, in the form of version 0.1: the distance of two frames is the sum
over layers of the mean over places of sum over channels of w (a - b)^2, for activations a and b that are
scaled to length 1 along the channels.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = (64, 192, 384, 256, 256)
"""Of AlexNet's five layers, after each ReLU."""

_RELUS = (1, 4, 7, 9, 11)
"""Their places in torchvision's `alexnet().features`."""

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for values -1 to 1, rounded as in the authors' code."""

_EPSILON = 1e-10
"""Added to the activations' length. torchmetrics adds 1e-8 to its square instead."""


class LpipsNetwork(nn.Module):
    """Frames -1 to 1, twice [B, 3, H, W] -> distance [B], not negative.

    Built without weights: `features` and `heads` are to be loaded with `assign=True`.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import alexnet

        with torch.device("meta"):  # no random weights are drawn, only to be thrown away
            self.features: nn.Sequential = alexnet(weights=None).features[: _RELUS[-1] + 1]
            self.heads = nn.ModuleList(nn.Conv2d(channels, 1, 1, bias=False) for channels in CHANNELS)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
        """The distance of each pair [B]."""
        firsts, seconds = self._activations(first_BCHW), self._activations(second_BCHW)
        distance_B = first_BCHW.new_zeros(len(first_BCHW))
        for head, first, second in zip(self.heads, firsts, seconds, strict=True):
            distance_B = distance_B + head((first - second).square()).mean(dim=(1, 2, 3))
        return distance_B

    def _activations(self, frames_BCHW: Tensor) -> list[Tensor]:
        x_BCHW = (frames_BCHW - self.shift) / self.scale
        activations = []
        for index, layer in enumerate(self.features):
            x_BCHW = layer(x_BCHW)
            if index in _RELUS:
                length_B1HW = x_BCHW.square().sum(dim=1, keepdim=True).sqrt()
                activations.append(x_BCHW / (length_B1HW + _EPSILON))
        return activations

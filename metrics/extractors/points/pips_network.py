"""PIPs++: follows points through a clip, with the names of its authors' checkpoint.

Zheng et al., "PointOdyssey: A Large-Scale Synthetic Dataset for Long-Term Point Tracking" (2023), section 4,
in the form that FVMD's released code has. Frames become features at an eighth of their size. From standing
still on, each round reads how alike a point's feature is to the features around its place in every frame
(its first one, and those 2 and 4 frames before), and a network over time moves the places.

Shape suffixes: B frames or batch, T frames, P points, C channels, H height, W width, K window places.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
NUM_ROUNDS = 16
"""Of moving the points, in FVMD's code."""

_WIDTH = 128
_NUM_LEVELS = 4
_RADIUS = 3
_LAGS = (2, 4)
"""Frames before, whose features a point is compared with besides its first one."""

_TEMPERATURE = 10000.0


class _Block2d(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride)) if stride > 1 else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = _norm(self.conv1(x_BCHW)).relu()
        y_BCHW = _norm(self.conv2(y_BCHW)).relu()
        if self.downsample is not None:
            x_BCHW = _norm(self.downsample(x_BCHW))
        return (x_BCHW + y_BCHW).relu()


class _Encoder(nn.Module):
    """Frames [B, 3, H, W] -> features [B, 128, H / 8, W / 8]."""

    _CHANNELS = (64, 64, 96, 128, 128)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, self._CHANNELS[0], 7, stride=2, padding=3)
        for number, (channels, out) in enumerate(pairwise(self._CHANNELS), start=1):
            blocks = (_Block2d(channels, out, 1 if number == 1 else 2), _Block2d(out, out, 1))
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.conv2 = nn.Conv2d(sum(self._CHANNELS[1:]), 2 * _WIDTH, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * _WIDTH, _WIDTH, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        size = (x_BCHW.shape[2] // STRIDE, x_BCHW.shape[3] // STRIDE)
        x_BCHW = _norm(self.conv1(x_BCHW)).relu()
        levels = []
        for number in range(1, 5):
            x_BCHW = self.get_submodule(f"layer{number}")(x_BCHW)
            levels.append(functional.interpolate(x_BCHW, size, mode="bilinear", align_corners=True))
        features_BCHW: Tensor = self.conv3(_norm(self.conv2(torch.cat(levels, dim=1))).relu())
        return features_BCHW


class _Block1d(nn.Module):
    def __init__(self, channels: int, out: int, is_first: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv1d(channels, out), _conv1d(out, out)
        self._is_first, self._wider = is_first, out - channels

    def forward(self, x_BCT: Tensor) -> Tensor:
        y_BCT = x_BCT if self._is_first else _norm(x_BCT).relu()
        y_BCT = self.conv2(_norm(self.conv1(y_BCT)).relu())
        before = self._wider // 2  # channels of zeros on both sides
        return y_BCT + functional.pad(x_BCT, (0, 0, before, self._wider - before))


class _Mover(nn.Module):
    """Likeness [B, T, K] and the points' velocity [B, T, 2] -> by how much to move them [B, T, 2]."""

    _OUT = (128, 128, 256, 256, 512, 512, 1024, 1024)

    def __init__(self) -> None:
        super().__init__()
        num_likenesses = (1 + len(_LAGS)) * _NUM_LEVELS * (2 * _RADIUS + 1) ** 2
        self.first_block_conv = _conv1d(num_likenesses + _WIDTH + 2, _WIDTH)
        widths = pairwise((_WIDTH, *self._OUT))
        self.basicblock_list = nn.ModuleList(
            _Block1d(channels, out, is_first=index == 0) for index, (channels, out) in enumerate(widths)
        )
        self.dense = nn.Linear(self._OUT[-1], 2)

    def forward(self, likeness_BTK: Tensor, velocity_BT2: Tensor) -> Tensor:
        x_BCT = torch.cat([likeness_BTK, _waves(velocity_BT2), velocity_BT2], dim=2).transpose(1, 2)
        x_BCT = self.first_block_conv(x_BCT).relu()
        for block in self.basicblock_list:
            x_BCT = block(x_BCT)
        moved_BT2: Tensor = self.dense(x_BCT.relu().transpose(1, 2))
        return moved_BT2


class PipsPlusPlus(nn.Module):
    """Frames -1 to 1 [T, 3, H, W] and points [P, 2] (x, y) of the first -> their places [T, P, 2], in pixels.

    H and W are multiples of 8, and at least 128.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fnet = _Encoder()
        self.delta_block = _Mover()
        self.norm = nn.GroupNorm(1, _WIDTH)
        """In the checkpoint, and read by nothing."""

    def forward(self, frames_TCHW: Tensor, points_P2: Tensor, num_rounds: int = NUM_ROUNDS) -> Tensor:
        """The places of the points in every frame."""
        features_TCHW = self.fnet(frames_TCHW)
        pyramid = [features_TCHW]
        for _ in range(_NUM_LEVELS - 1):
            pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
        start_P2 = points_P2 / STRIDE
        places_TP2 = start_P2.expand(len(frames_TCHW), -1, -1)
        first_TPC = _at(features_TCHW[:1], start_P2[None]).expand(len(frames_TCHW), -1, -1)
        of_first = _likenesses(first_TPC, pyramid)
        of_lags = [of_first for _ in _LAGS]
        times = torch.arange(len(frames_TCHW), device=frames_TCHW.device)
        for number in range(num_rounds):
            if number > 0:
                earlier = [(times - lag).clamp(min=0) for lag in _LAGS]
                of_lags = [_likenesses(_at(features_TCHW[t], places_TP2[t]), pyramid) for t in earlier]
            around = [_around(maps, places_TP2) for maps in (of_first, *of_lags)]
            velocity_TP2 = places_TP2.diff(dim=0)
            velocity_TP2 = torch.cat([velocity_TP2, velocity_TP2[-1:]])
            likeness_PTK = torch.cat(around, dim=2).transpose(0, 1)
            moved_PT2 = self.delta_block(likeness_PTK, velocity_TP2.transpose(0, 1))
            if number > 3 * num_rounds // 4:
                moved_PT2 = moved_PT2 * 0.5
            places_TP2 = places_TP2 + moved_PT2.transpose(0, 1)
            places_TP2 = torch.cat([start_P2[None], places_TP2[1:]])
        return places_TP2 * STRIDE


def _conv1d(channels: int, out: int) -> nn.Sequential:
    named = nn.Sequential()
    named.add_module("conv", nn.Conv1d(channels, out, 3, padding=1))
    return named


def _norm(x: Tensor) -> Tensor:
    """Over the places of each channel, without parameters."""
    return functional.instance_norm(x)


def _waves(xy_BT2: Tensor) -> Tensor:
    """[B, T, 128]: sin and cos of x, then of y, at 32 frequencies from 1 to 1 / 10000."""
    num = _WIDTH // 4
    frequencies = _TEMPERATURE ** -(torch.arange(num, device=xy_BT2.device) / (num - 1))
    x, y = (xy_BT2[..., axis : axis + 1] * frequencies for axis in (0, 1))
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=2)


def _at(maps_TCHW: Tensor, places_TP2: Tensor) -> Tensor:
    """[T, P, C] features at places, in their pixels; outside, those of the border."""
    grid_TP12 = _to_unit(places_TP2, maps_TCHW)[:, :, None]
    found_TCP1 = functional.grid_sample(maps_TCHW, grid_TP12, padding_mode="border", align_corners=True)
    return found_TCP1[..., 0].transpose(1, 2)


def _likenesses(targets_TPC: Tensor, pyramid: list[Tensor]) -> list[Tensor]:
    """[T, P, H, W] of each level: inner products of the targets with all features, over sqrt(C)."""
    return [
        torch.einsum("tpc,tchw->tphw", targets_TPC, maps_TCHW) / targets_TPC.shape[2] ** 0.5
        for maps_TCHW in pyramid
    ]


def _around(levels: list[Tensor], places_TP2: Tensor) -> Tensor:
    """[T, P, K] likenesses in a window of 7 x 7 around the places, on every level; 0 outside the frame.

    The first axis of a window goes along x.
    """
    num_frames, num_points = places_TP2.shape[:2]
    steps = torch.linspace(-_RADIUS, _RADIUS, 2 * _RADIUS + 1, device=places_TP2.device)
    window_772 = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    found = []
    for level, maps_TPHW in enumerate(levels):
        maps_B1HW = maps_TPHW.reshape(num_frames * num_points, 1, *maps_TPHW.shape[2:])
        centres_B112 = places_TP2.reshape(-1, 1, 1, 2) / 2**level
        grid_B772 = _to_unit(centres_B112 + window_772, maps_B1HW)
        likeness_B177 = functional.grid_sample(maps_B1HW, grid_B772, align_corners=True)
        found.append(likeness_B177.reshape(num_frames, num_points, -1))
    return torch.cat(found, dim=2)


def _to_unit(places: Tensor, maps_BCHW: Tensor) -> Tensor:
    """Pixels as -1 (the first) to 1 (the last)."""
    height, width = maps_BCHW.shape[2:]
    last = torch.tensor([width - 1, height - 1], device=places.device)
    return 2 * places / last - 1

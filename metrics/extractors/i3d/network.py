"""The Inflated Inception network (I3D, RGB stream) whose logits are the features of FVD.

Architecture: Carreira & Zisserman, "Quo Vadis, Action Recognition?" (2017), as exported in the reference
SavedModel `i3d-kinetics-400`. Facts that ports get wrong and that are kept here:

* convolutions and max-pools pad as TensorFlow's SAME does: the odd element goes to the end, and for
  strided layers the padding depends on the input's size;
* BatchNorm has epsilon 1e-3 and a shift but no scale. The scale exists here as frozen ones, because
  published PyTorch state dicts carry it;
* the tail is an average pool of 2x7x7 without padding, a 1x1x1 convolution with bias, and a mean of the
  logits over time. The pool needs two positions in time, hence at least 9 frames.

Submodules are named as in the public PyTorch state dicts (`Conv3d_1a_7x7.conv3d.weight`,
`Mixed_3b.b1a.bn.running_mean`, `logits.conv3d.bias`), so that those load with `load_state_dict`.

Shape suffixes: B batch, C channels, T frames, H height, W width, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_FRAMES = 9
FRAME_SIDE = 224

# Output channels of the six convolutions of each Inception block: 1x1 branch; reduction and 3x3 of the
# second; reduction and 3x3 of the third; projection after the pool.
_MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def same_padding(
    size: tuple[int, int, int], kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> list[int]:
    """TensorFlow's SAME padding of (T, H, W) in the order torch's `pad` wants: W, H, T, front before end."""
    pads: list[int] = []
    for n, k, s in zip(reversed(size), reversed(kernel), reversed(stride), strict=True):
        total = max(k - s, 0) if n % s == 0 else max(k - n % s, 0)
        pads += [total // 2, total - total // 2]
    return pads


def _pad_same(x_BCTHW: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    size = (x_BCTHW.shape[2], x_BCTHW.shape[3], x_BCTHW.shape[4])
    pads = same_padding(size, kernel, stride)
    return functional.pad(x_BCTHW, pads) if any(pads) else x_BCTHW


class Unit3D(nn.Module):
    """Convolution with SAME padding, then BatchNorm and ReLU unless it is the logits layer."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        stride: tuple[int, int, int] = (1, 1, 1),
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=not normalise)
        # TensorFlow's moving-average decay of 0.99 is torch's momentum of 0.01.
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3, momentum=0.01) if normalise else None
        if self.bn is not None:
            self.bn.weight.requires_grad_(False)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T/s, H/s, W/s], rounded up, for the stride s of each axis."""
        size = (x_BCTHW.shape[2], x_BCTHW.shape[3], x_BCTHW.shape[4])
        pads = same_padding(size, self.kernel, self.stride)
        # Symmetric padding goes into the convolution itself: same numbers, one copy less.
        if pads[0::2] == pads[1::2]:
            padding = (pads[4], pads[2], pads[0])
        else:
            x_BCTHW, padding = functional.pad(x_BCTHW, pads), (0, 0, 0)
        x_BCTHW = functional.conv3d(x_BCTHW, self.conv3d.weight, self.conv3d.bias, self.stride, padding)
        if self.bn is None:
            return x_BCTHW
        return functional.relu(self.bn(x_BCTHW), inplace=True)


class MaxPoolSame(nn.Module):
    """Max-pool with SAME padding. Padding with zeros is harmless: its input has passed a ReLU."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """As `Unit3D.forward`, of as many channels."""
        return functional.max_pool3d(_pad_same(x_BCTHW, self.kernel, self.stride), self.kernel, self.stride)


class InceptionBlock(nn.Module):
    """Four parallel branches, concatenated over channels."""

    def __init__(self, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        w0, w1a, w1b, w2a, w2b, w3 = widths
        self.b0 = Unit3D(in_channels, w0)
        self.b1a = Unit3D(in_channels, w1a)
        self.b1b = Unit3D(w1a, w1b, (3, 3, 3))
        self.b2a = Unit3D(in_channels, w2a)
        self.b2b = Unit3D(w2a, w2b, (3, 3, 3))
        self.b3a = MaxPoolSame((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3D(in_channels, w3)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Other channels, the same size."""
        return torch.cat(
            [
                self.b0(x_BCTHW),
                self.b1b(self.b1a(x_BCTHW)),
                self.b2b(self.b2a(x_BCTHW)),
                self.b3b(self.b3a(x_BCTHW)),
            ],
            dim=1,
        )


class InceptionI3d(nn.Module):
    """I3D for RGB clips.

    Args:
        width_multiplier: scales the channels of every layer but the first input and the logits (each
            rounded, at least 4); 1.0 is the published network with 12.70 million parameters and
            statistics. The small I3D of the Sprites world uses less.
        num_classes: number of logits.

    Input float [B, 3, T, 224, 224] in [-1, 1], T >= 9. Output float [B, K]: logits averaged over time,
    no softmax. The number of positions averaged is ceil(T / 8) - 1.
    """

    def __init__(self, width_multiplier: float = 1.0, num_classes: int = 400) -> None:
        super().__init__()
        if width_multiplier <= 0 or num_classes < 1:
            raise ValueError(
                f"width_multiplier={width_multiplier}, num_classes={num_classes}: both must be positive"
            )
        self.width_multiplier, self.num_classes = width_multiplier, num_classes

        def width(channels: int) -> int:
            return max(4, round(channels * width_multiplier))

        def mixed(name: str, in_channels: int) -> tuple[InceptionBlock, int]:
            widths = tuple(width(c) for c in _MIXED[name])
            return InceptionBlock(in_channels, widths), widths[0] + widths[2] + widths[4] + widths[5]

        self.Conv3d_1a_7x7 = Unit3D(3, width(64), (7, 7, 7), (2, 2, 2))
        self.MaxPool3d_2a_3x3 = MaxPoolSame((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit3D(width(64), width(64))
        self.Conv3d_2c_3x3 = Unit3D(width(64), width(192), (3, 3, 3))
        self.MaxPool3d_3a_3x3 = MaxPoolSame((1, 3, 3), (1, 2, 2))
        self.Mixed_3b, channels = mixed("Mixed_3b", width(192))
        self.Mixed_3c, channels = mixed("Mixed_3c", channels)
        self.MaxPool3d_4a_3x3 = MaxPoolSame((3, 3, 3), (2, 2, 2))
        self.Mixed_4b, channels = mixed("Mixed_4b", channels)
        self.Mixed_4c, channels = mixed("Mixed_4c", channels)
        self.Mixed_4d, channels = mixed("Mixed_4d", channels)
        self.Mixed_4e, channels = mixed("Mixed_4e", channels)
        self.Mixed_4f, channels = mixed("Mixed_4f", channels)
        self.MaxPool3d_5a_2x2 = MaxPoolSame((2, 2, 2), (2, 2, 2))
        self.Mixed_5b, channels = mixed("Mixed_5b", channels)
        self.Mixed_5c, channels = mixed("Mixed_5c", channels)
        self.num_features = channels
        self.logits = Unit3D(channels, num_classes, normalise=False)

    def forward_body(self, video_BCTHW: Tensor) -> Tensor:
        """Everything before the tail: features [B, C, ceil(T/8), ceil(H/32), ceil(W/32)], any H and W."""
        x = self.MaxPool3d_2a_3x3(self.Conv3d_1a_7x7(video_BCTHW))
        x = self.MaxPool3d_3a_3x3(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)))
        x = self.MaxPool3d_4a_3x3(self.Mixed_3c(self.Mixed_3b(x)))
        x = self.Mixed_4e(self.Mixed_4d(self.Mixed_4c(self.Mixed_4b(x))))
        x = self.MaxPool3d_5a_2x2(self.Mixed_4f(x))
        return self.Mixed_5c(self.Mixed_5b(x))

    def forward_tail(self, x_BCTHW: Tensor, window: tuple[int, int] = (7, 7)) -> Tensor:
        """Average pool over (2, *window; smaller on small frames), logits, mean over what is left: [B, K]."""
        pooled = functional.avg_pool3d(x_BCTHW, (2, *window), stride=1)
        return self.logits(pooled).mean(dim=(2, 3, 4))

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """Logits [B, K]. Raises ValueError for another shape than [B, 3, T >= 9, 224, 224]."""
        shape = tuple(video_BCTHW.shape)
        if len(shape) != 5 or shape[1] != 3 or shape[3:] != (FRAME_SIDE, FRAME_SIDE):
            raise ValueError(f"I3D takes [B, 3, T, {FRAME_SIDE}, {FRAME_SIDE}], got {list(shape)}")
        if shape[2] < MIN_FRAMES:
            raise ValueError(
                f"I3D needs at least {MIN_FRAMES} frames, got {shape[2]}: its last pool spans two positions "
                f"in time, and {shape[2]} frames leave one"
            )
        return self.forward_tail(self.forward_body(video_BCTHW))


class I3dProgram(nn.Module):
    """A TorchScript I3D with StyleGAN-V's calling convention, called like `InceptionI3d`.

    Frames come here resized and in [-1, 1], as the protocol says, so both of its own steps stay off.
    """

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """Logits [B, K]."""
        # The fusers of the profiling executor recompile for every new shape, and fail on some GPUs.
        with torch.jit.optimized_execution(False):
            logits: Tensor = self.program(video_BCTHW, rescale=False, resize=False, return_features=True)
        return logits

"""The layers that SimDA adds to a UNet: adapters, latent-shift attention, and (ours) a layout prior.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), its parts
on adapters and on latent-shift attention, and the authors' released editing code. No code was copied: that
repository has no licence. The layout prior is not SimDA's; `methods.adapters.layout_prior` says what it is
for.

Shape suffixes: T frames, B = clips * T, G clips, C channels, H, W height and width (of feature maps or of a
grid of tokens), S spatial tokens, D width of the hidden states, Q width of all heads together, N keys of a
frame (2 S); V words and pairs, R components, Y, X rows and columns of a layout map.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.nn.functional import gelu, interpolate, pad

from ..stable_diffusion.attention import AttentionAcrossFrames, attend


class BottleneckAdapter(nn.Module):
    """The spatial adapter, W2 GELU(W1 x) over the last axis; zero at the start.

    Args:
        width: of the last axis, d.
        bottleneck: width between the layers.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the initial values; the output is zero until `up` has learned."""
        bound = 1 / math.sqrt(self.down.in_features)
        nn.init.uniform_(self.down.weight, -bound, bound, generator=generator)
        nn.init.uniform_(self.down.bias, -bound, bound, generator=generator)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the branch, of the shape of `x`."""
        return self.up(gelu(self.down(x)))


class TemporalAdapter(nn.Module):
    """The temporal adapter, Up(DW(Down x)) on frames folded into the batch; zero at the start.

    The depth-wise convolution over time is written as three shifted products, which needs no change of the
    memory layout; its weight has the shape of the Conv3d that it stands for. Frames outside the clip are
    zero.

    Args:
        channels: of the feature maps, C.
        bottleneck: channels between Down and Up.
        has_layout: whether a layout prior modulates what is between Down and Up.
    """

    def __init__(self, channels: int, bottleneck: int, has_layout: bool = False) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, bottleneck, kernel_size=1)
        self.depthwise_weight = nn.Parameter(torch.empty(bottleneck, 1, 3, 1, 1))
        self.depthwise_bias = nn.Parameter(torch.empty(bottleneck))
        self.up = nn.Conv2d(bottleneck, channels, kernel_size=1)
        self.layout = LayoutModulation(bottleneck) if has_layout else None

    def initialise(self, generator: torch.Generator, bias: Literal["zero", "random"] = "zero") -> None:
        """Sets the initial values; the output is zero until `up` has learned.

        Args:
            bias: of Down and DW; "random" is torch's default for convolutions.
        """
        nn.init.kaiming_normal_(self.down.weight, generator=generator)
        nn.init.kaiming_normal_(self.depthwise_weight, generator=generator)
        assert self.down.bias is not None
        assert self.up.bias is not None
        for zero in (self.down.bias, self.depthwise_bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)
        if self.layout is not None:
            self.layout.initialise(generator)
        if bias == "random":
            for weight, its_bias in (
                (self.down.weight, self.down.bias),
                (self.depthwise_weight, self.depthwise_bias),
            ):
                bound = 1 / math.sqrt(weight[0].numel())  # inputs of one output
                nn.init.uniform_(its_bias, -bound, bound, generator=generator)

    def forward(
        self, x_BCHW: torch.Tensor, num_frames: int, map_B1YX: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What is added to the feature map, [B,C,H,W]; `map_B1YX` is of the layout prior, if there is one."""
        down_GTCHW = self.down(x_BCHW).unflatten(0, (-1, num_frames))
        weight_3CHW = self.depthwise_weight.to(down_GTCHW.dtype).squeeze(1).movedim(1, 0)
        padded = pad(down_GTCHW, (0, 0, 0, 0, 0, 0, 1, 1))
        mixed = self.depthwise_bias.to(down_GTCHW.dtype)[:, None, None] + sum(
            padded[:, offset : offset + num_frames] * weight_3CHW[offset] for offset in range(3)
        )
        mixed_BCHW = mixed.flatten(0, 1)
        if self.layout is not None:
            assert map_B1YX is not None
            mixed_BCHW = self.layout(mixed_BCHW, map_B1YX)
        return self.up(mixed_BCHW)


LatentShift = Literal["paper", "released"]
Pattern = tuple[tuple[int, ...], ...]

RELEASED_PATTERN: Pattern = ((4, 3, 2, 1), (3, 2, 1, 0), (2, 1, 0, 0), (1, 2, 3, 4))
"""Frames that a token is shifted back by, at (row mod 4, column mod 4). The released code's; the paper's own
is not known and is taken to be the same."""


class LatentShiftAttention(AttentionAcrossFrames):
    """Self-attention that also sees a patchwork of tokens from the frames before (SimDA).

    A pattern gives every spatial token a number of frames s by its place; in the shifted frame i the token is
    that of frame i - s at the same place, or of frame i itself where i < s. Queries always come from the
    frame as it is. Two forms, since the paper and the released code disagree:

    - "paper": keys and values from [x_i ; shift(x)_i], all tokens of the frame itself and the shifted frame.
    - "released": from [shift(x)_{i-1} ; shift(x)_i], for the first frame [shift(x)_1 ; shift(x)_1]. The frame
      as it is is never a whole set of keys.

    It has no weights, so it is not the identity before training, unlike the adapters. The first frame of a
    clip, and every frame of a clip that stands still, see each of their own tokens twice or (where the
    pattern mixes) the same token of an equal frame; the softmax over doubled keys is that over single ones,
    so these frames equal the image model up to rounding. Other frames do not.

    Deviation: any grid of tokens is allowed, not only a square one.

    Args:
        num_frames: T.
        latent_height, latent_width: of the latents, from which the grid of a level follows.
        form: "paper" or "released".
        pattern: shifts in frames by place, repeated over the grid.
    """

    kind = "latent-shift attention"

    def __init__(
        self,
        num_frames: int,
        latent_height: int,
        latent_width: int,
        form: LatentShift = "paper",
        pattern: Pattern = RELEASED_PATTERN,
    ) -> None:
        super().__init__(num_frames)
        self._size = (latent_height, latent_width)
        self._form: LatentShift = form
        self._pattern = pattern
        self._sources: dict[tuple[int, torch.device], torch.Tensor] = {}

    def attended(self, attn: Any, hidden_BSD: torch.Tensor) -> torch.Tensor:
        """The layer's output, [B,S,D]."""
        num_images, num_tokens = hidden_BSD.shape[:2]
        sources_TN = self._sources_for(num_tokens, hidden_BSD.device)

        def gathered(x_BSQ: torch.Tensor) -> torch.Tensor:
            # The one copy that is needed: the keys of a frame lie scattered over the clip.
            x_GSQ = x_BSQ.reshape(-1, self.num_frames * num_tokens, x_BSQ.shape[-1])
            shape = (num_images, sources_TN.shape[1], x_BSQ.shape[-1])
            return x_GSQ.index_select(1, sources_TN.flatten()).view(shape)

        key_BSQ, value_BSQ = attn.to_k(hidden_BSD), attn.to_v(hidden_BSD)
        if self.num_frames > 1:
            key_BSQ, value_BSQ = gathered(key_BSQ), gathered(value_BSQ)
        return attend(attn, hidden_BSD, key_BSQ, value_BSQ)

    def _sources_for(self, num_tokens: int, device: torch.device) -> torch.Tensor:
        key = (num_tokens, device)
        if key not in self._sources:
            grid = token_grid(num_tokens, *self._size)
            self._sources[key] = key_sources(self._form, self.num_frames, *grid, self._pattern).to(device)
        return self._sources[key]


def shifted_frames(num_frames: int, height: int, width: int, pattern: Pattern) -> torch.Tensor:
    """The frame from which each token of each shifted frame comes.

    Args:
        num_frames: T.
        height, width: of the grid of tokens.
        pattern: shifts in frames, repeated over the grid.

    Returns:
        int64 [T, S], row-major over the grid: i - s, or i where i < s.

    Raises:
        ValueError: see `checked_pattern`.
    """
    pattern_hw = torch.tensor(checked_pattern(pattern))
    rows, columns = torch.arange(height) % len(pattern), torch.arange(width) % len(pattern[0])
    shift_1S = pattern_hw[rows][:, columns].reshape(1, -1)
    frame_T1 = torch.arange(num_frames)[:, None]
    return torch.where(frame_T1 >= shift_1S, frame_T1 - shift_1S, frame_T1)


def checked_pattern(rows: Sequence[Sequence[int]]) -> Pattern:
    """A pattern as nested tuples, after a check that it is one.

    Raises:
        ValueError: rows of different lengths, none at all, or a negative shift.
    """
    pattern = tuple(tuple(row) for row in rows)
    if not pattern or not pattern[0] or any(len(row) != len(pattern[0]) for row in pattern):
        raise ValueError(f"a shift pattern needs rows of one length, got {pattern}")
    if any(shift < 0 for row in pattern for shift in row):
        raise ValueError(f"shifts go back in time and are at least 0, got {pattern}")
    return pattern


def key_sources(
    form: LatentShift, num_frames: int, height: int, width: int, pattern: Pattern
) -> torch.Tensor:
    """Which of a clip's T*S tokens are the keys of each frame, int64 [T, 2 S].

    One frame alone has its own tokens once, [1, S]: there is nothing to shift, and it is plain attention.
    """
    if form not in get_args(LatentShift):
        raise ValueError(f"unknown form {form!r} of latent-shift attention; known: {get_args(LatentShift)}")
    num_tokens = height * width
    place_S = torch.arange(num_tokens)
    own_TS = torch.arange(num_frames)[:, None] * num_tokens + place_S
    if num_frames == 1:
        return own_TS
    shifted_TS = shifted_frames(num_frames, height, width, pattern) * num_tokens + place_S
    if form == "paper":
        return torch.cat([own_TS, shifted_TS], dim=1)
    before_TS = torch.cat([shifted_TS[:1], shifted_TS[:-1]])
    return torch.cat([before_TS, shifted_TS], dim=1)


def token_grid(num_tokens: int, latent_height: int, latent_width: int) -> tuple[int, int]:
    """Rows and columns of `num_tokens` tokens in a UNet that halves the latents, rounding up.

    Raises:
        ValueError: no level of such a UNet has that many tokens.
    """
    height, width = latent_height, latent_width
    while height * width > num_tokens:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != num_tokens:
        raise ValueError(
            f"{num_tokens} tokens are no level of latents of {latent_height} by {latent_width}; "
            "attention across frames was set up for another size"
        )
    return height, width


MAP_FRAMES, MAP_SIDE, NUM_COMPONENTS = 16, 8, 12
"""Frames, rows and columns of the stored maps; other numbers are interpolated."""


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, and the pairs of neighbours, joined by a space."""
    words = re.findall(r"[\w-]+", text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


@dataclass(frozen=True)
class FittedLayout:
    """The numbers of a layout prior, as `methods.adapters.layout_prior.fit_layout` finds them.

    Attributes:
        words: words and pairs, in the order of the rows of `weight_VR`.
        weight_VR: how much a word says of each component.
        offset_R: of all prompts.
        maps_RTYX: the components, each of deviation 1 in what it says about the captions.
    """

    words: tuple[str, ...]
    weight_VR: torch.Tensor
    offset_R: torch.Tensor
    maps_RTYX: torch.Tensor


class LayoutPrior(nn.Module):
    """Maps of occupancy from prompts. Its numbers are fitted once and have no gradient.

    Args:
        words: words and pairs that it knows; others are passed over.
    """

    weight_VR: torch.Tensor
    offset_R: torch.Tensor
    maps_RTYX: torch.Tensor

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self._place = {word: row for row, word in enumerate(words)}
        self.register_buffer("weight_VR", torch.zeros(len(words), NUM_COMPONENTS))
        self.register_buffer("offset_R", torch.zeros(NUM_COMPONENTS))
        self.register_buffer("maps_RTYX", torch.zeros(NUM_COMPONENTS, MAP_FRAMES, MAP_SIDE, MAP_SIDE))

    def set(self, fitted: FittedLayout) -> None:
        """Takes over what was fitted for these words."""
        self.weight_VR.copy_(fitted.weight_VR)
        self.offset_R.copy_(fitted.offset_R)
        self.maps_RTYX.copy_(fitted.maps_RTYX)

    def forward(self, prompts: Sequence[str], num_frames: int) -> torch.Tensor:
        """The map of every frame of every prompt, float32 [B,1,Y,X]: how far it is from the usual one.

        A prompt without a known word, the empty one among them, gets the usual map: zeros.
        """
        maps = []
        for prompt in prompts:
            rows = sorted({self._place[word] for word in words_of(prompt) if word in self._place})
            component_R = self.weight_VR[rows].float().sum(0) + self.offset_R.float()
            map_TYX = torch.tensordot(component_R, self.maps_RTYX.float(), dims=1)
            maps.append(map_TYX if rows else torch.zeros_like(map_TYX))
        maps_GTYX = torch.stack(maps)
        if num_frames != MAP_FRAMES:
            size = (num_frames, MAP_SIDE, MAP_SIDE)
            maps_GTYX = interpolate(maps_GTYX[:, None], size=size, mode="trilinear", align_corners=True)[:, 0]
        return maps_GTYX.flatten(0, 1)[:, None]


class LayoutModulation(nn.Module):
    """Scales and shifts the channels of a feature map by the map of its frame.

    Args:
        channels: of the feature map, C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor_C = nn.Parameter(torch.empty(channels))
        self.offset_C = nn.Parameter(torch.empty(channels))

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the initial values: random, so that the adapter's last layer has something to pick from."""
        nn.init.normal_(self.factor_C, std=0.1, generator=generator)
        nn.init.normal_(self.offset_C, std=0.3, generator=generator)

    def forward(self, x_BCHW: torch.Tensor, map_B1YX: torch.Tensor) -> torch.Tensor:
        """The feature map, modulated, [B,C,H,W]."""
        map_B1HW = interpolate(map_B1YX, size=x_BCHW.shape[-2:], mode="bilinear").to(x_BCHW.dtype)
        factor_C11, offset_C11 = (p.to(x_BCHW.dtype)[:, None, None] for p in (self.factor_C, self.offset_C))
        return x_BCHW + map_B1HW * (factor_C11 * x_BCHW + offset_C11)

"""SimDA's adapters on a Stable Diffusion UNet: what they compute, and where they sit.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), its part on
adapters, and the authors' released editing code. No code was copied: that repository has no licence.

For every spatial transformer of the UNet (16 in Stable Diffusion 1.x), with d its width:

- temporal adapter, after the ResNet block and before the transformer: x + Up(DW(Down x)), Down and Up
  pointwise to d/2 and back, DW a depth-wise 3D convolution of size (3,1,1) over the frames, no activation.
- attention adapter, in the residual branch after self-attention: u + W2 GELU(W1 u), bottleneck d/4.
- feed-forward adapter, beside the feed-forward: FFN(LN x) + x + W2 GELU(W1 x), bottleneck d/4, no inner skip,
  on the state before the layer norm.

W2 and Up start at zero, so that the adapted model starts as the image model, frame by frame. The released
code leaves out the temporal adapter of most blocks when gradient checkpointing is on; here the adapters
hang on hooks that checkpointing runs through, and a test looks for a gradient in each.

Besides adapters a UNet for videos may have (`AdapterConfig`):

- latent-shift attention (`methods.adapters.latent_shift`), wherever a frame attends to its own tokens;
- group norms with statistics over all frames of a clip instead of one, in the ResNet blocks and before the
  last convolution: the released code has them from Tune-A-Video. They change the image model from the
  start;
- a layout prior (`methods.adapters.layout_prior`), which the paper does not have.

Uncertain: initial values of W1 (not given in the paper; torch's default for linear layers), and whether the
published text-to-video model shares group norms over frames.

Shape suffixes: T frames, B = clips * T, C channels, H, W height and width, S tokens, D width, L text tokens.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import nn
from torch.nn.functional import gelu, pad

from ...core.contracts import FrozenConfig
from ...core.seeds import derive_seed
from .hooks import (
    after,
    before_transformer,
    beside,
    frames_into_rows,
    remember,
    rows_into_frames,
    self_attentions,
    shared_norms,
    transformers_of,
)
from .latent_shift import RELEASED_PATTERN, LatentShift, LatentShiftAttention, Pattern, checked_pattern
from .layout_prior import LayoutModulation, LayoutPrior


class AdapterConfig(FrozenConfig):
    """What a UNet gets to make videos. The defaults are the paper's text-to-video model as far as it is
    known."""

    spatial_bottleneck: float = Field(default=0.25, gt=0, allow_inf_nan=False)
    """Width of the spatial adapters' bottleneck over the width of their block."""

    temporal_bottleneck: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Width of the temporal adapters' bottleneck over the width of their block."""

    layout_words: tuple[str, ...] = ()
    """Words that the layout prior knows (`methods.adapters.layout_prior`); none, as in the paper, is no layout
    prior."""

    latent_shift: LatentShift | Literal["off"] = "paper"
    """Form of latent-shift attention; "off" is self-attention within each frame."""

    shift_pattern: Pattern = RELEASED_PATTERN
    """Shift of a token in frames by (row, column), repeated over the grid."""

    group_norm: Literal["frame", "clip"] = "frame"
    """Over what the ResNet blocks' group norms take their statistics; "clip" is the released editing
    code's."""

    @field_validator("shift_pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: Pattern) -> Pattern:
        return checked_pattern(pattern)


PRESETS: dict[str, AdapterConfig] = {
    "paper": AdapterConfig(),
    "released": AdapterConfig(latent_shift="released", group_norm="clip"),
}
"""The paper's text-to-video model, and the released editing code."""


class BottleneckAdapter(nn.Module):
    """W2 GELU(W1 x) over the last axis; zero at the start.

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
        return self.up(gelu(self.down(x)))


class TemporalAdapter(nn.Module):
    """Up(DW(Down x)) on frames folded into the batch; zero at the start.

    The depth-wise convolution over time is written as three shifted products, which needs no change of the
    memory layout; its weight has the shape of the Conv3d that it stands for. Frames outside the clip are
    zero.

    Args:
        channels: of the feature maps, C.
        bottleneck: channels between Down and Up.
    """

    def __init__(self, channels: int, bottleneck: int, has_layout: bool = False) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, bottleneck, kernel_size=1)
        self.depthwise_weight = nn.Parameter(torch.empty(bottleneck, 1, 3, 1, 1))
        self.depthwise_bias = nn.Parameter(torch.empty(bottleneck))
        self.up = nn.Conv2d(bottleneck, channels, kernel_size=1)
        self.layout = LayoutModulation(bottleneck) if has_layout else None

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the initial values; the output is zero until `up` has learned."""
        nn.init.kaiming_normal_(self.down.weight, generator=generator)
        nn.init.kaiming_normal_(self.depthwise_weight, generator=generator)
        for zero in (self.down.bias, self.depthwise_bias, self.up.weight, self.up.bias):
            assert zero is not None
            nn.init.zeros_(zero)
        if self.layout is not None:
            self.layout.initialise(generator)

    def forward(
        self, x_BCHW: torch.Tensor, num_frames: int, map_B1YX: torch.Tensor | None = None
    ) -> torch.Tensor:
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


class Adapters(nn.Module):
    """All adapters of one UNet. The UNet itself is neither held nor changed: see `attached`.

    Args:
        unet: a diffusers UNet2DConditionModel, read for its structure; may lie on the meta device, and the
            adapters then do, too.
        config: what the adapters are.
        seed: of the initial values.

    Raises:
        WeightsError: the UNet has no spatial transformer, or one of a kind that has no place for adapters.
    """

    def __init__(self, unet: nn.Module, config: AdapterConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        spatial: dict[str, nn.Module] = {}
        temporal: dict[str, nn.Module] = {}
        # Built without memory first: torch's own initial values would come from the global generator.
        with torch.device("meta"):
            for name, transformer in transformers_of(unet):
                width = transformer.in_channels
                temporal[_key(name)] = TemporalAdapter(
                    width, _share(width, config.temporal_bottleneck), bool(config.layout_words)
                )
                for index, block in enumerate(transformer.transformer_blocks):
                    inner = block.norm3.normalized_shape[0]
                    bottleneck = _share(inner, config.spatial_bottleneck)
                    for kind in ("attention", "feed_forward"):
                        spatial[f"{_key(name)}_{index}_{kind}"] = BottleneckAdapter(inner, bottleneck)
            self.spatial = nn.ModuleDict(spatial)
            self.temporal = nn.ModuleDict(temporal)
            self.layout = LayoutPrior(config.layout_words) if config.layout_words else None
        if not next(unet.parameters()).is_meta:
            self.to_empty(device="cpu")
            self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Sets the initial values of all adapters; they depend on the seed and on each adapter's name
        alone."""
        for name, module in self.named_modules():
            if isinstance(module, BottleneckAdapter | TemporalAdapter):
                module.initialise(torch.Generator("cpu").manual_seed(derive_seed(seed, "adapter", name)))

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned, those of the layout prior included."""
        return sum(value.numel() for value in self.state_dict().values())

    @contextlib.contextmanager
    def attached(
        self,
        unet: Any,
        num_frames: int,
        latent_height: int,
        latent_width: int,
        prompts: Sequence[str] | None = None,
    ) -> Iterator[None]:
        """Within the block the UNet makes videos; afterwards, also after an error, it is what it was.

        Args:
            unet: a UNet of the structure that the adapters were built for. Its batch is
                [clip 1: T frames, clip 2: T frames, ...].
            num_frames: T.
            latent_height, latent_width: of the latents.
            prompts: of the clips in the batch (negative prompts of guidance among them); needed by a layout
                prior only.
        """
        map_B1YX = None
        if self.layout is not None:
            if prompts is None:
                raise ValueError("adapters with a layout prior need the prompts of the batch")
            map_B1YX = self.layout(prompts, num_frames)
        processors = dict(unet.attn_processors)
        handles: list[Any] = []
        try:
            handles += self._hooks(unet, num_frames, map_B1YX)
            if self.config.latent_shift != "off":
                shift = LatentShiftAttention(
                    num_frames,
                    latent_height,
                    latent_width,
                    self.config.latent_shift,
                    self.config.shift_pattern,
                )
                own = self_attentions(unet)
                unet.set_attn_processor(
                    {name: shift if name in own else old for name, old in processors.items()}
                )
            yield
        finally:
            for handle in handles:
                handle.remove()
            unet.set_attn_processor(processors)

    def _hooks(self, unet: nn.Module, num_frames: int, map_B1YX: torch.Tensor | None) -> Iterator[Any]:
        for name, transformer in transformers_of(unet):
            temporal = self.temporal[_key(name)]
            yield transformer.register_forward_pre_hook(
                before_transformer(temporal, num_frames, map_B1YX), with_kwargs=True
            )
            for index, block in enumerate(transformer.transformer_blocks):
                attention = self.spatial[f"{_key(name)}_{index}_attention"]
                feed_forward = self.spatial[f"{_key(name)}_{index}_feed_forward"]
                yield block.attn1.register_forward_hook(after(attention))
                before_norm: list[torch.Tensor] = []
                yield block.norm3.register_forward_pre_hook(remember(before_norm))
                yield block.ff.register_forward_hook(beside(feed_forward, before_norm))
        if self.config.group_norm == "clip":
            for norm in shared_norms(unet):
                yield norm.register_forward_pre_hook(frames_into_rows(num_frames))
                yield norm.register_forward_hook(rows_into_frames(num_frames))


def _key(name: str) -> str:
    return name.replace(".", "_")  # torch allows no dots in the names of modules


def _share(width: int, bottleneck: float) -> int:
    return max(1, int(width * bottleneck))

"""Inflation: a text-to-image UNet that sees a whole clip, without a change to its checkpoint.

Source: Wu et al., "Tune-A-Video" (ICCV 2023), section 3.2, and the authors' released code. What becomes of
the layers of a diffusers UNet2DConditionModel (Stable Diffusion 1.x, 2.x, the embedded one):

- convolutions, up- and downsampling, cross-attention, feed-forward: the same weights on every frame, the
  frames folded into the batch;
- group norms of the ResNet blocks and before the last convolution: statistics over all frames of a clip;
  those of the spatial transformers: per frame;
- self-attention: sparse-causal (`methods.stable_diffusion.attention`), on the same weights;
- new, last in every transformer block: temporal attention, after a layer norm and added to the state.

Deviation: the published network is a copy of the UNet in another class. Here diffusers' own object gets
attention processors, hooks and tuned weights within `Inflation.attached`; one loaded UNet serves many
tunings.

A clip that stands still is, in all frames, what the image model makes of it (tested): doubled equal keys are
single keys, and equal frames have the statistics of one. Only a random bias of temporal attention is added.

Shape suffixes: T frames, G clips, B = G*T, S spatial tokens, D width of the hidden states, K number of heads,
E width of one head.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from ...core.errors import RunFileError, WeightsError
from ...core.seeds import derive_seed
from ..stable_diffusion.attention import SparseCausalAttention, norms_over_clips, self_attention
from .config import InflationConfig, OutputBias


class Inflation:
    """What a UNet gets to become a video model: temporal attention, and its own copy of what is trained.

    Args:
        unet: a diffusers UNet2DConditionModel; read, neither held nor changed.
        config: what is inflated and trained.
        seed: of the initial values of temporal attention.
        device: where the new tensors lie; None is the UNet's. "meta" is for counting and for loading.

    Attributes:
        trained: what a tuning may train, and an artifact holds: float32, by names that continue those of the
            UNet.

    Raises:
        WeightsError: the UNet has no transformer block, or one of another kind.
        RunFileError: `trains` holds a name that ends no module's.
    """

    def __init__(
        self, unet: Any, config: InflationConfig, seed: int = 0, device: str | torch.device | None = None
    ) -> None:
        self.config = config
        where = torch.device(device) if device is not None else next(unet.parameters()).device
        self.temporal: dict[str, TemporalLayer] = {}
        if config.temporal_attention:
            self.temporal = {
                name: _temporal_layer(block, where, derive_seed(seed, "attn_temp", name), config)
                for name, block in transformer_blocks(unet)
            }
        self._frozen = {
            name: parameter for name, parameter in self._temporal_parameters() if not self._is_trained(name)
        }
        self.trained: dict[str, nn.Parameter] = {
            name: nn.Parameter(_copy(parameter, where))
            for name, parameter in unet.named_parameters()
            if self._is_trained(name)
        }
        self._in_unet = tuple(self.trained)
        self.trained |= {
            name: parameter for name, parameter in self._temporal_parameters() if self._is_trained(name)
        }
        for end in config.trains:
            if not any(_belongs(name, end) for name in self.trained):
                raise RunFileError(
                    f"`trains` names {end!r}, but no module of the inflated UNet has a name that ends so",
                    "allowed are ends of module names, for example attn1.to_q, attn2.to_q, attn_temp",
                )

    @property
    def num_parameters(self) -> int:
        """How many numbers `trained` holds."""
        return sum(parameter.numel() for parameter in self.trained.values())

    @torch.no_grad()
    def to(self, dtype: torch.dtype) -> Inflation:
        """Cast everything, in place: to the UNet's number format, for sampling."""
        for parameter in (*self.trained.values(), *self._frozen.values()):
            parameter.data = parameter.data.to(dtype)
        return self

    @torch.no_grad()
    def load(self, tensors: Mapping[str, torch.Tensor], source: str) -> None:
        """Set what is trained, on the devices and in the number formats that it has.

        Args:
            tensors: by the names of `trained`.
            source: where they come from, for errors.

        Raises:
            WeightsError: a name is missing or unknown, or a shape differs: they are of another UNet.
        """
        missing = sorted(self.trained.keys() - tensors.keys())
        unknown = sorted(tensors.keys() - self.trained.keys())
        shapes = [
            f"{name} is {list(tensors[name].shape)}, not {list(parameter.shape)}"
            for name, parameter in self.trained.items()
            if name in tensors and tensors[name].shape != parameter.shape
        ]
        for what, names in (("lacks", missing), ("has the unknown", unknown), ("differs:", shapes)):
            if names:
                raise WeightsError(
                    f"{source} does not fit this UNet: it {what} {', '.join(names[:3])}"
                    + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
                    "it was tuned on another pipeline or with other `inflation` settings; tune again",
                )
        for name, parameter in self.trained.items():
            parameter.data.copy_(tensors[name])

    @contextlib.contextmanager
    def attached(self, unet: Any, num_frames: int) -> Iterator[None]:
        """Within the block the UNet works on clips; afterwards, also after an error, it is what it was.

        Gradients must be computed within the block too: gradient checkpointing calls the UNet once more.

        Args:
            unet: of the structure that this was made for. Its batch is
                [clip 1: T frames, clip 2: T frames, ...].
            num_frames: T.
        """
        pretrained = {name: unet.get_parameter(name) for name in self._in_unet}
        with contextlib.ExitStack() as places:
            for name, layer in self.temporal.items():
                hook = _temporal_hook(layer, num_frames)
                places.callback(unet.get_submodule(name).register_forward_hook(hook).remove)
            if self.config.group_norm == "clip" and num_frames > 1:
                places.enter_context(norms_over_clips(unet, num_frames))
            if self.config.keys == "first-and-previous":
                places.enter_context(self_attention(unet, SparseCausalAttention(num_frames)))
            for name in self._in_unet:
                places.callback(_set_parameter, unet, name, pretrained[name])
                _set_parameter(unet, name, self.trained[name])
            yield

    def _temporal_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for block, layer in self.temporal.items():
            for name, parameter in layer.named_parameters():
                yield f"{block}.{name}", parameter

    def _is_trained(self, name: str) -> bool:
        return any(_belongs(name, end) for end in self.config.trains)


def transformer_blocks(unet: nn.Module) -> list[tuple[str, Any]]:
    """The transformer blocks of a UNet with their names, in the order of its modules.

    Raises:
        WeightsError: there are none, or one is not of Stable Diffusion's kind.
    """
    from diffusers.models.attention import BasicTransformerBlock

    found = [
        (name, module) for name, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)
    ]
    if not found:
        raise WeightsError(
            "the UNet has no transformer block that could be inflated",
            "this method needs a UNet with transformer blocks, as Stable Diffusion has",
        )
    for name, block in found:
        if block.norm_type != "layer_norm" or block.only_cross_attention:
            raise WeightsError(
                f"the block {name} of the UNet has norm {block.norm_type!r} and "
                f"only_cross_attention={block.only_cross_attention}; inflation needs 'layer_norm' and False",
                "give a Stable Diffusion 1.x or 2.x pipeline",
            )
    return found


def _belongs(parameter: str, end: str) -> bool:
    """Whether a parameter lies in a module whose name ends so; its own last part is no module."""
    parts = parameter.split(".")
    return any(".".join(parts[:count]).endswith(end) for count in range(1, len(parts)))


def _temporal_layer(block: Any, device: torch.device, seed: int, config: InflationConfig) -> TemporalLayer:
    # Built without memory first: torch's own initial values would come from the global generator.
    with torch.device("meta"):
        width = block.norm1.normalized_shape[0]
        layer = TemporalLayer(width, block.attn1.to_q.out_features, block.attn1.heads)
    if device.type != "meta":
        layer.to_empty(device="cpu")
        layer.initialise(torch.Generator("cpu").manual_seed(seed), config.temporal_bias)
        layer.to(device)
    return layer.requires_grad_(False)


def _copy(parameter: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "meta":
        return torch.empty_like(parameter, device=device, dtype=torch.float32)
    return parameter.detach().to(device, torch.float32, copy=True)


def _set_parameter(unet: nn.Module, name: str, parameter: nn.Parameter) -> None:
    module, _, leaf = name.rpartition(".")
    setattr(unet.get_submodule(module), leaf, parameter)


def _temporal_hook(layer: TemporalLayer, num_frames: int) -> Callable[..., torch.Tensor]:
    def hook(module: nn.Module, args: Any, hidden_BSD: torch.Tensor) -> torch.Tensor:
        return layer(hidden_BSD, num_frames)

    return hook


class TemporalAttention(nn.Module):
    """Self-attention over the frames at every spatial site: every place looks at itself in all frames.

    Heads as in the block, no positions, no causal mask.

    Args:
        width: of the hidden states, D.
        inner: width of all heads together.
        heads: number of heads.
    """

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Linear(inner, width)

    def forward(self, hidden_BSD: torch.Tensor, num_frames: int) -> torch.Tensor:
        """The attended states, [B,S,D]."""

        def sites(x_BSQ: torch.Tensor) -> torch.Tensor:
            """[G*S,K,T,E]: a view for one clip; several clips do not lie so that one view could hold them."""
            x_GTSKE = x_BSQ.unflatten(0, (-1, num_frames)).unflatten(-1, (self.heads, -1))
            return x_GTSKE.permute(0, 2, 3, 1, 4).flatten(0, 1)

        attended = scaled_dot_product_attention(
            sites(self.to_q(hidden_BSD)), sites(self.to_k(hidden_BSD)), sites(self.to_v(hidden_BSD))
        )
        attended_GSKTE = attended.unflatten(0, (-1, hidden_BSD.shape[1]))
        return self.to_out(attended_GSKTE.permute(0, 3, 1, 2, 4).flatten(3).flatten(0, 1))


class TemporalLayer(nn.Module):
    """x + attn_temp(norm_temp(x)): what inflation adds to a transformer block. Names as in the released code.

    Args as of `TemporalAttention`.
    """

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.norm_temp = nn.LayerNorm(width)
        self.attn_temp = TemporalAttention(width, inner, heads)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, output_bias: OutputBias) -> None:
        """Set the initial values: those of torch's linear layers, but a zero for the output's weight.

        The output's bias starts random in the released code, which makes the block a constant offset at the
        start rather than the identity; the paper does not speak of it, so it is a setting.
        """
        nn.init.ones_(self.norm_temp.weight)
        nn.init.zeros_(self.norm_temp.bias)
        attention = self.attn_temp
        for layer in (attention.to_q, attention.to_k, attention.to_v):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.zeros_(attention.to_out.weight)
        nn.init.zeros_(attention.to_out.bias)
        if output_bias == "random":
            bound = 1 / math.sqrt(attention.to_out.in_features)
            nn.init.uniform_(attention.to_out.bias, -bound, bound, generator=generator)

    def forward(self, hidden_BSD: torch.Tensor, num_frames: int) -> torch.Tensor:
        """The block's output with temporal attention added, [B,S,D]."""
        return hidden_BSD + self.attn_temp(self.norm_temp(hidden_BSD), num_frames)

"""Inflation: a text-to-image UNet that sees a whole clip, without a change to its checkpoint.

Source: Wu et al., "Tune-A-Video" (ICCV 2023), section 3.2, and the authors' released code. What becomes of
the layers of a diffusers UNet2DConditionModel (Stable Diffusion 1.x, 2.x, the embedded one):

- convolutions, up- and downsampling, cross-attention, feed-forward: the same weights on every frame, the
  frames folded into the batch;
- group norms of the ResNet blocks and before the last convolution: statistics over all frames of a clip;
  those of the spatial transformers: per frame;
- self-attention: sparse-causal (`methods.stable_diffusion.sparse_causal_attention`), on the same weights;
- new, last in every transformer block: temporal attention (`methods.one_shot.temporal_attention`).

Deviation: the published network is a copy of the UNet in another class. Here the UNet stays diffusers' own
object: within `Inflation.attached` its attention processors are exchanged, hooks add the rest, and the tuned
weights stand in for the pretrained ones; afterwards it is what it was. One loaded UNet serves many tunings.

A clip that stands still is, in all frames, what the image model makes of it (tested): doubled equal keys are
single keys, and equal frames have the statistics of one. Only a random bias of temporal attention is added.

Shape suffixes: T frames, B = clips * T, C channels, H, W height and width, S tokens, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ...core.errors import RunFileError, WeightsError
from ...core.seeds import derive_seed
from ..stable_diffusion.sparse_causal_attention import SparseCausalAttention
from .inflation_config import InflationConfig
from .temporal_attention import TemporalLayer


class Inflation:
    """What a UNet gets to become a video model: temporal attention, and its own copy of what is trained.

    Args:
        unet: a diffusers UNet2DConditionModel; read, neither held nor changed.
        config: what is inflated and trained.
        seed: of the initial values of temporal attention.
        device: where the new tensors lie; None is the UNet's. On "meta" there are shapes and no numbers, for
            counting and for loading.

    Attributes:
        trained: what a tuning trains, float32, by names that continue those of the UNet.

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
        """How many numbers are trained."""
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
        processors = dict(unet.attn_processors)
        pretrained = {name: unet.get_parameter(name) for name in self._in_unet}
        handles: list[Any] = []
        try:
            for name, layer in self.temporal.items():
                hook = _temporal_hook(layer, num_frames)
                handles.append(unet.get_submodule(name).register_forward_hook(hook))
            if self.config.group_norm == "clip" and num_frames > 1:
                for norm in _shared_norms(unet):
                    handles.append(norm.register_forward_pre_hook(_frames_into_rows(num_frames)))
                    handles.append(norm.register_forward_hook(_rows_into_frames(num_frames)))
            if self.config.keys == "first-and-previous":
                attention = SparseCausalAttention(num_frames)
                unet.set_attn_processor(
                    {k: attention if k.endswith("attn1.processor") else old for k, old in processors.items()}
                )
            for name in self._in_unet:
                _set_parameter(unet, name, self.trained[name])
            yield
        finally:
            for handle in handles:
                handle.remove()
            unet.set_attn_processor(processors)
            for name, parameter in pretrained.items():
                _set_parameter(unet, name, parameter)

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


def _shared_norms(unet: Any) -> list[nn.Module]:
    from diffusers.models.resnet import ResnetBlock2D

    norms = [unet.conv_norm_out]
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            norms += [module.norm1, module.norm2]
    return [norm for norm in norms if isinstance(norm, nn.GroupNorm)]


def _temporal_hook(layer: TemporalLayer, num_frames: int) -> Callable[..., torch.Tensor]:
    def hook(module: nn.Module, args: Any, hidden_BSD: torch.Tensor) -> torch.Tensor:
        return layer(hidden_BSD, num_frames)

    return hook


def _frames_into_rows(num_frames: int) -> Callable[..., tuple[torch.Tensor]]:
    def hook(module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        x_GTCHW = args[0].unflatten(0, (-1, num_frames))
        return (x_GTCHW.transpose(1, 2).flatten(2, 3),)

    return hook


def _rows_into_frames(num_frames: int) -> Callable[..., torch.Tensor]:
    def hook(module: nn.Module, args: Any, out: torch.Tensor) -> torch.Tensor:
        return out.unflatten(2, (num_frames, -1)).transpose(1, 2).flatten(0, 1)

    return hook

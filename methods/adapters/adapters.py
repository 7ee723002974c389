"""SimDA's adapters on a Stable Diffusion UNet: where they sit, and their file.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), its part on
adapters, and the authors' released editing code. No code was copied: that repository has no licence.

For every spatial transformer of the UNet (16 in Stable Diffusion 1.x), with d its width:

- temporal adapter, after the ResNet block and before the transformer: x + Up(DW(Down x)), Down and Up
  pointwise to d/2 and back, DW a depth-wise 3D convolution of size (3,1,1) over the frames, no activation.
- attention adapter, in the residual branch after self-attention: u + W2 GELU(W1 u), bottleneck d/4.
- feed-forward adapter, beside the feed-forward: FFN(LN x) + x + W2 GELU(W1 x), bottleneck d/4, no inner skip,
  on the state before the layer norm.

W2 and Up start at zero, so that the adapted model starts as the image model, frame by frame. The released
code leaves out the temporal adapter of most blocks when gradient checkpointing is on, as it is in its
configuration; here the adapters hang on hooks that checkpointing runs through, and a test looks for a
gradient in each. `methods.adapters.simda_edit` can repeat what the released code does.

Besides adapters a UNet for videos may have (`AdapterConfig`):

- latent-shift attention (`LatentShiftAttention`), wherever a frame attends to its own tokens;
- group norms with statistics over all frames of a clip instead of one, in the ResNet blocks and before the
  last convolution: the released code has them from Tune-A-Video. They change the image model from the
  start;
- a layout prior (`methods.adapters.layout_prior`), which the paper does not have.

Uncertain: initial values of W1 (not given in the paper; torch's default for linear layers, as in the released
code), the initial biases of Down and DW (`temporal_bias`), and whether the published text-to-video model
shares group norms over frames.

They get into the UNet by hooks: a hook changes what a module takes or gives and can be removed, and the
UNet's own modules and weights stay as they are. Hooks run inside gradient checkpointing like the module
itself, also when the module is computed again.

A file of adapters holds their numbers and their configuration (`methods.weights_file`).

Shape suffixes: T frames, B = clips * T, C channels, H, W height and width, S tokens, D width, L text tokens;
Y, X rows and columns of a layout map.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import nn

from ...core.atomic_write import write_bytes_atomic
from ...core.contracts import FrozenConfig
from ...core.errors import WeightsError
from ...core.hashing import canonical_json
from ...core.seeds import derive_seed
from ..stable_diffusion.attention import norms_over_clips, self_attention, self_attentions
from ..weights_file import ADAPTERS, check_fit, parameters_to_bytes, read_parameters, trained_file
from .layers import (
    RELEASED_PATTERN,
    BottleneckAdapter,
    LatentShift,
    LatentShiftAttention,
    LayoutPrior,
    Pattern,
    TemporalAdapter,
    checked_pattern,
)


class AdapterConfig(FrozenConfig):
    """What a UNet gets to make videos. The defaults are the paper's text-to-video model as far as it is
    known."""

    younger: ClassVar[Mapping[str, Any]] = {"temporal_bias": "zero"}

    spatial_bottleneck: float = Field(default=0.25, gt=0, allow_inf_nan=False)
    """Width of the spatial adapters' bottleneck over the width of their block."""

    temporal_bottleneck: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Width of the temporal adapters' bottleneck over the width of their block."""

    layout_words: tuple[str, ...] = ()
    """Words that the layout prior knows (`methods.adapters.layout_prior`); none, as in the paper, is no
    layout prior."""

    temporal_bias: Literal["zero", "random"] = "zero"
    """Initial biases of the temporal adapters' Down and DW. The paper does not say; the released code leaves
    them at torch's random default. They do nothing until Up has learned."""

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
    "released": AdapterConfig(temporal_bias="random", latent_shift="released", group_norm="clip"),
}
"""The paper's text-to-video model, and the released editing code."""


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
            generator = torch.Generator("cpu").manual_seed(derive_seed(seed, "adapter", name))
            if isinstance(module, BottleneckAdapter):
                module.initialise(generator)
            elif isinstance(module, TemporalAdapter):
                module.initialise(generator, self.config.temporal_bias)

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned, those of the layout prior included."""
        return sum(value.numel() for value in self.state_dict().values())

    def ready(self, device: torch.device, dtype: torch.dtype) -> Adapters:
        """These adapters, moved and frozen, for sampling."""
        return self.to(device, dtype).requires_grad_(False).eval()

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
        config = self.config
        with contextlib.ExitStack() as places:
            for handle in self._hooks(unet, num_frames, map_B1YX):
                places.callback(handle.remove)
            if config.group_norm == "clip":
                places.enter_context(norms_over_clips(unet, num_frames))
            if config.latent_shift != "off" and self_attentions(unet):
                shift = LatentShiftAttention(
                    num_frames, latent_height, latent_width, config.latent_shift, config.shift_pattern
                )
                places.enter_context(self_attention(unet, shift))
            yield

    def _hooks(self, unet: nn.Module, num_frames: int, map_B1YX: torch.Tensor | None) -> Iterator[Any]:
        for name, transformer in transformers_of(unet):
            temporal = partial(_before, self.temporal[_key(name)], num_frames, map_B1YX)
            yield transformer.register_forward_pre_hook(temporal, with_kwargs=True)
            for index, block in enumerate(transformer.transformer_blocks):
                attention = self.spatial[f"{_key(name)}_{index}_attention"]
                feed_forward = self.spatial[f"{_key(name)}_{index}_feed_forward"]
                yield block.attn1.register_forward_hook(partial(_after, attention))
                before_norm: list[torch.Tensor] = []
                yield block.norm3.register_forward_pre_hook(partial(_remember, before_norm))
                yield block.ff.register_forward_hook(partial(_beside, feed_forward, before_norm))


def _before(
    adapter: nn.Module,
    num_frames: int,
    map_B1YX: torch.Tensor | None,
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any, Any]:
    """Adds the temporal adapter to what a transformer takes."""
    x_BCHW, *rest = args
    return (x_BCHW + adapter(x_BCHW, num_frames, map_B1YX), *rest), kwargs


def _after(adapter: nn.Module, module: nn.Module, args: Any, out_BSD: torch.Tensor) -> torch.Tensor:
    """Adds an adapter of a module's output to that output."""
    return out_BSD + adapter(out_BSD)


def _remember(place: list[torch.Tensor], module: nn.Module, args: tuple[Any, ...]) -> None:
    """Keeps what a module takes, for `_beside`."""
    # A recomputation of gradient checkpointing may stop between the two hooks and leave one behind.
    place[:] = [args[0]]


def _beside(
    adapter: nn.Module, place: list[torch.Tensor], module: nn.Module, args: Any, out_BSD: torch.Tensor
) -> torch.Tensor:
    """Adds an adapter of what `_remember` kept to a module's output."""
    return out_BSD + adapter(place.pop())


def transformers_of(unet: nn.Module) -> list[tuple[str, Any]]:
    """The spatial transformers of a UNet with their names, in the order of its modules.

    Raises:
        WeightsError: there are none, or one has a block that is not of Stable Diffusion's kind.
    """
    from diffusers import Transformer2DModel

    found = [
        (name, module) for name, module in unet.named_modules() if isinstance(module, Transformer2DModel)
    ]
    if not found:
        raise WeightsError(
            "the UNet has no spatial transformer that adapters could join",
            "this method needs a UNet with transformer blocks, as Stable Diffusion has",
        )
    for name, transformer in found:
        for block in transformer.transformer_blocks:
            if block.norm_type != "layer_norm":
                raise WeightsError(
                    f"the transformer {name} of the UNet has a block with norm {block.norm_type!r}; adapters "
                    "need 'layer_norm'",
                    "give a Stable Diffusion 1.x or 2.x pipeline, or a latent upscaler of its kind",
                )
    return found


def _key(name: str) -> str:
    return name.replace(".", "_")  # torch allows no dots in the names of modules


def _share(width: int, bottleneck: float) -> int:
    return max(1, int(width * bottleneck))


def adapters_to_bytes(adapters: Adapters, values: dict[str, torch.Tensor] | None = None) -> bytes:
    """Adapters as a safetensors file: their numbers in float16, their configuration in the metadata.

    Args:
        values: other numbers for the same adapters (an average over the training), by name.
    """
    entry = {"format": ADAPTERS.marker, "config": adapters.config.model_dump(mode="json")}
    return parameters_to_bytes(adapters.state_dict() if values is None else values, canonical_json(entry))


def adapters_from_bytes(data: bytes, unet: nn.Module, what: str = "the adapters") -> Adapters:
    """Adapters from a safetensors file, fitted to a UNet.

    Args:
        data: what `adapters_to_bytes` made.
        unet: the UNet that they are for.
        what: how an error names them.

    Raises:
        WeightsError: not such a file, or made for another UNet.
    """
    config, tensors = read_parameters(data, ADAPTERS.marker, AdapterConfig, what)
    adapters = Adapters(unet, config)
    check_fit(adapters.state_dict(), tensors, what, "UNet")
    adapters.load_state_dict({name: value.float() for name, value in tensors.items()})
    return adapters


def load_adapters(path: Path, unet: nn.Module) -> Adapters:
    """Adapters from a file, or from a folder with `adapters.safetensors`.

    Raises:
        WeightsError: nothing there, not such a file, or made for another UNet.
    """
    file = trained_file(path, ADAPTERS.file_name, "adapters")
    return adapters_from_bytes(file.read_bytes(), unet, f"the adapters in {file}")


def save_adapters(path: Path, adapters: Adapters, values: dict[str, torch.Tensor] | None = None) -> Path:
    """Writes adapters to `path`/adapters.safetensors, atomically; returns the file."""
    file = path / ADAPTERS.file_name
    write_bytes_atomic(file, adapters_to_bytes(adapters, values))
    return file

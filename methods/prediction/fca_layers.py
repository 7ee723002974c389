"""FCA on a CogVideoX transformer: an attention beside the frozen one in every layer.

Source: Liu et al., "Frame-wise Conditioning Adaptation for Fine-Tuning Diffusion Models in Text-to-Video
Prediction" (TMLR 2025, arXiv 2503.12953). There is no released code. What is known and what is chosen is
written at the settings (`methods.prediction.fca_config`).

In every layer, with x the layer's normalised and modulated video tokens (adaLN: shift and scale), A the
frozen joint attention and g its gate, which is the same for both:

    x + g (A(x, text) + FCA(x)),    FCA(x) = W_out softmax(mask, q(x) k(c)) v(c),    c = [y_frames, x_init]

- y_frames: frame-wise text embeddings (`methods.prediction.fca_text`); a token sees those of the frames that it stands
  for (`methods.prediction.frame_mask`).
- x_init: tokens of the given frames, seen by every token. They stand at the beginning of a little clip of
  their
  own: with rotary positions their keys are turned as the first tokens of a clip are.
- q, k, v start as copies of the frozen layer's, with its norms of queries and keys; W_out starts at zero, so
  the model starts as the base, bit for bit.

The transformer is neither held nor changed: the attentions hang on hooks that are there within
`Fca.attached`, and that gradient checkpointing runs through.

Shape suffixes: G clips, F latent frames, C latent channels, H, W latent height and width, L text tokens, T
width of the text encoder, S video tokens, K keys, N tokens of the given frames, D width of the transformer.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from ...core.seeds import derive_seed
from ..cogvideox.pipeline import CogVideoX
from .fca_config import FcaConfig
from .fca_text import FrameWiseText
from .frame_mask import frame_wise_mask, token_mask

Rotary = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Conditions:
    """What a batch of clips is conditioned on; nothing in it is trained.

    Attributes:
        initial_GND: tokens of the given frames for each layer, or None.
        text_GLD: the prompt's tokens from the text encoder at the width of the transformer, or None where
            each layer's own are read.
    """

    initial_GND: tuple[torch.Tensor, ...] | None
    text_GLD: torch.Tensor | None


class FcaAttention(nn.Module):
    """Cross-attention of a layer's tokens to the conditions; zero at the start.

    Args:
        frozen: the layer's own attention, read for its structure (and values, in `initialise`).
    """

    def __init__(self, frozen: Any) -> None:
        super().__init__()
        self.heads: int = frozen.heads
        dim, inner = frozen.to_q.in_features, frozen.to_q.out_features
        has_bias = frozen.to_q.bias is not None
        self.to_q = nn.Linear(dim, inner, has_bias)
        self.to_k = nn.Linear(dim, inner, has_bias)
        self.to_v = nn.Linear(dim, inner, has_bias)
        self.norm_q = nn.LayerNorm(inner // self.heads, eps=frozen.norm_q.eps)
        self.norm_k = nn.LayerNorm(inner // self.heads, eps=frozen.norm_k.eps)
        self.to_out = nn.Linear(inner, dim)

    def initialise(self, frozen: Any | None, generator: torch.Generator) -> None:
        """Sets the initial values: copies of the frozen attention's where one is given."""
        for name in ("to_q", "to_k", "to_v"):
            linear = getattr(self, name)
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features), generator=generator)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)
        for norm in (self.norm_q, self.norm_k):
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
        if frozen is not None:
            for name in ("to_q", "to_k", "to_v", "norm_q", "norm_k"):
                values = {
                    key: value.detach().float() for key, value in getattr(frozen, name).state_dict().items()
                }
                getattr(self, name).load_state_dict(values)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(
        self,
        x_GSD: torch.Tensor,
        keys_GKD: torch.Tensor,
        mask_SK: torch.Tensor | None,
        rotary_SD: Rotary | None,
        num_turned: int,
    ) -> torch.Tensor:
        """What is added to the layer's attention, [G,S,D].

        Args:
            x_GSD: the layer's tokens, normalised and modulated.
            keys_GKD: the conditions.
            mask_SK: whether a token sees a key; None for all.
            rotary_SD: cosines and sines of the tokens' positions, None without rotary positions.
            num_turned: how many keys, the last ones, have positions: those of the first tokens of a clip.
        """

        def split(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query = self.norm_q(split(self.to_q(x_GSD)))
        key = self.norm_k(split(self.to_k(keys_GKD)))
        value = split(self.to_v(keys_GKD))
        if rotary_SD is not None:
            from diffusers.models.embeddings import apply_rotary_emb

            query = apply_rotary_emb(query, rotary_SD)
            if num_turned:
                first = (rotary_SD[0][:num_turned], rotary_SD[1][:num_turned])
                turned = apply_rotary_emb(key[:, :, -num_turned:], first)
                key = torch.cat([key[:, :, :-num_turned], turned], dim=2)
        attended = scaled_dot_product_attention(query, key.to(query.dtype), value.to(query.dtype), mask_SK)
        return self.to_out(attended.transpose(1, 2).flatten(2))


class FcaLayer(nn.Module):
    """What one layer of the transformer gets.

    Args:
        frozen: the layer's own attention, read for its structure.
        config: what FCA is.
        num_text_frames: how many frames have text embeddings.
    """

    def __init__(self, frozen: Any, config: FcaConfig, num_text_frames: int) -> None:
        super().__init__()
        self.attention = FcaAttention(frozen)
        self.text: FrameWiseText | None = None
        if config.text != "off":
            dim, heads = frozen.to_q.in_features, config.text_heads
            width = max(1, round(dim * config.text_width / heads)) * heads
            reads_frames = config.text_sees_frames and config.initial_frames != "off"
            self.text = FrameWiseText(dim, width, heads, (num_text_frames, config.queries), reads_frames)


class Fca(nn.Module):
    """All that FCA trains on one transformer. The transformer itself is neither held nor changed.

    Args:
        transformer: a diffusers CogVideoXTransformer3DModel, read for its structure and, by `initialise`, for
            the initial values.
        config: what FCA is.
        seed: of the initial values.
    """

    def __init__(self, transformer: Any, config: FcaConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self._mask_PE = frame_wise_mask(
            config.num_frames, transformer.config.patch_size_t or 1, config.text_of
        )
        # Built without memory first: torch's own initial values would come from the global generator.
        with torch.device("meta"):
            self.layers = nn.ModuleList(
                FcaLayer(block.attn1, config, self._mask_PE.shape[1])
                for block in transformer.transformer_blocks
            )
        if not next(transformer.parameters()).is_meta:
            self.to_empty(device="cpu")
            self.initialise(transformer, seed)

    def initialise(self, transformer: Any, seed: int) -> None:
        """Sets the initial values of all layers; they depend on the transformer and the seed alone."""
        for index, block in enumerate(transformer.transformer_blocks):
            layer = self._layer(index)
            frozen = block.attn1 if self.config.start == "copy" else None
            generator = torch.Generator("cpu").manual_seed(derive_seed(seed, "fca attention", index))
            layer.attention.initialise(frozen, generator)
            if layer.text is not None:
                generator = torch.Generator("cpu").manual_seed(derive_seed(seed, "fca text", index))
                layer.text.initialise(generator)

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned."""
        return sum(value.numel() for value in self.parameters())

    @torch.no_grad()
    def conditions(
        self, pipeline: CogVideoX, context_GFCHW: torch.Tensor, text_GLT: torch.Tensor
    ) -> Conditions:
        """What a batch is conditioned on.

        Args:
            pipeline: whose transformer FCA was built for.
            context_GFCHW: latents of the given frames, see `methods.prediction.context_latents`.
            text_GLT: embeddings of the prompts.
        """
        transformer, config = pipeline.transformer, self.config
        text_GLT = text_GLT.to(pipeline.dtype)
        initial: tuple[torch.Tensor, ...] | None = None
        if config.initial_frames != "off":
            padding = pipeline.padding(context_GFCHW.shape[1])
            first = context_GFCHW[:, :1].expand(-1, padding, -1, -1, -1)
            context_GFCHW = torch.cat([first, context_GFCHW], dim=1).to(pipeline.dtype)
            if config.initial_frames == "base":
                initial = _features(pipeline, context_GFCHW, text_GLT)
            else:
                tokens = transformer.patch_embed(text_GLT, context_GFCHW)[:, text_GLT.shape[1] :]
                initial = (_normal(tokens),) * len(self.layers)
        text: torch.Tensor | None = None
        if config.text != "off" and config.text_from == "encoder":
            text = _normal(transformer.patch_embed.text_proj(text_GLT))
        return Conditions(initial, text)

    @contextlib.contextmanager
    def attached(self, transformer: Any, conditions: Conditions) -> Iterator[None]:
        """Within the block the transformer predicts clips under conditions; afterwards, also after an error,
        it is what it was. A backward pass with gradient checkpointing belongs inside, too.

        Args:
            transformer: of the structure that FCA was built for. Its batch is that of the conditions, and its
                clips have the configuration's number of frames.
        """
        handles: list[Any] = []
        masks: dict[tuple[int, int], torch.Tensor | None] = {}  # the same in all layers
        try:
            for index, block in enumerate(transformer.transformer_blocks):
                hook = self._beside(index, conditions, masks)
                handles.append(block.attn1.register_forward_hook(hook, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _layer(self, index: int) -> FcaLayer:
        layer = self.layers[index]
        assert isinstance(layer, FcaLayer)
        return layer

    def _beside(
        self, index: int, conditions: Conditions, masks: dict[tuple[int, int], torch.Tensor | None]
    ) -> Callable[..., Any]:
        def hook(
            module: nn.Module,
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
            out: tuple[torch.Tensor, torch.Tensor],
        ) -> tuple[torch.Tensor, torch.Tensor]:
            video, text = kwargs["hidden_states"], kwargs["encoder_hidden_states"]
            rotary = kwargs.get("image_rotary_emb")
            keys, num_initial = self._keys(index, conditions, text)
            out_video, out_text = out
            if self.config.into != "text":
                size = (video.shape[1], num_initial)
                if size not in masks:
                    masks[size] = self._mask(*size, video.device)
                added = self._layer(index).attention(video, keys, masks[size], rotary, num_initial)
                out_video = out_video + added.to(out_video.dtype)
            if self.config.into != "video":
                # A text token stands for no frame: it sees the embeddings of all, and has no position.
                added = self._layer(index).attention(text, keys, None, None, 0)
                out_text = out_text + added.to(out_text.dtype)
            return out_video, out_text

        return hook

    def _keys(self, index: int, conditions: Conditions, layer_text: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The tokens that layer attends to, and how many of them, the last ones, are of the given frames."""
        module = self._layer(index).text
        initial = None if conditions.initial_GND is None else conditions.initial_GND[index]
        keys = []
        if module is not None:
            keys.append(module(layer_text if conditions.text_GLD is None else conditions.text_GLD, initial))
        if initial is not None:
            keys.append(initial.to(keys[0].dtype) if keys else initial)
        return torch.cat(keys, dim=1), 0 if initial is None else initial.shape[1]

    def _mask(self, num_tokens: int, num_initial: int, device: torch.device) -> torch.Tensor | None:
        num_patches = self._mask_PE.shape[0]
        if num_tokens % num_patches:
            raise ValueError(
                f"the transformer has {num_tokens} video tokens, which are not {num_patches} pictures: the "
                f"clip does not have the {self.config.num_frames} frames that FCA was made for"
            )
        if self.config.text != "frame-wise":
            return None
        mask = token_mask(self._mask_PE, num_tokens // num_patches, self.config.queries, num_initial)
        return torch.from_numpy(mask).to(device)


def _normal(tokens: torch.Tensor) -> torch.Tensor:
    return layer_norm(tokens, tokens.shape[-1:])


def _features(
    pipeline: CogVideoX, context_GFCHW: torch.Tensor, text_GLT: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The normalised video tokens of every layer of the frozen transformer, shown a clip without noise."""
    found: list[torch.Tensor] = []

    def remember(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append(kwargs["hidden_states"])

    handles = [
        block.attn1.register_forward_pre_hook(remember, with_kwargs=True)
        for block in pipeline.transformer.transformer_blocks
    ]
    try:
        clean_G = torch.zeros(context_GFCHW.shape[0], dtype=torch.long, device=context_GFCHW.device)
        pipeline.predict(context_GFCHW, clean_G, text_GLT)
    finally:
        for handle in handles:
            handle.remove()
    return tuple(found)

"""FCA on a CogVideoX transformer: what its attentions are given, which tokens see it, and how they join in.

The attentions (`methods.prediction.fca_layers`) hang on hooks that are there within `FcaPredictor.given`.

The VAE merges frames into latent frames, and CogVideoX 1.5 merges latent frames into patches. A token
therefore stands for several frames, and may see the text embeddings of all of these:

    16 frames                 -> 4 latent frames: 0-3, 4-7, 8-11, 12-15
    17 frames                 -> 5 latent frames: 0, 1-4, 5-8, 9-12, 13-16
    17 frames, patches of two -> 3 patches: 0, 1-8, 9-16 (one latent frame of padding in front of frame 0)

Shape suffixes: G clips, F latent frames, C latent channels, H, W latent height and width, L text tokens, T
width of the text encoder, N tokens of the given frames, D width of the transformer; P patches over time, E
frames that have text embeddings, Q embeddings of a frame, S patches of one picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import layer_norm

from ...core.seeds import derive_seed
from ..cogvideox.config import FRAMES_PER_LATENT
from ..cogvideox.pipeline import CogVideoX
from ..weights_file import TrainedFile
from .config import FCA_FILE, FcaConfig, Granularity
from .fca_layers import FcaLayer
from .predictor import Predictor

Masks = dict[tuple[int, int], torch.Tensor | None]
"""The mask for each number of (video tokens, tokens of the given frames); the same in all layers."""


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


class FcaPredictor(Predictor):
    """A pipeline with FCA in every layer of its transformer. The pipeline is not changed.

    Args:
        pipeline: the frozen base; its transformer is read for the structure and for initial values.
    """

    file: ClassVar[TrainedFile] = FCA_FILE
    Settings = FcaConfig
    settings: FcaConfig

    def __init__(self, pipeline: CogVideoX, settings: FcaConfig, seed: int = 0) -> None:
        super().__init__(pipeline, settings, seed)
        transformer = pipeline.transformer
        self._mask_PE = frame_wise_mask(settings.num_frames, pipeline.patch_size_t, settings.text_of)
        # Built without memory first: torch's own initial values would come from the global generator.
        with torch.device("meta"):
            self.layers = nn.ModuleList(
                FcaLayer(block.attn1, settings, self._mask_PE.shape[1])
                for block in transformer.transformer_blocks
            )
        if not next(transformer.parameters()).is_meta:
            self.to_empty(device="cpu")
            self._initialise(transformer, seed)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters of the FCA layers; the base stays frozen."""
        return dict(self.named_parameters())

    def forward(
        self, noisy_GFCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        """What the base predicts with the layers that `given` attached."""
        return self.pipeline.predict(noisy_GFCHW, timestep_G, text_GLD)

    @contextlib.contextmanager
    def given(self, context_GFCHW: torch.Tensor, text_GLD: torch.Tensor) -> Iterator[None]:
        """Attaches the FCA layers to the transformer's blocks for these given frames."""
        conditions = self.conditions(context_GFCHW, text_GLD)
        handles: list[Any] = []
        masks: Masks = {}
        try:
            for index, block in enumerate(self.pipeline.transformer.transformer_blocks):
                hook = self._beside(index, conditions, masks)
                handles.append(block.attn1.register_forward_hook(hook, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def conditions(self, context_GFCHW: torch.Tensor, text_GLT: torch.Tensor) -> Conditions:
        """What a batch is conditioned on, from latents of the given frames and embeddings of the prompts."""
        pipeline, settings = self.pipeline, self.settings
        transformer, text_GLT = pipeline.transformer, text_GLT.to(pipeline.dtype)
        initial: tuple[torch.Tensor, ...] | None = None
        if settings.initial_frames != "off":
            context_GFCHW = pipeline.padded(context_GFCHW).to(pipeline.dtype)
            if settings.initial_frames == "base":
                initial = _features(pipeline, context_GFCHW, text_GLT)
            else:
                tokens = transformer.patch_embed(text_GLT, context_GFCHW)[:, text_GLT.shape[1] :]
                initial = (_normal(tokens),) * len(self.layers)
        text: torch.Tensor | None = None
        if settings.text != "off" and settings.text_from == "encoder":
            text = _normal(transformer.patch_embed.text_proj(text_GLT))
        return Conditions(initial, text)

    def _initialise(self, transformer: Any, seed: int) -> None:
        for index, block in enumerate(transformer.transformer_blocks):
            layer = self._layer(index)
            frozen = block.attn1 if self.settings.start == "copy" else None
            generator = torch.Generator("cpu").manual_seed(derive_seed(seed, "fca attention", index))
            layer.attention.initialise(frozen, generator)
            if layer.text is not None:
                generator = torch.Generator("cpu").manual_seed(derive_seed(seed, "fca text", index))
                layer.text.initialise(generator)

    def _layer(self, index: int) -> FcaLayer:
        layer = self.layers[index]
        assert isinstance(layer, FcaLayer)
        return layer

    def _beside(self, index: int, conditions: Conditions, masks: Masks) -> Callable[..., Any]:
        """The hook that adds FCA's attention to what the frozen attention of a layer gives."""

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
            if self.settings.into != "text":
                size = (video.shape[1], num_initial)
                if size not in masks:
                    masks[size] = self._mask(*size, video.device)
                added = self._layer(index).attention(video, keys, masks[size], rotary, num_initial)
                out_video = out_video + added.to(out_video.dtype)
            if self.settings.into != "video":
                # A text token stands for no frame: it sees the embeddings of all, and has no position.
                added = self._layer(index).attention(text, keys, None, None, 0)
                out_text = out_text + added.to(out_text.dtype)
            return out_video, out_text

        return hook

    def _keys(self, index: int, conditions: Conditions, layer_text: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The tokens that a layer attends to, and how many of them are of the given frames: the last ones."""
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
                f"clip does not have the {self.settings.num_frames} frames that FCA was made for"
            )
        if self.settings.text != "frame-wise":
            return None
        mask = token_mask(self._mask_PE, num_tokens // num_patches, self.settings.queries, num_initial)
        return torch.from_numpy(mask).to(device)


def frames_of_latents(num_frames: int) -> tuple[range, ...]:
    """The frames in each latent frame of a clip of a length that the VAE gives back (1, 8k or 8k+1).

    >>> [list(frames) for frames in frames_of_latents(9)]
    [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    """
    lone = num_frames % 2
    starts = range(lone, num_frames, FRAMES_PER_LATENT)
    return (range(1),) * lone + tuple(range(start, start + FRAMES_PER_LATENT) for start in starts)


def latents_of_patches(num_latents: int, patch_size_t: int) -> tuple[range, ...]:
    """The latent frames in each patch over time; those of the padding in front are left out.

    >>> [list(latents) for latents in latents_of_patches(5, 2)]
    [[0], [1, 2], [3, 4]]
    """
    starts = range(-(-num_latents % patch_size_t), num_latents, patch_size_t)
    return tuple(range(max(start, 0), start + patch_size_t) for start in starts)


def frame_wise_mask(num_frames: int, patch_size_t: int, granularity: Granularity) -> npt.NDArray[np.bool_]:
    """Whether the tokens of a patch over time see the text embeddings of a frame, [P,E].

    Args:
        num_frames: of the clip, of a length that the VAE gives back.
        patch_size_t: latent frames in a patch, 1 but for CogVideoX 1.5.
        granularity: what E counts.
    """
    latents = frames_of_latents(num_frames)
    patches = latents_of_patches(len(latents), patch_size_t)
    num_columns = num_frames if granularity == "frame" else len(latents)
    mask_PE = np.zeros((len(patches), num_columns), dtype=bool)
    for row, members in enumerate(patches):
        for latent in members:
            columns = list(latents[latent]) if granularity == "frame" else [latent]
            mask_PE[row, columns] = True
    return mask_PE


def token_mask(
    mask_PE: npt.NDArray[np.bool_], num_per_picture: int, num_queries: int, num_free: int
) -> npt.NDArray[np.bool_]:
    """The frame-wise mask for tokens and keys, [P*S, E*Q + free].

    Args:
        num_per_picture, num_queries: S and Q.
        num_free: keys behind the embeddings that every token sees (those of the given frames).
    """
    spread = mask_PE.repeat(num_per_picture, axis=0).repeat(num_queries, axis=1)
    return np.concatenate([spread, np.ones((len(spread), num_free), dtype=bool)], axis=1)


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

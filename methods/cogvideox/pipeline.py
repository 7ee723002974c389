"""A CogVideoX pipeline, loaded from the diffusers folder format: text and frames in, latents to frames.

What is read: Yang et al., "CogVideoX: Text-to-Video Diffusion Models with An Expert Transformer" (ICLR 2025)
in the folder format of diffusers: 2B (sin-cos positions), 5B (rotary positions), 1.5 (patches over two latent
frames, and the ofs embedding of its image-to-video model), and the embedded pipeline of the Sprites world.
The same code loads all of them. Pickled weights are never read, and nothing is fetched here: a hub id is
resolved to a local folder by `core.weights` first.

Frames and latent frames. The VAE works on stretches of 8 frames and makes two latent frames of each; one
frame more than that goes to the first stretch and is a latent frame of its own. So 1, 8k and 8k+1 frames come
back as they went in, and 16 frames are 4 latent frames (of four frames each), 17 are 5. Other lengths are
encoded with the last frame repeated up to the next such length, and sampled at that length and cut.

Patches over time. With `patch_size_t` the number of latent frames that the transformer sees is made a
multiple of it, by latent frames in front that are left out again before decoding, as diffusers does.

Deviations from diffusers' own pipeline: the samplers are ours (`methods.cogvideox.schedule`); latents are
kept in float32 between the steps.

Shape suffixes: G clips, T frames, F latent frames, C latent channels, H, W height and width (of latents or
pixels), L text tokens, D width of the text encoder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ...core.errors import RunFileError, WeightsError
from ...core.types import Dtype, Frames
from ...core.weights import resolve
from ...core.weights_format import PipelineFolder
from ..frames import fit_frames
from ..noise import draw
from ..pipelines import EncodedPrompt, loading, refuse_non_finite, spatial_factor, torch_device
from .config import COGVIDEOX, COGVIDEOX_I2V, FRAMES_PER_LATENT
from .schedule import Sampler, VideoSchedule, schedule_of

_STRETCH = 8
"""Frames that the VAE encodes at once; the others follow from it."""

_OFS = 2.0
"""What diffusers gives to the ofs embedding of CogVideoX 1.5's image-to-video model."""

Kind = Literal["text", "image"]
"""Which model a folder holds: text-to-video, or image-to-video."""


def valid_length(num_frames: int) -> int:
    """The smallest number of frames from `num_frames` on that the VAE gives back: 1, 8k or 8k+1.

    >>> [valid_length(n) for n in (1, 2, 8, 9, 12, 16, 17, 18, 49)]
    [1, 8, 8, 9, 16, 16, 17, 24, 49]
    """
    if num_frames == 1 or num_frames % _STRETCH in (0, 1):
        return num_frames
    return -(-num_frames // _STRETCH) * _STRETCH


def num_latent_frames(num_frames: int) -> int:
    """Latent frames of a clip of a valid length.

    >>> [num_latent_frames(n) for n in (1, 8, 9, 16, 17, 49)]
    [1, 2, 3, 4, 5, 13]
    """
    assert valid_length(num_frames) == num_frames
    return num_frames // FRAMES_PER_LATENT + num_frames % 2


@dataclass(frozen=True)
class CogVideoX:
    """The networks of a pipeline on a device.

    Attributes:
        transformer, vae, text_encoder, tokenizer, scheduler: diffusers' and transformers' objects.
        device, dtype: where and in which number format the networks are.
        height, width: of the frames, in pixels.
    """

    transformer: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    device: torch.device
    dtype: torch.dtype
    height: int
    width: int

    @property
    def patch_size_t(self) -> int:
        """Latent frames in a patch."""
        return self.transformer.config.patch_size_t or 1

    @property
    def alphas_cumprod(self) -> tuple[float, ...]:
        """abar of every training timestep."""
        return tuple(float(value) for value in self.scheduler.alphas_cumprod.double())

    def latent_shape_FCHW(self, num_frames: int) -> tuple[int, int, int, int]:
        """Shape of the latents of a clip; of the next valid length where `num_frames` is not valid."""
        factor = spatial_factor(self.vae)
        return (
            num_latent_frames(valid_length(num_frames)),
            self.vae.config.latent_channels,
            self.height // factor,
            self.width // factor,
        )

    def padding(self, num_latents: int) -> int:
        """Latent frames that the transformer needs in front of this many, for patches over time."""
        return -num_latents % self.patch_size_t

    def padded(self, latents_GFCHW: torch.Tensor) -> torch.Tensor:
        """Clips with that padding in front: copies of their first latent frame."""
        padding = self.padding(latents_GFCHW.shape[1])
        return torch.cat([latents_GFCHW[:, :1].expand(-1, padding, -1, -1, -1), latents_GFCHW], dim=1)

    def schedule(self, num_steps: int, sampler: Sampler | Literal["auto"] = "auto") -> VideoSchedule:
        """The schedule of this checkpoint."""
        return schedule_of(self.scheduler, num_steps, sampler)

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> EncodedPrompt:
        """Text to the hidden states of T5, [L,D]; padding counts as text, as the model was trained. A prompt
        that is too long loses its end."""
        length = self.transformer.config.max_text_seq_length
        num_tokens = len(self.tokenizer(prompt, truncation=False, verbose=False).input_ids)
        tokens = self.tokenizer(
            prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        hidden = self.text_encoder(tokens.input_ids.to(self.device))[0]
        return EncodedPrompt(embedding_LD=hidden[0].to(self.dtype), truncated=num_tokens > length)

    @torch.no_grad()
    def encode(self, frames_THW3: Frames, seed: int | None = None) -> torch.Tensor:
        """Frames to latents, float32 [F,C,H,W], scaled as the transformer expects them.

        Args:
            frames_THW3: uint8, of any size: resized and cropped at the centre to the pipeline's. A length
                that is not valid is filled up with the last frame.
            seed: of the draw from the VAE's posterior; None takes its mean.
        """
        missing = valid_length(len(frames_THW3)) - len(frames_THW3)
        if missing:
            frames_THW3 = np.concatenate([frames_THW3, np.repeat(frames_THW3[-1:], missing, axis=0)])
        return self.encode_as_is(frames_THW3, seed)

    @torch.no_grad()
    def encode_as_is(self, frames_THW3: Frames, seed: int | None = None) -> torch.Tensor:
        """As `encode`, without filling up: the VAE is given the frames that there are.

        n frames of any number become ceil(n / 4) latent frames; those of a length that is not valid cannot be
        decoded to that many frames again.
        """
        pixels_T3HW = fit_frames(frames_THW3, self.height, self.width)
        pixels_13THW = (pixels_T3HW / 127.5 - 1).movedim(1, 0)[None].to(self.device, self.dtype)
        posterior = self.vae.encode(pixels_13THW).latent_dist
        latents_CFHW = posterior.mean[0].float()
        if seed is not None:
            noise = draw(tuple(latents_CFHW.shape), seed, "posterior").to(self.device)
            latents_CFHW = latents_CFHW + posterior.std[0].float() * noise
        return latents_CFHW.movedim(0, 1) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents_FCHW: torch.Tensor) -> Frames:
        """Latents to frames, uint8 [T,H,W,3]; T is 4F for even F and 4(F-1)+1 for odd F.

        Raises:
            ClipRefusedError: the latents or the decoded frames hold NaN or infinity.
        """
        refuse_non_finite(latents_FCHW, "the latents")
        latents_1CFHW = (latents_FCHW / self.vae.config.scaling_factor).movedim(1, 0)[None]
        pixels_3THW = self.vae.decode(latents_1CFHW.to(self.device, self.dtype)).sample[0].float()
        refuse_non_finite(pixels_3THW, "the decoded frames")
        levels_3THW = ((pixels_3THW / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return np.ascontiguousarray(levels_3THW.permute(1, 2, 3, 0).cpu().numpy())

    def predict(
        self, latents_GFCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        """The transformer's prediction for a batch of clips, [G,F,C,H,W] in its number format.

        F must be a multiple of `patch_size_t`. Gradients flow where they are switched on.
        """
        ofs = None
        if self.transformer.config.ofs_embed_dim:
            ofs = torch.full((1,), _OFS, device=latents_GFCHW.device, dtype=latents_GFCHW.dtype)
        prediction: torch.Tensor = self.transformer(
            hidden_states=latents_GFCHW.to(self.dtype),
            encoder_hidden_states=text_GLD.to(self.dtype),
            timestep=timestep_G,
            ofs=ofs,
            image_rotary_emb=self._rotary(latents_GFCHW.shape[1]),
            return_dict=False,
        )[0]
        return prediction

    def _rotary(self, num_latents: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Cosines and sines of the positions of all patches, in the order of the tokens."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        from diffusers.models.embeddings import get_3d_rotary_pos_embed

        side = spatial_factor(self.vae) * config.patch_size
        grid = (self.height // side, self.width // side)
        base = (config.sample_height // config.patch_size, config.sample_width // config.patch_size)
        if config.patch_size_t is None:
            cos, sin = get_3d_rotary_pos_embed(
                embed_dim=config.attention_head_dim,
                crops_coords=_centred(grid, base),
                grid_size=grid,
                temporal_size=num_latents,
                device=self.device,
            )
        else:
            cos, sin = get_3d_rotary_pos_embed(
                embed_dim=config.attention_head_dim,
                crops_coords=None,
                grid_size=grid,
                temporal_size=num_latents // config.patch_size_t,
                grid_type="slice",
                max_size=base,
                device=self.device,
            )
        return cos, sin


def load_cogvideox(
    location: str,
    *,
    device: str,
    dtype: Dtype = "auto",
    height: int | None = None,
    width: int | None = None,
    kind: Kind = "text",
) -> CogVideoX:
    """Load a pipeline.

    Args:
        location: as `core.weights` describes it.
        device: "cpu", "cuda" or "cuda:0".
        dtype: "auto" is float32 on a CPU; on a GPU float16 for sin-cos positions (2B) and bfloat16 for rotary
            ones (5B, 1.5), as the checkpoints were trained.
        height, width: of the frames in pixels; None is the size that the transformer was trained at.
        kind: of the model that is wanted.

    Raises:
        WeightsError: the folder is not such a pipeline; the message names what is missing.
        RunFileError: the size does not fit the networks.
        ResourcesError: a GPU is asked for and there is none.
    """
    where = torch_device(device)
    format_ = COGVIDEOX_I2V if kind == "image" else COGVIDEOX
    folder = resolve(location, format_)
    number_format = _number_format(folder, where, dtype)
    pipe = _from_pretrained(folder, format_, number_format)
    for module in (pipe.transformer, pipe.vae, pipe.text_encoder):
        module.to(where).requires_grad_(False).eval()
    height, width = _frame_size(pipe, height, width)
    return CogVideoX(
        transformer=pipe.transformer,
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        scheduler=pipe.scheduler,
        device=where,
        dtype=number_format,
        height=height,
        width=width,
    )


def _number_format(folder: Path, where: torch.device, dtype: Dtype) -> torch.dtype:
    if dtype != "auto":
        chosen: torch.dtype = getattr(torch, dtype)
        return chosen
    if where.type != "cuda":
        return torch.float32
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    return torch.bfloat16 if config.get("use_rotary_positional_embeddings") else torch.float16


def _from_pretrained(folder: Path, format_: PipelineFolder, dtype: torch.dtype) -> Any:
    from diffusers import CogVideoXPipeline

    with loading(folder, format_, "CogVideoXPipeline") as view:
        given: dict[str, Any] = {}
        pieces = folder / "tokenizer" / "spiece.model"  # all that the published folders have of a tokenizer
        if pieces.is_file() and not pieces.with_name("tokenizer.json").is_file():
            given["tokenizer"] = _t5_tokenizer(pieces)
        # The parts of an image-to-video folder are the same; only their wiring differs.
        return CogVideoXPipeline.from_pretrained(
            view, use_safetensors=True, local_files_only=True, dtype=dtype, **given
        )


def _t5_tokenizer(file: Path) -> Any:
    """transformers' T5Tokenizer with the pieces of a SentencePiece file.

    transformers turns the one into the other through a library that this project does not depend on; all that
    is needed of the file is its list of pieces with their scores and its table of characters, which are read
    here by the format's published protobuf description.

    Raises:
        WeightsError: the file is not a unigram model of SentencePiece.
    """
    from google.protobuf.message import DecodeError
    from transformers import T5Tokenizer
    from transformers.utils import sentencepiece_model_pb2_new as description

    model: Any = description.ModelProto()  # type: ignore[attr-defined]  # made when it is imported
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise WeightsError(
            f"{file} is not a SentencePiece file: {error}", "fetch the pipeline again"
        ) from error
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    unigram = 1
    if not pieces or model.trainer_spec.model_type != unigram:
        raise WeightsError(
            f"{file} holds {len(pieces)} pieces of a model of type {model.trainer_spec.model_type}; T5 has a "
            "unigram model (type 1)",
            "fetch the pipeline again",
        )
    return T5Tokenizer(
        vocab=pieces, _spm_precompiled_charsmap=model.normalizer_spec.precompiled_charsmap or None
    )


def _frame_size(pipe: Any, height: int | None, width: int | None) -> tuple[int, int]:
    config = pipe.transformer.config
    factor = spatial_factor(pipe.vae)
    height, width = height or config.sample_height * factor, width or config.sample_width * factor
    side = factor * config.patch_size
    if height % side or width % side:
        raise RunFileError(
            f"frames of {height} by {width} pixels do not fit this pipeline: both must be multiples of "
            f"{side}",
            "change height and width of the method in the run file, or leave them out",
        )
    return height, width


def _centred(grid: tuple[int, int], base: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a grid of patches lies, at its own aspect ratio, in the grid of the training size: (top, left)
    and (bottom, right)."""
    scale = min(base[0] / grid[0], base[1] / grid[1])
    size = tuple(round(side * scale) for side in grid)
    top, left = (round((outer - inner) / 2) for outer, inner in zip(base, size, strict=True))
    return (top, left), (top + size[0], left + size[1])

"""A tuning step and a sampling step of Tune-A-Video and SimDA on Stable Diffusion 1.x: time and peak memory.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/tuning_speed.py            # CPU, some minutes
    .venv/bin/python benchmarks/tuning_speed.py --frames 24 --latent 64                   # the published size

The UNet is the real one (860 million weights) at random weights: what it computes does not change what it
costs. Without a GPU the default is 4 frames with latents of 16 x 16, with one 24 frames of 64 x 64 in
float16.

* A tuning step is `methods.one_shot.tuning`'s: draws, forward pass, backward pass, AdamW. The text encoder
  and the VAE have no part in it.
* A sampling step is one of DDIM with guidance, so the UNet sees every frame twice.
* The ratio is that to a forward pass of the plain image UNet on the same frames: once for tuning, twice
  (guidance) for sampling.

Every row is a process of its own, and memory is the peak of that process (on a GPU what torch allocated),
with the weights in it. Times are medians; on a CPU they are CPU seconds of one thread, and the plain forward
passes run before and after the steps, as the machine may be busy.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timing import clock_of, device_and_name, in_child, peak_gib, write_json
from torch import nn

from reelbench.core.markdown import table_head, table_line
from reelbench.methods.adapters.adapters import PRESETS, Adapters
from reelbench.methods.one_shot.config import InflationConfig, TuningConfig
from reelbench.methods.one_shot.inflated_unet import Inflation
from reelbench.methods.one_shot.tuning import Attached, LatentPosterior, tune_on_clip
from reelbench.methods.pipelines import EncodedPrompt
from reelbench.methods.stable_diffusion.ddim import Denoiser
from reelbench.methods.stable_diffusion.pipeline import StableDiffusion

METHODS = ("image model", "tune-a-video", "simda, paper", "simda, released")
STEPS = ("tuning", "sampling")
TOKENS, TEXT_WIDTH = 77, 768


def main() -> None:
    device, where = device_and_name()
    has_gpu = device == "cuda"
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, default=24 if has_gpu else 4)
    parser.add_argument("--latent", type=int, default=64 if has_gpu else 16, help="height and width")
    parser.add_argument("--dtype", default="float16" if has_gpu else "float32", help="of the frozen weights")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--repeats", type=int, default=10 if has_gpu else 3)
    parser.add_argument("--no-checkpointing", action="store_true", help="keep activations instead")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--child", metavar="JSON", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(**json.loads(options.child))))
        return
    size = {"frames": options.frames, "latent": options.latent, "dtype": options.dtype}
    facts = {
        "device": where,
        "torch": torch.__version__,
        **size,
        "checkpointing": not options.no_checkpointing,
    }
    print(
        f"{options.frames} frames, latents of {options.latent} x {options.latent}, {options.dtype}, gradient "
        f"checkpointing {'off' if options.no_checkpointing else 'on'}, {where}, torch {torch.__version__}\n"
    )
    headings = ["step", "method", "trained", "s", "plain forward, s", "ratio", "peak memory, GiB"]
    print(*table_head(headings, "llr"), sep="\n")
    rows = []
    for step in options.steps:
        for method in options.methods:
            request = {"method": method, "step": step, "repeats": options.repeats, **size}
            row = in_child(__file__, request | {"checkpointing": not options.no_checkpointing})
            rows.append(row)
            numbers = [f"{row['trained']:,}", show(row["seconds"], ".2f"), f"{row['plain_seconds']:.2f}"]
            numbers += [show(row["ratio"], ".2f"), f"{row['peak_gib']:.2f}"]
            print(table_line([step, method, *numbers]), flush=True)
            write_json(options.json, {**facts, "rows": rows})  # after every row: the whole takes long


def show(value: float | None, form: str) -> str:
    """A number, or a dash for the row of the image model, which is the yardstick."""
    return "-" if value is None else format(value, form)


# -- the models --------------------------------------------------------------------------------


@dataclass(frozen=True)
class BareUNet(StableDiffusion):
    """A pipeline of a UNet alone: the text is noise, and nothing is decoded."""

    side: int

    @property
    def latent_shape_CHW(self) -> tuple[int, int, int]:
        return (4, self.side, self.side)

    def encode_prompt(self, prompt: str) -> EncodedPrompt:
        text_LD = torch.randn(TOKENS, TEXT_WIDTH, generator=torch.Generator().manual_seed(len(prompt)))
        return EncodedPrompt(text_LD.to(self.device, self.dtype), truncated=False)


def bare_unet(side: int, device: str, dtype: str) -> BareUNet:
    """The architecture of Stable Diffusion 1.x at random weights, with its noise schedule."""
    from diffusers import UNet2DConditionModel

    number_format: torch.dtype = getattr(torch, dtype)
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            layers_per_block=2,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=8,
        )
    assert sum(parameter.numel() for parameter in unet.parameters()) == 859_520_964
    # torch's own cast: diffusers' warns of layers to be kept in float32, of which this UNet has none.
    nn.Module.to(unet, number_format).to_empty(device=device).requires_grad_(False).eval()
    generator = torch.Generator(device).manual_seed(0)
    for name, parameter in unet.named_parameters():
        if parameter.ndim > 1:
            bound = parameter[0].numel() ** -0.5
            parameter.uniform_(-bound, bound, generator=generator)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    return BareUNet(
        unet=unet,
        vae=None,
        text_encoder=None,
        tokenizer=None,
        alphas_cumprod=tuple((1 - betas).cumprod(0).tolist()),
        prediction="epsilon",
        device=torch.device(device),
        dtype=number_format,
        height=8 * side,
        width=8 * side,
        side=side,
    )


def video_model(pipeline: BareUNet, method: str, frames: int) -> tuple[dict[str, nn.Parameter], Attached]:
    """What a method trains, float32, and what makes the UNet its video model within a block."""
    unet, side = pipeline.unet, pipeline.side
    if method == "image model":
        return {}, contextlib.nullcontext
    if method == "tune-a-video":
        inflation = Inflation(unet, InflationConfig())
        return inflation.trained, lambda: inflation.attached(unet, frames)
    adapters = Adapters(unet, PRESETS[method.removeprefix("simda, ")]).to(pipeline.device)
    return dict(adapters.named_parameters()), lambda: adapters.attached(unet, frames, side, side)


# -- measuring ---------------------------------------------------------------------------------


def measure(
    method: str, step: str, frames: int, latent: int, dtype: str, checkpointing: bool, repeats: int
) -> dict[str, Any]:
    """One row: median seconds of the step and of the plain forward pass, peak memory of this process."""
    device, _ = device_and_name()
    torch.set_num_threads(1)
    pipeline = bare_unet(latent, device, dtype)
    trained, attached = video_model(pipeline, method, frames)
    num_trained = sum(parameter.numel() for parameter in trained.values())
    plain = plain_seconds(pipeline, frames if step == "tuning" else 2 * frames, repeats)
    seconds: list[float] = []
    if method != "image model":
        if step == "tuning":
            seconds = tuning_seconds(pipeline, trained, attached, frames, checkpointing, repeats)
        else:
            for parameter in trained.values():
                parameter.requires_grad_(False)
                parameter.data = parameter.data.to(pipeline.dtype)
            seconds = sampling_seconds(pipeline, attached, frames, repeats)
        plain += plain_seconds(pipeline, frames if step == "tuning" else 2 * frames, repeats)
    median = statistics.median(seconds) if seconds else None
    return {
        "step": step,
        "method": method,
        "trained": num_trained,
        "seconds": median,
        "plain_seconds": statistics.median(plain),
        "ratio": None if median is None else median / statistics.median(plain),
        "all_seconds": seconds,
        "all_plain_seconds": plain,
        "peak_gib": peak_gib() if device == "cpu" else torch.cuda.max_memory_allocated() / 2**30,
    }


@torch.inference_mode()
def plain_seconds(pipeline: BareUNet, num_images: int, repeats: int) -> list[float]:
    """Forward passes of the image model; the first does not count."""
    latents_BCHW = torch.randn(num_images, *pipeline.latent_shape_CHW).to(pipeline.device, pipeline.dtype)
    text_BLD = pipeline.encode_prompt("").embedding_LD.expand(num_images, -1, -1)
    clock, found = clock_of(pipeline.device.type), []
    for _ in range(repeats + 1):
        started = clock()
        pipeline.unet(latents_BCHW, 500, encoder_hidden_states=text_BLD, return_dict=False)
        found.append(clock() - started)
    return found[1:]


def tuning_seconds(
    pipeline: BareUNet,
    trained: dict[str, nn.Parameter],
    attached: Attached,
    frames: int,
    checkpointing: bool,
    repeats: int,
) -> list[float]:
    """Steps of a tuning; the first, in which AdamW gets its memory, does not count."""
    mean_TCHW = torch.randn(frames, *pipeline.latent_shape_CHW)
    clip = LatentPosterior(mean_TCHW, torch.full_like(mean_TCHW, 0.1))
    config = TuningConfig(steps=repeats + 1, gradient_checkpointing=checkpointing)
    clock, ends = clock_of(pipeline.device.type), []
    tune_on_clip(
        pipeline, trained, attached, clip, "a prompt", config, 0, progress=lambda _: ends.append(clock())
    )
    return [end - start for start, end in itertools.pairwise(ends)]


@torch.inference_mode()
def sampling_seconds(pipeline: BareUNet, attached: Attached, frames: int, repeats: int) -> list[float]:
    """Steps of DDIM with guidance; the first does not count."""
    schedule = pipeline.schedule(50)
    text_GLD = torch.stack([pipeline.encode_prompt(text).embedding_LD for text in ("", "a prompt")])
    denoiser = Denoiser(pipeline.unet, schedule, text_GLD, 7.5, pipeline.latent_shape_CHW)
    latents_TCHW = torch.randn(frames, *pipeline.latent_shape_CHW)
    clock, found = clock_of(pipeline.device.type), []
    with attached():
        for timestep in schedule.timesteps[: repeats + 1]:
            started = clock()
            latents_TCHW = denoiser.denoise(latents_TCHW, [timestep])
            found.append(clock() - started)
    return found[1:]


if __name__ == "__main__":
    main()

"""Tuning on one clip: what a step is, that it may stop anywhere, and that one seed gives one set of bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.errors import ClipRefusedError, RunFileError
from reelbench.core.seeds import generator
from reelbench.methods.noise import draw
from reelbench.methods.one_shot.config import InflationConfig, TuningConfig
from reelbench.methods.one_shot.inflated_unet import Inflation
from reelbench.methods.one_shot.tuning import (
    LatentPosterior,
    TuningProgress,
    encode_reference,
    tune_on_clip,
)
from reelbench.methods.stable_diffusion.ddim import schedule_of
from reelbench.methods.stable_diffusion.pipeline import StableDiffusion, load_pipeline

FRAMES = 3
PROMPT = "a red circle"


@pytest.fixture
def pipeline(pipeline_folder: str) -> StableDiffusion:
    return load_pipeline(pipeline_folder, device="cpu")


def reference(height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (FRAMES, height, width, 3), dtype=np.uint8)


class Stopped(Exception):
    """Stands for a kill in the middle of a tuning."""


def tuned(
    pipeline: StableDiffusion,
    *,
    seed: int = 0,
    prompt: str = PROMPT,
    clip: LatentPosterior | None = None,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 0.0,
    stop_at: int | None = None,
    losses: list[float] | None = None,
    **settings: Any,
) -> dict[str, torch.Tensor]:
    inflation = Inflation(pipeline.unet, InflationConfig(), seed=0)

    def progress(at: TuningProgress) -> None:
        if losses is not None:
            losses.append(at.loss)
        if at.step == stop_at:
            raise Stopped

    tune_on_clip(
        pipeline,
        inflation.trained,
        lambda: inflation.attached(pipeline.unet, FRAMES),
        clip or encode_reference(pipeline, reference()),
        prompt,
        TuningConfig(**({"steps": 6, "learning_rate": 1e-3} | settings)),
        seed,
        checkpoint=checkpoint,
        checkpoint_every_s=checkpoint_every_s,
        progress=progress,
    )
    return {name: parameter.detach().clone() for name, parameter in inflation.trained.items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_step_is_adamw_on_the_image_models_objective(
    make_pipeline: Callable[..., Path], prediction: str
) -> None:
    """Two steps written out: posterior, noise of one timestep for all frames, clipped gradient, AdamW."""
    pipeline = load_pipeline(str(make_pipeline(prediction)), device="cpu")
    clip, seed = encode_reference(pipeline, reference()), 5
    losses: list[float] = []
    made = tuned(pipeline, seed=seed, steps=2, losses=losses)

    inflation = Inflation(pipeline.unet, InflationConfig(), seed=0)
    parameters = [parameter.requires_grad_(True) for parameter in inflation.trained.values()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    with torch.no_grad():
        text = pipeline.encode_prompt(PROMPT).embedding_LD.expand(FRAMES, -1, -1)
    for step in range(2):
        t = int(generator(seed, "tuning timestep", step).integers(1000))
        abar = pipeline.alphas_cumprod[t]
        clean = clip.mean_TCHW + clip.std_TCHW * draw((FRAMES, 4, 8, 8), seed, "tuning posterior", step)
        noise = draw((FRAMES, 4, 8, 8), seed, "tuning noise", step)
        target = noise if prediction == "epsilon" else abar**0.5 * noise - (1 - abar) ** 0.5 * clean
        noisy = abar**0.5 * clean + (1 - abar) ** 0.5 * noise
        with inflation.attached(pipeline.unet, FRAMES):
            output = pipeline.unet(noisy, t, encoder_hidden_states=text).sample
            loss = (output - target).square().mean()
            loss.backward()
        assert float(loss.detach()) == pytest.approx(losses[step], rel=1e-5)
        norm = torch.cat([parameter.grad.flatten() for parameter in parameters]).norm()
        for parameter in parameters:
            parameter.grad.mul_(min(1.0, 1.0 / (float(norm) + 1e-6)))
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in inflation.trained.items():
        torch.testing.assert_close(made[name], parameter.detach(), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_target_is_what_sampling_takes_for_the_right_answer(
    pipeline: StableDiffusion, prediction: str
) -> None:
    schedule = schedule_of(pipeline.alphas_cumprod, prediction, 1)
    clean, noise = draw((2, 4, 8, 8), 0, "clean"), draw((2, 4, 8, 8), 0, "noise")
    for timestep in (1, 400, 999):
        noisy, target = (f(clean, noise, timestep) for f in (schedule.noisy, schedule.target))
        found_clean, found_noise = schedule.clean_and_noise(target, noisy, timestep)
        torch.testing.assert_close(found_clean, clean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found_noise, noise, atol=1e-4, rtol=1e-4)


def test_the_loss_on_the_reference_falls(pipeline: StableDiffusion) -> None:
    """On the same draws before and after, so that timesteps do not matter."""
    fresh: list[float] = []
    tuned(pipeline, steps=24, learning_rate=3e-3, losses=fresh)
    untrained: list[float] = []
    tuned(pipeline, steps=24, learning_rate=1e-12, losses=untrained)
    assert fresh[0] == untrained[0]
    assert np.mean(fresh[16:]) < 0.97 * np.mean(untrained[16:])


def test_the_same_seed_gives_the_same_numbers(pipeline: StableDiffusion) -> None:
    torch.manual_seed(1)
    one = tuned(pipeline)
    torch.manual_seed(2)
    assert same(tuned(pipeline), one)
    assert not same(tuned(pipeline, seed=1), one)


def test_gradient_checkpointing_changes_no_number(pipeline: StableDiffusion) -> None:
    on = tuned(pipeline, gradient_checkpointing=True)
    off = tuned(pipeline, gradient_checkpointing=False)
    assert same(on, off)
    assert not pipeline.unet.is_gradient_checkpointing


@pytest.mark.parametrize("stop_at", [1, 4])
def test_stopped_and_started_again_it_ends_bit_for_bit_the_same(
    pipeline: StableDiffusion, tmp_path: Path, stop_at: int
) -> None:
    checkpoint = tmp_path / "tuning" / "checkpoint.pt"
    whole = tuned(pipeline)
    with pytest.raises(Stopped):
        tuned(pipeline, checkpoint=checkpoint, stop_at=stop_at)
    rest: list[float] = []
    assert same(tuned(pipeline, checkpoint=checkpoint, losses=rest), whole)
    assert len(rest) == 6 - stop_at
    # Once more from the end: nothing is left to do.
    assert same(tuned(pipeline, checkpoint=checkpoint, losses=rest), whole)
    assert len(rest) == 6 - stop_at


def test_a_kill_between_checkpoints_loses_the_steps_since_the_last(
    pipeline: StableDiffusion, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        tuned(pipeline, checkpoint=checkpoint, checkpoint_every_s=3600, stop_at=4)
    assert not checkpoint.exists()
    assert same(tuned(pipeline, checkpoint=checkpoint, checkpoint_every_s=3600), tuned(pipeline))
    assert checkpoint.is_file()


def test_a_longer_tuning_goes_on_from_a_shorter_one(pipeline: StableDiffusion, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    tuned(pipeline, steps=3, checkpoint=checkpoint)
    rest: list[float] = []
    assert same(tuned(pipeline, steps=6, checkpoint=checkpoint, losses=rest), tuned(pipeline, steps=6))
    assert len(rest) == 3


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"prompt": "a cat"}, {"learning_rate": 1e-2}, {"steps": 2}], ids=str
)
def test_the_checkpoint_of_another_tuning_is_refused(
    pipeline: StableDiffusion, tmp_path: Path, other: dict[str, Any]
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    tuned(pipeline, steps=3, checkpoint=checkpoint)
    with pytest.raises(RunFileError, match=r"checkpoint\.pt is the checkpoint of another tuning"):
        tuned(pipeline, **({"steps": 3} | other), checkpoint=checkpoint)


def test_so_is_that_of_another_clip(pipeline: StableDiffusion, tmp_path: Path) -> None:
    tuned(pipeline, steps=1, checkpoint=tmp_path / "checkpoint.pt")
    with pytest.raises(RunFileError, match="another tuning"):
        tuned(
            pipeline,
            steps=1,
            clip=encode_reference(pipeline, reference(seed=1)),
            checkpoint=tmp_path / "checkpoint.pt",
        )


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None], ids=["empty", "text", "half"])
def test_a_damaged_checkpoint_counts_as_none(
    pipeline: StableDiffusion, tmp_path: Path, damage: bytes | None
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    tuned(pipeline, steps=2, checkpoint=checkpoint)
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2] if damage is None else damage)
    assert same(tuned(pipeline, steps=2, checkpoint=checkpoint), tuned(pipeline, steps=2))


def test_the_unet_is_left_as_it_was(pipeline: StableDiffusion) -> None:
    before = {name: parameter.detach().clone() for name, parameter in pipeline.unet.named_parameters()}
    tuned(pipeline, steps=2)
    for name, parameter in pipeline.unet.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
        assert not parameter.requires_grad


def test_the_global_random_state_is_untouched(pipeline: StableDiffusion) -> None:
    state = torch.random.get_rng_state()
    tuned(pipeline, steps=2)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("dtype", "precision"), [("float32", "bfloat16"), ("bfloat16", "auto")])
def test_in_half_precision_what_trains_stays_in_float32(
    pipeline_folder: str, dtype: Any, precision: str
) -> None:
    pipeline = load_pipeline(pipeline_folder, device="cpu", dtype=dtype)
    made = tuned(pipeline, precision=precision, steps=3)
    assert {tensor.dtype for tensor in made.values()} == {torch.float32}
    plain = tuned(load_pipeline(pipeline_folder, device="cpu"), steps=3)
    assert not same(made, plain)
    for name, tensor in made.items():
        torch.testing.assert_close(tensor, plain[name], atol=8e-3, rtol=0)  # 3 steps of at most about 1e-3


def test_float16_resumes_with_its_loss_scale(pipeline: StableDiffusion, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        tuned(pipeline, precision="float16", steps=4, checkpoint=checkpoint, stop_at=2)
    resumed = tuned(pipeline, precision="float16", steps=4, checkpoint=checkpoint)
    assert same(resumed, tuned(pipeline, precision="float16", steps=4))
    fresh = dict(Inflation(pipeline.unet, InflationConfig(), seed=0).trained)
    assert not same(resumed, fresh)


def test_a_precision_that_the_pipeline_does_not_have_is_refused(pipeline_folder: str) -> None:
    pipeline = load_pipeline(pipeline_folder, device="cpu", dtype="bfloat16")
    with pytest.raises(RunFileError, match=r"precision is float32, but the pipeline is loaded in bfloat16"):
        tuned(pipeline, precision="float32")


def test_a_loss_that_is_not_a_number_ends_the_tuning(pipeline: StableDiffusion) -> None:
    broken = replace(
        encode_reference(pipeline, reference()), mean_TCHW=torch.full((FRAMES, 4, 8, 8), float("nan"))
    )
    with pytest.raises(ClipRefusedError, match="nan at step 1"):
        tuned(pipeline, clip=broken)


def test_progress_tells_steps_and_time(pipeline: StableDiffusion) -> None:
    seen: list[TuningProgress] = []
    inflation = Inflation(pipeline.unet, InflationConfig())
    tune_on_clip(
        pipeline,
        inflation.trained,
        lambda: inflation.attached(pipeline.unet, FRAMES),
        encode_reference(pipeline, reference()),
        PROMPT,
        TuningConfig(steps=3),
        0,
        progress=seen.append,
    )
    assert [(at.step, at.steps) for at in seen] == [(1, 3), (2, 3), (3, 3)]
    assert seen[0].seconds_left > 0
    assert seen[-1].seconds_left == 0


def test_the_posterior_is_that_of_the_vae_at_the_scale_of_the_unet(pipeline: StableDiffusion) -> None:
    frames = reference()
    with torch.no_grad():
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
        posterior = pipeline.vae.encode(pixels).latent_dist
    made = encode_reference(pipeline, frames)
    scale = pipeline.vae.config.scaling_factor
    torch.testing.assert_close(made.mean_TCHW, posterior.mean * scale)
    torch.testing.assert_close(made.std_TCHW, posterior.std * scale)
    noise = draw((FRAMES, 4, 8, 8), 0, "test")
    torch.testing.assert_close(made.sample(noise), (posterior.mean + posterior.std * noise) * scale)


def test_a_reference_of_another_size_is_stretched_not_cropped(pipeline: StableDiffusion) -> None:
    """The left half is black, the right half white, whatever the shape of the frame."""
    square, oblong = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 48, 128, 3), np.uint8)
    square[:, :, 16:], oblong[:, :, 64:] = 255, 255
    wide = encode_reference(pipeline, oblong).mean_TCHW
    assert wide.shape == (1, 4, 8, 8)
    torch.testing.assert_close(wide, encode_reference(pipeline, square).mean_TCHW, atol=0.05, rtol=0.05)

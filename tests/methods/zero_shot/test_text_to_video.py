"""The three text-to-video methods on a tiny real pipeline: what they promise about clips and seeds."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch

from reelbench.core.contracts import Method
from reelbench.core.errors import ClipRefusedError
from reelbench.core.types import Conditioning, Frames, Sample, WeightsRef
from reelbench.methods.noise import draw, initial_noise
from reelbench.methods.zero_shot.ddim_frames import DdimFrames
from reelbench.methods.zero_shot.text2video_zero import Text2VideoZero
from reelbench.methods.zero_shot.zs2 import Zs2

METHODS: list[Any] = [DdimFrames, Text2VideoZero, Zs2]
MakeSample = Callable[..., Sample]

every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def session(method: Any, folder: str, **settings: Any) -> Any:
    defaults = {"weights": folder, "num_frames": 4, "num_steps": 6}
    return method(method.Config(**(defaults | settings))).load("cpu")


def clip(method: Any, folder: str, sample: Sample, seed: int = 0, **settings: Any) -> Frames:
    return next(session(method, folder, **settings).generate([sample], None, [seed]))


@every_method
def test_a_method_keeps_the_contract(method: Any, pipeline_folder: str, sample: MakeSample) -> None:
    made: Method = method(method.Config(weights=pipeline_folder))
    assert (made.name, made.version) == (method.name, "1")
    assert made.resources().num_gpus == 1.0
    assert made.conditioning is Conditioning.TEXT
    assert made.weights() == (WeightsRef("pipeline", pipeline_folder),)
    assert made.config.num_frames == 16
    assert made.config.weights == pipeline_folder
    ready = session(method, pipeline_folder)
    assert ready.tune(None, None, 0) is None
    frames = next(ready.generate([sample()], None, [5]))
    assert frames.dtype == np.uint8
    assert frames.shape == (4, 32, 32, 3)
    assert frames.std() > 1
    assert ready.describe()["trainable_parameters"] == 0


@every_method
def test_a_clip_depends_on_sample_and_seed_alone(
    method: Any, pipeline_folder: str, sample: MakeSample
) -> None:
    one, two = sample("a red circle"), sample("a blue square on sand")
    ready = session(method, pipeline_folder)
    torch.manual_seed(1)
    forward = list(ready.generate([one, two, one], None, [3, 4, 5]))
    torch.manual_seed(2)
    backward = list(ready.generate([two, one], None, [4, 3]))
    assert np.array_equal(forward[0], backward[1])
    assert np.array_equal(forward[1], backward[0])
    assert not np.array_equal(forward[0], forward[2])
    again = clip(method, pipeline_folder, one, 3)
    assert np.array_equal(forward[0], again)


@every_method
def test_the_global_random_state_is_untouched(method: Any, pipeline_folder: str, sample: MakeSample) -> None:
    torch_state, numpy_state = torch.random.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    clip(method, pipeline_folder, sample())
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert pickle.dumps(np.random.get_state()) == numpy_state  # noqa: NPY002


@every_method
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_one_frame_is_plain_ddim_bit_for_bit(
    method: Any, pipeline_folder: str, sample: MakeSample, guidance_scale: float
) -> None:
    """Plain DDIM: diffusers' default attention in a loop written out here."""
    ready = session(method, pipeline_folder, num_frames=1, guidance_scale=guidance_scale)
    made = next(ready.generate([sample()], None, [11]))

    pipeline, schedule = ready.pipeline, ready.schedule
    with torch.inference_mode():
        embeddings = [pipeline.encode_prompt(prompt).embedding_LD for prompt in ("", sample().prompt)]
        text = torch.stack(embeddings if guidance_scale > 1 else embeddings[1:])
        latents = initial_noise(11, 0, pipeline.latent_shape_CHW)[None]
        for timestep in schedule.timesteps:
            inputs = torch.cat([latents] * len(text))
            output = pipeline.unet(inputs, timestep, encoder_hidden_states=text).sample
            if guidance_scale > 1:
                output = output[:1] + guidance_scale * (output[1:] - output[:1])
            latents = schedule.step(output, latents, timestep)
        assert np.array_equal(made, pipeline.decode(latents))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_plain_ddim_agrees_with_the_pipeline_of_diffusers(
    make_pipeline: Callable[..., Path], sample: MakeSample, prediction: str
) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    folder = str(make_pipeline(prediction))
    made = clip(DdimFrames, folder, sample(), 2, num_frames=2, num_steps=10)
    theirs = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    theirs.set_progress_bar_config(disable=True)
    theirs.scheduler = DDIMScheduler.from_config(
        theirs.scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    noise = torch.stack([initial_noise(2, frame, (4, 8, 8)) for frame in range(2)])
    expected = theirs(
        [sample().prompt] * 2, num_inference_steps=10, guidance_scale=7.5, latents=noise, output_type="np"
    ).images
    assert np.abs(made / 255 - expected).max() < 1.5 / 255


def test_frame_one_is_the_same_image_in_all_methods(pipeline_folder: str, sample: MakeSample) -> None:
    """It starts from the same noise and attends to itself alone; what is left is rounding."""
    clips = [clip(method, pipeline_folder, sample(), 8).astype(int) for method in METHODS]
    for other in clips[1:]:
        assert np.abs(other[0] - clips[0][0]).max() <= 2
        assert np.abs(other[1] - clips[0][1]).max() > 2


def test_zs2_without_momentum_and_dependency_is_independent_ddim(
    pipeline_folder: str, sample: MakeSample
) -> None:
    independent = clip(DdimFrames, pipeline_folder, sample()).astype(int)
    loose = clip(Zs2, pipeline_folder, sample(), mu=0.0, lambda_=2.0)
    assert np.abs(loose - independent).max() <= 1


def test_zs2_with_one_noise_is_a_still_clip(pipeline_folder: str, sample: MakeSample) -> None:
    still = clip(Zs2, pipeline_folder, sample(), lambda_=0.0).astype(int)
    assert np.abs(still - still[0]).max() <= 1


def test_zs2_moves_more_with_a_larger_lambda(pipeline_folder: str, sample: MakeSample) -> None:
    changes = [
        np.abs(np.diff(clip(Zs2, pipeline_folder, sample(), lambda_=value).astype(int), axis=0)).mean()
        for value in (0.0, 0.01, 0.25, 1.0)
    ]
    assert all(smaller < larger for smaller, larger in pairwise(changes))


@pytest.mark.parametrize("variant", ["paper", "pseudocode"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_zs2_with_the_two_stage_search(
    pipeline_folder: str, sample: MakeSample, variant: str, precision: str
) -> None:
    made = clip(
        Zs2,
        pipeline_folder,
        sample(),
        noise="two-stage-search",
        search_variant=variant,
        search_precision=precision,
    )
    assert np.abs(np.diff(made.astype(int), axis=0)).max() > 0


def test_zs2_takes_a_momentum_for_each_frame(pipeline_folder: str, sample: MakeSample) -> None:
    constant = clip(Zs2, pipeline_folder, sample(), mu=0.5)
    assert np.array_equal(clip(Zs2, pipeline_folder, sample(), mu=[0.5, 0.5, 0.5]), constant)
    assert not np.array_equal(clip(Zs2, pipeline_folder, sample(), mu=[0.5, 0.5, 0.9]), constant)
    with pytest.raises(pydantic.ValidationError, match="3"):
        Zs2.Config(num_frames=4, mu=(0.5, 0.5))


def test_run_files_may_write_lambda() -> None:
    config = Zs2.Config.model_validate({"lambda": 0.25})
    assert config.lambda_ == 0.25
    assert Zs2.Config.model_validate(config.model_dump()) == config


def test_text2video_zero_follows_the_papers_steps(pipeline_folder: str, sample: MakeSample) -> None:
    """The whole method written out as one loop."""
    from reelbench.methods.stable_diffusion.attention import CrossFrameAttention
    from reelbench.methods.zero_shot.text2video_zero import shift

    ready = session(Text2VideoZero, pipeline_folder, guidance_scale=1.0, num_steps=50, t0=44, t1=47)
    made = next(ready.generate([sample()], None, [1]))
    pipeline, schedule = ready.pipeline, ready.schedule

    with torch.inference_mode():
        text = pipeline.encode_prompt(sample().prompt).embedding_LD[None]

        def steps(latents: torch.Tensor, timesteps: list[int]) -> torch.Tensor:
            for timestep in timesteps:
                output = pipeline.unet(
                    latents, timestep, encoder_hidden_states=text.repeat(len(latents), 1, 1)
                ).sample
                latents = schedule.step(output, latents, timestep)
            return latents

        at_941 = steps(initial_noise(1, 0, (4, 8, 8))[None], [981, 961])
        at_881 = steps(at_941, [941, 921, 901])
        noise = torch.stack([draw((4, 8, 8), 1, "forward noise", frame) for frame in (1, 2, 3)])
        others = schedule.forward_jump(shift(at_881, 4, 12.0, 12.0), noise, 881, 941)
        for name, module in pipeline.unet.named_modules():
            if name.endswith("attn1"):
                module.set_processor(CrossFrameAttention(4))
        final = steps(torch.cat([at_941, others]), [t for t in schedule.timesteps if t <= 941])
        assert np.array_equal(made, pipeline.decode(final))


def test_the_prompt_suffix_is_off_by_default(pipeline_folder: str, sample: MakeSample) -> None:
    plain = clip(Text2VideoZero, pipeline_folder, sample("a cat"))
    assert np.array_equal(clip(Text2VideoZero, pipeline_folder, sample("a cat"), prompt_suffix=""), plain)
    suffixed = clip(Text2VideoZero, pipeline_folder, sample("a cat"), prompt_suffix="hd")
    assert np.array_equal(suffixed, clip(Text2VideoZero, pipeline_folder, sample("a cat, hd")))
    assert not np.array_equal(suffixed, plain)


@every_method
def test_captions_of_500_words_and_in_another_script(
    method: Any, pipeline_folder: str, sample: MakeSample
) -> None:
    ready = session(method, pipeline_folder)
    prompts = ["circle " * 500, "赤い円が草の上を左に動く", "🎈" * 40, ""]
    frames = list(ready.generate([sample(prompt) for prompt in prompts], None, [0] * len(prompts)))
    assert [item.shape for item in frames] == [(4, 32, 32, 3)] * len(prompts)
    assert ready.describe()["truncated_prompts"] == 3


@every_method
def test_a_clip_with_nan_is_refused_and_the_next_one_is_made(
    method: Any, pipeline_folder: str, sample: MakeSample
) -> None:
    ready = session(method, pipeline_folder)
    expected = list(ready.generate([sample()] * 2, None, [0, 1]))[1]
    bias = ready.pipeline.unet.conv_out.bias
    kept = bias.clone()
    clips = ready.generate([sample()] * 2, None, [0, 1])
    bias.fill_(float("nan"))
    with pytest.raises(ClipRefusedError, match="NaN"):
        next(clips)
    bias.copy_(kept)
    assert np.array_equal(next(clips), expected)


@every_method
def test_guidance_and_negative_prompt_matter(method: Any, pipeline_folder: str, sample: MakeSample) -> None:
    guided = clip(method, pipeline_folder, sample())
    assert not np.array_equal(clip(method, pipeline_folder, sample(), guidance_scale=1.0), guided)
    assert not np.array_equal(clip(method, pipeline_folder, sample(), negative_prompt="blue"), guided)
    assert not np.array_equal(clip(method, pipeline_folder, sample("zzz")), guided)


@every_method
def test_it_runs_in_half_precision_and_at_another_size(
    method: Any, pipeline_folder: str, sample: MakeSample
) -> None:
    frames = clip(method, pipeline_folder, sample(), dtype="bfloat16", height=16, width=48)
    assert frames.shape == (4, 16, 48, 3)


@every_method
@pytest.mark.parametrize(
    "wrong",
    [
        {"num_frames": 0},
        {"num_steps": 0},
        {"num_steps": 1000},
        {"guidance_scale": 0.5},
        {"guidance_scale": float("nan")},
        {"dtype": "int8"},
        {"height": 0},
        {"num_step": 20},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(method: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        method.Config(**wrong)


@every_method
def test_samples_and_seeds_must_match(method: Any, pipeline_folder: str, sample: MakeSample) -> None:
    ready = session(method, pipeline_folder)
    with pytest.raises(ValueError, match="2 samples but 1 seeds"):
        ready.generate([sample()] * 2, None, [0])
    with pytest.raises(ValueError, match="artifact"):
        ready.generate([sample()], b"", [0])

"""CogVideoX folders of every published configuration at tiny size: loading, latents, sampling."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.contracts import Method
from reelbench.core.errors import ClipRefusedError, ResourcesError, RunFileError, WeightsError
from reelbench.core.types import Conditioning, Sample, WeightsRef
from reelbench.methods.cogvideox.pipeline import CogVideoX, load_cogvideox, num_latent_frames, valid_length
from reelbench.methods.cogvideox.schedule import VideoSchedule, schedule_of, spaced_timesteps
from reelbench.methods.cogvideox.session import Guidance, denoise, initial_latents
from reelbench.methods.cogvideox.text_to_video import CogVideoXTextToVideo
from reelbench.methods.noise import draw
from reelbench.tests.methods.tiny_cogvideox import cogvideox_folder

TEXT_MODELS = ("2b", "5b", "1.5")


def loaded(variant: str = "2b", **settings: Any) -> CogVideoX:
    return load_cogvideox(cogvideox_folder(variant), device="cpu", **settings)


def noise_clip(num_frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)


def sample(prompt: str = "a red circle") -> Sample:
    return Sample(id="s", prompt=prompt, source="v")


def session(variant: str = "2b", **settings: Any) -> Any:
    defaults = {"base": cogvideox_folder(variant), "num_steps": 3, "num_frames": 8}
    return CogVideoXTextToVideo(CogVideoXTextToVideo.Config(**(defaults | settings))).load("cpu")


class TestFramesAndLatents:
    @pytest.mark.parametrize(
        ("num_frames", "expected"), [(1, 1), (8, 2), (9, 3), (16, 4), (17, 5), (24, 6), (49, 13), (81, 21)]
    )
    def test_the_vae_gives_back_a_valid_length(self, num_frames: int, expected: int) -> None:
        assert valid_length(num_frames) == num_frames
        assert num_latent_frames(num_frames) == expected
        if num_frames <= 24:
            pipeline = loaded()
            latents = pipeline.encode(noise_clip(num_frames))
            assert latents.shape == (expected, 4, 8, 8) == pipeline.latent_shape_FCHW(num_frames)
            assert len(pipeline.decode(latents)) == num_frames

    @pytest.mark.parametrize("num_frames", [2, 3, 7, 10, 12, 15])
    def test_another_length_is_filled_up_with_its_last_frame(self, num_frames: int) -> None:
        pipeline, clip = loaded(), noise_clip(num_frames)
        filled = np.concatenate([clip, np.repeat(clip[-1:], valid_length(num_frames) - num_frames, axis=0)])
        assert torch.equal(pipeline.encode(clip), pipeline.encode(filled))
        assert len(pipeline.decode(pipeline.encode(clip))) == valid_length(num_frames) > num_frames

    @pytest.mark.parametrize("num_frames", [2, 3, 5, 7, 11, 13, 18])
    def test_without_filling_up_four_begun_frames_are_a_latent_frame(self, num_frames: int) -> None:
        assert len(loaded().encode_as_is(noise_clip(num_frames))) == -(-num_frames // 4)

    def test_frames_of_another_size_are_resized_and_cropped(self) -> None:
        wide = np.random.default_rng(0).integers(0, 256, (8, 32, 64, 3), dtype=np.uint8)
        pipeline = loaded()
        assert torch.equal(pipeline.encode(wide), pipeline.encode(wide[:, :, 16:48]))
        large = wide.repeat(3, axis=1).repeat(3, axis=2)
        assert pipeline.encode(large).shape == (2, 4, 8, 8)

    def test_the_posterior_is_drawn_from_by_seed_or_its_mean_taken(self) -> None:
        pipeline, clip = loaded(), noise_clip(8)
        drawn = pipeline.encode(clip, seed=1)
        assert torch.equal(drawn, pipeline.encode(clip, seed=1))
        assert not torch.equal(drawn, pipeline.encode(clip, seed=2))
        assert not torch.equal(drawn, pipeline.encode(clip))

    def test_latents_are_scaled_as_in_diffusers(self) -> None:
        pipeline, clip = loaded(), noise_clip(8)
        pixels = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            expected = pipeline.vae.encode(pixels).latent_dist.mode()[0] * pipeline.vae.config.scaling_factor
        assert torch.allclose(pipeline.encode(clip), expected.movedim(0, 1), atol=1e-6)

    def test_latents_that_are_not_finite_are_refused(self) -> None:
        pipeline = loaded()
        with pytest.raises(ClipRefusedError, match="NaN"):
            pipeline.decode(torch.full((2, 4, 8, 8), torch.nan))


class TestSchedule:
    def test_trailing_timesteps_begin_at_noise_alone(self) -> None:
        assert spaced_timesteps(1000, 50, "trailing") == tuple(range(999, 0, -20))
        assert spaced_timesteps(1000, 4, "leading", 1) == (751, 501, 251, 1)
        assert spaced_timesteps(1000, 3, "linspace") == (999, 500, 0)
        assert loaded().alphas_cumprod[-1] == 0

    @pytest.mark.parametrize("num_steps", [0, 1001])
    def test_a_number_of_steps_that_does_not_fit_is_refused(self, num_steps: int) -> None:
        with pytest.raises(RunFileError, match=f"num_steps is {num_steps}"):
            spaced_timesteps(1000, num_steps, "trailing")

    @pytest.mark.parametrize("num_steps", [1, 5, 20])
    def test_ddim_computes_what_diffusers_computes(self, num_steps: int) -> None:
        reference = loaded().scheduler
        reference.set_timesteps(num_steps)
        schedule = schedule_of(reference, num_steps)
        assert schedule.sampler == "ddim"
        assert list(schedule.timesteps) == reference.timesteps.tolist()
        ours = theirs = draw((2, 4, 8, 8), 0, "state")
        for index, timestep in enumerate(schedule.timesteps):
            prediction = draw((2, 4, 8, 8), index, "prediction")
            theirs = reference.step(prediction, timestep, theirs).prev_sample
            ours = schedule.step(index, schedule.clean(prediction, ours, timestep), ours, None, None)
        assert torch.allclose(ours, theirs.float(), atol=1e-5)

    @pytest.mark.parametrize("num_steps", [2, 5, 20])
    def test_dpm_computes_what_diffusers_computes(
        self, num_steps: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from diffusers.schedulers import scheduling_dpm_cogvideox

        reference = load_cogvideox(cogvideox_folder("2b", "dpm"), device="cpu").scheduler
        reference.set_timesteps(num_steps)
        schedule = schedule_of(reference, num_steps)
        assert schedule.sampler == "dpm"
        noise = draw((2, 4, 8, 8), 7, "added")
        monkeypatch.setattr(scheduling_dpm_cogvideox, "randn_tensor", lambda *args, **kwargs: noise)
        ours = theirs = draw((2, 4, 8, 8), 0, "state")
        our_clean: Any = None
        their_clean: Any = None
        before: Any = None
        for index, timestep in enumerate(schedule.timesteps):
            prediction = draw((2, 4, 8, 8), index, "prediction")
            theirs, their_clean = reference.step(prediction, their_clean, timestep, before, theirs)
            clean = schedule.clean(prediction, ours, timestep)
            ours = schedule.step(index, clean, ours, our_clean, noise)
            our_clean, before = clean, timestep
            assert torch.allclose(our_clean, their_clean.float(), atol=1e-4)
        assert torch.allclose(ours, theirs.float(), atol=1e-4)

    @pytest.mark.parametrize("sampler", ["ddim", "dpm"])
    def test_a_perfect_prediction_ends_at_the_clip(self, sampler: Any) -> None:
        schedule = loaded().schedule(6, sampler)
        clean, state = draw((2, 4, 8, 8), 0, "clip"), draw((2, 4, 8, 8), 1, "state")
        earlier = None
        for index, timestep in enumerate(schedule.timesteps):
            abar = schedule.alphas_cumprod[timestep]
            noise = (state - abar**0.5 * clean) / (1 - abar) ** 0.5
            assert torch.allclose(schedule.noisy(clean, noise, timestep), state, atol=1e-5)
            found = schedule.clean(schedule.target(clean, noise, timestep), state, timestep)
            assert torch.allclose(found, clean, atol=1e-5)
            state = schedule.step(index, found, state, earlier, draw((2, 4, 8, 8), index, "added"))
            earlier = found
        assert torch.allclose(state, clean, atol=1e-5)

    def test_timesteps_that_leave_noise_alone_out_are_refused(self) -> None:
        """A checkpoint of zero terminal SNR begins there; one that is not may begin anywhere."""
        from diffusers import CogVideoXDDIMScheduler

        settings: dict[str, Any] = {"prediction_type": "v_prediction", "timestep_spacing": "leading"}
        with pytest.raises(WeightsError, match=r"begins at noise alone, timestep 999; .* begins at 800"):
            schedule_of(CogVideoXDDIMScheduler(**settings, rescale_betas_zero_snr=True), 5)
        assert schedule_of(CogVideoXDDIMScheduler(**settings), 5).timesteps[0] == 800

    def test_noise_cannot_be_predicted_from_noise_alone(self) -> None:
        with pytest.raises(WeightsError, match="noise alone"):
            VideoSchedule((0.5, 0.0), 1.0, "epsilon", (1, 0))


class TestPredicting:
    @pytest.mark.parametrize("variant", TEXT_MODELS)
    def test_sampling_gives_the_latents_of_diffusers_pipeline(self, variant: str) -> None:
        from diffusers import CogVideoXPipeline

        pipeline = loaded(variant)
        folder = cogvideox_folder(variant)
        reference: Any = CogVideoXPipeline.from_pretrained(folder, local_files_only=True)
        reference.set_progress_bar_config(disable=True)
        noise = initial_latents(3, pipeline.latent_shape_FCHW(16))
        expected = reference(
            "a red circle",
            num_frames=16,
            num_inference_steps=4,
            guidance_scale=3.0,
            latents=noise[None].clone(),
            max_sequence_length=24,
            output_type="latent",
        ).frames[0]
        text = torch.stack([pipeline.encode_prompt(p).embedding_LD for p in ("", "a red circle")])
        ours = denoise(pipeline.predict, pipeline.schedule(4), noise, text, Guidance(3.0), 0)
        assert torch.allclose(ours, expected.float(), atol=1e-4)
        assert ours.std() > 0.1

    def test_rotary_positions_keep_the_aspect_ratio_as_in_diffusers(self) -> None:
        from diffusers import CogVideoXPipeline

        pipeline = loaded("5b", height=24, width=40)
        reference: Any = CogVideoXPipeline.from_pretrained(cogvideox_folder("5b"), local_files_only=True)
        expected = reference._prepare_rotary_positional_embeddings(24, 40, 4, torch.device("cpu"))
        found = pipeline._rotary(4)
        assert found is not None
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))

    def test_patches_over_two_latent_frames_need_an_even_number(self) -> None:
        assert [loaded("1.5").padding(n) for n in (4, 5)] == [0, 1]
        assert [loaded("5b").padding(n) for n in (4, 5)] == [0, 0]

    def test_dynamic_guidance_rises_from_one(self) -> None:
        scales = [Guidance(6.0, dynamic=True).at(index, 50) for index in range(50)]
        assert scales[0] == 1
        assert scales == sorted(scales)
        assert 6.5 < scales[-1] < 7
        assert Guidance(6.0).at(30, 50) == 6


class TestLoading:
    @pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
    def test_missing_weights_are_named(self, part: str, tmp_path: Path) -> None:
        folder = tmp_path / "pipeline"
        shutil.copytree(cogvideox_folder(), folder)
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        with pytest.raises(WeightsError, match=rf"missing {part}/\*.safetensors"):
            load_cogvideox(str(folder), device="cpu")

    def test_a_folder_of_another_kind_is_refused(self, tmp_path: Path, pipeline_folder: str) -> None:
        with pytest.raises(WeightsError, match="names no transformer"):
            load_cogvideox(pipeline_folder, device="cpu")
        with pytest.raises(WeightsError, match=r"model_index\.json is missing"):
            load_cogvideox(str(tmp_path), device="cpu")

    def test_an_image_to_video_model_is_no_text_to_video_model(self) -> None:
        with pytest.raises(WeightsError, match=r"takes 8 channels .* not a text-to-video model"):
            loaded("i2v")
        with pytest.raises(WeightsError, match="not an image-to-video model"):
            loaded("2b", kind="image")

    def test_a_vae_that_merges_another_number_of_frames_is_refused(self, tmp_path: Path) -> None:
        folder = tmp_path / "pipeline"
        shutil.copytree(cogvideox_folder(), folder)
        config = json.loads((folder / "vae" / "config.json").read_text())
        (folder / "vae" / "config.json").write_text(json.dumps(config | {"temporal_compression_ratio": 2}))
        with pytest.raises(WeightsError, match="merges 2 frames"):
            load_cogvideox(str(folder), device="cpu")

    def test_a_tokenizer_of_sentencepiece_is_read_as_published_folders_have_it(self, tmp_path: Path) -> None:
        from transformers.utils import sentencepiece_model_pb2_new as description

        reference = loaded().tokenizer
        folder = tmp_path / "pipeline"
        shutil.copytree(cogvideox_folder(), folder)
        pieces = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]["vocab"]
        (folder / "tokenizer" / "tokenizer.json").unlink()
        model: Any = description.ModelProto()
        model.trainer_spec.model_type = 1
        for text, score in pieces:
            piece = model.pieces.add()
            piece.piece, piece.score = text, score
        file = folder / "tokenizer" / "spiece.model"
        file.write_bytes(model.SerializeToString())
        read = load_cogvideox(str(folder), device="cpu").tokenizer
        for prompt in ("", "a red circle", "Zebra 7 runs"):
            assert read(prompt).input_ids == reference(prompt).input_ids
            assert read(prompt).input_ids[-1] == 1
        for wrong, message in ((b"", "holds 0 pieces"), (b"\xff" * 9, "is not a SentencePiece file")):
            file.write_bytes(wrong)
            with pytest.raises(WeightsError, match=message):
                load_cogvideox(str(folder), device="cpu")

    def test_a_size_must_fit_patches(self) -> None:
        assert loaded(height=24, width=40).latent_shape_FCHW(9) == (3, 4, 6, 10)
        with pytest.raises(RunFileError, match="multiples of 8"):
            loaded(height=20)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
    def test_a_gpu_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(ResourcesError, match="torch sees no GPU"):
            load_cogvideox(cogvideox_folder(), device="cuda")

    def test_the_global_random_state_is_left_alone(self) -> None:
        torch.manual_seed(5)
        before = torch.get_rng_state()
        loaded().encode(noise_clip(8), seed=1)
        assert torch.equal(before, torch.get_rng_state())


class TestTextToVideo:
    def test_it_keeps_the_contract(self) -> None:
        made: Method = CogVideoXTextToVideo(CogVideoXTextToVideo.Config(base="owner/name"))
        assert made.name == "cogvideox"
        assert made.conditioning is Conditioning.TEXT
        assert made.weights() == (WeightsRef("cogvideox", "owner/name"),)

    @pytest.mark.parametrize("variant", TEXT_MODELS)
    @pytest.mark.parametrize("num_frames", [5, 8, 9])
    def test_any_number_of_frames_is_made(self, variant: str, num_frames: int) -> None:
        clip = next(session(variant, num_frames=num_frames, num_steps=2).generate([sample()], None, [1]))
        assert (clip.dtype, clip.shape) == (np.uint8, (num_frames, 32, 32, 3))
        assert clip.std() > 1

    def test_a_clip_depends_on_prompt_and_seed_alone(self) -> None:
        ready = session()
        first, second, third, fourth = ready.generate(
            [sample(), sample("blue"), sample(), sample()], None, [1, 1, 2, 1]
        )
        assert np.array_equal(first, fourth)
        assert not np.array_equal(first, second)
        assert not np.array_equal(first, third)

    def test_dpm_is_seeded(self) -> None:
        clips = [next(session(sampler="dpm").generate([sample()], None, [4])) for _ in range(2)]
        assert np.array_equal(*clips)
        assert not np.array_equal(clips[0], next(session(sampler="ddim").generate([sample()], None, [4])))

    def test_it_says_what_it_is(self) -> None:
        ready = session(guidance_scale=1.0)
        next(ready.generate([sample("a very long prompt " * 9)], None, [0]))
        assert ready.tune(None, None, 0) is None
        assert ready.describe() == {
            "trainable_parameters": 0,
            "height": 32,
            "width": 32,
            "dtype": "float32",
            "truncated_prompts": 1,
        }

    def test_an_artifact_or_a_missing_seed_is_refused(self) -> None:
        ready = session()
        with pytest.raises(ValueError, match="tunes nothing"):
            ready.generate([sample()], b"x", [0])
        with pytest.raises(ValueError, match="1 samples but 0 seeds"):
            ready.generate([sample()], None, [])

    def test_the_method_files_import_no_torch(self) -> None:
        names = ("floors", "constant_velocity", "image_to_video", "fca", "lora")
        code = "; ".join(f"import reelbench.methods.prediction.{name}" for name in names)
        code += "; import reelbench.methods.cogvideox.text_to_video"
        check = f"import sys; {code}; assert not {{'torch', 'cv2', 'peft'}} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", check], check=True)

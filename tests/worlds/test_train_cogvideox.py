"""The embedded CogVideoX: its words, its clips, its trainings at a few steps, and the committed weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.types import Sample
from reelbench.methods.cogvideox.pipeline import load_cogvideox
from reelbench.methods.cogvideox.schedule import schedule_of
from reelbench.methods.cogvideox.text_to_video import CogVideoXTextToVideo
from reelbench.worlds.sprites import cogvideox_transformer as transformer_training
from reelbench.worlds.sprites import cogvideox_vae as vae_training
from reelbench.worlds.sprites.cogvideox_data import (
    NUM_COMPLETE,
    ClipPool,
    clip_pool,
    draw_wording,
    pool_frames,
    pool_scene,
    shrink,
)
from reelbench.worlds.sprites.cogvideox_quality import cogvideox_quality, enlarge, prompted_scenes
from reelbench.worlds.sprites.cogvideox_tokenizer import MAX_LENGTH, build_t5_tokenizer
from reelbench.worlds.sprites.cogvideox_transformer import (
    VideoModel,
    build_networks,
    cached_latents,
    noisy_and_velocity,
    timesteps,
    train_transformer,
)
from reelbench.worlds.sprites.cogvideox_vae import (
    VAE_CONFIG,
    clip_batch,
    latent_deviation,
    set_unit_deviation,
    shrunken,
    train_decoder,
)
from reelbench.worlds.sprites.commands import WEIGHTS
from reelbench.worlds.sprites.layouts import wordings
from reelbench.worlds.sprites.motion_quality import judged_clips
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.scene import local_generator, split_of
from reelbench.worlds.sprites.tokenizer import token_ids
from reelbench.worlds.sprites.train_cogvideox import Preview, train_cogvideox
from reelbench.worlds.sprites.training import TrainingRun, seeded_initialisation

from .combinations import combination

NUM_CLIPS = 12


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build_t5_tokenizer()


@pytest.fixture(scope="module")
def pool(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> ClipPool:
    return clip_pool(tokenizer, NUM_CLIPS, 0, tmp_path_factory.mktemp("pool") / "clips.pt")


@pytest.fixture
def vae() -> Any:
    from diffusers import AutoencoderKLCogVideoX

    with seeded_initialisation("test", 0):
        return AutoencoderKLCogVideoX(**VAE_CONFIG).eval().requires_grad_(False)


def test_every_word_of_every_prompt_is_one_token_and_all_prompts_fit(tokenizer: Any) -> None:
    for number in range(200):
        for text in wordings(pool_scene(number, seed=1)):
            tokens = tokenizer.tokenize(text)
            assert len(tokens) == len(text.replace(",", " ,").split())
            assert len(tokens) < MAX_LENGTH
    assert token_ids(tokenizer, ["a red circle", ""]).shape == (2, MAX_LENGTH)


def test_the_tokenizer_is_read_from_its_folder_by_t5_and_by_auto_classes(
    tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, T5Tokenizer

    tokenizer.save_pretrained(tmp_path)
    texts = ["on grass, a red circle turns counter-clockwise", "Quick zebras! 42", "", "\u00e9"]
    for cls in (AutoTokenizer, T5Tokenizer):
        read = cls.from_pretrained(tmp_path)
        assert isinstance(read, T5Tokenizer)
        assert token_ids(read, texts).equal(token_ids(tokenizer, texts))
    unknown = tokenizer.unk_token_id
    assert unknown not in tokenizer("Quick zebras! 42").input_ids
    assert unknown in tokenizer("\u00e9").input_ids


def test_clips_are_of_the_training_split_and_do_not_depend_on_how_many_there_are(
    tokenizer: Any, pool: ClipPool, tmp_path: Path
) -> None:
    for number in range(NUM_CLIPS):
        scene = pool_scene(number, 0)
        assert split_of(*combination(scene)) == "train"
        assert bool(pool.single_N[number]) == (scene.other is None)
    fewer = clip_pool(tokenizer, 3, 0, tmp_path / "clips.pt")
    assert fewer.frames_NTHW3.equal(pool.frames_NTHW3[:3])
    again = clip_pool(tokenizer, 3, 0, tmp_path / "clips.pt")
    assert again.tokens_NKL.equal(pool.tokens_NKL[:3])
    assert len(clip_pool(tokenizer, 4, 0, tmp_path / "clips.pt")) == 4
    assert not clip_pool(tokenizer, 3, 1, tmp_path / "other.pt").frames_NTHW3.equal(fewer.frames_NTHW3)


def test_frames_are_as_the_methods_shrink_those_of_the_data_sets(pool: ClipPool) -> None:
    drawn = pool_frames(pool_scene(0, 0), 0, 0)
    assert drawn.shape == (16, 64, 64, 3)
    assert pool.frames_NTHW3[0].equal(shrink(drawn))
    colours = pool.frames_NTHW3[0].numpy().mean((1, 2))
    np.testing.assert_allclose(colours, drawn.mean((1, 2)), atol=1.5)


def test_half_of_the_wordings_are_labels_and_most_others_are_complete() -> None:
    rng = local_generator("test-wordings")
    drawn = np.array([draw_wording(rng) for _ in range(2000)])
    assert 0.46 < (drawn == 0).mean() < 0.54
    assert 0.3 < ((drawn >= 2) & (drawn < 2 + NUM_COMPLETE)).mean() < 0.36
    assert set(drawn) == set(range(22))
    texts = wordings(pool_scene(0, 0))
    assert len(texts) == 22
    assert "something" in texts[1].lower()
    assert "[" not in texts[1]


@pytest.mark.parametrize(
    ("step", "whole", "shape"),
    [
        (0, False, (16, 3, 8, 20, 20)),
        (3, False, (64, 3, 1, 20, 20)),
        (7, False, (16, 3, 9, 20, 20)),
        (0, True, (4, 3, 16, 32, 32)),
        (3, True, (32, 3, 1, 32, 32)),
    ],
)
def test_the_autoencoder_sees_stretches_single_frames_and_whole_clips(
    pool: ClipPool, step: int, whole: bool, shape: tuple[int, ...]
) -> None:
    clips, mask = clip_batch(pool, step, whole, 0)
    assert clips.shape == shape
    assert mask.shape == (shape[0], 1, *shape[2:])
    assert clips.abs().max() <= 1
    assert 0.02 < mask.mean() < 0.6
    assert clip_batch(pool, step, whole, 0)[0].equal(clips)


def test_an_odd_first_frame_has_a_latent_frame_of_its_own(vae: Any) -> None:
    clips = torch.randn(1, 3, 9, 8, 8, generator=torch.Generator().manual_seed(0))
    small = shrunken(clips)
    assert small.shape[2:] == vae.encode(clips).latent_dist.mean.shape[2:] == (3, 2, 2)
    torch.testing.assert_close(small[0, :, 0, 0, 0], clips[0, :, 0, :4, :4].mean((1, 2)))
    torch.testing.assert_close(small[0, :, 2, 1, 1], clips[0, :, 5:9, 4:, 4:].mean((1, 2, 3)))
    assert shrunken(clips[:, :, :1]).shape == (1, 3, 1, 2, 2)


def test_latents_are_brought_to_unit_deviation_and_decode_to_the_same_clips(vae: Any, pool: ClipPool) -> None:
    clips = vae_training.as_pixels(pool.frames_NTHW3[:2, :8])
    before = vae.encode(clips).latent_dist
    decoded = vae.decode(before.mode()).sample
    deviation = latent_deviation(vae, pool, 0, num=8)
    set_unit_deviation(vae, deviation)
    after = vae.encode(clips).latent_dist
    ratio = deviation.view(1, -1, 1, 1, 1)
    torch.testing.assert_close(after.mode() * ratio, before.mode(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.std * ratio, before.std, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(vae.decode(after.mode()).sample, decoded, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        latent_deviation(vae, pool, 0, num=8), torch.ones_like(deviation), atol=0.02, rtol=0
    )


def test_the_decoder_learns_on_while_the_latents_stay(
    vae: Any, pool: ClipPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae_training, "DECODER_BATCH", 2)
    latents = cached_latents(vae, pool, tmp_path / "latents.pt")
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    resting = copy.deepcopy(vae)
    assert all(
        value.equal(before[name])
        for name, value in train_decoder(resting, pool, latents, tmp_path / "none", 0, 0).state_dict().items()
    )
    once = train_decoder(copy.deepcopy(vae), pool, latents, tmp_path / "once", 0, 6)
    for name, value in once.state_dict().items():
        if name.startswith("encoder"):
            assert value.equal(before[name]), name
    assert not any(parameter.requires_grad for parameter in once.parameters())
    assert _decoding_error(once, pool, latents) < _decoding_error(vae, pool, latents)

    monkeypatch.setattr(vae_training, "CHECKPOINT_EVERY_S", -1.0)
    killed_at = 3
    monkeypatch.setattr(vae_training, "TrainingRun", _dies_at(killed_at))
    with pytest.raises(KeyboardInterrupt):
        train_decoder(copy.deepcopy(vae), pool, latents, tmp_path / "killed", 0, 6)
    monkeypatch.setattr(vae_training, "TrainingRun", TrainingRun)
    resumed = train_decoder(copy.deepcopy(vae), pool, latents, tmp_path / "killed", 0, 6)
    for name, value in resumed.state_dict().items():
        assert value.equal(once.state_dict()[name]), name


def _decoding_error(vae: Any, pool: ClipPool, latents: torch.Tensor) -> float:
    """Mean absolute error of the first clips."""
    clips = vae_training.as_pixels(pool.frames_NTHW3[:4])
    with torch.no_grad():
        decoded = vae.decode(latents[:4].float().movedim(2, 1) / vae.config.scaling_factor).sample
    return float((decoded - clips).abs().mean())


def _dies_at(step: int) -> type[TrainingRun]:
    class Dying(TrainingRun):
        def note(self, values: Any) -> None:
            if self.progress.step == step:
                raise KeyboardInterrupt
            super().note(values)

    return Dying


def test_timesteps_cover_the_schedule_and_are_mostly_noisy() -> None:
    drawn = torch.cat([timesteps(local_generator("test-timesteps", i), 32) for i in range(100)])
    assert drawn.min() >= 0
    assert drawn.max() == 999
    # P(t >= 800) = 1 - 0.8^(1/0.7)
    assert (drawn >= 800).float().mean().item() == pytest.approx(0.273, abs=0.02)
    assert all((timesteps(local_generator("test-timesteps", i), 32) >= 800).any() for i in range(9))


def test_the_transformer_begins_by_predicting_zero_and_the_last_timestep_is_noise_alone(
    vae: Any, tokenizer: Any
) -> None:
    model = build_networks(vae, tokenizer, 0)
    assert model.scheduler.alphas_cumprod[-1] == 0
    assert model.scheduler.config.prediction_type == "v_prediction"
    text = model.text(token_ids(tokenizer, ["a red circle"])).last_hidden_state
    prediction = model.transformer(torch.randn(1, 4, 12, 8, 8), text, torch.tensor([999])).sample
    assert prediction.shape == (1, 4, 12, 8, 8)
    assert not prediction.any()


@pytest.mark.parametrize("timestep", [0, 499, 999])
def test_the_methods_read_the_prediction_as_it_was_trained(timestep: int) -> None:
    from diffusers import CogVideoXDDIMScheduler

    scheduler = CogVideoXDDIMScheduler(**transformer_training.SCHEDULER_CONFIG)
    clean, noise = torch.randn(2, 4, 12, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    noisy, velocity = noisy_and_velocity(clean, noise, scheduler.alphas_cumprod[timestep].float())
    torch.testing.assert_close(schedule_of(scheduler, 10).clean(velocity, noisy, timestep), clean)
    torch.testing.assert_close(scheduler.add_noise(clean, noise, torch.tensor(timestep)), noisy)


def _train(model: VideoModel, pool: ClipPool, work: Path, on_checkpoint: Any) -> VideoModel:
    latents = cached_latents(model.vae, pool, work / "latents.pt")
    assert latents.shape == (NUM_CLIPS, 4, 12, 8, 8)
    return train_transformer(model, pool, latents, work, 0, 3, on_checkpoint)


def test_a_killed_training_goes_on_as_if_nothing_had_been(
    vae: Any, tokenizer: Any, pool: ClipPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {**transformer_training.TRANSFORMER_CONFIG, "num_layers": 1, "attention_head_dim": 16}
    monkeypatch.setattr(transformer_training, "TRANSFORMER_CONFIG", small)
    monkeypatch.setattr(transformer_training, "BATCH", 6)
    monkeypatch.setattr(transformer_training, "CHECKPOINT_EVERY_S", -1.0)
    seen: list[int] = []

    def die(_: VideoModel, run: Any) -> None:
        seen.append(run.step)
        if run.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(build_networks(vae, tokenizer, 0), pool, tmp_path, die)
    resumed = _train(build_networks(vae, tokenizer, 0), pool, tmp_path, die)
    assert seen == [1, 2, 3]
    (tmp_path / "once").mkdir()
    once = _train(build_networks(vae, tokenizer, 0), pool, tmp_path / "once", lambda *_: None)
    for part in ("transformer", "text"):
        state = getattr(once, part).state_dict()
        for name, value in getattr(resumed, part).state_dict().items():
            assert value.equal(state[name]), name
    assert once.transformer.proj_out.weight.any()


def test_from_nothing_to_a_pipeline_that_diffusers_and_the_methods_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import CogVideoXDDIMScheduler, CogVideoXPipeline
    from transformers import T5EncoderModel, T5Tokenizer

    monkeypatch.setattr(transformer_training, "BATCH", 4)
    monkeypatch.setattr(vae_training, "CROP_BATCH", 2)
    out = train_cogvideox(
        tmp_path, 0, 1, 1, 1, tmp_path / "out", num_clips=4, preview=Preview(num=2, num_steps=1)
    )
    log = (tmp_path / "cogvideox.jsonl").read_text()
    assert "caption_motion" in log
    assert "label_drawn" in log
    assert len(list(tmp_path.glob("preview-*.png"))) == 2

    theirs: Any = CogVideoXPipeline.from_pretrained(out)
    assert isinstance(theirs.tokenizer, T5Tokenizer)
    assert isinstance(theirs.text_encoder, T5EncoderModel)
    assert isinstance(theirs.scheduler, CogVideoXDDIMScheduler)
    assert {m.dtype for m in (theirs.transformer, theirs.vae, theirs.text_encoder)} == {torch.float32}
    theirs.set_progress_bar_config(disable=True)
    clip = theirs(
        "moving a red circle on grass from right to left",
        num_frames=16,
        num_inference_steps=1,
        max_sequence_length=MAX_LENGTH,
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).frames[0]
    assert clip.shape == (16, 32, 32, 3)

    pipeline = load_cogvideox(str(out), device="cpu")
    assert (pipeline.height, pipeline.width) == (32, 32)
    assert pipeline.latent_shape_FCHW(16) == (4, 12, 8, 8)
    session = CogVideoXTextToVideo(CogVideoXTextToVideo.Config(base=str(out), num_steps=1)).load("cpu")
    frames = next(session.generate([Sample("a", "a red circle", "a")], None, [0]))
    assert frames.shape == (16, 32, 32, 3)


def test_real_clips_pass_the_judges_at_the_size_of_the_model() -> None:
    scenes = [scene for scene, _ in prompted_scenes(8, "label")]
    measured = judged_clips([enlarge(shrink(render(scene)).numpy()) for scene in scenes], scenes)
    assert measured.value == 1
    assert measured.settings["frames_drawn_as_prompted"] >= 0.95


def test_prompts_are_captions_or_labels_of_the_same_held_out_scenes() -> None:
    captions, labels = prompted_scenes(12, "caption"), prompted_scenes(12, "label")
    assert [scene for scene, _ in captions] == [scene for scene, _ in labels]
    for (scene, caption), (_, label) in zip(captions, labels, strict=True):
        assert split_of(*combination(scene)) == "test"
        assert scene.main.colour in caption
        assert scene.main.colour in label
        assert label == wordings(scene)[0]


@pytest.mark.skipif(not (WEIGHTS / "cogvideox").is_dir(), reason="no pipeline has been committed")
def test_the_committed_pipeline_moves_things_as_prompted() -> None:
    """A small sample; the full figure is in quality.json."""
    folder = WEIGHTS / "cogvideox"
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 20 * 2**20
    assert cogvideox_quality(folder, num=8, num_steps=10).value >= 0.5

"""Training an upscaler's adapters: what a step sees, that it resumes bit for bit, what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.errors import RunFileError
from reelbench.core.types import ClipRef, Frames, Sample
from reelbench.datasets.clip_reader import ClipReader
from reelbench.datasets.video import write_preview
from reelbench.methods.adapters.adapters import AdapterConfig, Adapters, load_adapters
from reelbench.methods.training.adapter_clips import UpscalerEncoder, UpscalingClips
from reelbench.methods.training.schedule import batch_of
from reelbench.methods.training.upscaler import UpscalerPreview, UpscalerTraining, UpscalerTrainingConfig
from reelbench.methods.upscaling.low_resolution import network_range, shrink
from reelbench.methods.upscaling.pipeline import UpscalePipeline, load_upscaler

T = 4
FAST = UpscalerTrainingConfig(
    steps=4, batch_size=2, learning_rate=1e-2, warmup_steps=1, prompt_dropout=0.5, max_noise_level=60
)
SPREAD = ClipReader("spread")
MakeTraining = Callable[..., UpscalerTraining]


def bars(offset: int, size: int = 32) -> Frames:
    """A clip in which a bright bar moves two pixels a frame."""
    clip = np.full((T, size, size, 3), 40, np.uint8)
    for frame in range(T):
        place = (offset + 2 * frame) % (size - 4)
        clip[frame, :, place : place + 4] = (230, 180, 60)
    return clip


@pytest.fixture
def pipeline(make_upscaler: Callable[..., str]) -> UpscalePipeline:
    """A tiny upscaler of factor 2 from 16 to 32 pixels, with random weights."""
    return load_upscaler(make_upscaler(vae_levels=2), device="cpu").at(16, 16)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Six videos of moving bars."""
    made = []
    for number in range(6):
        path = tmp_path / "videos" / f"{number}.mp4"
        write_preview(path, bars(4 * number), 8.0)
        made.append(Sample(f"id{number}", f"a bar at {number}", f"id{number}", ClipRef(path)))
    return made


@pytest.fixture
def clips(pipeline: UpscalePipeline, samples: list[Sample], tmp_path: Path) -> UpscalingClips:
    return UpscalingClips(UpscalerEncoder(pipeline, T).encode(samples, SPREAD, tmp_path / "parts"))


@pytest.fixture
def training(pipeline: UpscalePipeline, clips: UpscalingClips, tmp_path: Path) -> Iterator[MakeTraining]:
    """Makes trainings; accelerate's state is given back afterwards."""
    made: list[UpscalerTraining] = []

    def make(
        work: str = "work",
        preview: UpscalerPreview | None = None,
        at: UpscalePipeline = pipeline,
        **changes: Any,
    ) -> UpscalerTraining:
        if made:
            made.pop().close()
        adapters = Adapters(pipeline.unet.network, AdapterConfig())
        config = FAST.model_copy(update=changes)
        made.append(UpscalerTraining(at, adapters, clips, config, tmp_path / work, preview))
        return made[-1]

    yield make
    for one in made:
        one.close()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def losses(work: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (work / "log.jsonl").read_text().splitlines()]


class TestClips:
    def test_the_low_resolution_is_that_of_the_encoded_frames(self, clips: UpscalingClips) -> None:
        assert len(clips) == 6
        for number in (0, 5):
            assert clips.latents(number).shape == (T, 4, 16, 16)
            low_res = clips.low_res(number).numpy()
            assert low_res.shape == (T, 16, 16, 3)
            assert low_res.dtype == np.uint8
            # The video's codec is lossy, its chroma above all.
            assert np.abs(low_res.astype(int) - shrink(bars(4 * number), 2)).mean() < 12

    def test_clips_that_cannot_be_read_are_left_out(
        self, pipeline: UpscalePipeline, samples: list[Sample], tmp_path: Path
    ) -> None:
        (tmp_path / "videos" / "2.mp4").write_bytes(b"no video")
        found = UpscalingClips(UpscalerEncoder(pipeline, T).encode(samples, SPREAD, tmp_path / "p"))
        assert [name for name, _ in found.left_out] == ["id2"]
        assert found.caption(2) == "a bar at 3"

    def test_parts_that_are_there_are_kept(
        self, pipeline: UpscalePipeline, samples: list[Sample], tmp_path: Path
    ) -> None:
        encoder = UpscalerEncoder(pipeline, T)
        first = encoder.encode(samples, SPREAD, tmp_path / "p")
        written = first[0].stat().st_mtime_ns
        assert encoder.encode(samples, SPREAD, tmp_path / "p") == first
        assert first[0].stat().st_mtime_ns == written
        assert UpscalerEncoder(pipeline.at(8, 8), T).encode(samples, SPREAD, tmp_path / "p") != first


class TestTraining:
    def test_the_adapters_learn_and_the_image_upscaler_does_not(
        self, training: MakeTraining, tmp_path: Path
    ) -> None:
        run = training(steps=30, learning_rate=2e-2)
        before = {name: value.clone() for name, value in run.pipeline.unet.state_dict().items()}
        run.run(log_every=5)
        found = losses(tmp_path / "work")
        assert np.mean(found[-2:]) < 0.9 * found[0]
        assert equal(run.pipeline.unet.state_dict(), before)

    def test_every_adapter_gets_a_gradient_with_checkpointing_as_well(self, training: MakeTraining) -> None:
        gradients = []
        for checkpointing in (False, True):
            run = training(f"work-{checkpointing}", gradient_checkpointing=checkpointing)
            run.pipeline.unet.network.train(checkpointing)  # diffusers checkpoints in training mode only
            for module in run.adapters.modules():
                if hasattr(module, "up"):  # at zero, nothing before it would get one
                    torch.nn.init.constant_(module.up.weight, 0.01)
            run.optimizer.step = lambda: None
            run.optimizer.zero_grad = lambda set_to_none: None
            run._update()
            gradients.append({name: p.grad.clone() for name, p in run.adapters.named_parameters()})
            run.adapters.zero_grad()
        assert all(value.abs().max() > 0 for value in gradients[0].values())
        for name, value in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], value)

    def test_the_network_sees_the_low_resolution_of_its_batch(
        self, training: MakeTraining, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = training(max_noise_level=0)
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        network = run.pipeline.unet.network
        hook = network.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append((args[0], kwargs["class_labels"])), with_kwargs=True
        )
        run._update()
        hook.remove()
        batch = batch_of(0, run.config, len(run.clips), run._weights)
        expected = torch.cat([network_range(run.clips.low_res(n).numpy()) for n in batch.clips])
        inputs, labels = seen[0]
        assert inputs.shape == (2 * T, 7, 16, 16)
        assert labels.tolist() == [0] * 2 * T
        assert (inputs[:, 4:] - expected).std() < 0.02  # level 0 is nearly no noise

    def test_noise_levels_are_drawn_one_for_each_clip_up_to_the_highest(self, training: MakeTraining) -> None:
        run = training(max_noise_level=7)
        levels = []
        for step in range(40):
            run.progress.step = step
            with run._attached(["", ""]):
                level_B = run.pipeline.unet._level_B
                assert level_B.view(2, T).unique(dim=1).shape == (2, 1)
                levels += level_B.tolist()
        assert set(levels) == set(range(8))

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_a_killed_training_goes_on_bit_for_bit(self, training: MakeTraining, precision: str) -> None:
        whole = training("whole", precision=precision)
        whole.run()
        expected = {name: value.clone() for name, value in whole.adapters.state_dict().items()}
        killed = training("killed", precision=precision)
        killed._update()
        killed.progress.step = 1
        killed.save()
        killed._update()  # done, but not saved: the kill comes here
        resumed = training("killed", precision=precision)
        assert resumed.step == 1
        file = resumed.run()
        assert equal(resumed.adapters.state_dict(), expected)
        assert load_adapters(file, resumed.pipeline.unet.network).config == resumed.adapters.config

    @pytest.mark.parametrize("changes", [{"max_noise_level": 30}, {"low_res_noise": "shared"}], ids=str)
    def test_a_training_of_other_noise_is_not_gone_on_with(
        self, training: MakeTraining, changes: dict[str, Any]
    ) -> None:
        training().run()
        with pytest.raises(RunFileError, match="other settings"):
            training(**changes)

    def test_sizes_and_levels_that_do_not_fit_are_refused(
        self, training: MakeTraining, pipeline: UpscalePipeline
    ) -> None:
        with pytest.raises(RunFileError, match=r"latents are \[4, 16, 16\], the pipeline is at \[4, 8, 8\]"):
            training(at=pipeline.at(8, 8))
        with pytest.raises(RunFileError, match="noise_level is 100"):
            training(max_noise_level=100)

    def test_previews_are_enlarged_clips(self, training: MakeTraining, tmp_path: Path) -> None:
        shown: list[Frames] = []

        def judge(made: Sequence[Frames], prompts: Sequence[str]) -> dict[str, float]:
            assert list(prompts) == ["a bar", "bars"]
            shown.extend(made)
            return {"frames": float(len(made[0]))}

        low_res = (shrink(bars(0), 2), shrink(bars(9), 2))
        preview = UpscalerPreview(
            prompts=("a bar", "bars"),
            every_steps=4,
            write=write_preview,
            num_steps=2,
            judge=judge,
            clips=low_res,
        )
        training(preview=preview).run()
        assert [clip.shape for clip in shown] == [(T, 32, 32, 3)] * 2
        assert (tmp_path / "work" / "previews" / "step-000004" / "01.mp4").is_file()
        assert '"frames": 4.0' in (tmp_path / "work" / "log.jsonl").read_text()

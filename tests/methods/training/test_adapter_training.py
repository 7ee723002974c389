"""Training adapters on videos: what a step does, that it resumes bit for bit, what comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reelbench.core.errors import RunFileError
from reelbench.core.types import Frames
from reelbench.datasets.video import write_preview
from reelbench.methods.adapters.adapters import AdapterConfig, Adapters, load_adapters
from reelbench.methods.noise import draw
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.methods.training.adapters import PreviewConfig, VideoTraining
from reelbench.methods.training.clips import TrainingClips
from reelbench.methods.training.loop import AttentionInFloat32
from reelbench.methods.training.schedule import TrainingConfig, batch_of, learning_rate, timestep_weights

T = 4
FAST = TrainingConfig(steps=4, batch_size=2, learning_rate=1e-2, warmup_steps=1, prompt_dropout=0.5)
MakeTraining = Callable[..., VideoTraining]


def write_part(path: Path, num_clips: int = 6) -> Path:
    """Latents in which a bright bar moves: smooth from frame to frame, so there is something to learn."""
    latents = torch.zeros(num_clips, T, 4, 8, 8)
    for clip in range(num_clips):
        for frame in range(T):
            latents[clip, frame, :, :, (clip + frame) % 8] = 2.0
    samples = [[f"id{n}", f"a bar at {n}"] for n in range(num_clips)]
    metadata = {"key": "made by a test", "samples": json.dumps(samples), "left_out": "[]"}
    save_file({"latents": latents.half()}, path, metadata)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> TrainingClips:
    return TrainingClips([write_part(tmp_path_factory.mktemp("clips") / "part.safetensors")])


@pytest.fixture
def training(
    make_pipeline: Callable[..., Path], clips: TrainingClips, tmp_path: Path
) -> Iterator[MakeTraining]:
    """Makes trainings; accelerate's state is given back afterwards."""
    made: list[VideoTraining] = []

    def make(work: str = "work", prediction: str = "epsilon", **changes: Any) -> VideoTraining:
        if made:
            made.pop().close()
        preview, config = changes.pop("preview", None), AdapterConfig()
        pipeline = load_pipeline(str(make_pipeline(prediction)), device="cpu", dtype="float32")
        made.append(
            VideoTraining(
                pipeline,
                Adapters(pipeline.unet, changes.pop("adapters", config)),
                clips,
                FAST.model_copy(update=changes),
                tmp_path / work,
                preview,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_adapters_learn_and_the_image_model_does_not(training: MakeTraining) -> None:
    run = training(steps=40)
    unet_before = {name: value.clone() for name, value in run.pipeline.unet.state_dict().items()}
    file = run.run(log_every=5)
    assert file is not None
    losses = [json.loads(line)["loss"] for line in (file.parent / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 8
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:2])
    assert equal(run.pipeline.unet.state_dict(), unet_before)


def test_the_artifact_is_the_average_of_the_adapters_alone(training: MakeTraining) -> None:
    run = training(average_decay=0.5)
    file = run.run()
    assert file is not None
    assert load_file(file).keys() == run.adapters.state_dict().keys()
    loaded = load_adapters(file, run.pipeline.unet)
    assert loaded.config == run.adapters.config
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, run.average[name], atol=1e-3, rtol=1e-3)
    assert not equal(run.average, run.adapters.state_dict())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_training_goes_on_bit_for_bit(training: MakeTraining, precision: str) -> None:
    whole = training("whole", precision=precision)
    whole.run()
    expected, average = {k: v.clone() for k, v in whole.adapters.state_dict().items()}, whole.average

    killed = training("killed", precision=precision)
    killed._update()
    killed.progress.step = 1
    killed.save()
    killed._update()  # done, but not saved: the kill comes here
    resumed = training("killed", precision=precision)
    assert resumed.step == 1
    resumed.run()
    assert equal(resumed.adapters.state_dict(), expected)
    assert equal(resumed.average, average)


def test_what_was_logged_after_the_checkpoint_is_logged_once(training: MakeTraining, tmp_path: Path) -> None:
    run = training()
    run.progress.step = 2
    run.save()
    log = tmp_path / "work" / "log.jsonl"
    log.write_text('{"step": 2, "loss": 1.0}\n{"step": 3, "loss": 2.0}\n')
    training().run(log_every=1)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2, 3, 4]


def test_a_finished_training_may_get_more_steps_but_no_other_settings(training: MakeTraining) -> None:
    training().run()
    assert training(steps=6).step == 4
    for other in (
        {"learning_rate": 1e-3},
        {"steps": 3},
        {"adapters": AdapterConfig(latent_shift="off")},
        {"seed": 1},
    ):
        with pytest.raises(RunFileError, match="belongs to a training of other settings"):
            training(**other)


def test_gradient_checkpointing_gives_the_same_adapters(training: MakeTraining) -> None:
    states = []
    for checkpointing in (False, True):
        run = training(f"work-{checkpointing}", gradient_checkpointing=checkpointing, steps=2)
        run.pipeline.unet.train(checkpointing)
        run.run()
        states.append({k: v.clone() for k, v in run.adapters.state_dict().items()})
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_target_is_what_the_image_model_predicts(
    training: MakeTraining, prediction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that gives the exact answer has no loss: the answer is computed from the schedule's own
    rule."""
    run = training(prediction=prediction, prompt_dropout=0.0)
    batch = batch_of(0, run.config, len(run.clips), run._weights)
    clean = torch.stack([run.clips.latents(i) for i in batch.clips]).float()

    class Exact(torch.nn.Module):
        def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            assert timestep.tolist() == list(batch.timesteps)
            assert text.shape == (2, 16, 24)
            answers = []
            for x, x0, t in zip(noisy, clean, timestep.tolist(), strict=True):
                alpha = run.pipeline.alphas_cumprod[t]
                eps = (x - alpha**0.5 * x0) / (1 - alpha) ** 0.5
                v = alpha**0.5 * eps - (1 - alpha) ** 0.5 * x0
                answers.append({"epsilon": eps, "v_prediction": v, "sample": x0}[prediction])
            return torch.stack(answers).requires_grad_()

    run.model = Exact()
    assert float(run._update()) < 1e-8


def test_batches_are_drawn_from_seed_and_step_alone() -> None:
    config = TrainingConfig(batch_size=8, prompt_dropout=0.3)
    weights = np.ones(1000)
    assert batch_of(7, config, 50, weights) == batch_of(7, config, 50, weights)
    assert batch_of(7, config, 50, weights) != batch_of(8, config, 50, weights)
    many = [batch_of(step, config, 50, weights) for step in range(400)]
    used = Counter(clip for batch in many for clip in batch.clips)
    assert set(used) == set(range(50))
    assert max(used.values()) < 2 * min(used.values())
    dropped = np.mean([batch.dropped for batch in many])
    assert dropped == pytest.approx(0.3, abs=0.03)


def test_timesteps_of_a_batch_come_from_equal_stretches_of_their_distribution() -> None:
    config = TrainingConfig(batch_size=4)
    for step in range(50):
        quarters = sorted(t // 250 for t in batch_of(step, config, 10, np.ones(1000)).timesteps)
        assert quarters == [0, 1, 2, 3]


def test_weights_are_roots_so_that_drawing_and_weighing_together_give_the_weight() -> None:
    alphas = np.linspace(0.999, 0.005, 1000)
    assert np.array_equal(timestep_weights(alphas, 1.0), np.ones(1000))
    weights = timestep_weights(alphas, 25.0)
    assert weights.mean() == pytest.approx(1.0)
    # How often a timestep is drawn, times how much its loss counts.
    effective = weights / weights.sum() * weights
    expected = np.minimum(1 / alphas, 25.0)
    assert effective / effective[0] == pytest.approx(expected / expected[0])


def test_blind_clips_come_at_the_noisiest_timesteps_and_show_noise_alone(training: MakeTraining) -> None:
    """What the network should answer is still the clip: the noise that would make it of what it sees."""
    many = [batch_of(step, TrainingConfig(blind_share=0.25), 9, np.ones(1000)) for step in range(300)]
    assert np.mean([batch.blind for batch in many]) == pytest.approx(0.25, abs=0.04)
    pairs = [(t, b) for batch in many for t, b in zip(batch.timesteps, batch.blind, strict=True)]
    assert min(t for t, blind in pairs if blind) >= 950
    assert min(t for t, blind in pairs if not blind) < 50

    run = training(blind_share=1.0)
    batch = batch_of(0, run.config, len(run.clips), run._weights)
    clean = torch.stack([run.clips.latents(i) for i in batch.clips]).float()

    class Knowing(torch.nn.Module):
        def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            answers = []
            for clip, x, x0, t in zip(range(2), noisy, clean, timestep.tolist(), strict=True):
                alpha = run.pipeline.alphas_cumprod[t]
                drawn = draw(tuple(x.shape), run.config.seed, "noise", 0, clip)
                torch.testing.assert_close(x, (1 - alpha) ** 0.5 * drawn)
                answers.append((x - alpha**0.5 * x0) / (1 - alpha) ** 0.5)
            return torch.stack(answers).requires_grad_()

    run.model = Knowing()
    assert float(run._update()) < 1e-8


def test_the_rate_warms_up_and_falls_to_a_fiftieth() -> None:
    config = TrainingConfig(steps=1000, learning_rate=1.0, warmup_steps=10)
    assert learning_rate(0, config) == pytest.approx(0.1)
    assert learning_rate(10, config) == pytest.approx(1.0)
    assert learning_rate(505, config) == pytest.approx(0.51, abs=0.01)
    assert learning_rate(1000, config) == pytest.approx(0.02)


def test_previews_are_clips_of_the_average_and_change_nothing(training: MakeTraining, tmp_path: Path) -> None:
    plain = training("plain")
    plain.run()
    expected = {k: v.clone() for k, v in plain.adapters.state_dict().items()}
    seen: list[tuple[int, tuple[int, ...]]] = []

    def judge(clips: Sequence[Frames], prompts: Sequence[str]) -> dict[str, float]:
        seen.append((len(prompts), clips[0].shape))
        return {"share": 0.25}

    preview = PreviewConfig(
        prompts=("a bar", "another bar"), every_steps=2, write=write_preview, num_steps=2, judge=judge
    )
    run = training("shown", preview=preview)
    run.run()
    assert equal(run.adapters.state_dict(), expected)
    assert seen == [(2, (T, 32, 32, 3))] * 2
    names = sorted(p.relative_to(tmp_path / "shown").as_posix() for p in (tmp_path / "shown").rglob("*.mp4"))
    assert names == [f"previews/step-00000{step}/0{n}.mp4" for step in (2, 4) for n in (0, 1)]
    assert sum("share" in line for line in (tmp_path / "shown" / "log.jsonl").read_text().splitlines()) == 2


def test_attention_in_float32_takes_and_gives_bfloat16() -> None:
    from torch.nn.functional import scaled_dot_product_attention

    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 8, 4, generator=generator).bfloat16() for _ in range(3))
    with AttentionInFloat32():
        made = scaled_dot_product_attention(q, k, v)
    expected = scaled_dot_product_attention(q.float(), k.float(), v.float())
    assert made.dtype == torch.bfloat16
    assert torch.equal(made, expected.bfloat16())


def test_a_batch_that_processes_cannot_share_is_refused(
    training: MakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    import accelerate

    monkeypatch.setattr(accelerate.Accelerator, "num_processes", property(lambda self: 3))
    with pytest.raises(RunFileError, match="batch_size is 2, which 3 processes cannot share"):
        training()


_TWO = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from reelbench.methods.adapters.adapters import AdapterConfig, Adapters
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.methods.training.clips import TrainingClips
from reelbench.methods.training.schedule import TrainingConfig
from reelbench.methods.training.adapters import VideoTraining
pipeline = load_pipeline(sys.argv[1], device="cpu", dtype="float32")
run = VideoTraining(pipeline, Adapters(pipeline.unet, AdapterConfig()),
                    TrainingClips([Path(sys.argv[2])]), TrainingConfig.model_validate_json(sys.argv[3]),
                    Path(sys.argv[4]))
assert run.accelerator.num_processes == 2
run.run()
"""


@pytest.mark.e2e
def test_two_processes_train_what_one_does(
    training: MakeTraining, make_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    """The batches do not depend on the number of processes; what is left is the order of sums."""
    one = training("one", steps=2)
    one.run()
    script, part = tmp_path / "two.py", write_part(tmp_path / "part.safetensors")
    script.write_text(_TWO)
    config = FAST.model_copy(update={"steps": 2}).model_dump_json()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [str(make_pipeline("epsilon")), str(part), config, str(tmp_path / "two")]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "ACCELERATE_USE_CPU": "1",
    }
    done = subprocess.run(
        [*launch, str(script), *arguments], capture_output=True, text=True, env=environment, timeout=180
    )
    assert done.returncode == 0, done.stderr[:3000]
    saved = torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)
    for name, value in one.adapters.state_dict().items():
        torch.testing.assert_close(saved["trained"][name], value, atol=2e-4, rtol=1e-2)

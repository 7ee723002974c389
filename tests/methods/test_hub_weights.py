"""Weights from a hub, by the real client against a hub of our own: what is fetched, and what is not asked."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reelbench.cli.main import app
from reelbench.core.errors import WeightsError
from reelbench.core.file_digests import FileDigests
from reelbench.core.run_file_loading import load_run_file
from reelbench.core.store import Store
from reelbench.core.types import WeightsRef
from reelbench.core.weights import NotFetchedError, WeightsFinder, digest_weights, look, resolve
from reelbench.datasets.video import default_codec
from reelbench.methods.cogvideox.config import COGVIDEOX
from reelbench.methods.cogvideox.pipeline import load_cogvideox
from reelbench.methods.stable_diffusion.pipeline import STABLE_DIFFUSION, load_pipeline
from reelbench.stages.planning import plan_run

from .fake_hub import COMMIT, FakeHub
from .tiny_cogvideox import cogvideox_folder

PLAIN = {
    "model_index.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer_config.json",
    "scheduler/scheduler_config.json",
}
"""What is loaded of a Stable Diffusion pipeline, but for the tokenizer's other files."""

BESIDE = (
    "v1-5-pruned.safetensors",
    "v1-5-pruned-emaonly.ckpt",
    "README.md",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
    "feature_extractor/preprocessor_config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_flax_model.msgpack",
    "unet/model.onnx",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/pytorch_model.bin",
    "text_encoder/openvino_model.xml",
)
"""What lies beside it in the repository of Stable Diffusion 1.5."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    hub = FakeHub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    yield hub
    hub.close()


@pytest.fixture
def full(pipeline_folder: str, tmp_path: Path) -> Path:
    """A pipeline with all that a repository holds beside it; what is not loaded is no weights at all."""
    folder = Path(shutil.copytree(pipeline_folder, tmp_path / "full"))
    for name in BESIDE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not to be read")
    return folder


def halved(folder: Path, *parts: str) -> None:
    """Leave only the half-precision name of some parts' weights."""
    for part in parts:
        for path in (folder / part).glob("*.safetensors"):
            if ".fp16." not in path.name and ".non_ema." not in path.name:
                path.rename(path.with_name(f"{path.stem}.fp16.safetensors"))


def sharded(folder: Path, stem: str, index: str, shard: str) -> None:
    """Write a network's weights as two shards with an index, in the place of its one file."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / f"{stem}.safetensors")
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = shard.format(f"{number:05}-of-00002")
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / f"{stem}.safetensors").unlink()


def state_of(location: str) -> list[bytes]:
    pipeline = load_pipeline(location, device="cpu")
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    return [value.numpy().tobytes() for part in parts for value in part.state_dict().values()]


def test_only_what_is_loaded_is_fetched_and_in_the_digest(
    hub: FakeHub, full: Path, pipeline_folder: str
) -> None:
    hub.repositories["owner/model"] = full
    path = resolve("owner/model", STABLE_DIFFUSION)
    tokenizer = {f"tokenizer/{item.name}" for item in (full / "tokenizer").iterdir()}
    assert sorted(hub.fetched) == sorted(f"owner/model/{name}" for name in PLAIN | tokenizer)
    expected = digest_weights(Path(pipeline_folder))
    for folder in (path, full, Path(pipeline_folder)):
        assert digest_weights(folder, weights_format=STABLE_DIFFUSION) == expected
    assert state_of("owner/model") == state_of(str(full)) == state_of(pipeline_folder)


def test_what_is_in_the_cache_is_not_asked_for_again(hub: FakeHub, full: Path) -> None:
    hub.repositories["owner/model"] = full
    path = resolve("owner/model", STABLE_DIFFUSION)
    asked = hub.num_requests
    for location in ("owner/model", "owner/model@main", f"owner/model@{COMMIT}"):
        assert resolve(location, STABLE_DIFFUSION, fetch=False) == path
        assert resolve(location, STABLE_DIFFUSION) == path
    assert hub.num_requests == asked


def test_a_fetch_that_was_cut_off_is_completed(hub: FakeHub, full: Path) -> None:
    hub.repositories["owner/model"] = full
    path = resolve("owner/model", STABLE_DIFFUSION)
    for name in ("unet/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"):
        (path / name).unlink()
        with pytest.raises(NotFetchedError):
            resolve("owner/model", STABLE_DIFFUSION, fetch=False)
        assert resolve("owner/model", STABLE_DIFFUSION) == path
        assert (path / name).is_file()


def test_a_plan_asks_no_network_and_says_what_a_run_would_fetch(hub: FakeHub, full: Path) -> None:
    hub.repositories["owner/model"] = full
    ref = WeightsRef("pipeline", "owner/model", STABLE_DIFFUSION)
    weights = WeightsFinder(FileDigests(None), fetch=False)
    assert weights.digest(ref) == "not fetched: owner/model"
    assert weights.not_fetched == [ref]
    assert hub.num_requests == 0
    found = look(ref)
    num_tokenizer = len(list((full / "tokenizer").iterdir()))
    assert found.num_files == len(PLAIN) - 1 + num_tokenizer
    assert not [name for name in hub.fetched if name.endswith(".safetensors")]
    assert abs((STABLE_DIFFUSION.num_files or 0) - found.num_files) <= 2


def test_fp16_is_taken_where_nothing_else_is_there(hub: FakeHub, full: Path, pipeline_folder: str) -> None:
    for name in ("vae", "text_encoder"):
        for path in (full / name).glob("*fp16*"):
            path.unlink()
    halved(full, "vae")
    hub.repositories["owner/mixed"] = full
    path = resolve("owner/mixed", STABLE_DIFFUSION)
    weights = {name.removeprefix("owner/mixed/") for name in hub.fetched if name.endswith("safetensors")}
    assert weights == {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.safetensors",
    }
    assert state_of(str(path)) == state_of(str(full)) == state_of(pipeline_folder)


@pytest.mark.parametrize(
    ("index", "shard"),
    [
        ("{}.safetensors.index.json", "{}-{{}}.safetensors"),
        ("{}.safetensors.index.fp16.json", "{}.fp16-{{}}.safetensors"),
        ("{}.fp16.safetensors.index.json", "{}.fp16-{{}}.safetensors"),
        ("{}.safetensors.index.fp16.json", "{}-{{}}.fp16.safetensors"),
    ],
)
def test_shards_with_an_index_of_either_naming(
    hub: FakeHub, tmp_path: Path, pipeline_folder: str, index: str, shard: str
) -> None:
    folder = Path(shutil.copytree(pipeline_folder, tmp_path / "sharded"))
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        sharded(folder / part, stem, index.format(stem), shard.format(stem))
    hub.repositories["owner/sharded"] = folder
    assert state_of("owner/sharded") == state_of(pipeline_folder)
    assert len([name for name in hub.fetched if name.endswith("safetensors")]) == 5
    next((folder / "unet").glob("*00002-of*")).unlink()
    with pytest.raises(WeightsError, match=r"missing unet/.*00002"):
        resolve(str(folder), STABLE_DIFFUSION)


def test_cogvideox_with_shards_and_other_files(hub: FakeHub, tmp_path: Path) -> None:
    plain = Path(cogvideox_folder())
    folder = Path(shutil.copytree(plain, tmp_path / "cogvideox"))
    (folder / "transformer" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not to be read")
    sharded(folder / "text_encoder", "model", "model.safetensors.index.json", "model-{}.safetensors")
    hub.repositories["owner/video"] = folder
    pipeline = load_cogvideox("owner/video", device="cpu")
    expected = load_cogvideox(str(plain), device="cpu")
    for part in ("transformer", "text_encoder"):
        ours, theirs = (getattr(item, part).state_dict() for item in (pipeline, expected))
        assert all(ours[name].equal(theirs[name]) for name in theirs)
    assert not [name for name in hub.fetched if "fp16" in name]
    assert resolve("owner/video", COGVIDEOX, fetch=False)


def test_another_kind_of_pipeline_is_refused_before_its_weights_are_fetched(hub: FakeHub) -> None:
    hub.repositories["owner/video"] = Path(cogvideox_folder())
    with pytest.raises(WeightsError, match="CogVideoXPipeline, which is not a Stable Diffusion"):
        resolve("owner/video", STABLE_DIFFUSION)
    assert hub.fetched == ["owner/video/model_index.json"]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("owner/nobody", "no such local file or folder; on the hub there is no such repository"),
        ("owner/model@other", "no revision 'other'"),
    ],
)
def test_what_a_hub_does_not_have(hub: FakeHub, full: Path, location: str, message: str) -> None:
    hub.repositories["owner/model"] = full
    with pytest.raises(WeightsError, match=message):
        resolve(location, STABLE_DIFFUSION)


def test_without_a_network_it_is_said_at_once_what_may_be_meant(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.close()
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(WeightsError) as caught:
        resolve("weights/sd15", STABLE_DIFFUSION)
    assert not waits, "one attempt, and no retries"
    for said in ("no such local file or folder", "the hub does not answer", "./weights/sd15", "HF_HOME"):
        assert said in str(caught.value)


def test_offline_mode_is_honoured(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        resolve("owner/model", STABLE_DIFFUSION)
    assert hub.num_requests == 0


class TestCommands:
    @pytest.fixture
    def run_file(self, write_run_file: Callable[..., Path]) -> Path:
        return write_run_file(methods=[{"name": "ddim-frames"}], weights={"pipeline": "owner/model"}, limit=2)

    def test_plan_and_doctor_ask_no_network(self, hub: FakeHub, run_file: Path, full: Path) -> None:
        hub.repositories["owner/model"] = full
        plan = CliRunner().invoke(app, ["plan", str(run_file)])
        assert plan.exit_code == 0, plan.output
        assert "2 clips: 0 done, 2 missing" in plan.output
        assert "the run will fetch about 12 files" in " ".join(plan.output.split())
        doctor = CliRunner().invoke(app, ["doctor", str(run_file)])
        assert "! weights owner/model, pipeline of ddim-frames: " in doctor.output
        assert doctor.exit_code == 0, doctor.output
        assert hub.num_requests == 0

    def test_online_they_ask(self, hub: FakeHub, run_file: Path, full: Path) -> None:
        for command in ("plan", "doctor"):
            result = CliRunner().invoke(app, [command, str(run_file), "--online"])
            assert result.exit_code == (2 if command == "plan" else 1), result.output
            assert "no such repository" in result.output
        hub.repositories["owner/model"] = full
        for command in ("plan", "doctor"):
            result = CliRunner().invoke(app, [command, str(run_file), "--online"])
            assert result.exit_code == 0, result.output
            assert "the run will fetch 10 files, " in " ".join(result.output.split())

    def test_what_was_fetched_is_planned_with_its_keys(
        self, hub: FakeHub, run_file: Path, full: Path
    ) -> None:
        hub.repositories["owner/model"] = full
        resolve("owner/model", STABLE_DIFFUSION)
        asked = hub.num_requests
        plan = CliRunner().invoke(app, ["plan", str(run_file)])
        assert "fetch" not in plan.output
        assert hub.num_requests == asked

    def test_a_run_fetches_only_when_nothing_else_is_wrong(
        self, hub: FakeHub, write_run_file: Callable[..., Path], full: Path, tmp_path: Path
    ) -> None:
        hub.repositories["owner/model"] = full
        store = Store(tmp_path / "store", default_codec())
        methods = [{"name": "ddim-frames"}, {"name": "zs2", "config": {"weights": "./nowhere"}}]
        weights = {"pipeline": "owner/model"}
        with pytest.raises(WeightsError, match="nowhere"):
            plan_run(load_run_file(write_run_file(methods=methods, weights=weights)), store)
        assert hub.num_requests == 0
        run = load_run_file(write_run_file(methods=methods[:1], weights=weights))
        plan, _ = plan_run(run, store)
        assert plan.methods[0].weight_digests == {
            "owner/model": digest_weights(full, weights_format=STABLE_DIFFUSION)
        }

"""Inception-v3, DINO and LAION's head over frames, at random weights in the layouts of the real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torchvision.models.inception import Inception3
from transformers import ViTConfig, ViTModel

from reelbench.core.errors import MetricError, WeightsError
from reelbench.core.weights import digest_weights, resolve
from reelbench.metrics.build import build_extractor, refuse_unavailable
from reelbench.metrics.clips.aesthetics import AestheticQuality
from reelbench.metrics.extractors.backbone import reference_precision, resize_frames
from reelbench.metrics.extractors.frames.dino import DINO, load_dino
from reelbench.metrics.extractors.frames.inception import load_inception
from reelbench.metrics.extractors.frames.inception_network import fid_inception
from reelbench.metrics.protocol import Protocol, load_protocol, parse_protocol
from reelbench.metrics.settings import InceptionSettings


def clip(num_frames: int = 3, height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


# -- Inception ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inception_tensors() -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_var is not None
                module.running_var.uniform_(0.001, 0.01)
                module.bias.data.normal_(0, 0.1)
    return network.state_dict()


@pytest.fixture(scope="module")
def inception_folder(inception_tensors: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inception")
    torch.save(inception_tensors, folder / "pt_inception-2015-12-05-6726825d.pth")
    return folder


def test_inception_reads_frames_as_the_protocol_says(
    inception_folder: Path, clean: Protocol, inception_tensors: dict[str, Any]
) -> None:
    session = build_extractor("inception", clean, {"inception": str(inception_folder)}).load("cpu")
    frames = clip(2)
    features = session.extract([frames])[0]
    assert (features.shape, features.dtype) == ((2, 2048), np.float32)
    with reference_precision("cpu"):
        pixels = resize_frames(frames, InceptionSettings().resize, 299)
        expected = load_inception(inception_folder)((pixels - 128) / 128).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    unit = parse_protocol({"name": "t", "version": "1", "inception": {"values": "unit"}})
    other = build_extractor("inception", unit, {"inception": str(inception_folder)}).load("cpu")
    assert not np.allclose(other.extract([frames])[0], features, rtol=1e-4)


@pytest.mark.parametrize(
    ("block", "pool"),
    [
        ("Mixed_5b", lambda x: functional.avg_pool2d(functional.pad(x, (1,) * 4), 3, 1) * 9 / _counts(x)),
        ("Mixed_6e", lambda x: functional.avg_pool2d(functional.pad(x, (1,) * 4), 3, 1) * 9 / _counts(x)),
        ("Mixed_7b", lambda x: functional.avg_pool2d(functional.pad(x, (1,) * 4), 3, 1) * 9 / _counts(x)),
        ("Mixed_7c", lambda x: functional.max_pool2d(functional.pad(x, (1,) * 4, value=-9e9), 3, 1)),
    ],
)
def test_blocks_pool_as_tensorflows_graph(block: str, pool: Callable[[Any], Any]) -> None:
    """Padding does not count in the averages, and the last block takes the maximum."""
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        module = getattr(fid_inception(), block)
        x = torch.randn(1, module.branch_pool.conv.in_channels, 8, 8)
        expected = module.branch_pool(pool(x))
        found = module(x)[:, -expected.shape[1] :]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def _counts(x: Any) -> Any:
    """How many of a 3 x 3 window's values are no padding."""
    return functional.avg_pool2d(functional.pad(torch.ones_like(x), (1,) * 4), 3, 1) * 9


def test_inception_takes_files_without_step_counters_and_refuses_imagenets(
    inception_tensors: dict[str, Any], tmp_path: Path, clean: Protocol
) -> None:
    bare = {name: value for name, value in inception_tensors.items() if "num_batches" not in name}
    save_file(bare, tmp_path / "inception.safetensors")
    assert load_inception(tmp_path) is not None
    imagenet = {**inception_tensors, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save(imagenet, tmp_path / "inception_v3_google.pth")
    with pytest.raises(WeightsError, match="1000 classes"):
        load_inception(tmp_path / "inception_v3_google.pth")
    with pytest.raises(WeightsError, match="2 files"):  # which one is meant?
        load_inception(tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth")
    extractor = build_extractor("inception", clean, {"inception": str(tmp_path / "x.pth")})
    with pytest.raises(WeightsError, match="FID's Inception-v3"):
        extractor.load("cpu")


# -- DINO -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vit() -> Any:
    config = ViTConfig(
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        image_size=64,
        patch_size=16,
        layer_norm_eps=1e-6,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ViTModel(config).eval()
        for parameter in network.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return network


@pytest.fixture(scope="module")
def dino_folder(vit: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dino")
    vit.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dino_file(dino_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as the authors write them."""
    path = tmp_path_factory.mktemp("authors") / "dino_vitbase16_pretrain.pth"
    torch.save(load_dino(dino_folder)[0].state_dict(), path)
    return path


def test_dino_is_transformers_vit_at_its_own_size(vit: Any, dino_folder: Path) -> None:
    network, side = load_dino(dino_folder)
    assert side == 64
    frames = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = vit(pixel_values=frames).last_hidden_state[:, 0]
        torch.testing.assert_close(network(frames), expected, rtol=1e-5, atol=1e-5)


def test_dino_of_the_authors_file_and_of_transformers_folder_are_one_network(
    dino_folder: Path, dino_file: Path, clean: Protocol
) -> None:
    wide = clip()
    found = [
        build_extractor("dino", clean, {"dino": str(path)}).load("cpu").extract([wide])[0]
        for path in (dino_folder, dino_file, dino_file.parent)
    ]
    assert found[0].shape == (3, 128)
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, atol=1e-6)
    assert digest_weights(dino_folder, weights_format=DINO) != digest_weights(dino_file, weights_format=DINO)


def test_positions_of_other_shapes_are_interpolated_with_the_authors_nudge(dino_file: Path) -> None:
    """Column j of a grid of n takes the learned one at (j + 1/2) s / (n + 0.1) - 1/2, by Keys' cubic of
    -3/4."""
    network, _ = load_dino(dino_file)
    squares = (torch.arange(4.0) ** 2).repeat(4).view(1, 16, 1).expand(1, 16, 128)
    network.pos_embed = torch.nn.Parameter(torch.cat([torch.zeros(1, 1, 128), squares], dim=1))
    columns = network._positions(4, 9)[0, 1:, 0].view(4, 9)[1].detach().numpy()

    def keys(d: float, a: float = -0.75) -> float:
        d = abs(d)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0

    at = [(j + 0.5) * 4 / 9.1 - 0.5 for j in range(9)]
    expected = [sum(keys(x - k) * min(max(k, 0), 3) ** 2 for k in range(-3, 8)) for x in at]
    np.testing.assert_allclose(columns, expected, atol=1e-4)


def test_vbench_reads_whole_frames_and_clean_does_too(dino_file: Path) -> None:
    left, right = clip(2, 32, 64), clip(2, 32, 64)
    right[:, :, -8:] = 255  # a crop would not see it
    for name in ("clean", "vbench"):
        session = build_extractor("dino", load_protocol(name), {"dino": str(dino_file)}).load("cpu")
        assert not np.allclose(session.extract([left])[0], session.extract([right])[0], atol=1e-3)


def test_dino_refuses_what_it_cannot_read(dino_file: Path, tmp_path: Path, clean: Protocol) -> None:
    session = build_extractor("dino", clean, {"dino": str(dino_file)}).load("cpu")
    with pytest.raises(MetricError, match="8 times as long"):
        session.extract([clip(1, 10, 100)])
    torch.save({"head.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="DINO"):
        build_extractor("dino", clean, {"dino": str(tmp_path / "x.pth")}).load("cpu")
    with pytest.raises(WeightsError, match="no weights are named"):
        build_extractor("dino", clean).load("cpu")


# -- the aesthetic head ---------------------------------------------------------------------------


@pytest.fixture
def aesthetic_folder(clip_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "aesthetic"
    folder.mkdir()
    for file in clip_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    head = {"weight": torch.linspace(-1, 1, 32)[None], "bias": torch.tensor([5.5])}
    torch.save(head, folder / "sa_0_4_vit_l_14_linear.pth")
    return folder


def test_ratings_are_the_head_on_unit_features(
    aesthetic_folder: Path, clip_folder: Path, clean: Protocol
) -> None:
    frames = clip()
    extractor = build_extractor("aesthetic", clean, {"aesthetic": str(aesthetic_folder)})
    ratings = extractor.load("cpu").extract([frames])[0]
    unit = build_extractor("clip_image", clean, {"clip": str(clip_folder)}).load("cpu").extract([frames])[0]
    expected = unit.astype(np.float64) @ np.linspace(-1, 1, 32) + 5.5
    np.testing.assert_allclose(ratings, expected, atol=1e-5)
    value = AestheticQuality(clean).compute({"aesthetic": ratings})
    assert value == pytest.approx(expected.mean() / 10, abs=1e-6)


def test_a_head_alone_takes_the_published_clip(aesthetic_folder: Path, clean: Protocol) -> None:
    head = aesthetic_folder / "sa_0_4_vit_l_14_linear.pth"
    refs = build_extractor("aesthetic", clean, {"aesthetic": str(head)}).weights()
    assert [(ref.name, ref.location) for ref in refs] == [
        ("aesthetic", str(head)),
        ("aesthetic_clip", "ViT-L-14:openai"),
    ]
    refs = build_extractor("aesthetic", clean, {"aesthetic": str(aesthetic_folder)}).weights()
    assert [ref.name for ref in refs] == ["aesthetic"]


def test_a_head_without_its_clip_or_of_another_width_is_refused(
    aesthetic_folder: Path, clean: Protocol
) -> None:
    head = aesthetic_folder / "sa_0_4_vit_l_14_linear.pth"
    torch.save({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, head)
    session = build_extractor("aesthetic", clean, {"aesthetic": str(aesthetic_folder)}).load("cpu")
    with pytest.raises(WeightsError, match="768 dimensions, this CLIP gives 32"):
        session.extract_one(clip())
    (aesthetic_folder / "open_clip_config.json").unlink()
    extractor = build_extractor("aesthetic", clean, {"aesthetic": str(aesthetic_folder)})
    with pytest.raises(WeightsError, match="no CLIP beside the head"):
        extractor.load("cpu")
    head.unlink()
    with pytest.raises(WeightsError, match="no file sa_0_4"):
        extractor.load("cpu")


def test_a_clip_of_openai_beside_the_head_is_loaded_with_its_gelu(
    aesthetic_folder: Path, clean: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    (aesthetic_folder / "open_clip_config.json").unlink()
    (aesthetic_folder / "open_clip_model.safetensors").rename(aesthetic_folder / "ViT-L-14.safetensors")
    asked: list[str] = []

    def create_model(name: str, **options: Any) -> Any:
        asked.append(name)
        raise RuntimeError("as far as this test goes")

    monkeypatch.setattr(open_clip, "create_model", create_model)
    with pytest.raises(WeightsError, match="as far as this test goes"):
        build_extractor("aesthetic", clean, {"aesthetic": str(aesthetic_folder)}).load("cpu")
    assert asked == ["ViT-L-14-quickgelu"]


def test_metrics_without_their_weights_are_refused_together(clean: Protocol) -> None:
    from reelbench.metrics.build import build_metric

    names = ("fid", "subject_consistency", "aesthetic_quality", "dynamic_degree")
    with pytest.raises(WeightsError) as caught:
        refuse_unavailable([build_metric(name, clean) for name in names], {})
    for name, role in zip(names, ("inception", "dino", "aesthetic", "raft"), strict=True):
        assert name in str(caught.value)
        assert f"weights: {{{role}:" in str(caught.value)


def test_the_head_alone_says_which_clip_it_takes(
    tmp_path: Path, clean: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_hub(name: str, *rest: Any) -> Path:
        raise WeightsError(f"no weights {name!r}")

    monkeypatch.setattr("reelbench.core.hub.cached", lambda *rest: None)
    monkeypatch.setattr("reelbench.core.hub.fetch", no_hub)
    head = tmp_path / "sa_0_4_vit_l_14_linear.pth"
    torch.save({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, head)
    (_, ref) = build_extractor("aesthetic", clean, {"aesthetic": str(head)}).weights()
    with pytest.raises(WeightsError, match="the weights ViT-L-14:openai") as caught:
        resolve(ref.location, ref.format)
    assert "a folder with the head and CLIP" in caught.value.hint

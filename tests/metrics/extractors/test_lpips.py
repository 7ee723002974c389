"""LPIPS against torchmetrics' network: the published heads, AlexNet at random weights.

torchmetrics ships the heads of version 0.1 (alex.pth); AlexNet's published weights were not at hand.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as theirs
from safetensors.torch import save_file

from reelbench.core.errors import MetricError, WeightsError
from reelbench.core.weights import digest_weights
from reelbench.metrics.build import build_extractor, build_metric, extractors_needed, refuse_unavailable
from reelbench.metrics.clips.pairs import Lpips
from reelbench.metrics.extractors.backbone import reference_precision
from reelbench.metrics.extractors.pairs.lpips import MIN_SIDE, LpipsFrames, LpipsSession
from reelbench.metrics.extractors.pairs.lpips_weights import load_lpips
from reelbench.metrics.protocol import Protocol, parse_protocol
from reelbench.metrics.signature import signature

HEADS = Path(theirs.__file__).parent / "lpips_models" / "alex.pth"


@pytest.fixture(scope="module")
def network() -> Any:
    """torchmetrics' LPIPS with its real heads."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = theirs._LPIPS(pretrained=True, net="alex", pnet_rand=True)
        for parameter in network.net.parameters():
            # The default draw fades from layer to layer; this one keeps every layer alive.
            scale = 1.4 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.2
            torch.nn.init.normal_(parameter, 0, scale)
    return network.eval()


@pytest.fixture(scope="module")
def alexnet(network: Any) -> dict[str, torch.Tensor]:
    """The same convolutions under torchvision's names."""
    return {
        f"features.{name.split('.')[1]}.{name.split('.')[2]}": value
        for name, value in network.net.state_dict().items()
    }


@pytest.fixture(scope="module")
def folder(alexnet: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lpips")
    # The classifier is in the published file too, and is not read.
    extra = {"classifier.1.weight": torch.zeros(2, 3), "classifier.1.bias": torch.zeros(2)}
    torch.save(alexnet | extra, folder / "alexnet-owt-7be5be79.pth")
    shutil.copy(HEADS, folder / "alex.pth")
    return folder


@pytest.fixture(scope="module")
def pair(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return clips[2][:4], clips[3][:4].transpose(0, 2, 1, 3)


def _session(location: Path, protocol: Protocol | None = None) -> LpipsSession:
    protocol = protocol or parse_protocol({"name": "t", "version": "1"})
    return LpipsFrames.from_protocol(protocol, str(location)).load("cpu")


def _expected(network: Any, pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    with reference_precision("cpu"):
        ours, others = (torch.from_numpy(c.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1 for c in pair)
        return network(ours, others).flatten().numpy()


def test_it_agrees_with_torchmetrics(network: Any, folder: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    row = _session(folder).extract([pair])[0]
    assert (row.shape, row.dtype) == ((4,), np.float32)
    expected = _expected(network, pair)
    assert expected.min() > 0.05
    np.testing.assert_allclose(row, expected, atol=1e-6)


def test_every_layer_counts(network: Any, folder: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """So that agreement is seen on all five heads."""
    with reference_precision("cpu"):
        x, y = (torch.from_numpy(c.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1 for c in pair)
        _, layers = network(x, y, retperlayer=True)
    assert min(float(layer.mean()) for layer in layers) > 1e-3


def test_equal_frames_have_no_distance(
    folder: Path, pair: tuple[np.ndarray, np.ndarray], clean: Protocol
) -> None:
    row = _session(folder).extract([(pair[0], pair[0].copy())])[0]
    assert row.tolist() == [0, 0, 0, 0]
    assert Lpips(clean).compute({"lpips": row}) == 0


def test_the_formats_of_a_location(
    network: Any,
    folder: Path,
    alexnet: dict[str, torch.Tensor],
    pair: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
) -> None:
    expected = _session(folder).extract([pair])[0].tobytes()
    heads = torch.load(HEADS, map_location="cpu", weights_only=True)
    save_file({name: v.contiguous() for name, v in (alexnet | heads).items()}, tmp_path / "lpips.safetensors")
    module = {name: value.contiguous() for name, value in network.state_dict().items()}
    torch.save(module, tmp_path / "module.pth")  # the names of the authors' module
    (tmp_path / "split").mkdir()
    save_file(alexnet, tmp_path / "split" / "AlexNet.safetensors")
    save_file(heads, tmp_path / "split" / "alex.safetensors")
    (tmp_path / "one").mkdir()
    shutil.copy(tmp_path / "lpips.safetensors", tmp_path / "one" / "model.safetensors")
    for location in ("lpips.safetensors", "module.pth", "split", "one"):
        assert _session(tmp_path / location).extract([pair])[0].tobytes() == expected, location


def test_a_reference_of_another_size_is_resized(
    network: Any, folder: Path, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    reference = np.repeat(np.repeat(pair[1], 2, axis=1), 2, axis=2)
    x = torch.from_numpy(reference).permute(0, 3, 1, 2).float()
    size = pair[0].shape[1:3]
    resized = torch.nn.functional.interpolate(x, size=size, mode="bilinear", antialias=True)
    row = _session(folder).extract([(pair[0], reference)])[0]
    expected = _expected(network, (pair[0].astype(np.float32), resized.permute(0, 2, 3, 1).numpy()))
    np.testing.assert_allclose(row, expected, atol=1e-6)
    strict = parse_protocol({"name": "t", "version": "1", "pair": {"resize": "refuse"}})
    with pytest.raises(MetricError, match="LPIPS: the generated clip is"):
        _session(folder, strict).extract([(pair[0], reference)])


def test_features_depend_on_their_pair_alone(folder: Path, clips: list[np.ndarray]) -> None:
    session = _session(folder)
    pairs = [(clips[0][:3], clips[1][:3]), (clips[2][:3], clips[4][:3]), (clips[3][:2], clips[5][:2])]
    together = [row.tobytes() for row in session.extract(pairs)]
    assert [session.extract([pair])[0].tobytes() for pair in pairs] == together
    alone = b"".join(
        session.extract([(a[None], b[None])])[0].tobytes() for a, b in zip(*pairs[1], strict=True)
    )
    assert alone == together[1]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert [row.tobytes() for row in session.extract(pairs)] == together
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_batches_agree_to_rounding(folder: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """What a GPU does with the frames of a clip."""
    session = _session(folder)
    row = session.extract([pair])[0]
    session._batch = 3
    np.testing.assert_allclose(session.extract([pair])[0], row, atol=1e-6)


def test_frames_must_reach_the_last_layer(folder: Path) -> None:
    session = _session(folder)
    fits = np.random.default_rng(0).integers(0, 256, (2, MIN_SIDE, MIN_SIDE, 3), dtype=np.uint8)
    assert np.isfinite(session.extract([(fits, fits[::-1])])[0]).all()
    with pytest.raises(MetricError, match="LPIPS needs frames of at least 31 pixels a side, got 30 x 31"):
        session.extract([(fits[:, 1:], fits)])
    with pytest.raises(MetricError, match="2 frames, its reference 1"):
        session.extract([(fits, fits[:1])])


def test_without_weights_it_is_refused(folder: Path, clean: Protocol) -> None:
    assert "weights: {lpips: <folder with torchvision's AlexNet" in LpipsFrames.available(None)
    assert LpipsFrames.available(str(folder)) is None
    metric = build_metric("lpips", clean)
    with pytest.raises(WeightsError, match="lpips: no weights are named"):
        refuse_unavailable([metric], {})
    with pytest.raises(WeightsError, match="lpips: no weights at"):
        refuse_unavailable([metric], {"lpips": "./nowhere"})
    refuse_unavailable([metric], {"lpips": str(folder)})
    with pytest.raises(WeightsError, match="lpips: no weights are named"):
        build_extractor("lpips", clean).load("cpu")


def test_weights_are_part_of_no_parameter_and_can_be_pinned(folder: Path, clean: Protocol) -> None:
    pinned = build_extractor("lpips", clean, {"lpips": f"{folder}#sha256:{digest_weights(folder)}"})
    assert pinned.config.resize == "reference-to-generated"
    assert [ref.name for ref in pinned.weights()] == ["lpips"]
    pinned.load("cpu")
    metric = build_metric("lpips", clean)
    line = signature(metric, clean, {"lpips": "0123456789"}, 3, 3)
    assert "lpips:0.1,alex" in line
    assert "lpips:01234567|" in line
    assert extractors_needed([metric]).pair == ("lpips",)


def test_what_is_not_lpips_is_explained(
    folder: Path, alexnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    def refused(message: str, location: Path = tmp_path) -> None:
        with pytest.raises(WeightsError, match=message):
            load_lpips(location)

    refused(r"no file alexnet\* and no file alex\.pth in .*(.|\n)*torchvision's alexnet")
    heads = torch.load(HEADS, map_location="cpu", weights_only=True)
    torch.save(alexnet, tmp_path / "alexnet.pth")
    refused(r"no file alex\.pth in")
    torch.save({name: value for name, value in heads.items() if "lin3" not in name}, tmp_path / "alex.pth")
    refused(r"does not fit LPIPS on AlexNet: .*heads\.3\.weight")
    torch.save(heads | {"lin2.model.1.weight": -heads["lin2.model.1.weight"]}, tmp_path / "alex.pth")
    refused(r"heads\.2\.weight have negative weights")
    vgg = HEADS.with_name("vgg.pth")
    shutil.copy(vgg, tmp_path / "alex.pth")
    refused(r"size mismatch for heads\.1\.weight")
    refused("Missing key", HEADS)  # heads alone
    (tmp_path / "alexnet_other.pth").write_bytes(b"")
    refused(r"2 files that fit alexnet\*")


def test_loading_draws_no_random_numbers(folder: Path) -> None:
    before = torch.random.get_rng_state()
    load_lpips(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_metric_is_the_mean_over_frames(clean: Protocol) -> None:
    assert Lpips(clean).compute({"lpips": np.array([0.25, 0.75], np.float32)}) == 0.5
    with pytest.raises(MetricError, match=r"must be \[T\]"):
        Lpips(clean).compute({"lpips": np.zeros((2, 2), np.float32)})

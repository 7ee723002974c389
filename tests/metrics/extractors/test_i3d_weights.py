"""I3D files in the public formats, at full size and random weights, told apart by content."""

from __future__ import annotations

import hashlib
import runpy
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reelbench.core.errors import WeightsError
from reelbench.core.weights import digest_weights
from reelbench.metrics.extractors.backbone import reference_precision
from reelbench.metrics.extractors.i3d.described import describe_i3d_weights
from reelbench.metrics.extractors.i3d.i3d import I3dLogits
from reelbench.metrics.extractors.i3d.network import InceptionI3d
from reelbench.metrics.extractors.i3d.weights import detect_format, load_i3d, load_i3d_program
from reelbench.metrics.protocol import load_protocol, parse_protocol

FRAMES = 9


@pytest.fixture(scope="module")
def check() -> SimpleNamespace:
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "i3d_black_and_white.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


class _StyleGanVConvention(torch.nn.Module):
    """The published file's calling convention around a network."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> torch.Tensor:
        if resize:
            size = [x.shape[2], 224, 224]
            x = torch.nn.functional.interpolate(x, size=size, mode="trilinear", align_corners=False)
        if rescale:
            x = 2 * x / 255 - 1
        logits = self.network(x)
        return logits if return_features else torch.softmax(logits, dim=1)


@pytest.fixture(scope="module")
def network() -> InceptionI3d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InceptionI3d()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.5)
    return network.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def files(network: InceptionI3d, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same full-size weights in every format of tensors; suffixes say nothing on purpose."""
    folder = tmp_path_factory.mktemp("formats")
    tensors = network.state_dict()
    torch.save(tensors, folder / "zip.pt")
    # As old as pytorch-i3d's own files: a plain pickle, and no step counters.
    old = {name: value for name, value in tensors.items() if "num_batches_tracked" not in name}
    torch.save(old, folder / "pickle.bin", _use_new_zipfile_serialization=False)
    # As the reference graph has it: no scales either.
    torch.save({name: value for name, value in old.items() if "bn.weight" not in name}, folder / "bare.pth")
    save_file(tensors, folder / "safe.pt")
    return folder


@pytest.fixture(scope="module")
def program(network: InceptionI3d, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "i3d_torchscript.pt"
    with reference_precision("cpu"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, and of TorchScript's age
        traced = torch.jit.trace(network, torch.zeros(1, 3, FRAMES, 224, 224), check_trace=False)
        torch.jit.save(torch.jit.script(_StyleGanVConvention(traced)), path)
    return path


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (FRAMES, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(network: InceptionI3d, clip: np.ndarray) -> np.ndarray:
    with reference_precision("cpu"):
        video = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        return network(video)[0].numpy()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("zip.pt", "state-dict"),
        ("pickle.bin", "state-dict"),
        ("bare.pth", "state-dict"),
        ("safe.pt", "safetensors"),
    ],
)
def test_full_size_files_give_the_same_network(
    files: Path, network: InceptionI3d, name: str, kind: str
) -> None:
    path = files / name
    assert detect_format(path) == kind
    loaded, wanted = load_i3d(path).state_dict(), network.state_dict()
    assert loaded.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(loaded[key], value) or key.endswith("num_batches_tracked")
    info = describe_i3d_weights(path)
    assert (info.format, info.num_classes, info.width, info.caution) == (kind, 400, 1.0, "")
    assert not info.has_batchnorm_scale
    assert {"clean", "predicted", "tf-reference", "videogpt", "tats", "lvdm", "seer"} <= set(info.serves)
    assert "cd-fvd" in info.serves
    assert not {"loveu", "simda", "vbench"} & set(info.serves)


def test_a_full_size_file_gives_full_size_features(
    files: Path, clip: np.ndarray, expected: np.ndarray
) -> None:
    extractor = I3dLogits(I3dLogits.Config(weights=str(files / "zip.pt"), num_frames=FRAMES))
    row = extractor.load("cpu").extract([clip])[0]
    assert row.shape == (400,)
    np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


def test_the_program_gives_the_networks_features(
    program: Path, clip: np.ndarray, expected: np.ndarray
) -> None:
    pin = hashlib.sha256(program.read_bytes()).hexdigest()
    location = f"{program}#sha256:{pin}"
    row = I3dLogits(I3dLogits.Config(weights=location, num_frames=FRAMES)).load("cpu").extract([clip])[0]
    # Bit for bit: the program runs the same kernels, one after the other.
    assert row.tobytes() == expected.tobytes()


def test_a_program_is_run_only_when_it_is_pinned(program: Path, tmp_path: Path) -> None:
    found = hashlib.sha256(program.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=f"{found}, and the location pins no digest") as caught:
        I3dLogits(I3dLogits.Config(weights=str(program))).load("cpu")
    assert f"{program}#sha256:{found}" in caught.value.hint
    with pytest.raises(WeightsError, match="the pin says"):
        I3dLogits(I3dLogits.Config(weights=f"{program}#sha256:{'0' * 64}")).load("cpu")
    with pytest.raises(WeightsError, match="the location pins 0000"):
        load_i3d_program(program, "0" * 64)
    with pytest.raises(WeightsError, match="TorchScript program, not a file of tensors"):
        load_i3d(program)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_i3d_program(program, digest_weights(program))


def test_a_program_keeps_its_own_epsilon(program: Path) -> None:
    pin = hashlib.sha256(program.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=r"epsilon 0\.001 inside, the protocol wants 1e-05"):
        load_i3d_program(program, pin, 1e-5)
    info = describe_i3d_weights(program)
    assert (info.format, info.num_classes, info.width, info.has_batchnorm_scale) == (
        "torchscript",
        None,
        None,
        None,
    )
    assert set(info.serves) == {"clean", "common-metrics", "predicted", "tf-reference", "stylegan-v"}
    assert "pins its digest" in info.caution


def test_a_pin_is_in_no_key(i3d_folder: Path) -> None:
    plain = I3dLogits(I3dLogits.Config(weights=str(i3d_folder)))
    pinned = I3dLogits(I3dLogits.Config(weights=f"{i3d_folder}#sha256:{digest_weights(i3d_folder)}"))
    assert plain.config.model_dump(exclude={"weights"}) == pinned.config.model_dump(exclude={"weights"})
    assert pinned.load("cpu") is not None


def test_other_networks_come_with_a_caution(i3d_folder: Path, tmp_path: Path) -> None:
    info = describe_i3d_weights(i3d_folder)
    assert (info.format, info.num_classes, info.width, info.serves) == ("folder", 12, 0.0625, ())
    assert "12 classes at width 0.0625" in info.caution
    scaled = tmp_path / "scaled.pt"
    tensors = load_i3d(i3d_folder).state_dict()
    torch.save({k: v * 2 if k.endswith("bn.weight") else v for k, v in tensors.items()}, scaled)
    info = describe_i3d_weights(scaled)
    assert info.has_batchnorm_scale
    assert "has a scale" in info.caution


def test_another_checkpoint_of_the_same_shapes_is_known_by_its_name_only(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "rgb_imagenet.pt"
    shutil.copyfile(files / "bare.pth", path)
    info = describe_i3d_weights(path)
    assert info.serves == ()
    assert "another checkpoint than the Kinetics-400 export" in info.caution


def test_what_is_no_weights_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no I3D weights at"):
        describe_i3d_weights(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello, this is a text of some length")
    with pytest.raises(WeightsError, match="neither safetensors nor"):
        detect_format(tmp_path / "text.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(WeightsError, match="damaged archive"):
        detect_format(tmp_path / "cut.pt")


def test_protocols_act_on_a_loaded_file(i3d_folder: Path, tmp_path: Path) -> None:
    """VideoGPT's epsilon reaches the network whatever the format."""
    tensors = load_i3d(i3d_folder).state_dict()
    torch.save(tensors, tmp_path / "i3d.pt")
    protocol = load_protocol("videogpt")
    session = I3dLogits.from_protocol(protocol, str(tmp_path / "i3d.pt")).load("cpu")
    assert {m.eps for m in session._network.modules() if isinstance(m, torch.nn.BatchNorm3d)} == {1e-5}
    assert parse_protocol({"name": "t", "version": "1"}).i3d.batchnorm_epsilon == 1e-3


def test_black_and_white_is_fvd_without_covariance(i3d_folder: Path, check: SimpleNamespace) -> None:
    """The published number is FVD between two sets of equal clips, here of black and of white frames."""
    with reference_precision("cpu"):
        network = load_i3d(i3d_folder)
        black, white = (
            network(torch.full((1, 3, FRAMES, 224, 224), value)).double() for value in (-1.0, 1.0)
        )
    distance = check.black_and_white_distance(str(i3d_folder), FRAMES)
    assert distance == pytest.approx(float(((black - white) ** 2).sum()), rel=1e-4)
    assert distance > 0


def test_other_weights_are_not_taken_for_the_published_ones(i3d_folder: Path, check: SimpleNamespace) -> None:
    assert not check.agrees_with_published(check.black_and_white_distance(str(i3d_folder), 10), 10)
    for frames, distance in check.PUBLISHED_DISTANCES.items():
        assert check.agrees_with_published(distance * 1.001, frames)
        assert not check.agrees_with_published(distance * 1.01, frames)

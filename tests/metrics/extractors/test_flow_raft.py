"""RAFT's flow by torchvision's networks at random weights, in the formats of the real ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.optical_flow import raft_large, raft_small

from reelbench.core.errors import WeightsError
from reelbench.core.weights import digest_weights
from reelbench.metrics.build import build_extractor, refuse_unavailable
from reelbench.metrics.clips.motion import WarpingError
from reelbench.metrics.extractors.backbone import reference_precision
from reelbench.metrics.extractors.flow import raft
from reelbench.metrics.extractors.flow.raft import RaftFlow, load_raft
from reelbench.metrics.protocol import Protocol, parse_protocol

PROTOCOL = parse_protocol({"name": "t", "version": "1", "flow": {"algorithm": "raft"}})


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {build.__name__: build(weights=None).eval() for build in (raft_small, raft_large)}


@pytest.fixture(scope="module")
def folder(networks: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raft")
    torch.save(networks["raft_small"].state_dict(), folder / "raft_small_C_T_V2-01064c6d.pth")
    return folder


@pytest.fixture
def few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the 20 updates show all there is to see but the time."""
    monkeypatch.setattr(raft, "NUM_UPDATES", 2)


def _clip(num_frames: int = 2, height: int = 20, width: int = 150) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def test_flow_is_torchvisions_on_padded_frames(networks: dict[str, Any], folder: Path) -> None:
    """20 x 150 becomes 128 x 152 by repeating edges; values -1 to 1; 20 updates; the last flow, cut back."""
    first, second = _clip()
    padded = [
        torch.from_numpy(np.pad(frame, ((54, 54), (1, 1), (0, 0)), mode="edge")).permute(2, 0, 1)[None]
        for frame in (first, second)
    ]
    with reference_precision("cpu"):
        network = networks["raft_small"]
        expected = network(*(x.float() / 127.5 - 1 for x in padded), num_flow_updates=20)[-1]
    expected = expected[0, :, 54:74, 1:151].permute(1, 2, 0).numpy()
    field = RaftFlow(load_raft(folder), "cpu")(first, second)
    assert (field.shape, field.dtype) == ((20, 150, 2), np.float32)
    np.testing.assert_allclose(field, expected, atol=1e-4)
    assert np.abs(field).max() > 0.1  # the comparison is of something


@pytest.mark.parametrize("name", ["raft_small", "raft_large"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_weights_say_which_network_it_is(
    networks: dict[str, Any], tmp_path: Path, name: str, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    tensors = networks[name].state_dict()
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    loaded = load_raft(path)
    assert loaded.training is False
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.state_dict().keys() == tensors.keys()
    assert all(torch.equal(value, tensors[key]) for key, value in loaded.state_dict().items())


def test_loading_draws_no_random_numbers(folder: Path) -> None:
    before = torch.random.get_rng_state()
    load_raft(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_features_by_raft(folder: Path, clean: Protocol, few_updates: Any) -> None:
    extractor = build_extractor("flow", PROTOCOL, {"raft": str(folder)})
    assert [(ref.name, ref.location) for ref in extractor.weights()] == [("raft", str(folder))]
    assert (extractor.config.algorithm, extractor.config.max_side) == ("raft", 256)
    session = extractor.load("cpu")
    still, moving = np.repeat(_clip(1, 40, 60), 2, axis=0), _clip(2, 40, 60)
    rows = session.extract([still, moving])
    assert rows[0].shape == (1, 4)
    assert all(np.isfinite(row).all() for row in rows)
    assert WarpingError(clean).compute({"flow": rows[1]}) > 0.01
    # torchvision's network keeps state while it runs: threads must not see each other's.
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda clip: session.extract([clip])[0].tobytes(), [moving, still] * 4))
    assert again == [rows[1].tobytes(), rows[0].tobytes()] * 4


def test_threads_of_torch_are_put_back_and_move_no_bit(folder: Path, few_updates: Any) -> None:
    session = build_extractor("flow", PROTOCOL, {"raft": str(folder)}).load("cpu")
    before, rows = torch.get_num_threads(), []
    try:
        for num_threads in (1, 3):
            torch.set_num_threads(num_threads)
            rows.append(session.extract([_clip(2, 40, 60)])[0].tobytes())
            assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)
    assert rows[0] == rows[1]


def test_pinned_weights(folder: Path) -> None:
    pinned = f"{folder}#sha256:{digest_weights(folder)}"
    build_extractor("flow", PROTOCOL, {"raft": pinned}).load("cpu")
    with pytest.raises(WeightsError, match="the pin says 000"):
        build_extractor("flow", PROTOCOL, {"raft": f"{folder}#sha256:{'0' * 64}"}).load("cpu")
    refuse_unavailable([WarpingError(PROTOCOL)], {"raft": pinned})


def test_other_files_are_explained(networks: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no file raft\* of weights in .*(.|\n)*torchvision's state dict"):
        load_raft(tmp_path)
    path = tmp_path / "raft-things.pth"
    torch.save({"module.fnet.conv1.weight": torch.zeros(1)}, path)  # the authors' names
    with pytest.raises(WeightsError, match=r"raft-things\.pth does not fit raft_small: .*Missing key"):
        load_raft(tmp_path)
    wrong = dict(networks["raft_large"].state_dict())
    del wrong["mask_predictor.conv.bias"]
    torch.save(wrong, path)
    with pytest.raises(WeightsError, match=r"does not fit raft_large: .*mask_predictor\.conv\.bias"):
        load_raft(tmp_path)
    torch.save({"network": networks["raft_small"]}, path)  # a pickled object is code
    with pytest.raises(WeightsError, match="cannot read"):
        load_raft(tmp_path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="not a state dict"):
        load_raft(tmp_path)
    (tmp_path / "raft_small.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"2 files that fit raft\*: raft-things\.pth, raft_small"):
        load_raft(tmp_path)

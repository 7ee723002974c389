"""V-JEPA 2 features from tiny folders of transformers' format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.errors import MetricError, WeightsError
from reelbench.metrics.extractors.backbone import reference_precision, resize_frames
from reelbench.metrics.extractors.vjepa import VJepaFeatures
from reelbench.metrics.protocol import Protocol, parse_protocol

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
SIDE = 32


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """A model with an attentive probe, and an encoder alone."""
    import torch
    from transformers import VJEPA2Config, VJEPA2ForVideoClassification, VJEPA2Model

    root = tmp_path_factory.mktemp("vjepa")
    config = VJEPA2Config(
        **{"crop_size": SIDE, "patch_size": 8, "frames_per_clip": 16, "hidden_size": 48, "num_labels": 5}
        | {"num_hidden_layers": 2, "num_attention_heads": 2, "num_pooler_layers": 1, "pred_hidden_size": 48}
        | {"pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {"probe": VJEPA2ForVideoClassification(config), "encoder": VJEPA2Model(config)}
    for name, network in networks.items():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0, 0.2)  # so that no bias is zero
        network.save_pretrained(root / name)
        text = json.dumps({"image_mean": MEAN, "image_std": STD})
        (root / name / "video_preprocessor_config.json").write_text(text)
    return {name: (root / name, network.eval()) for name, network in networks.items()}


def _protocol(num_frames: int = 16, **vjepa: Any) -> Protocol:
    settings = {"sampling": {"num_frames": num_frames}, "vjepa": vjepa}
    return parse_protocol({"name": "t", "version": "1", **settings})


def _pixels(clip: np.ndarray, num_frames: int = 16) -> torch.Tensor:
    import torch

    frames = resize_frames(clip[:num_frames], _protocol().vjepa.resize, SIDE) / 255
    return ((frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1))[None]


def _extract(folder: Path, protocol: Protocol, clips: list[np.ndarray]) -> list[np.ndarray]:
    return VJepaFeatures.from_protocol(protocol, str(folder)).load("cpu").extract(clips)


def test_features_are_the_attentive_poolers(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, network = folders["probe"]
    row = _extract(folder, _protocol(), clips[2:3])[0]
    assert (row.shape, row.dtype) == ((48,), np.float32)
    with reference_precision("cpu"):
        import torch

        logits = network(_pixels(clips[2])).logits[0].numpy()
        mine = network.classifier(torch.from_numpy(row)).numpy()
    np.testing.assert_allclose(mine, logits, atol=1e-5)
    assert np.abs(logits).max() > 1e-3


def test_an_encoder_alone_gives_the_mean_of_its_tokens(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, network = folders["encoder"]
    with reference_precision("cpu"):
        expected = network(_pixels(clips[0]), skip_predictor=True).last_hidden_state.mean(1)[0].numpy()
    np.testing.assert_allclose(_extract(folder, _protocol(), clips[:1])[0], expected, atol=1e-5)


def test_fewer_frames_than_in_training_are_taken_and_more_are_not(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, network = folders["encoder"]
    with reference_precision("cpu"):
        pixels = _pixels(clips[0], 10)
        expected = network(pixels, skip_predictor=True).last_hidden_state.mean(1)[0].numpy()
    np.testing.assert_allclose(_extract(folder, _protocol(10), clips[:1])[0], expected, atol=1e-5)
    for num_frames in (18, 11):
        with pytest.raises(
            MetricError, match=f"measures {num_frames} frames, this model takes multiples of 2 up to 16"
        ):
            _extract(folder, _protocol(num_frames), [])


def test_features_depend_on_their_clip_alone(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    session = VJepaFeatures.from_protocol(_protocol(), str(folders["probe"][0])).load("cpu")
    together = session.extract(clips)
    assert [session.extract([clip])[0].tobytes() for clip in clips] == [row.tobytes() for row in together]


def test_the_protocol_says_how_frames_go_in(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, _ = folders["probe"]
    rows = [
        _extract(folder, protocol, clips[2:3])[0].tobytes()
        for protocol in (
            _protocol(),
            _protocol(normalise="none"),
            _protocol(resize=[{"size": "model", "geometry": "short-side-crop"}]),
        )
    ]
    assert len(set(rows)) == 3


def test_there_are_no_default_weights(folders: dict[str, tuple[Path, Any]]) -> None:
    assert "V-JEPA 2 folder" in VJepaFeatures.available(None)
    assert VJepaFeatures.available(str(folders["probe"][0])) is None
    with pytest.raises(WeightsError, match="vjepa: no weights are named"):
        VJepaFeatures.from_protocol(_protocol()).load("cpu")

"""VideoMAE features from tiny folders of transformers' format, and FVD and KVD on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.errors import MetricError, WeightsError
from reelbench.core.weights import digest_weights
from reelbench.metrics.build import build_metric, extractors_needed
from reelbench.metrics.extractors.backbone import reference_precision, resize_frames
from reelbench.metrics.extractors.videomae import VideoMaeFeatures
from reelbench.metrics.protocol import Protocol, load_protocol, parse_protocol
from reelbench.metrics.sets.fvd import Fvd, FvdVideoMae
from reelbench.metrics.sets.kvd import Kvd, KvdVideoMae

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
SIDE = 32


def _config(**more: Any) -> Any:
    from transformers import VideoMAEConfig

    return VideoMAEConfig(
        **{"image_size": SIDE, "patch_size": 8, "num_frames": 16, "hidden_size": 24, "num_hidden_layers": 2}
        | {"num_attention_heads": 2, "intermediate_size": 48, "num_labels": 5, "decoder_hidden_size": 16}
        | {"decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1, "decoder_intermediate_size": 32}
        | more
    )


def _save(network: Any, folder: Path) -> Path:
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """A classifier, one that reads the first token, and a pretraining checkpoint."""
    import torch
    from transformers import VideoMAEForPreTraining, VideoMAEForVideoClassification

    root = tmp_path_factory.mktemp("videomae")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = VideoMAEForVideoClassification(_config())
        first = VideoMAEForVideoClassification(_config(use_mean_pooling=False))
        pretraining = VideoMAEForPreTraining(_config())
        for network in (classifier, first, pretraining):
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, 0, 0.3)  # so that no bias is zero
    networks = {"classifier": classifier, "first": first, "pretraining": pretraining}
    for name, network in networks.items():
        _save(network, root / name)
    return {name: (root / name, network.eval()) for name, network in networks.items()}


def _protocol(num_frames: int = 16, **videomae: Any) -> Protocol:
    settings = {"sampling": {"num_frames": num_frames}, "videomae": videomae}
    return parse_protocol({"name": "t", "version": "1", **settings})


def _pixels(clip: np.ndarray, protocol: Protocol, normalise: bool = True) -> torch.Tensor:
    import torch

    frames = resize_frames(clip[:16], protocol.videomae.resize, SIDE) / 255
    if normalise:
        frames = (frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return frames[None]


def _extract(folder: Path, protocol: Protocol, clips: list[np.ndarray]) -> list[np.ndarray]:
    return VideoMaeFeatures.from_protocol(protocol, str(folder)).load("cpu").extract(clips)


def test_features_are_what_the_head_reads(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, network = folders["classifier"]
    row = _extract(folder, _protocol(), clips[2:3])[0]
    assert (row.shape, row.dtype) == ((24,), np.float32)
    with reference_precision("cpu"):
        pixels = _pixels(clips[2], _protocol())
        pooled = network.fc_norm(network.videomae(pixels).last_hidden_state.mean(1))
        np.testing.assert_allclose(row, pooled[0].numpy(), atol=1e-5)
        # Through the classifier they are the network's own logits.
        logits = network.classifier(pooled).numpy()
        np.testing.assert_allclose(network(pixels).logits.numpy(), logits, atol=1e-6)


def test_a_model_that_does_not_pool_gives_its_first_token(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, network = folders["first"]
    with reference_precision("cpu"):
        tokens = network.videomae(_pixels(clips[0], _protocol())).last_hidden_state
        expected = tokens[0, 0].numpy()
    np.testing.assert_allclose(_extract(folder, _protocol(), clips[:1])[0], expected, atol=1e-5)


def test_a_pretraining_checkpoint_gives_the_mean_of_its_tokens(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, network = folders["pretraining"]
    with reference_precision("cpu"):
        expected = network.videomae(_pixels(clips[0], _protocol())).last_hidden_state.mean(1)[0].numpy()
    np.testing.assert_allclose(_extract(folder, _protocol(), clips[:1])[0], expected, atol=1e-5)


def test_the_protocol_says_how_frames_go_in(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, network = folders["classifier"]
    raw = _protocol(normalise="none")
    with reference_precision("cpu"):
        tokens = network.videomae(_pixels(clips[2], raw, normalise=False)).last_hidden_state
        expected = network.fc_norm(tokens.mean(1))[0].numpy()
    np.testing.assert_allclose(_extract(folder, raw, clips[2:3])[0], expected, atol=1e-5)
    plain = _protocol(resize=[{"size": "model", "antialias": False}])
    assert not np.array_equal(*(_extract(folder, p, clips[2:3])[0] for p in (plain, _protocol())))
    cd_fvd = load_protocol("cd-fvd")
    assert cd_fvd.videomae.normalise == "none"
    assert np.isfinite(_extract(folder, cd_fvd, clips[5:6])[0]).all()


def test_features_depend_on_their_clip_alone(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    session = VideoMaeFeatures.from_protocol(_protocol(), str(folders["classifier"][0])).load("cpu")
    together = session.extract(clips)
    assert [session.extract([clip])[0].tobytes() for clip in clips] == [row.tobytes() for row in together]
    long = np.concatenate([clips[0], clips[1]])
    assert session.extract([long])[0].tobytes() == together[0].tobytes()


def test_the_protocol_and_the_model_must_agree_on_the_number_of_frames(
    folders: dict[str, tuple[Path, Any]], clips: list[np.ndarray]
) -> None:
    folder, _ = folders["classifier"]
    extractor = VideoMaeFeatures.from_protocol(_protocol(num_frames=12), str(folder))
    with pytest.raises(MetricError, match="measures 12 frames, this model takes exactly 16"):
        extractor.load("cpu")
    with pytest.raises(MetricError, match="at least 16 frames, the clip has 10"):
        _extract(folder, _protocol(), [clips[0][:10]])


def test_there_are_no_default_weights(folders: dict[str, tuple[Path, Any]]) -> None:
    assert "weights: {videomae:" in VideoMaeFeatures.available(None)
    folder, _ = folders["classifier"]
    assert VideoMaeFeatures.available(str(folder)) is None
    with pytest.raises(WeightsError, match="videomae: no weights are named"):
        VideoMaeFeatures.from_protocol(_protocol()).load("cpu")
    pinned = VideoMaeFeatures.from_protocol(_protocol(), f"{folder}#sha256:{digest_weights(folder)}")
    bare = VideoMaeFeatures.from_protocol(_protocol())
    assert pinned.config.model_copy(update={"weights": ""}) == bare.config
    pinned.load("cpu")


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(WeightsError, match="type 'clip', 'videomae' is needed"):
        VideoMaeFeatures.from_protocol(_protocol(), str(tmp_path)).load("cpu")


def test_a_head_without_its_norm_is_refused(folders: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    """A pretraining checkpoint that calls itself a classifier would get a random fc_norm."""
    _, network = folders["pretraining"]
    folder = _save(network, tmp_path / "liar")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["VideoMAEForVideoClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"tensors of VideoMAEForVideoClassification are missing.*fc_norm"):
        _extract(folder, _protocol(), [])


def test_fvd_and_kvd_on_videomae_are_the_same_formulas() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 6)), rng.standard_normal((50, 6)) + 0.3
    sources = [str(k) for k in range(40)], [str(k) for k in range(50)]
    for protocol in (load_protocol("clean"), load_protocol("videogpt"), load_protocol("seer")):
        for mine, base in ((FvdVideoMae, Fvd), (KvdVideoMae, Kvd)):
            assert (
                mine(protocol).compute(x, y, *sources).value == base(protocol).compute(x, y, *sources).value
            )
            assert mine(protocol).parameters() == base(protocol).parameters()
    needs = extractors_needed([build_metric("fvd_videomae", load_protocol("clean"))])
    assert (needs.generated, needs.reference) == (("videomae",), ("videomae",))


class _Authors:
    """The authors' fine-tuned network, written out from the description of their state dict."""

    def __init__(
        self,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        patch: int = 8,
        tubelet: int = 2,
        labels: int = 5,
    ) -> None:
        import torch

        draw = torch.Generator().manual_seed(5)
        self.heads, self.patch, self.tubelet = heads, patch, tubelet

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=draw) * 0.3

        self.tensors = {
            "patch_embed.proj.weight": random(width, 3, tubelet, patch, patch) * 0.2,
            "patch_embed.proj.bias": random(width),
            "head.weight": random(labels, width),
            "head.bias": random(labels),
        }
        norms = ["fc_norm", *(f"blocks.{k}.norm{j}" for k in range(depth) for j in (1, 2))]
        self.tensors |= {f"{name}.{kind}": random(width) for name in norms for kind in ("weight", "bias")}
        for k in range(depth):
            block = {
                "attn.qkv.weight": (3 * width, width),
                "attn.q_bias": (width,),
                "attn.v_bias": (width,),
                "attn.proj.weight": (width, width),
                "attn.proj.bias": (width,),
                "mlp.fc1.weight": (3 * width, width),
                "mlp.fc1.bias": (3 * width,),
                "mlp.fc2.weight": (width, 3 * width),
                "mlp.fc2.bias": (width,),
            }
            self.tensors |= {f"blocks.{k}.{name}": random(*shape) for name, shape in block.items()}
        self.depth = depth

    def features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn import functional as F

        t = self.tensors
        step = (self.tubelet, self.patch, self.patch)
        x = F.conv3d(video_BCTHW, t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], step)
        x = x.flatten(2).transpose(1, 2)
        _, length, width = x.shape
        angles = np.arange(length)[:, None] / 10000 ** (2 * (np.arange(width)[None] // 2) / width)
        angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
        x = x + torch.from_numpy(angles).float()

        def norm(x: torch.Tensor, name: str) -> torch.Tensor:
            return F.layer_norm(x, (width,), t[f"{name}.weight"], t[f"{name}.bias"], 1e-6)

        for k in range(self.depth):
            b = f"blocks.{k}."
            bias = torch.cat([t[b + "attn.q_bias"], torch.zeros(width), t[b + "attn.v_bias"]])
            qkv = F.linear(norm(x, b + "norm1"), t[b + "attn.qkv.weight"], bias)
            q, key, v = qkv.reshape(1, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            attention = (q @ key.transpose(-2, -1) * (width / self.heads) ** -0.5).softmax(-1)
            mixed = (attention @ v).transpose(1, 2).reshape(1, length, width)
            x = x + F.linear(mixed, t[b + "attn.proj.weight"], t[b + "attn.proj.bias"])
            inner = F.gelu(F.linear(norm(x, b + "norm2"), t[b + "mlp.fc1.weight"], t[b + "mlp.fc1.bias"]))
            x = x + F.linear(inner, t[b + "mlp.fc2.weight"], t[b + "mlp.fc2.bias"])
        return norm(x.mean(1), "fc_norm")


@pytest.mark.parametrize("key", ["module", "model", None])
def test_the_authors_file_gives_the_authors_features(tmp_path: Path, key: str | None) -> None:
    import torch

    from reelbench.metrics.extractors.videomae_checkpoint import load_authors_checkpoint

    authors = _Authors()
    torch.save(authors.tensors if key is None else {key: authors.tensors}, tmp_path / "net.pth")
    network = load_authors_checkpoint(tmp_path / "net.pth", image_size=SIDE, num_heads=4)
    video = torch.rand(1, 3, 16, SIDE, SIDE, generator=torch.Generator().manual_seed(6))
    with reference_precision("cpu"):
        tokens = network.videomae(video.transpose(1, 2)).last_hidden_state
        mine, theirs = network.fc_norm(tokens.mean(1)), authors.features(video)
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=2e-5)


def test_the_authors_file_as_weights(tmp_path: Path, clips: list[np.ndarray]) -> None:
    import torch

    authors = _Authors(width=384, depth=1, heads=6, patch=56)
    torch.save({"module": authors.tensors}, tmp_path / "net.pth")
    protocol = load_protocol("cd-fvd")
    row = _extract(tmp_path / "net.pth", protocol, clips[5:6])[0]
    assert row.shape == (384,)
    with reference_precision("cpu"):
        frames = resize_frames(clips[5], protocol.videomae.resize, 224) / 255
        expected = authors.features(frames.transpose(0, 1)[None])[0].numpy()
    np.testing.assert_allclose(row, expected, atol=5e-5)
    normalised = _extract(tmp_path / "net.pth", _protocol(), clips[5:6])[0]
    assert not np.allclose(row, normalised, atol=1e-2)


def test_other_files_are_explained(tmp_path: Path) -> None:
    import torch

    file = tmp_path / "net.pth"
    authors = _Authors()
    for tensors, message in (
        ({"x": torch.zeros(1)}, "not a fine-tuned VideoMAE; found x"),
        (authors.tensors, "no VideoMAE of width 32"),
    ):
        torch.save(tensors, file)
        with pytest.raises(WeightsError, match=message):
            _extract(file, _protocol(), [])
    wrong = _Authors(width=384, depth=1, heads=6).tensors
    del wrong["fc_norm.bias"]
    torch.save(wrong, file)
    with pytest.raises(WeightsError, match=r"do not fit VideoMAE.*fc_norm\.bias"):
        _extract(file, _protocol(), [])
    file.write_bytes(b"garbage")
    with pytest.raises(WeightsError, match="cannot read"):
        _extract(file, _protocol(), [])

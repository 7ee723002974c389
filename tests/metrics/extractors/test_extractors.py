"""The extractors: contracts, formats of weights, and independence of a clip from its neighbours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from reelbench.core.errors import MetricError, WeightsError
from reelbench.core.weights import digest_weights
from reelbench.metrics.extractors.backbone import reference_precision
from reelbench.metrics.extractors.clip import ClipImage, ClipText, ClipTextDepicts, ClipTextScaled
from reelbench.metrics.extractors.clip_model import ClipImageSession, ClipTextSession
from reelbench.metrics.extractors.clip_weights import split_location, weights_ref
from reelbench.metrics.extractors.i3d.i3d import I3dLogits, I3dSession
from reelbench.metrics.extractors.i3d.weights import i3d_classes, load_i3d
from reelbench.metrics.protocol import parse_protocol


@pytest.fixture(scope="module")
def i3d(i3d_folder: Path) -> I3dSession:
    return I3dLogits(I3dLogits.Config(weights=str(i3d_folder))).load("cpu")


@pytest.fixture(scope="module")
def clip_image(clip_folder: Path) -> ClipImageSession:
    return ClipImage(ClipImage.Config(weights=str(clip_folder))).load("cpu")


@pytest.fixture(scope="module")
def clip_text(clip_folder: Path) -> ClipTextSession:
    return ClipText(ClipText.Config(weights=str(clip_folder))).load("cpu")


def test_constructing_imports_no_heavy_library() -> None:
    code = (
        "import sys; from reelbench.metrics import build;"
        "from reelbench.metrics.extractors import clip, pick, videomae, vjepa;"
        "from reelbench.metrics.extractors.i3d import i3d; from reelbench.metrics.sets import fvd, kvd, jedi;"
        "from reelbench.metrics.protocol import load_protocol; p = load_protocol('clean');"
        "i3d.I3dLogits.from_protocol(p).weights(); clip.ClipImage.from_protocol(p).weights();"
        "clip.ClipText.from_protocol(p); fvd.Fvd(p); kvd.Kvd(p); jedi.JediMmd(p);"
        "videomae.VideoMaeFeatures.from_protocol(p); vjepa.VJepaFeatures.from_protocol(p);"
        "pick.PickImage.from_protocol(p); pick.PickText.from_protocol(p); pick.PickText.available('a/b');"
        "heavy = ('torch', 'open_clip', 'transformers', 'scipy', 'pandas', 'ray');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_i3d_features(i3d: I3dSession, clips: list[np.ndarray]) -> None:
    rows = i3d.extract(clips[:2])
    assert [(row.shape, row.dtype) for row in rows] == [((12,), np.float32)] * 2
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[1])


def test_i3d_equals_the_network_on_frames_in_minus_one_to_one(i3d: I3dSession, i3d_folder: Path) -> None:
    import torch

    frames = np.random.default_rng(0).integers(0, 256, (16, 224, 224, 3), dtype=np.uint8)
    network = load_i3d(i3d_folder)
    with reference_precision("cpu"):
        video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        expected = network(video)[0].numpy()
    np.testing.assert_allclose(i3d.extract([frames])[0], expected, rtol=1e-5, atol=1e-6)


def test_features_do_not_depend_on_the_batch(
    i3d: I3dSession, clip_image: ClipImageSession, clip_text: ClipTextSession, clips: list[np.ndarray]
) -> None:
    session: Any
    inputs: Any
    for session, inputs in (
        (i3d, clips),
        (clip_image, clips),
        (clip_text, ["a red square", "", "moving left over grass", "x " * 500, "红色方块"]),
    ):
        together = session.extract(inputs)
        alone = [session.extract([item])[0] for item in inputs]
        backwards = session.extract(inputs[::-1])[::-1]
        for a, b, c in zip(together, alone, backwards, strict=True):
            assert a.tobytes() == b.tobytes() == c.tobytes()


def test_features_do_not_depend_on_the_number_of_threads(
    i3d: I3dSession, clip_image: ClipImageSession, clips: list[np.ndarray]
) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        for session in (i3d, clip_image):
            rows = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                rows.append(session.extract(clips[:1])[0].tobytes())
                assert torch.get_num_threads() == threads
            assert len(set(rows)) == 1
    finally:
        torch.set_num_threads(before)


def test_nothing_in_nothing_out(
    i3d: I3dSession, clip_image: ClipImageSession, clip_text: ClipTextSession
) -> None:
    assert i3d.extract([]) == clip_image.extract([]) == clip_text.extract([]) == []


def test_i3d_reads_the_first_frames_and_refuses_fewer(
    i3d: I3dSession, i3d_folder: Path, clips: list[np.ndarray]
) -> None:
    long = np.concatenate([clips[0], clips[1]])
    assert i3d.extract([long])[0].tobytes() == i3d.extract([clips[0]])[0].tobytes()
    with pytest.raises(MetricError, match=r"at least 16 frames, the clip has 12"):
        i3d.extract([clips[0][:12]])
    free = I3dLogits(I3dLogits.Config(weights=str(i3d_folder), num_frames=None)).load("cpu")
    assert free.extract([clips[0][:9], clips[0]])[0].shape == (12,)
    with pytest.raises(MetricError, match=r"at least 9 frames, the clip has 8"):
        free.extract([clips[0][:8]])
    with pytest.raises(MetricError, match="at least 9 frames, the protocol measures 8"):
        I3dLogits(I3dLogits.Config(num_frames=8)).load("cpu")


def test_i3d_refuses_what_is_not_a_clip(i3d: I3dSession) -> None:
    with pytest.raises(MetricError, match="uint8"):
        i3d.extract([np.zeros((16, 8, 8, 3), np.float32)])


def test_protocol_reaches_the_features(i3d_folder: Path, clips: list[np.ndarray]) -> None:
    def features(**settings: Any) -> np.ndarray:
        protocol = parse_protocol({"name": "t", "version": "1", **settings})
        return I3dLogits.from_protocol(protocol, str(i3d_folder)).load("cpu").extract(clips[5:6])[0]

    clean = features()
    for other in (
        {"i3d": {"batchnorm_epsilon": 1e-5}},
        {"i3d": {"resize": [{"size": 224, "antialias": False}]}},
        {"i3d": {"resize": [{"size": 224, "geometry": "short-side-crop"}]}},
        {"sampling": {"num_frames": 12}},
    ):
        assert not np.array_equal(clean, features(**other))
    assert np.array_equal(clean, features(frechet={"ddof": 0}))


def test_protocols_that_agree_on_a_part_share_its_features() -> None:
    a = parse_protocol({"name": "a", "version": "1"})
    b = parse_protocol({"name": "b", "version": "1", "frechet": {"ddof": 0}, "clip": {"prompt_prefix": "A "}})
    assert I3dLogits.from_protocol(a).config == I3dLogits.from_protocol(b).config
    assert ClipImage.from_protocol(a).config == ClipImage.from_protocol(b).config
    assert ClipText.from_protocol(a).config != ClipText.from_protocol(b).config


def test_configs_refuse_unknown_keys() -> None:
    with pytest.raises(ValidationError):
        I3dLogits.Config(weight="x")  # type: ignore[call-arg]


def test_i3d_weights_in_public_formats(i3d_folder: Path, tmp_path: Path, clips: list[np.ndarray]) -> None:
    import torch
    from safetensors.torch import load_file

    tensors = load_file(i3d_folder / "model.safetensors")
    expected = I3dLogits(I3dLogits.Config(weights=str(i3d_folder))).load("cpu").extract(clips[:1])[0]
    torch.save(tensors, tmp_path / "all.pt")
    torch.save({k: v for k, v in tensors.items() if "num_batches" not in k}, tmp_path / "bare.pt")
    for file in (i3d_folder / "model.safetensors", tmp_path / "all.pt", tmp_path / "bare.pt"):
        row = I3dLogits(I3dLogits.Config(weights=str(file))).load("cpu").extract(clips[:1])[0]
        assert row.tobytes() == expected.tobytes()
    assert i3d_classes(i3d_folder)[3] == "motion 3"


def test_bad_i3d_weights_are_explained(i3d_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(WeightsError, match="no weights"):
        I3dLogits(I3dLogits.Config(weights=str(tmp_path / "none"))).load("cpu")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="width_multiplier"):
        load_i3d(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"width_multiplier": 0.0625, "num_classes": 12}))
    with pytest.raises(WeightsError, match=r"no I3D weights"):
        load_i3d(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(WeightsError, match="cannot read"):
        load_i3d(tmp_path)
    tensors = load_file(i3d_folder / "model.safetensors")
    short = {name: value for name, value in tensors.items() if "Mixed_4c" not in name}
    save_file(short, tmp_path / "short.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_i3d(tmp_path / "short.safetensors")
    save_file({"x": tensors["logits.conv3d.bias"]}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="Conv3d_1a_7x7"):
        load_i3d(tmp_path / "x.safetensors")


def test_clip_features_are_unit_rows(
    clip_image: ClipImageSession, clip_text: ClipTextSession, clips: list[np.ndarray]
) -> None:
    frames, text = clip_image.extract(clips[:1])[0], clip_text.extract(["a red square moves left"])[0]
    assert (frames.shape, frames.dtype, text.shape, text.dtype) == ((16, 32), np.float32, (32,), np.float32)
    np.testing.assert_allclose(np.linalg.norm(frames, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(text), 1, rtol=1e-5)


def test_clip_agrees_with_open_clips_own_pipeline(
    clip_folder: Path, clip_image: ClipImageSession, clip_text: ClipTextSession, clips: list[np.ndarray]
) -> None:
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{clip_folder}")
    with reference_precision("cpu"):
        images = torch.stack([preprocess(Image.fromarray(frame)) for frame in clips[2]])
        expected = torch.nn.functional.normalize(model.eval().encode_image(images), dim=-1).numpy()
        text = torch.nn.functional.normalize(model.encode_text(tokenizer(["a blue ring"])), dim=-1)[0].numpy()
    # PIL keeps its filters in fixed point: a few pixels differ by one step of 255.
    np.testing.assert_allclose(clip_image.extract(clips[2:3])[0], expected, atol=1e-3)
    np.testing.assert_allclose(clip_text.extract(["a blue ring"])[0], text, atol=1e-6)


def test_long_clips_are_read_in_parts(clip_image: ClipImageSession, clips: list[np.ndarray]) -> None:
    long = np.concatenate([clips[0], clips[1], clips[4]])[:40]
    features = clip_image.extract([long])[0]
    assert features.shape == (40, 32)
    assert features[:16].tobytes() == clip_image.extract([clips[0]])[0].tobytes()


def test_long_captions_are_cut(clip_text: ClipTextSession) -> None:
    a, b = clip_text.extract(["red " * 500, "red " * 400 + "blue"])
    np.testing.assert_array_equal(a, b)
    with pytest.raises(MetricError, match="strings"):
        clip_text.extract([3])


def test_both_clip_extractors_share_one_model(clip_folder: Path) -> None:
    a = ClipImage(ClipImage.Config(weights=str(clip_folder))).load("cpu")
    b = ClipText(ClipText.Config(weights=str(clip_folder))).load("cpu")
    assert a._model is b._model


def test_clipscores_caption_has_its_own_words(clip_folder: Path, clip_text: ClipTextSession) -> None:
    location = str(clip_folder)
    plain = parse_protocol({"name": "t", "version": "1"})
    prefixed = parse_protocol({"name": "t", "version": "1", "clip": {"prompt_prefix": "A film of "}})
    depicts = ClipTextDepicts.from_protocol(plain, location)
    assert depicts.config == ClipTextDepicts.from_protocol(prefixed, location).config
    row = depicts.load("cpu").extract(["a red square"])[0]
    assert row.tobytes() == clip_text.extract(["A photo depicts a red square"])[0].tobytes()
    assert ClipTextDepicts.describe(prefixed) == "prefix:'A photo depicts'"
    # CLIPSIM's caption follows the protocol, in the same run.
    caption = ClipText.from_protocol(prefixed, location).load("cpu").extract(["a red square"])[0]
    assert caption.tobytes() == clip_text.extract(["A film of a red square"])[0].tobytes()


def test_scaled_captions_give_the_models_own_logits(
    clip_folder: Path, clip_image: ClipImageSession, clip_text: ClipTextSession, clips: list[np.ndarray]
) -> None:
    import open_clip
    import torch

    scaled = ClipTextScaled(ClipTextScaled.Config(weights=str(clip_folder))).load("cpu")
    network = open_clip.create_model(f"local-dir:{clip_folder}", require_pretrained=True).eval()
    scale = float(network.logit_scale.detach().exp())
    text, frames = scaled.extract(["a red square"])[0], clip_image.extract(clips[:1])[0]
    np.testing.assert_allclose(np.linalg.norm(text), scale, rtol=1e-6)
    np.testing.assert_allclose(text, scale * clip_text.extract(["a red square"])[0], rtol=1e-6)
    with reference_precision("cpu"):
        # open_clip's own logits from the same pixels.
        image = torch.from_numpy(frames)
        tokens = open_clip.get_tokenizer(f"local-dir:{clip_folder}")(["a red square"])
        caption = torch.nn.functional.normalize(network.encode_text(tokens), dim=-1)
        expected = (network.logit_scale.exp() * image @ caption.T)[:, 0].numpy()
    np.testing.assert_allclose(frames @ text, expected, rtol=1e-5)


def test_pinned_clips(clip_folder: Path, tmp_path: Path) -> None:
    pin = digest_weights(clip_folder)
    pinned = ClipImage(ClipImage.Config(weights=f"{clip_folder}#sha256:{pin}"))
    assert pinned.config.architecture == ""
    pinned.load("cpu")
    with pytest.raises(WeightsError, match="the pin says"):
        ClipImage(ClipImage.Config(weights=f"{clip_folder}#sha256:{'0' * 64}")).load("cpu")
    location = f"ViT-B-32:{tmp_path}/b32.pt#sha256:{pin}"
    config = ClipText.Config(weights=location)
    assert config.architecture == "ViT-B-32"
    assert ClipText(config).weights()[0].location == f"{tmp_path}/b32.pt#sha256:{pin}"
    assert split_location(f"clip#sha256:{pin}") == ("", f"clip#sha256:{pin}")
    assert weights_ref("clip", "", f"clip#sha256:{pin}").location == f"clip#sha256:{pin}"
    with pytest.raises(WeightsError, match="no weights 'nobody'"):
        ClipText(ClipText.Config(weights=f"ViT-B-32:nobody#sha256:{pin}")).load("cpu")


def test_clip_by_architecture_and_file(clip_folder: Path, tmp_path: Path) -> None:
    config = ClipImage.Config(weights=f"ViT-B-32:{tmp_path}/model.safetensors")
    assert (config.architecture, config.weights) == ("ViT-B-32", f"{tmp_path}/model.safetensors")
    assert ClipImage(config).weights()[0].location == f"{tmp_path}/model.safetensors"
    assert config.architecture == "ViT-B-32"
    assert split_location("owner/name") == ("", "owner/name")
    assert split_location("./a:b/c") == ("", "./a:b/c")


def test_bad_clip_weights_are_explained(tmp_path: Path, clip_folder: Path) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        ClipImage(ClipImage.Config(weights=str(tmp_path / "none"))).load("cpu")
    with pytest.raises(WeightsError, match=r"open_clip_config\.json"):
        ClipImage(ClipImage.Config(weights=str(tmp_path))).load("cpu")
    (tmp_path / "open_clip_config.json").write_text((clip_folder / "open_clip_config.json").read_text())
    with pytest.raises(WeightsError, match="holds no checkpoint"):
        ClipImage(ClipImage.Config(weights=str(tmp_path))).load("cpu")
    with pytest.raises(WeightsError, match="no weights 'nobody'"):
        ClipText(ClipText.Config(weights="ViT-B-32:nobody")).load("cpu")


@pytest.mark.gpu
def test_gpu_agrees_with_cpu_and_uses_no_tf32(
    i3d_folder: Path, clip_folder: Path, clips: list[np.ndarray]
) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for extractor in (
        I3dLogits(I3dLogits.Config(weights=str(i3d_folder))),
        ClipImage(ClipImage.Config(weights=str(clip_folder))),
    ):
        cpu, gpu = extractor.load("cpu").extract(clips), extractor.load("cuda").extract(clips)
        for a, b in zip(cpu, gpu, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-5)
    assert torch.backends.cudnn.allow_tf32

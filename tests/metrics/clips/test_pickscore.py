"""PickScore's extractors on a tiny folder of transformers' format, against open_clip at the same weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.errors import MetricError, WeightsError
from reelbench.core.weights import digest_weights, resolve
from reelbench.metrics.clips.text import PickScore
from reelbench.metrics.extractors.backbone import reference_precision, resize_frames
from reelbench.metrics.extractors.clip_model import ClipImageSession, ClipTextSession
from reelbench.metrics.extractors.pick import PickImage, PickText
from reelbench.metrics.protocol import Protocol, parse_protocol

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
VOCABULARY, LAST_TOKEN, CONTEXT = 754, 753, 32


@pytest.fixture(scope="module")
def open_clip_model() -> Any:
    """An open_clip ViT with the vocabulary of the folder's tokenizer."""
    import open_clip
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = open_clip.CLIP(
            embed_dim=24,
            vision_cfg={"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
            text_cfg={
                "context_length": CONTEXT,
                "vocab_size": VOCABULARY,
                "width": 32,
                "heads": 2,
                "layers": 2,
            },
        )
        for parameter in model.parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, 0.5, 0.3)  # so that no bias is zero
    with torch.no_grad():
        model.logit_scale.fill_(np.log(37.0))
    return model.requires_grad_(False).eval()


def _as_transformers(tensors: Any) -> dict[str, torch.Tensor]:
    """open_clip's state dict under transformers' names."""
    import torch

    renamed = {
        "logit_scale": tensors["logit_scale"],
        "visual_projection.weight": tensors["visual.proj"].T,
        "text_projection.weight": tensors["text_projection"].T,
        "vision_model.embeddings.class_embedding": tensors["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": tensors["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": tensors["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": tensors["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": tensors["positional_embedding"],
    }
    for kind in ("weight", "bias"):
        renamed[f"vision_model.pre_layrnorm.{kind}"] = tensors[f"visual.ln_pre.{kind}"]
        renamed[f"vision_model.post_layernorm.{kind}"] = tensors[f"visual.ln_post.{kind}"]
        renamed[f"text_model.final_layer_norm.{kind}"] = tensors[f"ln_final.{kind}"]
        for theirs, ours in (("visual.transformer", "vision_model"), ("transformer", "text_model")):
            for layer in range(2):
                old, new = f"{theirs}.resblocks.{layer}", f"{ours}.encoder.layers.{layer}"
                parts = torch.chunk(tensors[f"{old}.attn.in_proj_{kind}"], 3)
                for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
                    renamed[f"{new}.self_attn.{name}.{kind}"] = part
                for name, other in (
                    ("self_attn.out_proj", "attn.out_proj"),
                    ("layer_norm1", "ln_1"),
                    ("layer_norm2", "ln_2"),
                    ("mlp.fc1", "mlp.c_fc"),
                    ("mlp.fc2", "mlp.c_proj"),
                ):
                    renamed[f"{new}.{name}.{kind}"] = tensors[f"{old}.{other}.{kind}"]
    return {name: value.contiguous() for name, value in renamed.items()}


@pytest.fixture(scope="module")
def pick_folder(open_clip_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of PickScore_v1, at tiny size."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("pick")
    common = {"num_hidden_layers": 2, "hidden_act": "gelu", "projection_dim": 24}
    text = common | {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 2}
    vision = common | {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
    config = CLIPConfig(
        projection_dim=24,
        text_config=text
        | {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT}
        | {"bos_token_id": LAST_TOKEN - 1, "eos_token_id": LAST_TOKEN, "pad_token_id": LAST_TOKEN},
        vision_config=vision | {"image_size": 32, "patch_size": 8},
    )
    model = CLIPModel(config)
    model.load_state_dict(_as_transformers(open_clip_model.state_dict()), strict=True)
    model.save_pretrained(folder)
    for file in resolve("sprites/t2i").joinpath("tokenizer").iterdir():
        shutil.copyfile(file, folder / file.name)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return folder


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return parse_protocol({"name": "t", "version": "1"})


@pytest.fixture(scope="module")
def image(pick_folder: Path, protocol: Protocol) -> ClipImageSession:
    return PickImage.from_protocol(protocol, str(pick_folder)).load("cpu")


@pytest.fixture(scope="module")
def text(pick_folder: Path, protocol: Protocol) -> ClipTextSession:
    return PickText.from_protocol(protocol, str(pick_folder)).load("cpu")


@pytest.fixture(scope="module")
def tokenizer(pick_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(pick_folder))


def test_features_agree_with_open_clip_at_the_same_weights(
    image: ClipImageSession,
    text: ClipTextSession,
    open_clip_model: Any,
    tokenizer: Any,
    protocol: Protocol,
    clips: list[np.ndarray],
) -> None:
    import torch

    tokens = tokenizer(["a red square moves left"])["input_ids"][0]
    with reference_precision("cpu"):
        frames = resize_frames(clips[2], protocol.clip.resize, 32) / 255
        pixels = (frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        expected_image = open_clip_model.encode_image(pixels, normalize=True).numpy()
        padded = torch.tensor([tokens + [0] * (CONTEXT - len(tokens))])
        expected_text = open_clip_model.encode_text(padded, normalize=True)[0].numpy()
    rows, caption = image.extract(clips[2:3])[0], text.extract(["a red square moves left"])[0]
    assert (rows.shape, rows.dtype, caption.shape, caption.dtype) == ((16, 24), np.float32, (24,), np.float32)
    np.testing.assert_allclose(rows, expected_image, atol=1e-5)
    np.testing.assert_allclose(caption / 37.0, expected_text, atol=1e-5)


def test_the_score_is_the_mean_logit(
    image: ClipImageSession,
    text: ClipTextSession,
    pick_folder: Path,
    tokenizer: Any,
    protocol: Protocol,
    clips: list[np.ndarray],
) -> None:
    """exp(logit_scale) * cos, averaged over frames, by transformers' own forward pass."""
    import torch
    from transformers import CLIPModel

    rows, caption = image.extract(clips[:1])[0], text.extract(["a red square"])[0]
    value = PickScore(protocol).compute({"pick_image": rows, "pick_text": caption})
    network = CLIPModel.from_pretrained(str(pick_folder)).eval()
    with reference_precision("cpu"):
        frames = resize_frames(clips[0], protocol.clip.resize, 32) / 255
        pixels = (frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        out = network(pixel_values=pixels, **tokenizer(["a red square"], return_tensors="pt"))
    assert value == pytest.approx(float(out.logits_per_image.mean()), rel=1e-4)
    np.testing.assert_allclose(np.linalg.norm(caption), 37.0, rtol=1e-5)


def test_features_depend_on_their_input_alone(
    image: ClipImageSession, text: ClipTextSession, clips: list[np.ndarray]
) -> None:
    for session, inputs in ((image, clips), (text, ["a red square", "", "x " * 300])):
        together = session.extract(inputs)
        for item, row in zip(inputs, together, strict=True):
            assert session.extract([item])[0].tobytes() == row.tobytes()
    assert image.extract([]) == text.extract([]) == []
    assert image._model is text._model


def test_long_clips_and_captions(
    image: ClipImageSession, text: ClipTextSession, clips: list[np.ndarray]
) -> None:
    long = np.concatenate([clips[0], clips[1], clips[4]])[:40]
    assert image.extract([long])[0][:16].tobytes() == image.extract([clips[0]])[0].tobytes()
    a, b = text.extract(["red " * 200, "red " * 100 + "blue"])
    np.testing.assert_array_equal(a, b)
    with pytest.raises(MetricError, match="strings"):
        text.extract([3])
    with pytest.raises(MetricError, match="uint8"):
        image.extract([np.zeros((2, 8, 8, 3), np.float32)])


def test_the_protocol_resizes_the_frames(pick_folder: Path, clips: list[np.ndarray]) -> None:
    squash = {"resize": [{"size": "model", "filter": "bicubic", "quantise": "round"}], "prompt_prefix": "A "}
    other = parse_protocol({"name": "t", "version": "1", "clip": squash})
    plain = parse_protocol({"name": "t", "version": "1"})
    a, b = (
        PickImage.from_protocol(p, str(pick_folder)).load("cpu").extract(clips[2:3])[0]
        for p in (plain, other)
    )
    assert not np.array_equal(a, b)
    assert PickText.from_protocol(plain).config == PickText.from_protocol(other).config


def test_there_are_no_default_weights(pick_folder: Path, protocol: Protocol) -> None:
    assert "weights: {pickscore:" in PickImage.available(None)
    assert PickText.available(str(pick_folder)) is None
    assert "no weights at" in PickText.available(str(pick_folder / "none"))
    for extractor in (PickImage, PickText):
        with pytest.raises(WeightsError, match="no weights are named"):
            extractor.from_protocol(protocol).load("cpu")
    pinned = PickText.from_protocol(protocol, f"{pick_folder}#sha256:{digest_weights(pick_folder)}")
    pinned.load("cpu")


def test_incomplete_folders_are_explained(pick_folder: Path, protocol: Protocol, tmp_path: Path) -> None:
    def without(*names: str, **changes: Any) -> PickImage:
        folder = tmp_path / "-".join([*names, *changes])
        shutil.copytree(pick_folder, folder)
        for name in names:
            (folder / name).unlink()
        if changes:
            config = json.loads((folder / "config.json").read_text()) | changes
            (folder / "config.json").write_text(json.dumps(config))
        return PickImage.from_protocol(protocol, str(folder))

    for extractor, message in (
        (without("config.json"), r"config\.json"),
        (without("preprocessor_config.json"), "normalisation is not known"),
        (without("model.safetensors"), r"missing \*\.safetensors"),
        (without(model_type="siglip"), "type 'siglip', 'clip' is needed"),
    ):
        with pytest.raises(WeightsError, match=message):
            extractor.load("cpu")


def test_missing_tensors_are_not_filled_with_random_numbers(
    pick_folder: Path, protocol: Protocol, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "half"
    shutil.copytree(pick_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if "text_model.encoder.layers.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="16 tensors of CLIPModel are missing"):
        PickText.from_protocol(protocol, str(folder)).load("cpu")

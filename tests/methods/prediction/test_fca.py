"""FCA on tiny transformers of every published configuration: what it adds, where, and what trains."""

from __future__ import annotations

import dataclasses
from typing import Any

import pydantic
import pytest
import torch

from reelbench.methods.cogvideox.pipeline import CogVideoX, load_cogvideox
from reelbench.methods.noise import draw
from reelbench.methods.prediction.config import FcaConfig
from reelbench.methods.prediction.fca_predictor import FcaPredictor
from reelbench.methods.prediction.session import encode_given
from reelbench.tests.methods.tiny_cogvideox import VARIANTS, cogvideox_folder

TEXT_MODELS = ("2b", "5b", "1.5")

ALTERNATIVES: tuple[dict[str, Any], ...] = (
    {},
    {"text": "shared"},
    {"text": "off"},
    {"text_of": "latent"},
    {"text_from": "layer"},
    {"text_sees_frames": False},
    {"initial_frames": "patches"},
    {"initial_frames": "off"},
    {"into": "text"},
    {"into": "both"},
    {"start": "random"},
)


def loaded(variant: str = "2b") -> CogVideoX:
    return load_cogvideox(cogvideox_folder(variant), device="cpu")


def config(**settings: Any) -> FcaConfig:
    return FcaConfig(**({"queries": 2, "text_heads": 2} | settings))


def batch(pipeline: CogVideoX, num_frames: int = 16, size: int = 2) -> dict[str, torch.Tensor]:
    """Noisy clips, timesteps, prompts and latents of given frames."""
    num_latents, *shape = pipeline.latent_shape_FCHW(num_frames)
    channels = pipeline.transformer.config.in_channels
    num_latents += pipeline.padding(num_latents)
    return {
        "noisy": draw((size, num_latents, channels, *shape[1:]), 0, "noisy"),
        "timestep": torch.tensor([900, 300])[:size],
        "text": draw((size, 24, 12), 0, "text"),
        "context": draw((size, 2, channels, *shape[1:]), 0, "context"),
    }


def predict(predictor: FcaPredictor, data: dict[str, torch.Tensor]) -> torch.Tensor:
    with predictor.given(data["context"], data["text"]):
        return predictor(data["noisy"], data["timestep"], data["text"])


def trained(pipeline: CogVideoX, fca_config: FcaConfig) -> FcaPredictor:
    """FCA that does something, in place of hours of training."""
    predictor = FcaPredictor(pipeline, fca_config)
    for name, parameter in predictor.trained().items():
        parameter.data += 0.2 * draw(tuple(parameter.shape), 1, name)
    return predictor


class TestAtTheStart:
    @pytest.mark.parametrize("settings", ALTERNATIVES, ids=str)
    @pytest.mark.parametrize("variant", TEXT_MODELS)
    def test_the_model_is_the_base(self, variant: str, settings: dict[str, Any]) -> None:
        pipeline = loaded(variant)
        data = batch(pipeline)
        base = pipeline.predict(data["noisy"], data["timestep"], data["text"])
        assert base.std() > 0.1
        assert torch.equal(predict(FcaPredictor(pipeline, config(**settings)), data), base)
        changed = predict(trained(pipeline, config(**settings)), data)
        assert (changed - base).abs().max() > 1e-3

    @pytest.mark.parametrize("variant", sorted(VARIANTS))
    @pytest.mark.parametrize("num_frames", [9, 16])
    def test_so_it_is_with_checkpointing_gradients_other_lengths_and_the_ofs_embedding(
        self, variant: str, num_frames: int
    ) -> None:
        pipeline = load_cogvideox(
            cogvideox_folder(variant), device="cpu", kind="image" if variant.startswith("i2v") else "text"
        )
        data = batch(pipeline, num_frames)
        base = pipeline.predict(data["noisy"], data["timestep"], data["text"])
        pipeline.transformer.enable_gradient_checkpointing()
        pipeline.transformer.train()
        made = predict(FcaPredictor(pipeline, config(num_frames=num_frames)), data)
        assert made.requires_grad
        assert torch.equal(made, base)

    def test_in_bfloat16_too(self) -> None:
        pipeline = load_cogvideox(cogvideox_folder(), device="cpu", dtype="bfloat16")
        data = batch(pipeline)
        base = pipeline.predict(data["noisy"], data["timestep"], data["text"])
        predictor = FcaPredictor(pipeline, config()).to(torch.bfloat16)
        assert base.dtype == torch.bfloat16
        assert torch.equal(predict(predictor, data), base)

    def test_queries_keys_and_values_are_the_frozen_ones(self) -> None:
        pipeline = loaded()
        frozen = pipeline.transformer.transformer_blocks[1].attn1
        copied, drawn = (
            FcaPredictor(pipeline, config(start=start)).layers[1].attention  # type: ignore[arg-type]
            for start in ("copy", "random")
        )
        for name in ("to_q", "to_k", "to_v"):
            assert torch.equal(getattr(copied, name).weight, getattr(frozen, name).weight)
            assert not torch.equal(getattr(drawn, name).weight, getattr(frozen, name).weight)
        assert not copied.to_out.weight.any()

    def test_initial_values_come_from_the_seed_alone(self) -> None:
        pipeline = loaded()
        torch.manual_seed(3)
        before = torch.get_rng_state()
        first, same, other = (FcaPredictor(pipeline, config(), seed).state_dict() for seed in (1, 1, 2))
        assert torch.equal(before, torch.get_rng_state())
        assert all(torch.equal(first[name], same[name]) for name in first)
        drawn = [name for name in first if ".text." in name and "weight" in name and "norm" not in name]
        assert not any(torch.equal(first[name], other[name]) for name in drawn)
        assert all(torch.isfinite(value).all() for value in first.values())


class TestWhatItAdds:
    @pytest.mark.parametrize(("variant", "num_frames"), [("2b", 16), ("2b", 17), ("5b", 17), ("1.5", 17)])
    def test_a_frames_embeddings_reach_its_own_tokens_alone(self, variant: str, num_frames: int) -> None:
        """The queries of one frame are changed in the last layer: only its patch's prediction changes."""
        from reelbench.methods.prediction.fca_predictor import frame_wise_mask

        pipeline = loaded(variant)
        data = batch(pipeline, num_frames, size=1)
        predictor = trained(pipeline, config(num_frames=num_frames, initial_frames="patches"))
        mask = frame_wise_mask(num_frames, pipeline.patch_size_t, "frame")
        last: Any = predictor.layers[-1]
        # Frames share out the motion among each other; switched off, each depends on its own queries alone.
        last.text.among.to_out.weight.data.zero_()
        with torch.no_grad():
            before = predict(predictor, data)
            for frame in (0, 1, num_frames - 1):
                kept = last.text.queries.data.clone()
                last.text.queries.data[frame] += 1.0
                differs = (predict(predictor, data) - before)[0].abs().amax((1, 2, 3)) > 1e-6
                last.text.queries.data = kept
                patches = differs.unflatten(0, (-1, pipeline.patch_size_t)).any(1)
                assert patches.tolist() == mask[:, frame].tolist()

    def test_without_the_mask_they_reach_all(self) -> None:
        pipeline = loaded()
        data = batch(pipeline, size=1)
        predictor = trained(pipeline, config(text="shared"))
        last: Any = predictor.layers[-1]
        with torch.no_grad():
            before = predict(predictor, data)
            last.text.queries.data[0] += 1.0
            differs = (predict(predictor, data) - before)[0].abs().amax((1, 2, 3)) > 1e-6
        assert differs.all()

    @pytest.mark.parametrize("variant", TEXT_MODELS)
    @pytest.mark.parametrize(
        ("settings", "reads_context"),
        [
            ({}, True),
            ({"initial_frames": "patches"}, True),
            ({"text": "off"}, True),
            ({"initial_frames": "off"}, False),
        ],
    )
    def test_the_given_frames_count_unless_they_are_switched_off(
        self, variant: str, settings: dict[str, Any], reads_context: bool
    ) -> None:
        pipeline = loaded(variant)
        data = batch(pipeline)
        predictor = trained(pipeline, config(**settings))
        with torch.no_grad():
            before = predict(predictor, data)
            after = predict(predictor, data | {"context": data["context"].flip(1)})
        assert torch.equal(before, after) != reads_context

    @pytest.mark.parametrize("into", ["video", "text", "both"])
    def test_conditioning_enters_where_it_is_told_to(self, into: str) -> None:
        pipeline = loaded()
        data = batch(pipeline)
        predictor = trained(pipeline, config(into=into))
        outputs: list[Any] = []
        for keep in (False, True):
            handle = pipeline.transformer.transformer_blocks[0].attn1.register_forward_hook(
                lambda module, args, out: outputs.append(out)
            )
            with torch.no_grad():
                if keep:
                    # After FCA's own hooks, so that it sees what they made.
                    handle.remove()
                    with predictor.given(data["context"], data["text"]):
                        handle = pipeline.transformer.transformer_blocks[0].attn1.register_forward_hook(
                            lambda module, args, out: outputs.append(out)
                        )
                        predictor(data["noisy"], data["timestep"], data["text"])
                else:
                    pipeline.predict(data["noisy"], data["timestep"], data["text"])
            handle.remove()
        (video, text), (new_video, new_text) = outputs
        assert torch.equal(video, new_video) == (into == "text")
        assert torch.equal(text, new_text) == (into == "video")

    def test_a_clip_of_another_length_is_refused(self) -> None:
        pipeline = loaded()
        predictor = FcaPredictor(pipeline, config(num_frames=17))
        with pytest.raises(ValueError, match="does not have the 17 frames"):
            predict(predictor, batch(pipeline, 16))

    def test_the_transformer_is_left_as_it_was_even_after_an_error(self) -> None:
        pipeline = loaded()
        data = batch(pipeline)
        base = pipeline.predict(data["noisy"], data["timestep"], data["text"])
        predictor = trained(pipeline, config())
        with pytest.raises(RuntimeError, match="on purpose"), predictor.given(data["context"], data["text"]):
            raise RuntimeError("on purpose")
        assert torch.equal(pipeline.predict(data["noisy"], data["timestep"], data["text"]), base)


class TestTraining:
    @pytest.mark.parametrize("checkpointing", [False, True])
    @pytest.mark.parametrize("variant", TEXT_MODELS)
    @pytest.mark.parametrize("settings", [{}, {"text_from": "layer", "into": "both"}], ids=str)
    def test_only_fca_gets_gradients_and_all_of_it_does(
        self, variant: str, checkpointing: bool, settings: dict[str, Any]
    ) -> None:
        pipeline = loaded(variant)
        data = batch(pipeline)
        predictor = trained(pipeline, config(**settings))
        if checkpointing:
            pipeline.transformer.enable_gradient_checkpointing()
            pipeline.transformer.train()
        with predictor.given(data["context"], data["text"]):
            predictor(data["noisy"], data["timestep"], data["text"]).square().mean().backward()
        without = [name for name, value in predictor.trained().items() if value.grad is None]
        assert without == []
        # A bias of the keys adds the same to every weight of a softmax; what is left is rounding.
        still = [name for name, value in predictor.trained().items() if not value.grad.any()]  # type: ignore[union-attr]
        assert all(name.endswith("to_k.bias") for name in still)
        assert all(value.grad is None for value in pipeline.transformer.parameters())

    def test_checkpointing_changes_no_gradient(self) -> None:
        gradients = []
        for checkpointing in (False, True):
            pipeline = loaded("1.5")
            if checkpointing:
                pipeline.transformer.enable_gradient_checkpointing()
                pipeline.transformer.train()
            data, predictor = batch(pipeline), trained(pipeline, config())
            with predictor.given(data["context"], data["text"]):
                predictor(data["noisy"], data["timestep"], data["text"]).square().mean().backward()
            gradients.append({name: value.grad for name, value in predictor.trained().items()})
        assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])  # type: ignore[arg-type]


class TestGivenFrames:
    def test_each_way_of_encoding_makes_its_number_of_latent_frames(self) -> None:
        import numpy as np

        pipeline = loaded()
        frames = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
        for num_given, each, repeat, together in ((1, 1, 1, 1), (2, 2, 1, 1), (5, 5, 2, 2), (9, 9, 3, 3)):
            given = frames[:num_given]
            found = [len(encode_given(pipeline, given, how)) for how in ("each", "repeat", "together")]  # type: ignore[arg-type]
            assert found == [each, repeat, together]
        alone = torch.cat([pipeline.encode(frames[:1]), pipeline.encode(frames[1:2])])
        assert torch.equal(encode_given(pipeline, frames[:2], "each"), alone)
        filled = np.concatenate([frames[:2], *[frames[1:2]] * 6])
        assert torch.equal(encode_given(pipeline, frames[:2], "repeat"), pipeline.encode(filled)[:1])

    def test_a_slice_of_the_whole_clip_would_show_frames_that_are_to_be_predicted(self) -> None:
        import numpy as np

        pipeline = loaded()
        clip = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
        other = clip.copy()
        other[2:4] = 255 - other[2:4]
        assert not torch.allclose(pipeline.encode(clip)[0], pipeline.encode(other)[0], atol=1e-3)
        for how in ("each", "repeat", "together"):
            a, b = (encode_given(pipeline, frames[:2], how) for frames in (clip, other))  # type: ignore[arg-type]
            assert torch.equal(a, b)

    @pytest.mark.parametrize("num_latents", [1, 2, 3])
    def test_any_number_of_them_is_taken(self, num_latents: int) -> None:
        for variant in TEXT_MODELS:
            pipeline = loaded(variant)
            data = batch(pipeline)
            context = draw((2, num_latents, 4, 8, 8), 0, "context")
            assert predict(trained(pipeline, config()), data | {"context": context}).isfinite().all()


def test_a_configuration_without_any_condition_or_of_an_impossible_length_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="nothing to condition on"):
        FcaConfig(text="off", initial_frames="off")
    with pytest.raises(pydantic.ValidationError, match="num_frames is 12"):
        FcaConfig(num_frames=12)


def test_published_sizes_are_counted_without_memory() -> None:
    """CogVideoX-2B: 30 layers of width 1920, four products of which make the attention, with two norms of 64;
    and the text modules at a quarter of the width."""
    from diffusers import CogVideoXTransformer3DModel

    with torch.device("meta"):
        transformer: Any = CogVideoXTransformer3DModel()
    fca = FcaPredictor(dataclasses.replace(loaded(), transformer=transformer), FcaConfig())
    width, module = 1920, 480
    attention = 4 * (width * width + width) + 4 * 64
    text = (
        16 * 4 * module
        + 2 * (width * module + module)
        + 2 * 4 * (module * module + module)
        + 4 * 2 * module
        + 2 * 4 * module * module
        + 5 * module
        + (module * width + width)
        + 2 * width
    )
    assert fca.num_parameters == 30 * (attention + text)


def test_conditions_are_not_trained() -> None:
    pipeline = loaded()
    data = batch(pipeline)
    conditions = FcaPredictor(pipeline, config()).conditions(data["context"], data["text"])
    assert conditions.initial_GND is not None
    assert not any(value.requires_grad for value in conditions.initial_GND)
    assert [tuple(value.shape) for value in conditions.initial_GND] == [(2, 32, 32)] * 2
    assert dataclasses.is_dataclass(conditions)

"""What learns in the released code: found by running its block structure under reentrant checkpointing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load
from torch.utils.checkpoint import checkpoint

from reelbench.core.errors import RunFileError, WeightsError
from reelbench.core.hashing import digest
from reelbench.methods.adapters.adapters import PRESETS, Adapters
from reelbench.methods.adapters.simda_edit import SimDAEdit, learned_parameters
from reelbench.methods.noise import draw
from reelbench.methods.one_shot.config import InflationConfig, learned_in_released_code
from reelbench.methods.one_shot.inflated_unet import Inflation
from reelbench.methods.one_shot.tune_a_video import TuneAVideo
from reelbench.tests.methods.tiny_edits import SOURCE, edit_session, reference

Call = Callable[..., Any]
METHODS = [TuneAVideo, SimDAEdit]


def plain(module: Call, *inputs: Any) -> Any:
    return module(*inputs)


def reentrant(module: Call, *inputs: Any) -> Any:
    return checkpoint(module, *inputs, use_reentrant=True)


def released_pass(unet: Any, latents: Any, text: Any, call: Call, has_pre_hooks: bool = True) -> Any:
    """A pass through a UNet of Stable Diffusion in the order of the released code.

    Args:
        call: runs the ResNet blocks and transformers of the down and up blocks.
        has_pre_hooks: whether what stands before a transformer runs there: SimDA's temporal adapters, which
            its checkpointed branch leaves out.
    """

    def transformer(module: Any) -> Call:
        run = module if has_pre_hooks else module.forward
        return lambda x, text: run(x, encoder_hidden_states=text, return_dict=False)[0]

    def layers(block: Any) -> Any:
        attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
        return zip(block.resnets, attentions, strict=True)

    time = unet.time_embedding(unet.time_proj(torch.full((len(latents),), 500)))
    x = unet.conv_in(latents)
    states = [x]
    for block in unet.down_blocks:
        for resnet, attention in layers(block):
            x = call(resnet, x, time)
            x = x if attention is None else call(transformer(attention), x, text)
            states.append(x)
        for downsampler in block.downsamplers or []:
            x = downsampler(x)
            states.append(x)
    first, *others = unet.mid_block.resnets
    x = first(x, time)
    for resnet, attention in zip(others, unet.mid_block.attentions, strict=True):
        x = resnet(attention(x, encoder_hidden_states=text, return_dict=False)[0], time)
    for block in unet.up_blocks:
        for resnet, attention in layers(block):
            x = call(resnet, torch.cat([x, states.pop()], dim=1), time)
            x = x if attention is None else call(transformer(attention), x, text)
        for upsampler in block.upsamplers or []:
            x = upsampler(x)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def inputs(ready: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        text = ready.pipeline.encode_prompt(SOURCE).embedding_LD[None].expand(3, -1, -1)
    return draw((3, 4, 8, 8), 0, "frames"), text


def with_a_gradient(ready: Any, call: Call, has_pre_hooks: bool) -> dict[str, int]:
    """What gets a gradient in that pass, of all that the method may train: sizes by name."""
    model = ready.video_model(7)
    for parameter in model.trained.values():
        parameter.requires_grad_(True)
    with model.attached([SOURCE]):
        released_pass(ready.pipeline.unet, *inputs(ready), call, has_pre_hooks).square().mean().backward()
    return {name: value.numel() for name, value in model.trained.items() if value.grad is not None}


@pytest.mark.parametrize("method", METHODS)
def test_the_pass_is_that_of_the_unet(method: Any, pipeline_folder: str) -> None:
    """So the only thing that checkpointing changes below is who gets a gradient."""
    ready = edit_session(method, pipeline_folder)
    unet, (latents, text) = ready.pipeline.unet, inputs(ready)
    with torch.no_grad(), ready.video_model(7).attached([SOURCE]):
        expected = unet(latents, 500, encoder_hidden_states=text).sample
        torch.testing.assert_close(released_pass(unet, latents, text, plain), expected)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("method", METHODS)
def test_what_changes_is_what_gets_a_gradient_in_the_released_code(method: Any, pipeline_folder: str) -> None:
    trains_all = edit_session(method, pipeline_folder, trains="all")
    everything = with_a_gradient(trains_all, plain, has_pre_hooks=True)
    assert everything.keys() == trains_all.video_model(7).trained.keys()
    expected = with_a_gradient(trains_all, reentrant, has_pre_hooks=method is TuneAVideo)
    assert 0 < len(expected) < len(everything)
    for checkpointing in (False, True):
        tuning = {"steps": 3, "gradient_checkpointing": checkpointing}
        ready = edit_session(method, pipeline_folder, trains="released", tuning=tuning)
        before, after = ready.video_model(7).stored(), load(ready.tune(reference(), SOURCE, 7))
        changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
        assert changed == expected.keys()
        assert ready.describe()["trainable_parameters"] == sum(expected.values())


@pytest.mark.parametrize("method", METHODS)
def test_the_preset_released_trains_what_the_released_code_does(method: Any) -> None:
    assert method.Config().trains == method.Config(preset="released").trains == "released"
    assert method.Config(preset="paper").trains == method.Config(preset="sprites").trains == "all"
    assert method.Config(preset="released", trains="all").trains == "all"


def test_numbers_that_learn_at_the_size_of_stable_diffusion_1() -> None:
    """42 of 112 tensors and 138 of 224 have no gradient in the released code, which was run to count them."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    inflated = Inflation(unet, InflationConfig(), device="meta").trained
    learned = learned_in_released_code(inflated)
    assert (len(inflated), len(inflated) - len(learned)) == (112, 42)
    assert sum(p.numel() for p in learned.values()) == 74_354_880 - 25_809_280
    adapters = Adapters(unet, PRESETS["released"])
    few = learned_parameters(adapters, "released")
    assert (len(dict(adapters.named_parameters())), len(few)) == (224, 224 - 138)
    # Spatial adapters of the middle and up blocks, and the middle block's temporal one.
    assert sum(p.numel() for p in few.values()) == 8_109_600 + 1_642_880


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["released", "paper", "sprites"])
@pytest.mark.parametrize("trains", ["all", "released"])
def test_data_of_a_configuration_give_it_back(method: Any, preset: str, trains: str) -> None:
    """Workers build a method from such data, which leave `trains` out where it was always so."""
    config = method.Config(preset=preset, trains=trains)
    data = config.model_dump(mode="json")
    assert method.Config.model_validate(data) == config
    assert ("trains" in data) == (preset == "released" or trains == "released")
    assert ("trains" in config.tuning_settings()) == (trains == "released")


@pytest.mark.parametrize(
    ("method", "settings", "before"),
    [
        (TuneAVideo, {}, "f82cc55dcba842e2c2ea0f00dd6741c739af80ce7b6d1870f2a93f96cd919efd"),
        (
            SimDAEdit,
            {"temporal_bias": "zero"},
            "d7fddd52b5def115b31a8a27f76faa774fca04230fe4dcf841349645ebd0340e",
        ),
    ],
)
def test_tunings_of_before_there_was_a_choice_are_found_again(
    method: Any, settings: dict[str, Any], before: str
) -> None:
    """Constants of the code of then, whose preset "released" trained everything."""
    assert digest(method.Config(trains="all", **settings).tuning_settings()) == before
    assert digest(method.Config().tuning_settings()) != before


def test_a_list_of_modules_that_the_released_code_does_not_have_is_refused(pipeline_folder: str) -> None:
    """The convolution before the down blocks would let these learn, too."""
    inflation = {"trains": ["conv_in", "attn_temp"]}
    with pytest.raises(RunFileError, match="conv_in"):
        edit_session(TuneAVideo, pipeline_folder, trains="released", inflation=inflation)
    edit_session(TuneAVideo, pipeline_folder, trains="all", inflation=inflation)


def test_a_unet_whose_middle_block_has_no_attention_is_refused(pipeline_folder: str) -> None:
    inflation = {"trains": ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"]}
    with pytest.raises(WeightsError, match="middle block"):
        edit_session(TuneAVideo, pipeline_folder, trains="released", inflation=inflation)

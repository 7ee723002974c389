"""Inflation: the image model frame by frame where nothing looks at other frames, elsewhere a clip model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from reelbench.core.errors import RunFileError, WeightsError
from reelbench.methods.one_shot.config import InflationConfig
from reelbench.methods.one_shot.inflated_unet import Inflation, transformer_blocks
from reelbench.methods.stable_diffusion.pipeline import load_pipeline

FRAMES = 3
ALONE = InflationConfig(keys="own", group_norm="frame", temporal_bias="zero")
"""Nothing looks at other frames, and temporal attention is zero."""


@pytest.fixture
def unet(pipeline_folder: str) -> Any:
    return load_pipeline(pipeline_folder, device="cpu").unet


def inputs(frames: int = FRAMES, seed: int = 0) -> tuple[torch.Tensor, int, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(frames, 4, 8, 8, generator=generator)
    text = torch.randn(1, 16, 24, generator=generator)
    return latents, 321, text.expand(frames, -1, -1)


@torch.no_grad()
def predicted(unet: Any, latents: torch.Tensor, timestep: int, text: torch.Tensor) -> torch.Tensor:
    return unet(latents, timestep, encoder_hidden_states=text).sample


@torch.no_grad()
def inflated(unet: Any, inflation: Inflation, latents: torch.Tensor, *rest: Any) -> torch.Tensor:
    with inflation.attached(unet, FRAMES):
        return predicted(unet, latents, *rest)


def with_temporal_weights(inflation: Inflation) -> Inflation:
    for name, parameter in inflation.trained.items():
        if name.endswith("to_out.weight"):
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) / 4
    return inflation


@pytest.mark.parametrize("temporal", [True, False])
def test_where_nothing_looks_at_other_frames_it_is_the_image_model_bit_for_bit(
    unet: Any, temporal: bool
) -> None:
    trains = ("attn1.to_q", "attn2.to_q")
    config = ALONE.model_copy(update={"temporal_attention": temporal, "trains": trains})
    assert torch.equal(inflated(unet, Inflation(unet, config), *inputs()), predicted(unet, *inputs()))


def test_where_nothing_looks_at_other_frames_it_is_the_image_model_frame_by_frame(unet: Any) -> None:
    latents, timestep, text = inputs()
    made = inflated(unet, Inflation(unet, ALONE), latents, timestep, text)
    for frame in range(FRAMES):
        alone = predicted(unet, latents[frame : frame + 1], timestep, text[:1])
        torch.testing.assert_close(made[frame : frame + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("change", [{"keys": "first-and-previous"}, {"group_norm": "clip"}], ids=str)
def test_each_part_of_inflation_makes_a_moving_clip_something_else(unet: Any, change: dict[str, str]) -> None:
    made = inflated(unet, Inflation(unet, ALONE.model_copy(update=change)), *inputs())
    assert (made - predicted(unet, *inputs())).abs().max() > 1e-2


def test_temporal_attention_does_too_once_it_is_trained(unet: Any) -> None:
    made = inflated(unet, with_temporal_weights(Inflation(unet, ALONE)), *inputs())
    assert (made - predicted(unet, *inputs())).abs().max() > 1e-2


def test_a_clip_that_stands_still_is_what_the_image_model_makes_of_it(unet: Any) -> None:
    """With sparse-causal attention and group norms over the clip; temporal attention is still zero."""
    latents, timestep, text = inputs()
    still = latents[:1].expand(FRAMES, -1, -1, -1)
    made = inflated(unet, Inflation(unet, InflationConfig(temporal_bias="zero")), still, timestep, text)
    torch.testing.assert_close(made, predicted(unet, still, timestep, text), atol=1e-5, rtol=1e-4)


def test_the_released_random_bias_is_no_identity_at_the_start(unet: Any) -> None:
    random = inflated(unet, Inflation(unet, InflationConfig()), *inputs())
    zero = inflated(unet, Inflation(unet, InflationConfig(temporal_bias="zero")), *inputs())
    assert (random - zero).abs().max() > 1e-3


def test_group_norms_over_a_clip_are_those_of_the_stacked_frames(unet: Any) -> None:
    """As in the released code: statistics of the 5-D tensor [b,c,f,h,w]."""
    norm = unet.conv_norm_out
    x = torch.randn(FRAMES * 2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    config = InflationConfig(keys="own", temporal_attention=False, trains=("attn1.to_q",))
    with torch.no_grad(), Inflation(unet, config).attached(unet, FRAMES):
        made = norm(x)
    x_BCTHW = x.unflatten(0, (2, FRAMES)).transpose(1, 2)
    with torch.no_grad():
        expected = norm(x_BCTHW).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=1e-5)


def test_clips_of_a_batch_do_not_see_each_other(unet: Any) -> None:
    inflation = with_temporal_weights(Inflation(unet, InflationConfig()))
    latents, timestep, text = inputs(2 * FRAMES)
    both = inflated(unet, inflation, latents, timestep, text)
    second = inflated(unet, inflation, latents[FRAMES:], timestep, text[FRAMES:])
    torch.testing.assert_close(both[FRAMES:], second, atol=1e-5, rtol=1e-4)


def test_afterwards_the_unet_is_what_it_was_also_after_an_error(unet: Any) -> None:
    before = predicted(unet, *inputs())
    weights = dict(unet.named_parameters())
    inflation = with_temporal_weights(Inflation(unet, InflationConfig()))
    for parameter in inflation.trained.values():
        parameter.data += 0.1
    with pytest.raises(KeyboardInterrupt), inflation.attached(unet, FRAMES):  # noqa: PT012
        assert not torch.equal(predicted(unet, *inputs()), before)
        raise KeyboardInterrupt
    assert torch.equal(predicted(unet, *inputs()), before)
    assert all(weights[name] is parameter for name, parameter in unet.named_parameters())


def test_the_published_number_of_trained_parameters_on_stable_diffusion_1() -> None:
    """24,780,800 of the queries and 49,574,080 of temporal attention."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    assert sum(parameter.numel() for parameter in unet.parameters()) == 859_520_964
    assert len(transformer_blocks(unet)) == 16

    def count(*trains: str) -> int:
        return Inflation(unet, InflationConfig(trains=trains), device="meta").num_parameters

    assert count("attn1.to_q", "attn2.to_q") == 24_780_800
    assert count("attn_temp") == 49_574_080
    assert Inflation(unet, InflationConfig(), device="meta").num_parameters == 74_354_880


def test_stable_diffusion_2_has_linear_projections_and_other_heads() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )
    inflation = Inflation(unet, InflationConfig(), device="meta")
    assert [layer.attn_temp.heads for layer in inflation.temporal.values()][:3] == [5, 5, 10]


def test_it_runs_on_the_layout_of_stable_diffusion_2() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=24,
            attention_head_dim=(2, 4),
            norm_num_groups=8,
            use_linear_projection=True,
            upcast_attention=True,
        ).requires_grad_(False)
    assert torch.equal(inflated(unet, Inflation(unet, ALONE), *inputs()), predicted(unet, *inputs()))


def test_what_trains_is_chosen_by_the_ends_of_module_names(unet: Any) -> None:
    names = set(Inflation(unet, InflationConfig()).trained)
    block = "mid_block.attentions.0.transformer_blocks.0"
    assert f"{block}.attn1.to_q.weight" in names
    assert f"{block}.attn2.to_q.weight" in names
    assert f"{block}.attn_temp.to_out.bias" in names
    assert not any("to_k" in name and "attn_temp" not in name for name in names)
    assert not any("norm_temp" in name for name in names)
    with_norm = InflationConfig(trains=("norm_temp",))
    assert {name.rsplit(".", 1)[1] for name in Inflation(unet, with_norm).trained} == {"weight", "bias"}
    with pytest.raises(RunFileError, match="'attn3'"):
        Inflation(unet, InflationConfig(trains=("attn1.to_q", "attn3")))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_everything_that_trains_gets_a_gradient(unet: Any, checkpointing: bool) -> None:
    """Also with gradient checkpointing, which runs the blocks, and the hooks on them, a second time."""
    inflation = with_temporal_weights(Inflation(unet, InflationConfig()))
    for parameter in inflation.trained.values():
        parameter.requires_grad_(True)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    latents, timestep, text = inputs()
    with inflation.attached(unet, FRAMES):
        unet(latents, timestep, encoder_hidden_states=text).sample.square().mean().backward()
    for name, parameter in inflation.trained.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert all(parameter.grad is None for parameter in unet.parameters())


def test_a_file_of_another_unet_is_refused_by_name_and_shape(unet: Any) -> None:
    inflation = Inflation(unet, InflationConfig())
    tensors = {name: parameter.detach().clone() for name, parameter in inflation.trained.items()}
    inflation.load(tensors, "the file")
    first = next(iter(tensors))
    with pytest.raises(WeightsError, match=f"the file does not fit this UNet: it lacks {first}"):
        inflation.load({name: tensor for name, tensor in tensors.items() if name != first}, "the file")
    with pytest.raises(WeightsError, match=r"has the unknown down\.weight"):
        inflation.load(tensors | {"down.weight": torch.zeros(1)}, "the file")
    with pytest.raises(WeightsError, match=r"is \[2, 2\], not \[16, 16\]"):
        inflation.load(tensors | {first: torch.zeros(2, 2)}, "the file")


def test_a_unet_without_transformer_blocks_is_refused() -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        mid_block_type=None,
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    with pytest.raises(WeightsError, match="no transformer block"):
        Inflation(unet, InflationConfig())


def test_the_embedded_model_and_one_that_predicts_the_velocity_are_inflated(
    make_pipeline: Callable[..., Path],
) -> None:
    for location in ("sprites/t2i", str(make_pipeline("v_prediction"))):
        unet = load_pipeline(location, device="cpu").unet
        latents = torch.randn(FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        text = torch.zeros(FRAMES, 4, unet.config.cross_attention_dim)
        made = inflated(unet, Inflation(unet, ALONE), latents, 5, text)
        assert torch.equal(made, predicted(unet, latents, 5, text))

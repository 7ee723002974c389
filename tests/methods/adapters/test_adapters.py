"""SimDA's adapters: where they sit, that they start as nothing, that they learn, how they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from reelbench.core.errors import WeightsError
from reelbench.methods.adapters.adapters import (
    PRESETS,
    AdapterConfig,
    Adapters,
    BottleneckAdapter,
    TemporalAdapter,
    adapters_from_bytes,
    adapters_to_bytes,
    load_adapters,
    save_adapters,
)

T = 5
WORDS = ("left", "right", "moves left")
ALL_PARTS = AdapterConfig(layout_words=WORDS)
ADAPTERS_ONLY = AdapterConfig(latent_shift="off")


def tiny_unet(**changes: Any) -> Any:
    """Two levels, and blocks with and without attention, as Stable Diffusion has."""
    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 24,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet2DConditionModel(**(settings | changes)).requires_grad_(False)


@pytest.fixture(scope="module")
def unet() -> Any:
    return tiny_unet()


@pytest.fixture(autouse=True)
def nothing_is_left_behind(unet: Any) -> Iterator[None]:
    before = {name: type(p) for name, p in unet.attn_processors.items()}
    yield
    assert {name: type(p) for name, p in unet.attn_processors.items()} == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in unet.modules())


def inputs(num_images: int = T) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(num_images, 4, 8, 8, generator=generator)
    return latents, torch.randn(num_images, 6, 24, generator=generator)


def prompts(num_clips: int = 1) -> list[str]:
    return ["a square moves left", "it is on the right"][:num_clips]


def predict(unet: Any, latents: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    return unet(latents, 500, encoder_hidden_states=text).sample


def shaken(adapters: Adapters) -> Adapters:
    """Adapters that do something: as if they had been trained."""
    generator = torch.Generator().manual_seed(2)
    for parameter in adapters.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    if adapters.layout is not None:
        for buffer in adapters.layout.buffers():
            buffer.copy_(torch.randn(buffer.shape, generator=generator))
    return adapters


def test_initial_biases_of_the_temporal_adapters_are_zero_or_torchs_default() -> None:
    """The released code leaves them as torch's convolutions have them; W2 and Up stay at zero."""
    unet = tiny_unet()
    zero, released = (
        Adapters(unet, AdapterConfig(temporal_bias=bias), seed=3)
        for bias in ("zero", "random")  # type: ignore[arg-type]
    )
    assert PRESETS["released"].temporal_bias == "random"
    for name, adapter in zero.temporal.items():
        other: Any = released.temporal[name]
        width, inner = other.up.out_channels, other.down.out_channels
        convolutions = (
            (other.down.bias, nn.Conv3d(width, inner, 1)),
            (other.depthwise_bias, nn.Conv3d(inner, inner, (3, 1, 1), groups=inner)),
        )
        for bias, theirs in convolutions:
            fan_in, _ = nn.init._calculate_fan_in_and_fan_out(theirs.weight)
            assert 0.5 < bias.abs().max() * fan_in**0.5 <= 1
        for found, expected in zip(adapter.parameters(), other.parameters(), strict=True):
            if not torch.equal(found, expected):
                assert not found.any()
        assert not other.up.weight.any()
        assert not other.up.bias.any()


@pytest.fixture(scope="module")
def stable_diffusion() -> Any:
    """The real architecture of Stable Diffusion 1.x, without memory."""
    with torch.device("meta"):
        return UNet2DConditionModel(sample_size=64, cross_attention_dim=768)


def test_stable_diffusion_gets_24_86_million_parameters(stable_diffusion: Any) -> None:
    """The base is the real one (859.5 million), and the sum is that of the released modules to the digit."""
    assert sum(p.numel() for p in stable_diffusion.parameters()) == 859_520_964
    adapters = Adapters(stable_diffusion, AdapterConfig())
    assert sum(p.numel() for p in adapters.spatial.parameters()) == 12_421_600
    assert sum(p.numel() for p in adapters.temporal.parameters()) == 12_434_080
    assert adapters.num_parameters == 24_855_680
    assert Adapters(stable_diffusion, PRESETS["released"]).num_parameters == 24_855_680


def test_there_are_16_sites_in_stable_diffusion(stable_diffusion: Any) -> None:
    adapters = Adapters(stable_diffusion, AdapterConfig())
    assert len(adapters.temporal) == 16
    assert len(adapters.spatial) == 32
    widths: list[Any] = [adapter.down.in_channels for adapter in adapters.temporal.values()]
    assert sorted(widths) == [320] * 5 + [640] * 5 + [1280] * 6


def test_stable_diffusion_2_with_linear_projections_is_taken_as_well() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=96,
            cross_attention_dim=1024,
            attention_head_dim=(5, 10, 20, 20),
            use_linear_projection=True,
        )
    assert Adapters(unet, AdapterConfig()).num_parameters == 24_855_680


def test_untrained_adapters_are_the_image_model_bit_for_bit(unet: Any) -> None:
    latents, text = inputs()
    with torch.inference_mode():
        image_model = torch.cat([predict(unet, latents[i : i + 1], text[i : i + 1]) for i in range(T)])
        batch = predict(unet, latents, text)
        with Adapters(unet, ADAPTERS_ONLY).attached(unet, T, 8, 8):
            assert torch.equal(predict(unet, latents, text), batch)
            # Frame by frame another batch size rounds differently; nothing else differs.
            torch.testing.assert_close(predict(unet, latents, text), image_model, atol=1e-5, rtol=1e-5)


def test_latent_shift_changes_all_but_the_first_frame_of_untrained_adapters(unet: Any) -> None:
    latents, text = inputs()
    with torch.inference_mode():
        image_model = predict(unet, latents, text)
        with Adapters(unet, AdapterConfig()).attached(unet, T, 8, 8):
            made = predict(unet, latents, text)
            still = latents[:1].expand(T, -1, -1, -1)
            same_text = text[:1].expand(T, -1, -1)
            made_still = predict(unet, still, same_text)
        image_still = predict(unet, still, same_text)
    torch.testing.assert_close(made[0], image_model[0], atol=1e-5, rtol=1e-4)
    assert ((made - image_model).abs().amax((1, 2, 3)) > 1e-4).tolist() == [False] + [True] * (T - 1)
    torch.testing.assert_close(made_still, image_still, atol=1e-5, rtol=1e-4)


def test_shared_group_norms_are_group_norms_over_all_frames(unet: Any) -> None:
    norm = unet.conv_norm_out
    x = torch.randn(2 * T, 16, 8, 8, generator=torch.Generator().manual_seed(4)) * torch.arange(
        1, 2 * T + 1
    ).view(-1, 1, 1, 1)
    expected = norm(x.view(2, T, 16, 8, 8).transpose(1, 2))  # on [clips, channels, frames, rows, columns]
    config = AdapterConfig(latent_shift="off", group_norm="clip")
    with Adapters(unet, config).attached(unet, T, 8, 8):
        made = norm(x)
        inner = unet.mid_block.attentions[0].norm
        assert not inner._forward_hooks, "the transformers' own norms stay per frame"
    torch.testing.assert_close(made.view(2, T, 16, 8, 8).transpose(1, 2), expected)
    assert not torch.allclose(made, norm(x))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("config", [ALL_PARTS, PRESETS["released"]], ids=["paper and layout", "released"])
def test_every_adapter_gets_a_gradient(config: AdapterConfig, checkpointing: bool) -> None:
    """The released code loses its temporal adapters under gradient checkpointing."""
    unet = tiny_unet().train()
    adapters = shaken(Adapters(unet, config))
    latents, text = inputs(2 * T)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    with adapters.attached(unet, T, 8, 8, prompts(2)):
        predict(unet, latents, text).square().mean().backward()
    without = [name for name, p in adapters.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert without == []
    assert all(p.grad is None for p in unet.parameters())


def test_gradients_under_checkpointing_are_the_same() -> None:
    gradients = []
    for checkpointing in (False, True):
        unet = tiny_unet().train()
        adapters = shaken(Adapters(unet, ALL_PARTS))
        if checkpointing:
            unet.enable_gradient_checkpointing()
        with adapters.attached(unet, T, 8, 8, prompts()):
            predict(unet, *inputs()).square().mean().backward()
        gradients.append([p.grad for p in adapters.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_from_zero_the_second_layers_get_the_first_gradient(unet: Any) -> None:
    adapters = Adapters(unet, AdapterConfig())
    with adapters.attached(unet, T, 8, 8):
        predict(unet, *inputs()).square().mean().backward()
    learning = {n for n, p in adapters.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learning == {name for name, _ in adapters.named_parameters() if ".up." in name}


def test_the_attention_adapter_has_an_inner_skip_and_the_feed_forward_one_has_none(unet: Any) -> None:
    adapters = shaken(Adapters(unet, ADAPTERS_ONLY))
    block = unet.down_blocks[0].attentions[0].transformer_blocks[0]
    attention = adapters.spatial["down_blocks_0_attentions_0_0_attention"]
    feed_forward = adapters.spatial["down_blocks_0_attentions_0_0_feed_forward"]
    x = torch.randn(T, 64, 16, generator=torch.Generator().manual_seed(5))
    text = inputs()[1]
    with torch.inference_mode():
        u = block.attn1(block.norm1(x))
        after = x + u + attention(u)
        after = after + block.attn2(block.norm2(after), encoder_hidden_states=text)
        expected = block.ff(block.norm3(after)) + after + feed_forward(after)  # of the state before the norm
        with adapters.attached(unet, T, 8, 8):
            torch.testing.assert_close(block(x, encoder_hidden_states=text), expected)


def test_the_temporal_adapter_is_a_depthwise_conv3d_between_the_resnet_and_the_transformer(unet: Any) -> None:
    adapter = shaken(Adapters(unet, ADAPTERS_ONLY)).temporal["mid_block_attentions_0"]
    assert isinstance(adapter, TemporalAdapter)
    x = torch.randn(2 * T, 32, 4, 4, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        video = adapter.down(x).view(2, T, 16, 4, 4).transpose(1, 2)
        video = torch.nn.functional.conv3d(
            video, adapter.depthwise_weight, adapter.depthwise_bias, padding=(1, 0, 0), groups=16
        )
        expected = adapter.up(video.transpose(1, 2).flatten(0, 1))
        torch.testing.assert_close(adapter(x, T), expected)


def test_clips_in_one_batch_do_not_mix(unet: Any) -> None:
    adapters = shaken(Adapters(unet, ALL_PARTS))
    latents, text = inputs(2 * T)
    with torch.inference_mode():
        with adapters.attached(unet, T, 8, 8, prompts(2)):
            both = predict(unet, latents, text)
        for clip, prompt in enumerate(prompts(2)):
            part = slice(clip * T, (clip + 1) * T)
            with adapters.attached(unet, T, 8, 8, [prompt]):
                alone = predict(unet, latents[part], text[part])
            torch.testing.assert_close(both[part], alone, atol=1e-5, rtol=1e-4)


def test_the_unet_is_itself_again_after_an_error(unet: Any) -> None:
    latents, text = inputs()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    plain = predict(unet, latents, text)
    adapters = shaken(Adapters(unet, ALL_PARTS))

    def fail() -> None:
        with adapters.attached(unet, T, 8, 8, prompts()):
            assert not torch.equal(predict(unet, latents, text), plain)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(predict(unet, latents, text), plain)
    assert unet.state_dict().keys() == before.keys()


def test_a_layout_prior_asks_for_the_prompts(unet: Any) -> None:
    context = Adapters(unet, ALL_PARTS).attached(unet, T, 8, 8)
    with pytest.raises(ValueError, match="need the prompts of the batch"):
        context.__enter__()


def test_initial_values_depend_on_the_seed_alone(unet: Any) -> None:
    state = torch.random.get_rng_state()
    torch.manual_seed(11)
    one = Adapters(unet, AdapterConfig(), seed=1).state_dict()
    torch.manual_seed(12)
    again, other = (Adapters(unet, AdapterConfig(), seed=seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    torch.manual_seed(13)
    before = torch.random.get_rng_state()
    Adapters(unet, AdapterConfig())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.random.set_rng_state(state)


def test_a_file_brings_back_numbers_and_configuration(unet: Any, tmp_path: Path) -> None:
    adapters = shaken(Adapters(unet, ALL_PARTS))
    path = save_adapters(tmp_path, adapters)
    assert path.stat().st_size < 2 * adapters.num_parameters + 20_000  # float16, and nothing of the UNet
    for back in (load_adapters(path, unet), load_adapters(tmp_path, unet)):
        assert back.config == ALL_PARTS
        for name, value in back.state_dict().items():
            assert torch.equal(value, adapters.state_dict()[name].half().float())


def test_files_that_do_not_fit_are_refused_with_the_reason(unet: Any, tmp_path: Path) -> None:
    from safetensors.torch import save

    with pytest.raises(WeightsError, match="no adapters at"):
        load_adapters(tmp_path, unet)
    data = adapters_to_bytes(Adapters(unet, AdapterConfig()))
    for broken in (data[: len(data) // 2], b"", b"not safetensors at all", save({"a": torch.zeros(1)})):
        with pytest.raises(WeightsError, match="cannot be read"):
            adapters_from_bytes(broken, unet)
    other = tiny_unet(block_out_channels=(24, 32))
    with pytest.raises(WeightsError, match=r"do not fit this UNet.*down_blocks_0"):
        adapters_from_bytes(data, other)


def test_a_unet_without_transformers_is_refused() -> None:
    unet = tiny_unet(
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2D",
    )
    with pytest.raises(WeightsError, match="no spatial transformer"):
        Adapters(unet, AdapterConfig())


@pytest.mark.parametrize(
    "wrong",
    [
        {"spatial_bottleneck": 0},
        {"layout_words": "left"},
        {"temporal_bottleneck": -1},
        {"latent_shift": "both"},
        {"shift_pattern": ((1, 2), (3,))},
        {"shift_pattern": ()},
        {"group_norm": "batch"},
        {"bottleneck": 1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        AdapterConfig(**wrong)


def test_a_bottleneck_adapter_is_zero_until_it_learns() -> None:
    adapter = BottleneckAdapter(8, 2)
    adapter.initialise(torch.Generator().manual_seed(0))
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    assert not adapter(x).any()
    assert adapter.down.weight.std() > 0.1

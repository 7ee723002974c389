"""Adapters on a latent upscaler whose first attentions are cross-attentions, as in the published one."""

from __future__ import annotations

from typing import Any

import torch

from reelbench.methods.adapters.adapters import AdapterConfig, Adapters
from reelbench.methods.adapters.layers import LatentShiftAttention

T = 3


def unet(channels: tuple[int, ...], layers: int, text: int, groups: int) -> Any:
    """The structure of the x4 upscaler: self-attention on the last level and in the middle alone."""
    from diffusers import UNet2DConditionModel

    levels = len(channels)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=7,
        out_channels=4,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        cross_attention_dim=text,
        attention_head_dim=2,
        norm_num_groups=groups,
        num_class_embeds=100,
        use_linear_projection=True,
        only_cross_attention=(True,) * (levels - 1) + (False,),
    )


def test_untrained_adapters_leave_the_first_frame_and_shift_self_attention_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = unet((16, 32, 32), 1, 24, 8).eval()
        inputs, text = torch.randn(T, 7, 8, 8), torch.randn(1, 16, 24).expand(T, -1, -1)
    labels = torch.full((T,), 20)

    def predict() -> torch.Tensor:
        with torch.no_grad():
            made: torch.Tensor = network(
                inputs, 10, encoder_hidden_states=text, class_labels=labels, return_dict=False
            )[0]
        return made

    alone = predict()
    with Adapters(network, AdapterConfig(latent_shift="off")).attached(network, T, 8, 8):
        assert torch.equal(predict(), alone)
    with Adapters(network, AdapterConfig()).attached(network, T, 8, 8):
        shifted = [k for k, p in network.attn_processors.items() if isinstance(p, LatentShiftAttention)]
        mixed = predict()
    # One in the last level down, one in the middle, two in the first level up.
    assert len(shifted) == 4
    torch.testing.assert_close(mixed[0], alone[0], atol=1e-5, rtol=1e-4)
    assert (mixed[1:] - alone[1:]).abs().max() > 1e-4
    assert torch.equal(predict(), alone)


def test_adapters_fit_an_upscaler_of_the_published_size() -> None:
    """Widths as third parties give them for the x4 upscaler of Stable Diffusion 2."""
    with torch.device("meta"):
        network = unet((256, 512, 512, 1024), 2, 1024, 32)
    adapters = Adapters(network, AdapterConfig())
    assert len(adapters.temporal) == 16
    assert len(adapters.spatial) == 32
    assert 0.005 < adapters.num_parameters / sum(p.numel() for p in network.parameters()) < 0.05

"""Text2Video-Zero's motion: how far latents are shifted, and where t0 and t1 lie."""

from __future__ import annotations

import pydantic
import pytest
import torch

from reelbench.methods.zero_shot.text2video_zero import Text2VideoZero, shift


def ramp(size: int) -> torch.Tensor:
    """A latent whose value at a place is its column, and in a second channel its row."""
    site = torch.arange(size, dtype=torch.float32)
    return torch.stack([site.expand(size, size), site[:, None].expand(size, size)])[None]


def test_shifts_at_64_latents_are_those_of_the_original() -> None:
    copies = shift(ramp(64), 8, 12.0, 12.0)
    columns = [int(copy[0, 0, 0].item()) for copy in copies]
    rows = [int(copy[1, 0, 0].item()) for copy in copies]
    assert [0, *columns] == [0, *rows] == [0, 1, 3, 4, 6, 7, 9, 10]


def test_the_shift_is_a_fraction_of_the_image() -> None:
    columns = [int(copy[0, 0, 0].item()) for copy in shift(ramp(16), 16, 12.0, 12.0)]
    assert columns == [round(frame * 12 * 16 / 512 - 16 / 1024) for frame in range(1, 16)]


def test_axes_are_independent_and_the_direction_is_as_documented() -> None:
    copies = shift(ramp(64), 3, 16.0, 0.0)
    assert copies[0, 0, 10, 10].item() == 12.0  # looks two latents ahead: content moves left
    assert copies[0, 1, 10, 10].item() == 10.0
    back = shift(ramp(64), 3, 0.0, -16.0)
    assert back[0, 0, 10, 10].item() == 10.0
    assert back[1, 1, 10, 10].item() == 6.0


def test_the_border_is_reflected() -> None:
    row = shift(ramp(64), 2, 16.0, 0.0)[0, 0, 0]
    assert row[-4:].tolist() == [62.0, 63.0, 63.0, 62.0]


@pytest.mark.parametrize("size", [16, 64, 96])
def test_it_equals_the_warp_by_a_flow_field_of_512_pixels(size: int) -> None:
    """The construction of the original, followed step by step with torch operations."""
    latent = torch.randn(1, 4, size, size, generator=torch.Generator().manual_seed(0))
    for frame, ours in enumerate(shift(latent, 8, 12.0, -7.0), start=1):
        pixel = torch.arange(512.0)
        where = torch.stack(
            [
                ((pixel + 12.0 * frame) / 512).expand(512, 512),
                ((pixel - 7.0 * frame) / 512)[:, None].expand(512, 512),
            ]
        )
        grid = torch.nn.functional.interpolate((2 * where - 1)[None], size=(size, size), mode="bilinear")
        expected = torch.nn.functional.grid_sample(
            latent, grid.permute(0, 2, 3, 1), mode="nearest", padding_mode="reflection", align_corners=False
        )
        assert torch.equal(ours, expected[0])


@pytest.mark.parametrize(
    ("num_steps", "states"), [(50, (44, 47)), (100, (88, 94)), (20, (18, 19)), (10, (8, 9)), (2, (0, 1))]
)
def test_t0_and_t1_scale_with_the_number_of_steps(num_steps: int, states: tuple[int, int]) -> None:
    assert Text2VideoZero.Config(num_steps=num_steps).states() == states


@pytest.mark.parametrize(("num_steps", "numbers"), [(20, (1, 2)), (25, (1, 3)), (12, (1, 2)), (2, (1, 2))])
def test_few_steps_are_told_with_the_steps_that_t0_and_t1_become(
    num_steps: int, numbers: tuple[int, int]
) -> None:
    """Counted from the noise: the authors' 50 have two steps before t1, these none."""
    (note,) = Text2VideoZero(Text2VideoZero.Config(num_steps=num_steps)).notes()
    assert f"of {num_steps} steps, t1 is number {numbers[0]} and t0 number {numbers[1]}" in note
    assert ("kept apart" in note) == (num_steps <= 12)
    assert "50 steps they are number 3 and 6" in note


def test_many_steps_and_chosen_states_need_no_note() -> None:
    for settings in ({"num_steps": 26}, {"num_steps": 50}, {"num_steps": 20, "t0": 3, "t1": 19}):
        assert Text2VideoZero(Text2VideoZero.Config(**settings)).notes() == ()


@pytest.mark.parametrize("num_steps", range(2, 120))
def test_t0_and_t1_are_in_order_for_every_number_of_steps(num_steps: int) -> None:
    t0, t1 = Text2VideoZero.Config(num_steps=num_steps).states()
    assert 0 <= t0 < t1 < num_steps


@pytest.mark.parametrize("wrong", [{"t0": 47, "t1": 44}, {"t1": 50}, {"t0": -1}, {"num_steps": 1}])
def test_states_out_of_order_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Text2VideoZero.Config(**wrong)  # type: ignore[arg-type]

"""What each protocol does to frames, held by its recipe written down once more, on sizes that people have.

The recipes say what the released code does, step by step and in its order of arithmetic; see
`docs/protocols/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from reelbench.datasets.video import seer_squares
from reelbench.metrics.extractors.backbone import resize_frames
from reelbench.metrics.protocol import load_protocol, protocol_names

SIZES = ((240, 320), (336, 596), (256, 341), (427, 240), (101, 99), (50, 50), (128, 128))
"""Height and width. Squares of 50 pixels are those that "rounded up" makes 225 pixels of."""


def _frames(height: int, width: int) -> np.ndarray:
    """Three frames with flat parts, edges, a gradient and noise, uint8 [3, height, width, 3]."""
    rng = np.random.default_rng(height * width)
    y, x = np.mgrid[0:height, 0:width]
    frames = np.empty((3, height, width, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[:] = (x + 2 * y + 3 * t)[..., None] % 256
        frame[: height // 3] = rng.integers(0, 256, 3)
        frame[height // 2 :, : width // 2] = rng.integers(0, 256, (height - height // 2, width // 2, 3))
    return frames


def _tensor(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().float()


def _crop(x: Tensor, side: int) -> Tensor:
    top, left = (x.shape[2] - side) // 2, (x.shape[3] - side) // 2
    return x[:, :, top : top + side, left : left + side]


def _fit(x: Tensor, side: int, *, antialias: bool = False) -> Tensor:
    """The short side becomes `side`, the long one is rounded up, the middle stays."""
    height, width = x.shape[2:]
    scale = side / min(height, width)
    size = (side, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), side)
    return _crop(interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=antialias), side)


def _squash(x: Tensor, *, antialias: bool = False) -> Tensor:
    return interpolate(x, size=(224, 224), mode="bilinear", align_corners=False, antialias=antialias)


def _cd_fvd(frames: np.ndarray) -> Tensor:
    return _squash((_fit(_tensor(frames) / 255, 256, antialias=True) * 255).byte().float())


def _loader_128(frames: np.ndarray) -> Tensor:
    """The loader of TATS and VideoGPT, and the bytes that their scripts make of what it gives."""
    centred = _fit(_tensor(frames) / 255, 128) - 0.5
    return ((centred + 0.5) * 255).byte().float()


def _lvdm_loader(frames: np.ndarray) -> Tensor:
    centred = tv.normalize(_tensor(frames) / 255, [0.5] * 3, [0.5] * 3)
    small = tv.center_crop(tv.resize(centred, [256], antialias=False), [256])
    return ((small + 1) * 255 / 2).int().float()


def _pictures(frames: np.ndarray) -> np.ndarray:
    """Seer's 256: the short side by Pillow, the middle as torchvision crops pictures."""
    cropped = []
    for frame in frames:
        picture = Image.fromarray(frame)
        short = min(picture.size)
        size = tuple(256 if side == short else int(256 * side / short) for side in picture.size)
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        left, top = (round((side - 256) / 2) for side in size)
        cropped.append(np.asarray(picture.crop((left, top, left + 256, top + 256))))
    return np.stack(cropped)


def _seer_real(frames: np.ndarray) -> Tensor:
    values = _pictures(frames).astype(np.float32) / np.float32(255)
    signed = values * np.float32(2) - np.float32(1)
    again = (signed + np.float32(1)) / np.float32(2)
    return _fit(_tensor((again * np.float32(255)).astype(np.uint8)), 224)


def _vbench(frames: np.ndarray) -> Tensor:
    small = tv.resize(_tensor(frames), [224], interpolation=InterpolationMode.BICUBIC, antialias=False)
    return tv.center_crop(small, [224])


def _tensorflow_1(frames: np.ndarray) -> Tensor:
    """Output pixel i lies at source i * in / out, in float32; the last source pixel is repeated."""
    x = frames.astype(np.float64)
    for axis in (1, 2):
        length = x.shape[axis]
        at = np.arange(224, dtype=np.float32) * np.float32(length / 224)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, length - 1)
        weight = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, low, axis) * (1 - weight) + np.take(x, high, axis) * weight
    return torch.from_numpy(x).permute(0, 3, 1, 2).float()


def _pillow_crop(frames: np.ndarray) -> Tensor:
    """CLIP's own transform of pictures."""
    small = [tv.resize(Image.fromarray(f), [224], interpolation=InterpolationMode.BICUBIC) for f in frames]
    return _tensor(np.stack([np.asarray(tv.center_crop(picture, [224])) for picture in small]))


def _loveu(frames: np.ndarray) -> Tensor:
    return _pillow_crop(np.stack([np.asarray(Image.fromarray(f).resize((480, 480))) for f in frames]))


Recipe = Callable[[np.ndarray], Tensor]

I3D: dict[str, tuple[Recipe, Recipe]] = {
    "cd-fvd": (_cd_fvd, _cd_fvd),
    "common-metrics": (lambda f: _fit(_tensor(f), 224), lambda f: _fit(_tensor(f), 224)),
    "lvdm": (lambda f: _squash(_tensor(f)), lambda f: _squash(_lvdm_loader(f))),
    "seer": (lambda f: _fit(_tensor(_pictures(f)), 224), _seer_real),
    "stylegan-v": (lambda f: _squash(_tensor(f)), lambda f: _squash(_tensor(f))),
    "tats": (lambda f: _squash(_tensor(f)), lambda f: _squash(_loader_128(f))),
    "tf-reference": (_tensorflow_1, _tensorflow_1),
    "videogpt": (lambda f: _fit(_tensor(f), 224), lambda f: _fit(_loader_128(f), 224)),
} | {
    name: (lambda f: _squash(_tensor(f), antialias=True),) * 2
    for name in ("clean", "loveu", "predicted", "simda", "vbench")
}
"""Of generated clips, and of reference clips."""


def test_every_protocol_has_its_recipe() -> None:
    assert set(I3D) == set(protocol_names())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
@pytest.mark.parametrize("name", I3D)
def test_frames_for_i3d(name: str, size: tuple[int, int]) -> None:
    frames, protocol = _frames(*size), load_protocol(name)
    of_generated, of_references = I3D[name]
    ours = resize_frames(frames, protocol.i3d.resize, 224)
    assert (ours - of_generated(frames)).abs().max() < 1e-3
    side = protocol.sampling.blend_side
    read = frames if side is None else seer_squares(frames, len(frames), side)
    ours = resize_frames(read, protocol.of_references().i3d.resize, 224)
    assert (ours - of_references(frames)).abs().max() < 1e-3


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
def test_frames_for_videomae_in_cd_fvd(size: tuple[int, int]) -> None:
    frames = _frames(*size)
    ours = resize_frames(frames, load_protocol("cd-fvd").videomae.resize, 224)
    torch.testing.assert_close(ours, _cd_fvd(frames), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
@pytest.mark.parametrize(
    ("name", "recipe", "most", "share"),
    [("vbench", _vbench, 0.0, 0.0), ("loveu", _loveu, 2.0, 0.3), ("clean", _pillow_crop, 2.0, 0.05)],
)
def test_frames_for_clip(name: str, recipe: Recipe, most: float, share: float, size: tuple[int, int]) -> None:
    """Of `clean` and `loveu`: Pillow's ties go up, those of torch to even, which tells where a scale of 2
    meets a gradient."""
    frames = _frames(*size)
    apart = (resize_frames(frames, load_protocol(name).clip.resize, 224) - recipe(frames)).abs()
    assert apart.max() <= most
    assert (apart > 0).float().mean() <= share


def test_values_of_vbench_leave_0_to_255() -> None:
    frames = np.zeros((1, 300, 400, 3), np.uint8)
    frames[:, :, 200:] = 255
    values = resize_frames(frames, load_protocol("vbench").clip.resize, 224)
    assert values.min() < -1
    assert values.max() > 256
    assert not torch.equal(values, values.round())


def test_one_is_taken_from_63_levels() -> None:
    """Where a clip has the model's resolution already, only the detour through -1 to 1 is left."""
    levels = np.arange(256, dtype=np.uint8).repeat(128 * 128 * 3 // 256).reshape(1, 128, 128, 3)
    for name, side in (("tats", 128), ("videogpt", 128), ("lvdm", 256), ("seer", 256)):
        frames = np.ascontiguousarray(np.tile(levels, (1, side // 128, side // 128, 1)))
        steps: Any = [s for s in load_protocol(name).of_references().i3d.resize if "signed" in s.quantise]
        if name == "seer":
            kept = torch.from_numpy(seer_squares(frames, 1, side)).permute(0, 3, 1, 2)
        else:
            kept = resize_frames(frames, steps, 224)
        lost = frames - kept.permute(0, 2, 3, 1).numpy()
        assert set(np.unique(lost)) == {0, 1}
        assert len(np.unique(frames[lost == 1])) == 63


@pytest.mark.parametrize("num_frames", [2, 5, 7, 12])
def test_seer_resizes_before_it_blends(num_frames: int) -> None:
    """Squares of 256 by Pillow, blended by torch as floats of -1 to 1, cut off to bytes; grey at the end."""
    frames = np.concatenate([_frames(240, 427)] * 4)[:num_frames]
    frames = frames[:, :, :: -1 if num_frames % 2 else 1]
    signed = _tensor(_pictures(frames)) / 255 * 2 - 1
    if num_frames > 5:
        whole = (5, 256, 256)
        signed = interpolate(signed.permute(1, 0, 2, 3)[None], size=whole, mode="trilinear")[0].permute(
            1, 0, 2, 3
        )
    expected = ((signed + 1) / 2 * 255).byte().permute(0, 2, 3, 1).numpy()
    ours = seer_squares(np.ascontiguousarray(frames), 5, 256)
    apart = np.abs(ours[: len(expected)].astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < (0.005 if num_frames > 5 else 1e-9)
    assert (ours[num_frames:] == 127).all()


def test_a_square_of_50_is_cut_at_its_lower_edge() -> None:
    frames = _frames(50, 50)
    step = load_protocol("videogpt").i3d.resize[0]
    longer = interpolate(_tensor(frames), size=(225, 224), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize_frames(frames, (step,), 224), longer[:, :, :224], atol=1e-3, rtol=0)

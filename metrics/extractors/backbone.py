"""What stands around every backbone: its weights in, frames in as the protocol says, and true float32.

Frames are resized in float32 on values 0 to 255, clamped after each step unless it says otherwise, since
bicubic filters overshoot.
torch's antialiased filters are those of PIL (bicubic with a = -0.5), its plain ones those of OpenCV; the
"corner" phase is TensorFlow 1's. With `quantise: round` the antialiased filters round between their two
passes too (columns, then rows), as PIL and other 8-bit resizes do; hard edges would differ by many levels
otherwise.

torch is imported when something is computed, so that an extractor can be planned without it.

Shape suffixes: T frames, H height, W width, C channels (RGB).
"""

from __future__ import annotations

import contextlib
import math
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import MetricError, WeightsError
from ...core.tensor_files import is_safetensors, refuse_damaged
from ...core.types import Frames
from ..settings import ResizeStep

if TYPE_CHECKING:
    from torch import Tensor


def square_side(who: str, size: int | Sequence[int]) -> int:
    """The side of a model's square input.

    Raises:
        WeightsError: it is not square.
    """
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if height != width:
        raise WeightsError(f"{who} takes {height}x{width} frames; only square inputs are supported")
    return height


def read_tensors(path: Path, *, nested: Sequence[str] = (), device: str = "cpu") -> dict[str, Tensor]:
    """Name to tensor of a safetensors file or a state dict written by `torch.save`.

    Nothing but tensors is read: files of `torch.save` go through weights-only loading.

    Args:
        nested: keys, the first of which that is there holds the state dict.
        device: "cpu"; or "meta", for names and shapes without reading a value.

    Raises:
        WeightsError: the file cannot be read so, or holds anything but names and tensors.
    """
    import torch

    expected = "safetensors, or a file of torch.save that holds nothing but tensors"
    refuse_damaged(path, expected)
    try:
        if is_safetensors(path):
            from safetensors import safe_open
            from safetensors.torch import load_file

            if device != "meta":
                return load_file(path)
            with safe_open(path, "pt") as file:
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        data: Any = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # many kinds; all mean that the file is not usable
        # torch's own words advise to run whatever the file holds.
        is_pickle = isinstance(error, pickle.UnpicklingError)
        reason = "it holds other things than tensors, or is damaged" if is_pickle else str(error)[:200]
        raise WeightsError(
            f"cannot read {path} ({type(error).__name__}: {reason})",
            f"{expected}, is expected",
        ) from error
    if isinstance(data, dict):
        data = next((data[key] for key in nested if key in data), data)
    if not isinstance(data, dict) or not all(isinstance(value, torch.Tensor) for value in data.values()):
        raise WeightsError(f"{path} is not a state dict (names to tensors)")
    return dict(data)


_NUM_NAMED = 3
"""Tensors that a message names of each kind."""


def load_into(network: Any, tensors: dict[str, Tensor], what: str, hint: str = "") -> Any:
    """The network with these tensors as its weights, in float32 and evaluation mode.

    Args:
        network: of torch, possibly on the device "meta".
        what: the file and the network in words, for the message.

    Raises:
        WeightsError: tensors are missing, too many, or of another shape.
    """
    # Copies lie where torch puts them: the place of a tensor in its file changes the last bits otherwise.
    tensors = {name: value.clone() for name, value in tensors.items()}
    expected = network.state_dict()
    faults = [
        f"size mismatch for {name}: {list(value.shape)} in place of {list(expected[name].shape)}"
        for name, value in tensors.items()
        if name in expected and value.shape != expected[name].shape
    ][:_NUM_NAMED]
    for kind, names in (("Missing", expected.keys() - tensors), ("Unexpected", tensors.keys() - expected)):
        if names:
            more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
            faults.append(f"{kind} keys: {', '.join(sorted(names)[:_NUM_NAMED])}{more}")
    if faults:
        raise WeightsError(f"{what}: {'; '.join(faults)}", hint)
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.float().requires_grad_(False).eval()


def check_frames(frames_THWC: Frames, *, min_frames: int = 1, who: str = "the extractor") -> None:
    """Refuse anything but a uint8 RGB clip of at least `min_frames` frames.

    Raises:
        MetricError: naming the shape, type or number that was found.
    """
    shape, dtype = np.shape(frames_THWC), getattr(frames_THWC, "dtype", None)
    if len(shape) != 4 or shape[3] != 3 or dtype != np.uint8:
        raise MetricError(f"{who} takes clips uint8 [T, H, W, 3], got {dtype} {list(shape)}")
    if shape[0] < min_frames:
        raise MetricError(
            f"{who} needs at least {min_frames} frames, the clip has {shape[0]}",
            f"generate {min_frames} frames or more, or use a protocol that measures fewer",
        )
    if shape[1] < 1 or shape[2] < 1:
        raise MetricError(f"{who} got a clip without pixels: {list(shape)}")


def resize_frames(
    frames_THWC: Frames, steps: Sequence[ResizeStep], model_size: int, device: str = "cpu"
) -> Tensor:
    """The frames after every resize step.

    Args:
        frames_THWC: uint8 [T, H, W, 3], 0 to 255.
        steps: of the protocol; a step of size "model" means `model_size`.
        model_size: side of the backbone's input in pixels.
        device: where to compute.

    Returns:
        float32 [T, 3, model_size, model_size], 0 to 255; the longer side is longer where the last step's
        geometry is "short-side".

    Every frame is treated alone, so the result does not depend on the clip's other frames.
    """
    import torch

    contiguous = np.ascontiguousarray(frames_THWC)
    if not contiguous.flags.writeable:
        contiguous = contiguous.copy()  # torch warns about memory that it must not write
    x_TCHW = torch.from_numpy(contiguous).to(device).permute(0, 3, 1, 2).float().contiguous()
    for step in steps:
        x_TCHW = _resize(x_TCHW, step, model_size if step.size == "model" else int(step.size))
    return x_TCHW


def _resize(x_TCHW: Tensor, step: ResizeStep, size: int) -> Tensor:
    height, width = x_TCHW.shape[2:]
    target = (size, size) if step.geometry == "squash" else _short_side(height, width, size, step)
    # Float scripts divide by 255 first and multiply last; each keeps its own order, since the cut shows the
    # last bit.
    if step.quantise in ("truncate-unit", "truncate-unit-signed", "truncate-signed"):
        x_TCHW = x_TCHW / 255.0
    if step.quantise == "truncate-signed":
        x_TCHW = (x_TCHW - 0.5) / 0.5
    if target != (height, width):
        x_TCHW = _scaled(x_TCHW, target, step)
    if step.geometry == "short-side-crop":
        top, left = (_crop_offset(total - size, step) for total in target)
        x_TCHW = x_TCHW[:, :, top : top + size, left : left + size]
    if step.quantise == "truncate-unit":
        x_TCHW = x_TCHW * 255.0
    elif step.quantise == "truncate-unit-signed":
        x_TCHW = ((x_TCHW - 0.5) + 0.5) * 255.0  # the same bits as by 2x - 1 and back
    elif step.quantise == "truncate-signed":
        x_TCHW = (x_TCHW + 1.0) * 255.0 / 2.0
    if step.clamp:
        x_TCHW = x_TCHW.clamp(0.0, 255.0)
    if step.quantise in ("none", "pillow"):
        return x_TCHW
    return x_TCHW.round() if step.quantise == "round" else x_TCHW.trunc()


def _scaled(x_TCHW: Tensor, target: tuple[int, int], step: ResizeStep) -> Tensor:
    if step.quantise == "pillow":
        return _by_pillow(x_TCHW, target, step)
    if step.phase == "corner":
        return _corner_bilinear(_corner_bilinear(x_TCHW, 2, target[0]), 3, target[1])
    if step.quantise == "round" and step.antialias:
        between = (x_TCHW.shape[2], target[1])
        x_TCHW = _filtered(x_TCHW, between, step).clamp(0.0, 255.0).round()
    return _filtered(x_TCHW, target, step)


def _by_pillow(x_TCHW: Tensor, target: tuple[int, int], step: ResizeStep) -> Tensor:
    import torch
    from PIL import Image

    frames_THWC = x_TCHW.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    by_name = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resized = [
        np.asarray(Image.fromarray(frame).resize((target[1], target[0]), by_name[step.filter]))
        for frame in frames_THWC
    ]
    return torch.from_numpy(np.stack(resized)).to(x_TCHW.device).permute(0, 3, 1, 2).float().contiguous()


def _filtered(x_TCHW: Tensor, target: tuple[int, int], step: ResizeStep) -> Tensor:
    from torch.nn import functional

    return functional.interpolate(
        x_TCHW, size=target, mode=step.filter, align_corners=False, antialias=step.antialias
    )


def _short_side(height: int, width: int, size: int, step: ResizeStep) -> tuple[int, int]:
    short, long = min(height, width), max(height, width)
    if step.long_side == "ceil-scale":
        # A square of 50 pixels becomes 225 high and 224 wide; the crop cuts it.
        whole = math.ceil(long * (size / short))
        return (size, whole) if height < width else (whole, size)
    exact = size * long / short
    if step.long_side == "round":
        whole = round(exact)
    else:
        whole = math.ceil(exact) if step.long_side == "ceil" else math.floor(exact)
    return (size, whole) if height <= width else (whole, size)


def _crop_offset(surplus: int, step: ResizeStep) -> int:
    return surplus // 2 if step.crop_offset == "floor" else round(surplus / 2)


def _corner_bilinear(x_TCHW: Tensor, dim: int, size: int) -> Tensor:
    """Bilinear along one axis with samples at i * in/out, the last pixel repeated (TensorFlow 1)."""
    import torch

    length = x_TCHW.shape[dim]
    at = torch.arange(size, device=x_TCHW.device, dtype=torch.float32) * (length / size)
    low = at.floor().long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    weight = (at - low).view([-1 if axis == dim else 1 for axis in range(4)])
    below, above = x_TCHW.index_select(dim, low), x_TCHW.index_select(dim, high)
    return below + (above - below) * weight


def normalise(frames_TCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Values 0 to 255 as values 0 to 1, less the mean and over the deviation of each channel."""
    import torch

    mean_C11, std_C11 = (
        torch.tensor(values, device=frames_TCHW.device).view(3, 1, 1) for values in (mean, std)
    )
    return (frames_TCHW / 255.0 - mean_C11) / std_C11


@contextlib.contextmanager
def reference_precision(device: str) -> Iterator[None]:
    """True float32 without gradients inside the block; the process's settings are put back after it.

    TF32 (10 bits of mantissa), torch's default in cuDNN convolutions, moves features in their third digit.
    Benchmark mode picks kernels by timing, and convolutions on the CPU split their sums over threads, so
    numbers would depend on what else runs: both are off. Work is spread by process.
    """
    import torch

    matmul = torch.backends.cuda.matmul
    matmul_before, threads_before = matmul.fp32_precision, torch.get_num_threads()
    matmul.fp32_precision = "ieee"
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        matmul.fp32_precision = matmul_before
        if device == "cpu":
            torch.set_num_threads(threads_before)

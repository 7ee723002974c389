"""What a file of I3D weights is: its format, told by its content, and which published numbers it serves.

Formats, whatever the suffix says:

* "folder": the project's own, `config.json` and `model.safetensors`;
* "safetensors": a state dict in the public naming;
* "state-dict": the same, written by `torch.save` (zip archive, or the older plain pickle), for example
  pytorch-i3d's and VideoGPT's files;
* "torchscript": a program with its weights, for example StyleGAN-V's `i3d_torchscript.pt`.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ....core.errors import WeightsError
from ...protocol import load_protocol, protocol_names

if TYPE_CHECKING:
    from torch import Tensor

I3dFormat = Literal["folder", "safetensors", "state-dict", "torchscript"]

FIRST_TENSOR, LAST_TENSOR = "Conv3d_1a_7x7.conv3d.weight", "logits.conv3d.weight"

REFERENCE_EPSILON = 1e-3
"""BatchNorm's epsilon in the reference network, and in StyleGAN-V's program, which was compared to it."""

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_KINETICS_CLASSES = 400
_OTHER_CHECKPOINTS = ("rgb_imagenet", "rgb_charades", "flow_imagenet", "flow_charades", "kinetics600", "k600")


@dataclass(frozen=True)
class I3dWeightsInfo:
    """What can be told of I3D weights without running them.

    Attributes:
        format: see the module's docstring.
        num_classes: logits; None for a program, whose insides are not looked at.
        width: of the network, 1.0 for the published one; None for a program.
        has_batchnorm_scale: whether BatchNorm has a scale other than one, which the reference network has
            not; None for a program.
        serves: protocols whose published FVD weights of this kind can serve.
        caution: what the user must know before comparing numbers; "" when there is nothing.
    """

    format: I3dFormat
    num_classes: int | None
    width: float | None
    has_batchnorm_scale: bool | None
    serves: tuple[str, ...]
    caution: str


def describe_i3d_weights(path: Path) -> I3dWeightsInfo:
    """What lies at `path`. Tensors are read, a program is not run.

    The tensors' shapes cannot tell one checkpoint of 400 classes from another; only a pinned digest can.

    Raises:
        WeightsError: nothing is there, or it is none of the formats.
    """
    kind = detect_format(path)
    if kind == "torchscript":
        return I3dWeightsInfo(
            format=kind,
            num_classes=None,
            width=None,
            has_batchnorm_scale=None,
            serves=_serves(fixed_epsilon=True),
            caution="a program with its weights: it is run only when the location pins its digest; "
            "BatchNorm's epsilon is fixed inside, so it serves no protocol of another one",
        )
    tensors, width, num_classes = read_i3d_tensors(path)
    scaled = any(bool((value != 1).any()) for name, value in tensors.items() if name.endswith(".bn.weight"))
    published = width == 1.0 and num_classes == _KINETICS_CLASSES
    cautions = []
    if not published:
        cautions.append(
            f"{num_classes} classes at width {width:g}, not the published network (400 at width 1): its FVD "
            "compares with values of these same weights only"
        )
    if scaled:
        cautions.append(
            "BatchNorm has a scale, which the reference network has not: trained further, or another"
        )
    named = next((name for name in _OTHER_CHECKPOINTS if name in path.name.lower()), None)
    if named:
        cautions.append(
            f"by its name ({named}) another checkpoint than the Kinetics-400 export that FVD is defined on, "
            "although its tensors have the same shapes: its FVD compares with no published one"
        )
    serves = _serves(fixed_epsilon=False) if published and not cautions else ()
    return I3dWeightsInfo(kind, num_classes, width, scaled, serves, "; ".join(cautions))


def detect_format(path: Path) -> I3dFormat:
    """The format of a folder or file, by its first bytes and, in an archive, by the names of its members.

    Raises:
        WeightsError: nothing is there, or it is none of the formats.
    """
    if path.is_dir():
        return "folder"
    if not path.is_file():
        raise WeightsError(
            f"no I3D weights at {path}", "a folder with model.safetensors, or one file, is expected"
        )
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(_ZIP):
        return "torchscript" if _holds_code(path) else "state-dict"
    if head.startswith(_PICKLE):
        return "state-dict"
    # A safetensors file begins with the length of its header, 8 bytes, and the header is JSON.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    raise WeightsError(
        f"cannot read {path}: it is neither safetensors nor a file of torch.save nor a TorchScript archive",
        "safetensors, or a .pt file that holds nothing but tensors, is expected",
    )


def read_i3d_tensors(path: Path) -> tuple[dict[str, Tensor], float, int]:
    """(tensors, width, number of classes) of weights of any format but "torchscript".

    Raises:
        WeightsError: a file is missing or unreadable, or is not a state dict in the public naming.
    """
    if path.is_dir():
        config = read_i3d_config(path / "config.json")
        tensors = _read_tensors(path / "model.safetensors")
        return tensors, float(config["width_multiplier"]), int(config["num_classes"])
    tensors = _read_tensors(path)
    for name in (FIRST_TENSOR, LAST_TENSOR):
        if name not in tensors:
            raise WeightsError(
                f"{path}: no tensor {name!r}; found {', '.join(sorted(tensors)[:3])}, ...",
                "a state dict in the naming of the public PyTorch I3D is expected",
            )
    return tensors, tensors[FIRST_TENSOR].shape[0] / 64, tensors[LAST_TENSOR].shape[0]


def read_i3d_config(path: Path) -> dict[str, Any]:
    """`config.json` of a weights folder.

    Raises:
        WeightsError: it is missing, is not JSON, or lacks a key.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(
            f"cannot read {path}: {error.strerror}", "an I3D folder holds config.json"
        ) from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    missing = {"width_multiplier", "num_classes"} - set(config if isinstance(config, dict) else ())
    if missing:
        raise WeightsError(f"{path}: {', '.join(sorted(missing))} missing")
    return config


def _read_tensors(path: Path) -> dict[str, Tensor]:
    import torch

    kind = detect_format(path)
    try:
        if kind == "safetensors":
            from safetensors.torch import load_file

            tensors: Any = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many kinds; all mean that the file is not usable
        raise WeightsError(
            f"cannot read {path} as a state dict ({type(error).__name__}: {str(error)[:200]})",
            "safetensors, or a .pt file that holds nothing but tensors, is expected",
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(value, torch.Tensor) for value in tensors.values()
    ):
        raise WeightsError(f"{path} is not a state dict (names to tensors)")
    return tensors


def _holds_code(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise WeightsError(f"cannot read {path}: a damaged archive ({error})", "fetch it again") from error


def _serves(fixed_epsilon: bool) -> tuple[str, ...]:
    protocols = [load_protocol(name) for name in protocol_names()]
    return tuple(
        protocol.name
        for protocol in protocols
        if "i3d" in protocol.weights
        and not (fixed_epsilon and protocol.i3d.batchnorm_epsilon != REFERENCE_EPSILON)
    )

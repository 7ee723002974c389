"""What I3D weights are said to be: their format, and which published numbers they serve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...protocol import load_protocol, protocol_names
from .weights import REFERENCE_EPSILON, I3dFormat, detect_format, read_i3d_tensors

_KINETICS_CLASSES = 400
_OTHER_CHECKPOINTS = ("rgb_imagenet", "rgb_charades", "flow_imagenet", "flow_charades", "kinetics600", "k600")


@dataclass(frozen=True)
class I3dWeightsInfo:
    """What can be told of I3D weights without running them.

    Attributes:
        format: see `weights`.
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


def _serves(fixed_epsilon: bool) -> tuple[str, ...]:
    protocols = [load_protocol(name) for name in protocol_names()]
    return tuple(
        protocol.name
        for protocol in protocols
        if "i3d" in protocol.weights
        and not (fixed_epsilon and protocol.i3d.batchnorm_epsilon != REFERENCE_EPSILON)
    )

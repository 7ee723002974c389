"""I3D networks from the project's folders and from public files.

A folder holds `config.json` ({"width_multiplier", "num_classes", "classes"}) and `model.safetensors`.
A single file is a state dict in the naming of the public PyTorch ports (`Conv3d_1a_7x7.conv3d.weight`,
`Mixed_3b.b1a.bn.running_mean`, `logits.conv3d.bias`; width and number of classes are read off its
tensors), or StyleGAN-V's TorchScript program. `i3d_formats` tells them apart by content.

A TorchScript file is a program: loading it runs what its author wrote. It is run only when the location
pins its digest, so that the user has said which program is meant.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.errors import WeightsError
from ....core.hashing import digest
from ....core.weights import with_pin
from .formats import REFERENCE_EPSILON, detect_format, read_i3d_config, read_i3d_tensors

if TYPE_CHECKING:
    from .network import I3dProgram, InceptionI3d


def load_i3d(path: Path, batchnorm_epsilon: float = REFERENCE_EPSILON) -> InceptionI3d:
    """The network with its weights, in evaluation mode on the CPU.

    Args:
        path: a folder or file of tensors as described above.
        batchnorm_epsilon: of every BatchNorm; 1e-3 in the reference network.

    Raises:
        WeightsError: a file is missing or unreadable, its tensors do not fit the network, or it is a
            program.
    """
    import torch

    from .network import InceptionI3d

    if detect_format(path) == "torchscript":
        raise WeightsError(f"{path} is a TorchScript program, not a file of tensors", "see load_i3d_program")
    tensors, width, num_classes = read_i3d_tensors(path)
    network = InceptionI3d(width_multiplier=width, num_classes=num_classes)
    # Not every public file carries the step counter or BatchNorm's scale (ones in the reference).
    known = network.state_dict()
    optional = {
        name: value for name, value in known.items() if name.endswith(("num_batches_tracked", "bn.weight"))
    }
    try:
        network.load_state_dict({**optional, **tensors}, strict=True)
    except RuntimeError as error:
        faults = " ".join(str(error).split())
        raise WeightsError(f"{path}: the tensors do not fit I3D of width {width:g}: {faults[:600]}") from None
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eps = batchnorm_epsilon
    return network.requires_grad_(False).eval()


def load_i3d_program(path: Path, pin: str, batchnorm_epsilon: float = REFERENCE_EPSILON) -> I3dProgram:
    """StyleGAN-V's TorchScript file, ready to be called like the network, on the CPU.

    The bytes that are hashed are the bytes that are run.

    Args:
        path: the archive.
        pin: the digest that the location names, "" for none: the file's plain sha256, or `digest_weights`.
        batchnorm_epsilon: the protocol's; the program's own is 1e-3 and cannot be set.

    Raises:
        WeightsError: no pin or another file's, another epsilon, or torch cannot load the archive.
    """
    import torch

    from .network import I3dProgram

    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if pin not in (found, digest([[path.name, found]])):
        says = f"the location pins {pin}" if pin else "the location pins no digest"
        raise WeightsError(
            f"{path} is a TorchScript program of sha256 {found}, and {says}",
            f"it is run only when it is pinned; if you trust it, write {with_pin(str(path), found)}",
        )
    if batchnorm_epsilon != REFERENCE_EPSILON:
        raise WeightsError(
            f"{path} is a program with BatchNorm's epsilon {REFERENCE_EPSILON:g} inside, "
            f"the protocol wants {batchnorm_epsilon:g}",
            "use a state dict with this protocol, or a protocol of that epsilon (clean, stylegan-v)",
        )
    try:
        with warnings.catch_warnings():
            # Deprecated in torch 2.14 in favour of torch.export, which cannot read these files.
            warnings.filterwarnings("ignore", message=r".*torch\.jit", category=FutureWarning)
            program: Any = torch.jit.load(io.BytesIO(content), map_location="cpu")
    except Exception as error:  # many kinds; all mean that this torch cannot run the archive
        raise WeightsError(
            f"torch {torch.__version__} cannot load {path} as TorchScript "
            f"({type(error).__name__}: {str(error)[:200]})",
            "use the converted state dict instead",
        ) from error
    return I3dProgram(program).requires_grad_(False).eval()


def i3d_classes(path: Path) -> tuple[str, ...]:
    """The names of the classes of a weights folder, in the order of the logits."""
    return tuple(read_i3d_config(path / "config.json").get("classes", ()))

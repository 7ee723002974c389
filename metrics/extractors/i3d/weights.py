"""I3D's weights: the formats that they come in, and the networks that are loaded from them.

Formats are told by a file's content, whatever its suffix says:

* "folder": the project's own, `config.json` ({"width_multiplier", "num_classes", "classes"}) and
  `model.safetensors`;
* "safetensors": a state dict in the naming of the public PyTorch ports (`Conv3d_1a_7x7.conv3d.weight`,
  `Mixed_3b.b1a.bn.running_mean`, `logits.conv3d.bias`); width and number of classes are read off its tensors;
* "state-dict": the same, written by `torch.save` (zip archive, or the older plain pickle), for example
  pytorch-i3d's and VideoGPT's files;
* "torchscript": a program with its weights, for example StyleGAN-V's `i3d_torchscript.pt`.

A TorchScript file is a program: loading it runs what its author wrote. It is run only when the location
pins its digest, so that the user has said which program is meant.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ....core.errors import WeightsError
from ....core.hashing import digest
from ....core.tensor_files import is_safetensors, refuse_other_tensors
from ....core.weights import with_pin
from ....core.weights_format import NamedFiles
from ....core.weights_tree import Tree, local_tree, read_json
from ..backbone import load_into, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from .network import I3dProgram, InceptionI3d

I3dFormat = Literal["folder", "safetensors", "state-dict", "torchscript"]

REFERENCE_EPSILON = 1e-3
"""BatchNorm's epsilon in the reference network, and in StyleGAN-V's program, which was compared to it."""

_FIRST_TENSOR, _LAST_TENSOR = "Conv3d_1a_7x7.conv3d.weight", "logits.conv3d.weight"

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


@dataclass(frozen=True)
class _I3dFiles(NamedFiles):
    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.path is not None and tree.is_file:
            if detect_format(tree.path) != "torchscript":
                refuse_other_tensors(tree.path, self.what, _FIRST_TENSOR, _LAST_TENSOR)
            return ()
        names = super().files(tree)
        if tree.path is not None:
            _read_config(tree.path)
        return names


I3D = _I3dFiles("I3D weights", required=("config.json", "model.safetensors"))


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
    if is_safetensors(path):
        return "safetensors"
    raise WeightsError(
        f"cannot read {path}: it is neither safetensors nor a file of torch.save nor a TorchScript archive",
        "safetensors, or a .pt file that holds nothing but tensors, is expected",
    )


def _holds_code(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise WeightsError(f"cannot read {path}: a damaged archive ({error})", "fetch it again") from error


def read_i3d_tensors(path: Path) -> tuple[dict[str, Tensor], float, int]:
    """(tensors, width, number of classes) of weights of any format but "torchscript".

    Raises:
        WeightsError: a file is missing or unreadable, or is not a state dict in the public naming.
    """
    if path.is_dir():
        config, file = _read_config(path), path / "model.safetensors"
        detect_format(file)  # says what is missing
        tensors = read_tensors(file)
        return tensors, float(config["width_multiplier"]), int(config["num_classes"])
    tensors = read_tensors(path)
    for name in (_FIRST_TENSOR, _LAST_TENSOR):
        if name not in tensors:
            raise WeightsError(
                f"{path}: no tensor {name!r}; found {', '.join(sorted(tensors)[:3])}, ...",
                "a state dict in the naming of the public PyTorch I3D is expected",
            )
    return tensors, tensors[_FIRST_TENSOR].shape[0] / 64, tensors[_LAST_TENSOR].shape[0]


def i3d_classes(folder: Path) -> tuple[str, ...]:
    """The names of the classes of a weights folder, in the order of the logits."""
    return tuple(_read_config(folder).get("classes", ()))


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_json(local_tree(folder), "config.json")
    missing = {"width_multiplier", "num_classes"} - set(config)
    if missing:
        raise WeightsError(f"{folder / 'config.json'}: {', '.join(sorted(missing))} missing")
    return config


def load_i3d(path: Path, batchnorm_epsilon: float = REFERENCE_EPSILON) -> InceptionI3d:
    """The network with its weights, in evaluation mode on the CPU.

    Args:
        path: a folder or file of tensors.
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
    optional = {
        name: value
        for name, value in network.state_dict().items()
        if name.endswith(("num_batches_tracked", "bn.weight"))
    }
    load_into(network, {**optional, **tensors}, f"{path}: the tensors do not fit I3D of width {width:g}")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eps = batchnorm_epsilon
    return network


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

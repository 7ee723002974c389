"""SimDA's editing mode with its pipeline on a device: adapters as the model of a one-shot session.

Apart from `simda_edit`, because a method file imports no torch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import nn

from ...core.errors import WeightsError
from ...core.weights import resolve
from ..one_shot.session import OneShotSession, VideoModel
from ..weights_file import ADAPTERS
from .adapter_file import load_adapters
from .adapters import PRESETS, Adapters
from .simda_edit import SimDAEdit

FORMAT = "reelbench-simda-edit-1"
"""Written into every artifact; another number is another layout."""


class SimDAEditSession(OneShotSession):
    """Loads a pipeline and adapters, tunes them on references, and makes clips from an artifact.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the pipeline or the adapters are missing, malformed or do not fit each other.
    """

    method: ClassVar[str] = SimDAEdit.name
    format: ClassVar[str] = FORMAT

    def __init__(self, config: SimDAEdit.Config, device: str) -> None:
        super().__init__(config, device)
        unet = self.pipeline.unet
        self._form = PRESETS[config.form]
        self._given = (
            None if config.adapters is None else load_adapters(resolve(config.adapters, ADAPTERS), unet)
        )
        adapters = Adapters(unet, self._form) if self._given is None else self._given
        self._num_parameters = sum(parameter.numel() for parameter in adapters.parameters())

    def video_model(self, seed: int) -> VideoModel:
        """The UNet with adapters: the given ones, or untrained ones, of which the seed is."""
        unet = self.pipeline.unet
        adapters = Adapters(unet, self._form, seed) if self._given is None else copy.deepcopy(self._given)
        _, height, width = self.pipeline.latent_shape_CHW
        return AdaptedUNet(unet, adapters.to(self.pipeline.device), self._settings.num_frames, height, width)

    @property
    def trainable_parameters(self) -> int:
        """How many numbers a tuning trains; a layout prior is not among them."""
        return self._num_parameters


class AdaptedUNet:
    """Adapters with the UNet that they are for.

    Args:
        unet: of the pipeline.
        adapters: built for it, on its device, in float32.
        num_frames: of a clip.
        latent_height, latent_width: of the pipeline.
    """

    def __init__(
        self, unet: Any, adapters: Adapters, num_frames: int, latent_height: int, latent_width: int
    ) -> None:
        self._unet, self._adapters = unet, adapters.requires_grad_(False)
        self._shape = (num_frames, latent_height, latent_width)

    @property
    def trained(self) -> Mapping[str, nn.Parameter]:
        return dict(self._adapters.named_parameters())

    def attached(self, prompts: Sequence[str]) -> AbstractContextManager[None]:
        return self._adapters.attached(self._unet, *self._shape, prompts)

    def to(self, dtype: torch.dtype) -> None:
        self._adapters.to(dtype)

    def stored(self) -> dict[str, torch.Tensor]:
        return self._adapters.state_dict()

    def load(self, tensors: Mapping[str, torch.Tensor], source: str) -> None:
        expected = {name: list(tensor.shape) for name, tensor in self.stored().items()}
        found = {name: list(tensor.shape) for name, tensor in tensors.items()}
        if found != expected:
            name = min(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
            raise WeightsError(
                f"{source} does not fit this UNet: {name} is {found.get(name)}, not {expected.get(name)}",
                "it was tuned on another pipeline or from other adapters; tune again",
            )
        self._adapters.load_state_dict(dict(tensors))

"""FCA as a predictor: the frozen base with its attentions beside.

Shape suffixes: as in `methods.prediction.predictor`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import ValidationError
from torch import nn

from ...core.errors import WeightsError
from ..cogvideox.pipeline import CogVideoX
from .fca import FILE_NAME, FORMAT
from .fca_config import FcaConfig
from .fca_layers import Fca
from .predictor import Predictor
from .predictor_file import fit, read_trained


class FcaPredictor(Predictor):
    """A pipeline with FCA.

    Args:
        pipeline: the frozen base; it is not changed.
        config: what FCA is.
        seed: of the initial values.
    """

    format: ClassVar[str] = FORMAT
    file_name: ClassVar[str] = FILE_NAME

    def __init__(self, pipeline: CogVideoX, config: FcaConfig, seed: int = 0) -> None:
        super().__init__(pipeline, config.num_frames, config.context_encoding)
        self.fca = Fca(pipeline.transformer, config, seed)

    @property
    def settings(self) -> FcaConfig:
        return self.fca.config

    def trained(self) -> dict[str, nn.Parameter]:
        return dict(self.fca.named_parameters())

    @contextlib.contextmanager
    def given(self, context_GFCHW: torch.Tensor, text_GLD: torch.Tensor) -> Iterator[None]:
        conditions = self.fca.conditions(self.pipeline, context_GFCHW, text_GLD)
        with self.fca.attached(self.pipeline.transformer, conditions):
            yield

    def forward(
        self, noisy_GFCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        return self.pipeline.predict(noisy_GFCHW, timestep_G, text_GLD)


def load_fca(path: Path, pipeline: CogVideoX) -> FcaPredictor:
    """FCA from a file, or from a folder with `fca.safetensors`, fitted to a pipeline; on the CPU in float32.

    Raises:
        WeightsError: nothing there, not such a file, or made for another base.
    """
    config, tensors, what = read_trained(path, FcaPredictor)
    try:
        predictor = FcaPredictor(pipeline, FcaConfig.model_validate(config))
    except ValidationError as error:
        raise WeightsError(f"{what} cannot be read: {error}", "train them again with this version") from error
    fit(predictor, tensors, what)
    return predictor

"""CogVideoX from text alone: the base of the prediction methods, without the given frames.

Source: Yang et al., "CogVideoX: Text-to-Video Diffusion Models with An Expert Transformer" (ICLR 2025).

In a table of text-video prediction this row tells what the text gives without the first frames. Its clips do
not begin with the given frames, and it is grouped by its conditioning.
"""

from __future__ import annotations

from typing import ClassVar

from ...core.contracts import Method, Session
from ...core.types import Conditioning, WeightsRef
from .config import COGVIDEOX, CogVideoXConfig


class CogVideoXTextToVideo(Method):
    """CogVideoX from text alone: the base of the prediction methods, without the given frames."""

    class Config(CogVideoXConfig):
        """Settings of CogVideoX."""

    name: ClassVar[str] = "cogvideox"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT
    config: Config

    def weights(self) -> tuple[WeightsRef, ...]:
        """The pipeline of the base."""
        return (WeightsRef("cogvideox", self.config.base, COGVIDEOX),)

    def load(self, device: str) -> Session:
        """The base alone, with no frames given."""
        from .session import CogVideoXSession

        return CogVideoXSession(self.config, device)

"""SimDA's one-shot editing: adapters learn the motion of one clip and play it to another prompt.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), its part on
editing, and the authors' released editing code, of which nothing was copied: it has no licence.

The way is Tune-A-Video's (`methods.one_shot.method`), with SimDA's adapters (`methods.adapters.adapters`) in
the place of the inflated UNet: they are tuned on the reference with its own prompt, the tuned model inverts
the reference by DDIM with an empty prompt and without guidance, and edits are DDIM from there, with guidance.
By default the adapters begin untrained, as the image model; they may begin as adapters that were trained for
text-to-video.

The tuning artifact holds the adapters (a layout prior that they may have among them) and the inverted
latents. Guidance and negative prompt are no part of a tuning.

Published settings are presets (`PRESETS`). Uncertain, and therefore settings:
- the paper's frames, learning rate, guidance scale, optimiser and number format: those of the released code;
- whether the paper's editing model is its text-to-video model (`form`, which "paper" assumes); the released
  code has another form of latent-shift attention, and shares the group norms' statistics over all frames;
- the filter that resizes frames (`methods.one_shot.tuning.encode_reference`).

The released code trains less than it names: its gradient checkpointing leaves the adapters of the down blocks
without gradients and the temporal adapters of the up blocks out, which `trains: released`, of the preset
"released", repeats (`methods.one_shot.config.Trains`). Adapters that a tuning begins with stay in their
places all the same; the released code begins untrained, where to leave one out makes no difference.

Deviations: the frozen weights are in the pipeline's number format; those of `methods.adapters.adapters` and
`methods.adapters.layers`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ...core.contracts import Session
from ...core.errors import WeightsError
from ...core.types import WeightsRef
from ...core.weights import resolve
from ..one_shot.config import OneShotConfig, Trains, TuningConfig, check_that_the_middle_learns
from ..one_shot.method import OneShotMethod, OneShotSession, VideoModel
from ..weights_file import ADAPTERS, adapter_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .adapters import Adapters

_LEARNED_IN_RELEASED_CODE = ("spatial.mid_block_", "spatial.up_blocks_", "temporal.mid_block_")

PRESETS: dict[str, dict[str, Any]] = {
    "released": {
        "trains": "released",
        "temporal_bias": "random",
        "tuning": {"steps": 300, "learning_rate": 5e-5},
    },
    "paper": {"form": "paper", "tuning": {"steps": 200, "learning_rate": 5e-5}},
    "sprites": {
        "num_frames": 16,
        "start": 0,
        "stride": 1,
        "num_steps": 20,
        "guidance_scale": 4.0,
        "adapters": "sprites/simda",
        "tuning": {"steps": 60, "learning_rate": 5e-4, "gradient_checkpointing": False},
    },
}
"""What differs from the defaults, which are the released configuration: 24 frames from index 16 on at stride
2, 300 updates. Its tuning is repeated, so that a run file which gives a part of it gets the other parts.
"released" also trains only what learns in the released code, from its random biases.

"paper" is 200 updates. "sprites" is for the embedded pipeline and was found by trial
(`worlds.sprites.edit_quality`): few updates at a high learning rate, weaker guidance, and adapters that were
trained for text-to-video to begin with.
"""


class SimDAEdit(OneShotMethod):
    """SimDA's one-shot editing: adapters learn the motion of one clip and play it to another prompt."""

    class Config(OneShotConfig):
        """Settings of SimDA's editing mode. What a run file leaves out is the preset's; the defaults that are
        written here are those of "released", but for `trains` and `temporal_bias`."""

        presets = PRESETS
        younger: ClassVar[Mapping[str, Any]] = {**OneShotConfig.younger, "temporal_bias": "zero"}

        start: int = Field(default=16, ge=0)
        """First frame that is taken."""

        tuning: TuningConfig = TuningConfig(steps=300, learning_rate=5e-5)
        """The training on the reference."""

        adapters: str | None = None
        """Where trained adapters lie that a tuning begins with: a file, a folder with adapters.safetensors,
        or a name below the weights root. They belong to the pipeline that they were trained on. None begins
        with untrained ones."""

        form: Literal["released", "paper"] = "released"
        """What untrained adapters are: the released editing code's, or the paper's text-to-video model.
        Adapters from a file say it themselves."""

        temporal_bias: Literal["zero", "random"] = "zero"
        """Initial biases of untrained temporal adapters, but for their last layer's; random in the released
        code, and so in its preset."""

        def tuning_settings(self) -> dict[str, Any]:
            """As for all one-shot methods, and whether there are adapters to begin with: keys hold their
            content."""
            return {**super().tuning_settings(), "adapters": self.adapters is not None}

    config: Config
    name: ClassVar[str] = "simda-edit"
    version: ClassVar[str] = "1"

    def weights(self) -> tuple[WeightsRef, ...]:
        """The pipeline, and the adapters where there are any."""
        return super().weights() + adapter_weights(self.config.adapters)

    def load(self, device: str) -> Session:
        """See `SimDAEditSession`."""
        return SimDAEditSession(self.config, device)


class SimDAEditSession(OneShotSession):
    """A pipeline whose UNet has adapters, which are tuned on references.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the pipeline or the adapters are missing, malformed or do not fit each other.
    """

    method: ClassVar[str] = SimDAEdit.name
    format: ClassVar[str] = "reelbench-simda-edit-1"
    _config: SimDAEdit.Config

    def __init__(self, config: SimDAEdit.Config, device: str) -> None:
        from .adapters import load_adapters

        super().__init__(config, device)
        self._given: Adapters | None = None
        if config.adapters is not None:
            self._given = load_adapters(resolve(config.adapters, ADAPTERS), self.pipeline.unet)
        # A layout prior, which is not trained, has buffers and no parameters.
        learned = learned_parameters(self._adapters(seed=0), config.trains)
        self.trainable_parameters = sum(parameter.numel() for parameter in learned.values())

    def _adapters(self, seed: int) -> Adapters:
        """A copy of the given adapters, or untrained ones drawn from the seed."""
        from .adapters import PRESETS, Adapters

        if self._given is not None:
            return copy.deepcopy(self._given)
        form = PRESETS[self._config.form]
        return Adapters(
            self.pipeline.unet,
            form.model_copy(update={"temporal_bias": self._config.temporal_bias}),
            seed,
        )

    def video_model(self, seed: int) -> VideoModel:
        """The UNet with adapters: the given ones, or untrained ones drawn from the seed."""
        pipeline, num_frames = self.pipeline, self._config.num_frames
        adapters = self._adapters(seed).to(pipeline.device).requires_grad_(False)
        _, height, width = pipeline.latent_shape_CHW
        return VideoModel(
            trained=learned_parameters(adapters, self._config.trains),
            attached=lambda prompts: adapters.attached(pipeline.unet, num_frames, height, width, prompts),
            to=adapters.to,
            stored=adapters.state_dict,
            load=partial(_load, adapters),
        )


def learned_parameters(adapters: Adapters, trains: Trains) -> dict[str, nn.Parameter]:
    """Those of the adapters' parameters that a tuning changes, by name.

    Raises:
        WeightsError: the middle block has no adapters, and the released code would train nothing.
    """
    named = dict(adapters.named_parameters())
    if trains == "all":
        return named
    learned = {name: value for name, value in named.items() if name.startswith(_LEARNED_IN_RELEASED_CODE)}
    check_that_the_middle_learns(".mid_block_" in name for name in learned)
    return learned


def _load(adapters: Adapters, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    expected = {name: list(tensor.shape) for name, tensor in adapters.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if found != expected:
        name = min(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise WeightsError(
            f"{source} does not fit this UNet: {name} is {found.get(name)}, not {expected.get(name)}",
            "it was tuned on another pipeline or from other adapters; tune again",
        )
    adapters.load_state_dict(dict(tensors))

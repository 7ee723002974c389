"""Muon for the matrices of a network's layers, AdamW for the rest, as one optimizer.

Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; torch.optim.Muon) makes
each update of a matrix orthogonal. It is meant for hidden layers: embeddings, the last layer, biases and
norms are AdamW's. Its updates are scaled to the size of AdamW's (Liu et al., "Muon is Scalable for LLM
Training", arXiv 2502.16982), so that one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import nn

OptimizerName = Literal["adamw", "muon"]
MOMENTUM = 0.95
"""Of Muon."""


def make_optimizer(
    name: OptimizerName, named: Iterable[tuple[str, nn.Parameter]], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer of small parts inside a network; "muon" is for their matrices, which are all hidden."""
    if name == "muon":
        return MatrixOptimizer(named, lambda _: True, lr, weight_decay, betas=(0.9, 0.999))
    return torch.optim.AdamW([parameter for _, parameter in named], lr=lr, weight_decay=weight_decay)


class MatrixOptimizer(torch.optim.Optimizer):
    """Both optimizers over the parameters of one training.

    Args:
        named: the parameters with their names.
        is_hidden: whether the matrix of that name belongs to a hidden layer, and so to Muon.
        betas: of AdamW; the learning rate and the weight decay are of both.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        is_hidden: Callable[[str], bool],
        lr: float,
        weight_decay: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in named:
            parts[parameter.ndim == 2 and is_hidden(name)].append(parameter)
        super().__init__([p for part in parts.values() for p in part], {"lr": lr})
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if parts[True]:
            self._parts["muon"] = torch.optim.Muon(
                parts[True],
                lr=lr,
                weight_decay=weight_decay,
                momentum=MOMENTUM,
                adjust_lr_fn="match_rms_adamw",
            )
        if parts[False]:
            self._parts["adamw"] = torch.optim.AdamW(
                parts[False], lr=lr, weight_decay=weight_decay, betas=betas
            )
        self._share_groups()

    def _share_groups(self) -> None:
        # The very groups of the two, so that whoever sets a learning rate sets it for them.
        self.param_groups = [group for part in self._parts.values() for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts.values():
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of the two by name."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave.

        Raises:
            ValueError: it is of other parameters, or of another optimizer.
        """
        if set(state_dict) != set(self._parts):
            raise ValueError(f"a state of {sorted(state_dict)} does not fit {sorted(self._parts)}")
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])
        self._share_groups()

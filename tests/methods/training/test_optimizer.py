"""Muon and AdamW as one optimizer: who gets what, learning rates that are set from outside, resuming."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from reelbench.methods.training.optimizer import MatrixOptimizer


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2))


def made(net: nn.Module, lr: float = 0.01) -> MatrixOptimizer:
    return MatrixOptimizer(net.named_parameters(), lambda name: name == "2.weight", lr, weight_decay=0.0)


def train(net: nn.Module, optimizer: MatrixOptimizer, steps: int, first: int = 0) -> float:
    loss = torch.zeros(())
    for step in range(first, first + steps):
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        loss = (net(x) - x[:, :2].square()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def evenness(net: nn.Module, optimizer: MatrixOptimizer) -> float:
    """Mean over greatest singular value of the hidden matrix's first update: 1 where it is orthogonal."""
    before = net.state_dict()["2.weight"].clone()
    train(net, optimizer, 1)
    values = torch.linalg.svdvals(net.state_dict()["2.weight"] - before)
    return float(values.mean() / values.max())


def test_muon_has_the_hidden_matrices_and_makes_their_updates_nearly_orthogonal() -> None:
    net, plain = network(), network()
    of_adamw = MatrixOptimizer(plain.named_parameters(), lambda name: False, 0.01)
    assert evenness(net, made(net)) > 0.6 > 1.3 * evenness(plain, of_adamw)


def test_all_parameters_are_trained() -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    train(net, made(net), 1)
    for name, value in net.state_dict().items():
        assert not torch.equal(value, before[name]), name


def test_it_learns_and_a_rate_that_is_set_from_outside_counts() -> None:
    net, still = network(), network()
    assert train(net, made(net), 150) < 0.5 * train(network(), made(network()), 1)

    optimizer = made(still)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(still.state_dict())
    train(still, optimizer, 2)
    assert all(torch.equal(value, before[name]) for name, value in still.state_dict().items())


def test_a_resumed_training_is_the_uninterrupted_one() -> None:
    whole = network()
    train(whole, made(whole), 6)

    half = network()
    optimizer = made(half)
    train(half, optimizer, 3)
    saved = copy.deepcopy((half.state_dict(), optimizer.state_dict()))
    again = network()
    again.load_state_dict(saved[0])
    resumed = made(again, lr=0.5)  # the state brings its own rate
    resumed.load_state_dict(saved[1])
    train(again, resumed, 3, first=3)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_state_of_another_optimizer_is_refused() -> None:
    net = network()
    state = MatrixOptimizer(net.named_parameters(), lambda name: False, 0.01).state_dict()
    with pytest.raises(ValueError, match="does not fit"):
        made(net).load_state_dict(state)

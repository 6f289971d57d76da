"""BatchNorm whose statistics are kept, whatever calls `train()`."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from delineate.nn.frozen_batchnorm import batchnorms, freeze_statistics, release_statistics


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), BatchNormAct2d(4), nn.GroupNorm(2, 4), nn.Dropout())
    for part in batchnorms(net):
        part.running_mean.normal_()  # type: ignore[union-attr, operator]
        part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
    return net.train()


def statistics(net: nn.Module) -> list[torch.Tensor]:
    return [buffer.clone() for part in batchnorms(net) for buffer in part.buffers()]


def test_they_normalize_as_in_eval_mode_and_learn_their_scale() -> None:
    net, image = network(), torch.rand(3, 2, 5, 5)
    freeze_statistics(net)
    net.train()
    assert [part.training for part in net] == [True, False, False, True, True]
    before = statistics(net)
    net[:3](image).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, statistics(net), strict=True))
    assert all(p.grad is not None for part in batchnorms(net) for p in part.parameters())
    plain = network()
    assert torch.equal(net[:3](image), plain.eval()[:3](image))


def test_released_they_are_what_they_were() -> None:
    net = network()
    kinds = [type(part) for part in net]
    for _ in range(2):
        freeze_statistics(net)
    twin = copy.deepcopy(net)
    release_statistics(net)
    assert [type(part) for part in net] == kinds
    assert all(part.training for part in net)
    before = statistics(net)
    net(torch.rand(3, 2, 5, 5))
    assert not any(torch.equal(a, b) for a, b in zip(before, statistics(net), strict=True))
    assert not any(part.training for part in batchnorms(twin.train())), "a copy is independent"


@pytest.mark.parametrize("mode", [True, False])
def test_released_they_take_the_mode_of_the_whole(mode: bool) -> None:
    net = network()
    freeze_statistics(net)
    net.train(mode)
    release_statistics(net)
    assert all(part.training is mode for part in batchnorms(net))

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from delineate.nn.blocks import ConvBNAct
from delineate.nn.recompute import recompute


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(ConvBNAct(3, 8), nn.Sequential(ConvBNAct(8, 8), nn.Dropout(0.3)), nn.Conv2d(8, 1, 1)).train()


def step(module: nn.Module) -> list[torch.Tensor]:
    torch.manual_seed(3)
    module.zero_grad(set_to_none=True)
    module(torch.rand(2, 3, 8, 8)).square().mean().backward()
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


@pytest.mark.parametrize("names", [("1",), ("0", "1"), ("0", "1", "1.0")])
def test_same_gradients_and_statistics(names: tuple[str, ...]) -> None:
    plain, lean = network(), network()
    recompute(lean, names)
    for _ in range(2):
        for a, b in zip(step(plain), step(lean), strict=True):
            assert torch.equal(a, b)
    for (key, a), (_, b) in zip(plain.state_dict().items(), lean.state_dict().items(), strict=True):
        assert torch.equal(a, b), key
    assert lean[1][0].norm.num_batches_tracked == 2


def test_activations_are_not_kept() -> None:
    def saved(module: nn.Module) -> int:
        total = 0

        def pack(x: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            module(torch.rand(2, 3, 32, 32, requires_grad=True))
        return total

    plain, lean = network(), network()
    recompute(lean, ("0", "1"))
    assert saved(lean) < 0.5 * saved(plain)


def test_copies_are_independent() -> None:
    lean = network()
    recompute(lean, ("1",))
    twin = copy.deepcopy(lean)
    with torch.no_grad():
        for parameter in lean.parameters():
            parameter.zero_()
    assert twin(torch.rand(1, 3, 8, 8)).abs().sum() > 0
    step(twin)
    assert lean[1][0].norm.num_batches_tracked == 0


def test_eval_mode_and_unknown_names() -> None:
    plain, lean = network().eval(), network().eval()
    recompute(lean, ("1",))
    recompute(lean, ("1",))
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(plain(image), lean(image))
    with pytest.raises(AttributeError):
        recompute(lean, ("absent",))

"""Networks that are built to ask for their shapes: the same shapes as ever, without memory and without arithmetic."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from delineate.nn.meta_device import on_meta_device


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "pvt_v2_b0", "swin_tiny_patch4_window7_224"])
def test_shapes_are_those_of_the_real_network(name: str) -> None:
    with on_meta_device():
        network = timm.create_model(name)
    assert all(value.is_meta for value in network.parameters())
    assert shapes(network) == shapes(timm.create_model(name))


def test_weights_are_not_worked_out_but_other_numbers_are() -> None:
    with on_meta_device():
        layer = nn.Linear(3, 4)
        with pytest.raises(AssertionError, match="worked out"), _Refuse():
            layer.weight.data.erf_()
        with _Refuse():
            nn.init.trunc_normal_(layer.weight)
            layer.weight.data.normal_().mul_(2)
        assert torch.zeros(2, device="cpu").fill_(3).tolist() == [3, 3]
    assert torch.ones(1).add_(1).item() == 2


class _Refuse(torch.utils._python_dispatch.TorchDispatchMode):
    """Fails on arithmetic in place, at the level below the one that leaves it out."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not func.__name__.partition(".")[0].endswith("_"), f"{func} was worked out"
        return func(*args, **(kwargs or {}))

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.fuse import fold_batchnorm


def lively(module: nn.Module) -> nn.Module:
    """Statistics and weights as after training."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2)
            if part.affine:
                nn.init.uniform_(part.weight, -1.5, 1.5)
                nn.init.normal_(part.bias)
    return module.eval()


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


def agree(module: nn.Module, image: Tensor) -> nn.Module:
    folded = fold_batchnorm(lively(module))
    with torch.no_grad():
        expected, found = module(image), folded(image)
    for a, b in zip(*([x] if isinstance(x, Tensor) else x for x in (expected, found)), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))
    return folded


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        "resnet50d",
        "seresnet50",
        "convnext_tiny",
        "efficientnet_b0",
        "efficientnetv2_rw_t",
        "tf_efficientnet_lite0",
    ],
)
def test_encoders_give_the_same_maps(name: str) -> None:
    folded = agree(Encoder(name, levels=4), torch.rand(1, 3, 64, 64))
    if name.startswith(("resnet", "seresnet", "efficientnet", "tf_efficientnet")):
        assert norms(folded) == (name == "resnet50d"), "all but the norm behind the deep stem of resnet50d"


def test_blocks_lose_their_norm_and_the_original_keeps_it() -> None:
    block = nn.Sequential(
        ConvBNAct(3, 8, dilation=2), ConvBNAct(8, 4, 1, act=False), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)
    )
    folded = agree(block, torch.rand(2, 3, 12, 12))
    assert norms(folded) == 0
    assert norms(block) == 3
    assert not folded.training
    assert not any(p.requires_grad for p in folded.parameters())


def test_without_affine_weights() -> None:
    agree(nn.Sequential(nn.Conv2d(3, 5, 3, bias=True), nn.BatchNorm2d(5, affine=False)), torch.rand(1, 3, 8, 8))


class Odd(nn.Sequential):
    """Looks like conv → norm, but is norm → conv."""

    def forward(self, x: Tensor) -> Tensor:
        return self[0](self[1](x))


def test_uncertain_pairs_are_left_alone() -> None:
    conv = nn.Conv2d(3, 3, 1)
    shared = nn.Sequential(nn.Sequential(conv, nn.BatchNorm2d(3)), nn.Sequential(conv, nn.BatchNorm2d(3)))
    batch_statistics = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    watched = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    watched[0].register_forward_hook(lambda module, args, out: out * 2)
    transposed = nn.Sequential(nn.ConvTranspose2d(3, 3, 2), nn.BatchNorm2d(3))
    apart = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3))
    for module in (Odd(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), shared, watched, transposed, apart):
        assert norms(agree(module, torch.rand(2, 3, 6, 6))) == norms(module)
    assert norms(fold_batchnorm(batch_statistics)) == 1


def test_a_map_taken_between_conv_and_norm_is_not_changed() -> None:
    network = timm.create_model("resnet18", features_only=True, out_indices=(0, 1))
    network.return_layers = {"conv1": "0", "layer1": "1"}
    folded = agree(network, torch.rand(1, 3, 32, 32))
    assert isinstance(folded.bn1, nn.BatchNorm2d)

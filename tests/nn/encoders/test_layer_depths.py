"""Layers from the top: timm's own grouping for its networks, blocks in order for others."""

from __future__ import annotations

import math

import pytest
import timm
from timm.optim._param_groups import param_groups_layer_decay
from torch import nn

from delineate.methods.registry import build
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.encoders.layer_depths import layer_depths
from delineate.nn.meta_device import on_meta_device

NETWORKS = {
    "tf_efficientnet_lite0": (5, 17),  # 16 blocks and the stem
    "resnet18": (5, 9),  # 8 blocks and the stem
    "convnext_atto": (
        4,
        13,
    ),  # 2 + 2 + 6 + 2 blocks, the stem; a down-sampling layer belongs to its stage's first block
    "swin_tiny_patch4_window7_224": (4, 13),  # 2 + 2 + 6 + 2 blocks and the patches
    "vit_tiny_patch16_224": (3, 4),  # the 3 blocks that 3 levels need, and the patches
}


@pytest.mark.parametrize("name", NETWORKS)
def test_depths_are_timms(name: str) -> None:
    """timm's factors of layer-wise decay on its whole network are, for a feature extractor of it, ours, up to the layers above."""
    levels, expected = NETWORKS[name]
    with on_meta_device():
        encoder = Encoder("resnet18", levels=1)
        encoder.name, encoder.network = name, timm.create_model(name, features_only=True, out_indices=range(levels))
        whole = timm.create_model(name)
        factors = {id(p): g["lr_scale"] for g in param_groups_layer_decay(whole, layer_decay=0.5) for p in g["params"]}
    theirs = {key: -math.log2(factors[id(p)]) for key, p in whole.named_parameters()}
    ours = layer_depths(encoder)
    assert ours.keys() == {key for key, _ in encoder.named_parameters()}
    above = set()
    for key, depth in ours.items():
        own = key.removeprefix("network.").removeprefix("model.")
        head, _, rest = own.partition(".")
        before, _, index = head.rpartition("_")
        above.add(round(theirs[own if own in theirs else f"{before}.{index}.{rest}"] - depth))
    assert len(above) == 1, "the same number of layers lies above all"
    assert min(ours.values()) == 1
    assert max(ours.values()) == expected


def test_each_encoder_of_a_method_has_its_own_depths_and_what_is_beside_them_has_none() -> None:
    with on_meta_device():
        method = build("din", options={"encoder": {"name": "convnext_atto"}}, in_channels=1, classes=1)
    streams = method.get_submodule("streams")
    depths = layer_depths(streams)
    for stream in ("original", "enhanced"):
        alone = layer_depths(streams.get_submodule(f"{stream}.encoder"))
        assert {f"{stream}.encoder.{key}": depth for key, depth in alone.items()}.items() <= depths.items()
        assert max(alone.values()) == 13
    assert all(".encoder." in key for key in depths)


def test_other_modules_count_their_blocks() -> None:
    with on_meta_device():
        method = build("resenc", options={"widths": (8, 16), "blocks": (1, 3)}, classes=2, in_channels=3)
    depths = layer_depths(method.get_submodule("encoder"))
    for block, depth in {"stages.1.2.": 1, "stages.1.0.": 3, "stages.0.0.": 4, "stem.": 5}.items():
        assert {found for key, found in depths.items() if key.startswith(block)} == {depth}


def test_a_convolution_with_its_normalization_is_one_layer_and_wrappers_are_opened() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU()),
                nn.Identity(),
                nn.Sequential(nn.Conv2d(2, 2, 1)),
            )
            self.scale = nn.Parameter(nn.Conv2d(1, 1, 1).weight)

    depths = layer_depths(Net())
    assert depths == {
        "scale": 3,
        "body.0.0.weight": 2,
        "body.0.0.bias": 2,
        "body.0.1.weight": 2,
        "body.0.1.bias": 2,
    } | {"body.2.0.weight": 1, "body.2.0.bias": 1}

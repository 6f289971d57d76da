"""Weights of other libraries under timm's names: timm's network computes what theirs does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision.models as tv
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig

from delineate.common.errors import DelineateError
from delineate.nn.encoders.renaming import HEADS, to_timm
from delineate.nn.meta_device import on_meta_device


def scrambled(network: nn.Module) -> nn.Module:
    """Batch statistics and all weights moved, so that no two layers are alike and no error hides behind zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(noise + 0.5 if "running_var" in name else value + 0.1 * (noise - 0.5))
    return network.eval()


def theirs(network: Any) -> Callable[[Tensor], Tensor]:
    return lambda image: network.features(image)


def of_regnet(network: Any) -> Callable[[Tensor], Tensor]:
    return lambda image: network.trunk_output(network.stem(image))


def of_vit(network: Any) -> Callable[[Tensor], Tensor]:
    def run(image: Tensor) -> Tensor:
        tokens = network._process_input(image)
        first = network.class_token.expand(len(tokens), -1, -1)
        return network.encoder(torch.cat([first, tokens], dim=1))

    return run


def small_vit() -> Any:
    return tv.VisionTransformer(
        image_size=64, patch_size=16, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=96, num_classes=5
    )


def small_convnext() -> Any:
    widths = [(8, 12, 1), (12, 16, 2), (16, 24, 1), (24, None, 1)]
    return tv.ConvNeXt([CNBlockConfig(*width) for width in widths], num_classes=5)


SMALL_VIT = {"img_size": 64, "depth": 2, "num_heads": 3, "embed_dim": 24, "num_classes": 5}


@pytest.mark.parametrize(
    ("peer", "run", "encoder", "arguments"),
    [
        (tv.efficientnet_b0, theirs, "efficientnet_b0", {}),
        (tv.mobilenet_v2, theirs, "mobilenetv2_100", {}),
        (small_convnext, theirs, "convnext_tiny", {"depths": (1, 2, 1, 1), "dims": (8, 12, 16, 24), "num_classes": 5}),
        (tv.regnet_y_400mf, of_regnet, "regnety_004", {}),
        (small_vit, of_vit, "vit_tiny_patch16_224", SMALL_VIT),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@torch.no_grad()
def test_torchvision_s_network_is_timm_s(peer: Any, run: Any, encoder: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = scrambled(peer())
    own = timm.create_model(encoder, **arguments).eval()
    renamed = to_timm(network.state_dict(), encoder, list(own.state_dict()))
    trunk = {key: value for key, value in renamed.tensors.items() if not HEADS.match(key)}
    left = own.load_state_dict(trunk, strict=False)
    assert not left.unexpected_keys
    assert all(HEADS.match(key) for key in left.missing_keys)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(own.forward_features(image), run(network)(image), rtol=1e-4, atol=1e-4)


def test_names_of_old_densenets() -> None:
    with on_meta_device():
        own = list(timm.create_model("densenet121").state_dict())
    old = {
        key.replace(".norm1.", ".norm.1.")
        .replace(".conv1.", ".conv.1.")
        .replace(".norm2.", ".norm.2.")
        .replace(".conv2.", ".conv.2."): torch.zeros(1)
        for key in own
    }
    assert list(to_timm(old, "densenet121", own).tensors) == own


@pytest.mark.parametrize("encoder", ["tf_efficientnet_b0", "tf_efficientnet_lite0"])
def test_names_of_efficientnet_pytorch(encoder: str) -> None:
    """The same numbers behind the names that the library has, written out by hand for the first and the second block."""
    own = timm.create_model(encoder).state_dict()
    given = {}
    number = {
        place: index
        for index, place in enumerate(
            sorted(
                {tuple(key.split(".")[1:3]) for key in own if key.startswith("blocks.")},
                key=lambda p: (int(p[0]), int(p[1])),
            )
        )
    }
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    later = {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    }
    squeeze = {"conv_reduce": "_se_reduce", "conv_expand": "_se_expand"}
    around = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    for key, value in own.items():
        parts = key.split(".")
        if parts[0] != "blocks":
            name = ".".join([around[parts[0]], *parts[1:]])
        else:
            table = first if parts[1] == "0" else later
            layer, rest = (squeeze[parts[4]], parts[5:]) if parts[3] == "se" else (table[parts[3]], parts[4:])
            name = ".".join(["_blocks", str(number[parts[1], parts[2]]), layer, *rest])
        given[name] = value
    assert "_blocks.1._expand_conv.weight" in given
    renamed = to_timm(given, encoder, list(own))
    assert renamed.library == "efficientnet_pytorch"
    assert renamed.tensors.keys() == own.keys()
    assert all(renamed.tensors[key] is value for key, value in own.items())
    with pytest.raises(DelineateError, match="use --encoder tf_efficientnet_b0"):
        to_timm(given, "efficientnet_b0", list(own))


@pytest.mark.parametrize("registers", [0, 4])
def test_names_of_dinov2_s_teacher(registers: int) -> None:
    """Against timm's own reading of such files."""
    torch.manual_seed(0)
    network = VisionTransformer(
        **SMALL_VIT, patch_size=16, reg_tokens=registers, no_embed_class=registers > 0, init_values=1e-5
    )
    own = network.state_dict()
    file = {"mask_token": torch.zeros(1, 24)}
    for key, value in own.items():
        chunked = key.replace("blocks.", "blocks.0.")
        file["register_tokens" if key == "reg_token" else chunked] = torch.rand(value.shape)
    if registers:
        file["pos_embed"] = torch.rand(1, 17, 24)
    expected = checkpoint_filter_fn(
        {key.replace("blocks.0.", "blocks."): value for key, value in file.items()}, network
    )
    teacher = {f"backbone.{key}": value for key, value in file.items()} | {"dino_head.mlp.0.weight": torch.zeros(1)}
    renamed = to_timm(teacher, "vit_small_patch14_dinov2", list(own))
    assert renamed.library == "DINOv2"
    assert renamed.tensors.keys() == own.keys()
    for key, value in renamed.tensors.items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize("encoder", ["tf_efficientnet_b0", "efficientnet_b5", "efficientnetv2_s"])
def test_torchvision_s_efficientnet_is_no_other(encoder: str) -> None:
    with pytest.raises(DelineateError, match="would compute something else"):
        to_timm({"features.1.0.block.0.0.weight": torch.zeros(1)}, encoder, ["blocks.0.0.x"])

"""The encoder with two encoder: its high maps are the encoder's, its low ones come from where they should."""

from __future__ import annotations

import pytest
import torch

from delineate.common.errors import RecipeError
from delineate.nn.encoders.two_level import TwoLevelEncoder
from delineate.nn.fuse import fold_batchnorm

SPLIT = [
    ("convnext_zepto_rms", "stages_{}.blocks.0", (32, 64, 128, 256)),
    ("convnextv2_atto", "stages_{}.blocks.0", (40, 80, 160, 320)),
    ("resnet18", "layer{}.0", (64, 128, 256, 512)),
    ("swin_tiny_patch4_window7_224", "layers_{}.blocks.0", (96, 192, 384, 768)),
    ("resnetv2_50", "stages_{}.blocks.0", (256, 512, 1024, 2048)),
]


@pytest.mark.parametrize(("name", "block", "channels"), SPLIT)
def test_first_block_and_last_of_each_stage(name: str, block: str, channels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = TwoLevelEncoder(name).eval()
    assert encoder.splits_stages
    assert encoder.channels == encoder.low_channels == channels
    network, image, seen = encoder.encoder.network, torch.rand(1, 3, 64, 64), []
    first = 1 if "layer{}" in block else 0
    for level in range(first, first + 4):
        part = network.get_submodule(block.format(level))
        part.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    with torch.no_grad():
        expected = encoder.encoder(image)[-4:]
        wanted = list(seen)
        seen.clear()
        levels = encoder(image)
    for (low, high), whole, block_output in zip(levels, expected, wanted, strict=True):
        assert torch.equal(high, whole)
        assert torch.equal(low, block_output if low.shape == block_output.shape else block_output.permute(0, 3, 1, 2))


def test_after_the_downsampling() -> None:
    encoder = TwoLevelEncoder("convnext_zepto_rms", low="downsampling").eval()
    seen = []
    for level in range(4):
        part = encoder.encoder.network.get_submodule(f"stages_{level}.downsample")
        part.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        levels = encoder(torch.rand(1, 3, 64, 64))
    assert all(torch.equal(low, wanted) for (low, _), wanted in zip(levels, seen, strict=True))


@pytest.mark.parametrize(
    ("name", "low_channels"),
    [("pvt_v2_b0", (3, 32, 64, 160)), ("efficientnet_lite0", (16, 24, 40, 112)), ("vgg11_bn", (128, 256, 512, 512))],
)
def test_stages_of_unknown_structure_take_the_previous_level(name: str, low_channels: tuple[int, ...]) -> None:
    encoder = TwoLevelEncoder(name).eval()
    assert not encoder.splits_stages
    assert encoder.low_channels == low_channels
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        levels, maps = encoder(image), [image, *encoder.encoder(image)]
    for index, (low, high) in enumerate(levels):
        before = maps[len(maps) - 5 + index]
        factor = before.shape[2] // high.shape[2]
        assert torch.allclose(low, torch.nn.functional.avg_pool2d(before, factor), atol=1e-6)
        assert torch.equal(high, maps[len(maps) - 4 + index])


@pytest.mark.parametrize("name", ["convnext_zepto_rms", "resnet18", "pvt_v2_b0"])
@pytest.mark.parametrize("size", [(32, 32), (33, 70)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    encoder = TwoLevelEncoder(name).eval()
    with torch.no_grad():
        levels = encoder(torch.rand(1, 3, *size))
    for (low, high), reduction in zip(levels, (4, 8, 16, 32), strict=True):
        assert low.shape[2:] == high.shape[2:] == tuple(-(-side // reduction) for side in size)


def test_folding_batchnorm_keeps_both_taps() -> None:
    torch.manual_seed(0)
    encoder = TwoLevelEncoder("resnet18").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for before, after in zip(encoder(image), fold_batchnorm(encoder)(image), strict=True):
            assert torch.allclose(before.low, after.low, atol=1e-4)
            assert torch.allclose(before.high, after.high, atol=1e-4)


def test_open_residuals_sets_every_layer_scale_and_nothing_else() -> None:
    torch.manual_seed(0)
    encoder = TwoLevelEncoder("convnext_zepto_rms")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.set_layer_scale(0.5)
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert len(changed) == 2 + 2 + 4 + 2
    assert all(name.endswith(".gamma") for name in changed)


@pytest.mark.parametrize("name", ["resnet18", "resnetv2_50", "pvt_v2_b0"])
def test_a_network_without_downsampling_layers_of_its_own_says_so(name: str) -> None:
    with pytest.raises(RecipeError, match=f"'{name}' has no separate down-sampling layers"):
        TwoLevelEncoder(name, low="downsampling")


def test_too_few_levels() -> None:
    with pytest.raises(RecipeError, match="fewer than the 9 feature maps"):
        TwoLevelEncoder("resnet18", levels=9)

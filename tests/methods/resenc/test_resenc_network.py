from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.testing.examples import as_batch, context, example_batch, tiny
from delineate.nn.counting import count_cost
from delineate.nn.deep_supervision import level_weights, subsampled
from delineate.nn.losses import cross_entropy, dice
from delineate.nn.residual import InstanceNorm, ResidualBlock


def test_tiny_costs_less_than_a_gflop() -> None:
    assert count_cost(tiny("resenc"), in_channels=3, size=(128, 128)).gigaflops < 1


def test_levels_weigh_half_of_the_one_before_and_sum_to_one() -> None:
    assert level_weights(1) == (1.0,)
    assert level_weights(3) == pytest.approx((4 / 7, 2 / 7, 1 / 7))


@pytest.mark.parametrize(("stages", "heads"), [(2, 1), (3, 1), (5, 3), (7, 5)])
def test_the_two_lowest_resolutions_are_not_supervised(stages: int, heads: int) -> None:
    method = registry.build("resenc", options={"widths": [4] * stages, "blocks": [1] * stages})
    assert len(method.get_submodule("heads")._modules) == heads


def test_the_loss_is_the_weighted_sum_over_the_levels() -> None:
    options = {"widths": [4, 8, 8, 8], "blocks": [1, 1, 1, 1]}
    method = registry.build("resenc", classes=4, options=options)
    batch = example_batch(2, classes=4)
    maps = method._features(batch["image"])  # type: ignore[operator]
    logits = [head(x) for head, x in zip(method.heads, maps, strict=False)]  # type: ignore[call-overload]
    masks = [batch["mask"], batch["mask"][:, 1::2, 1::2]]
    expected = sum(
        weight * (cross_entropy(x, y) + dice(x, y, smooth=1e-5, pool="batch"))
        for weight, x, y in zip((2 / 3, 1 / 3), logits, masks, strict=True)
    )
    found = method.objective(batch, context())
    assert found.keys() == {"cross_entropy", "dice"}
    assert torch.allclose(found["cross_entropy"] + found["dice"], torch.as_tensor(expected), rtol=1e-5)


def test_padding_is_not_learned_from() -> None:
    """What an odd size is padded with has no label: the loss is that of the padded image with ignored labels there."""
    method = tiny("resenc").eval()
    batch = example_batch(1, size=72)
    image = F.pad(batch["image"], (0, 8, 0, 8), mode="replicate")
    padded = as_batch(image, F.pad(batch["mask"], (0, 8, 0, 8), value=255))
    one, other = method.objective(batch, context()), method.objective(padded, context())
    assert all(torch.allclose(one[key], other[key]) for key in one)


def test_coarse_labels_come_from_the_middle_of_their_cells() -> None:
    mask = torch.arange(64).view(1, 8, 8)
    assert torch.equal(subsampled(mask, 1), mask)
    assert subsampled(mask, 4).tolist() == [[[18, 22], [50, 54]]]


def test_instance_norm_is_pytorchs() -> None:
    norm, reference = InstanceNorm(3), nn.InstanceNorm2d(3, affine=True)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        reference.weight.copy_(norm.weight)
    x = torch.randn(2, 3, 5, 7) * 4 + 1
    assert torch.allclose(norm(x), reference(x), atol=1e-5)


def test_a_map_of_one_pixel_is_trained_on() -> None:
    block = ResidualBlock(3, 4, stride=2).train()
    result = block(torch.rand(1, 3, 2, 2))
    assert result.shape == (1, 4, 1, 1)
    result.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in block.parameters() if p.grad is not None)


def test_the_shortcut_sees_every_pixel() -> None:
    block = ResidualBlock(2, 2, stride=2)
    for name, parameter in block.named_parameters():
        if "conv2.norm" in name:
            nn.init.zeros_(parameter)
    x = torch.rand(1, 2, 4, 4)
    assert torch.allclose(block(x), F.avg_pool2d(x, 2))


def test_deployed_network_has_one_head_and_needs_no_labels() -> None:
    method = tiny("resenc")
    lean = method.deploy()
    assert len(lean.get_submodule("heads")._modules) == 1
    assert len(method.get_submodule("heads")._modules) == 3
    assert not any(parameter.requires_grad for parameter in lean.parameters())


def test_given_statistics_are_taken_off() -> None:
    statistics = {"mean": [0.5], "std": [0.25]}
    method = registry.build("resenc", in_channels=1, options={**statistics, "widths": [4, 8], "blocks": [1, 1]})
    assert method.get_submodule("normalize")(torch.tensor([[[[1.0]]]])).item() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": [4, 8], "blocks": [1]}, "1 entries in blocks, 2 in widths"),
        ({"mean": [0.5]}, "mean and std go together"),
        ({"mean": [0.5], "std": [0.0]}, "std"),
        ({"mean": [0.5], "std": [0.1]}, "1 and 1 values given for 3 channels"),
    ],
)
def test_faulty_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        registry.build("resenc", options=options)

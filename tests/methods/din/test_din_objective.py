"""DIN's losses on cases that follow by hand, and what they must not look at."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from delineate.common.config import merge
from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.din.objective import DINLossOptions, probability_maps, squared_dice, terms
from delineate.methods.testing.examples import context, example_batch
from delineate.nn.losses import IGNORE

HALF = math.log(3)
"""Logit of probability 3/4."""


def half_plane() -> tuple[Tensor, Tensor]:
    """8×8: the right half is foreground; predicted with probability 3/4 there and 1/4 elsewhere."""
    target = torch.zeros(1, 8, 8, dtype=torch.long)
    target[..., 4:] = 1
    return HALF * (2.0 * target[:, None] - 1), target


# Both classes alike: 32 pixels of the class with p = 3/4, 32 others with p = 1/4. Σpy = 24, Σp² = 32·9/16 + 32/16 = 20, Σy² = 32:
# 1 − 48/52 = 1/13. Cross-entropy −ln ¾ everywhere. The edge has height ½ instead of 1: what is left is 1.75·½ of the boundary
# loss of an edge that is missed altogether (1.75; see the boundary loss's own tests).
def test_values_by_hand() -> None:
    found = terms(*half_plane(), DINLossOptions(gradient="morphological"))
    assert float(found["cross_entropy"]) == pytest.approx(0.3 * -math.log(3 / 4), abs=1e-6)
    assert float(found["dice"]) == pytest.approx(0.7 / 13, abs=1e-6)
    assert float(found["boundary"]) == pytest.approx(1.75 / 2, abs=1e-6)


@pytest.mark.parametrize("gradient", ["central", "sobel", "laplacian", "morphological"])
def test_one_channel_is_the_same_as_two_classes(gradient: str) -> None:
    logits, target = half_plane()
    options = DINLossOptions(gradient=gradient)
    two = terms(torch.cat((torch.zeros_like(logits), logits), 1), target, options)
    for name, value in terms(logits, target, options).items():
        assert torch.allclose(value, two[name], atol=1e-6), name


# Three classes over 4 pixels, labels 0 0 1 2, predicted 0 0 1 1 with certainty. Class 0: 1 − 4/4, class 1: 1 − 2/3, class 2:
# 1 − 0/1.
def test_dice_is_the_mean_of_all_classes_with_the_background() -> None:
    target = torch.tensor([[[0, 0], [1, 2]]])
    logits = torch.nn.functional.one_hot(torch.tensor([[[0, 0], [1, 1]]]), 3).movedim(3, 1) * 100.0
    assert float(squared_dice(*probability_maps(logits, target))) == pytest.approx((0 + 1 / 3 + 1) / 3, abs=1e-4)


# Image 1 all right (8 of 8 foreground), image 2 all wrong (0 of 8): over the batch foreground has Σpy = 8, Σp² = 16, Σy² = 8.
def test_dice_pools_the_batch_or_each_image() -> None:
    target = torch.stack((torch.ones(2, 4), torch.zeros(2, 4))).long()
    predicted = torch.full((2, 1, 2, 4), 100.0)
    batch = (1 - 16 / 24, 1.0)
    assert float(squared_dice(*probability_maps(predicted, target))) == pytest.approx(sum(batch) / 2, abs=1e-4)
    images = ((0.0, 0.0), (1.0, 1.0))
    mean = sum(map(sum, images)) / 4
    assert float(squared_dice(*probability_maps(predicted, target), pool="image")) == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("pool", ["batch", "image"])
def test_unlabeled_images_and_ignored_pixels_add_nothing(classes: int, pool: str) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, classes, 16, 16, generator=random, requires_grad=True)
    target = torch.randint(0, max(2, classes), (3, 16, 16), generator=random)
    target[2] = IGNORE
    target[0, :5] = IGNORE
    total = torch.stack(list(terms(logits, target, DINLossOptions(pool=pool)).values())).sum()
    (gradient,) = torch.autograd.grad(total, logits)
    assert torch.isfinite(gradient).all()
    assert (gradient.movedim(1, 3)[target == IGNORE] == 0).all()
    assert (gradient.movedim(1, 3)[target != IGNORE] != 0).any()


def test_boundary_without_background_leaves_its_map_out() -> None:
    random = torch.Generator().manual_seed(0)
    logits, target = torch.randn(1, 3, 16, 16, generator=random), torch.randint(0, 3, (1, 16, 16), generator=random)
    target[target == 2] = 1
    with_it, without = (
        float(terms(logits, target, DINLossOptions(background=flag))["boundary"]) for flag in (True, False)
    )
    assert with_it != pytest.approx(without, rel=1e-3)


def test_a_term_of_weight_zero_is_not_computed() -> None:
    assert set(terms(*half_plane(), DINLossOptions(boundary=0))) == {"cross_entropy", "dice"}
    assert set(terms(*half_plane(), DINLossOptions(dice=0, cross_entropy=0))) == {"boundary"}


@pytest.mark.parametrize(
    ("ramp", "progress", "share"),
    [(0, 0, 1), (0, 0.3, 1), (0.5, 0, 0), (0.5, 0.1, 0.2), (0.5, 0.5, 1), (0.5, 0.9, 1), (1, 0.75, 0.75)],
)
def test_the_boundarys_weight_rises(ramp: float, progress: float, share: float) -> None:
    plain = terms(*half_plane(), DINLossOptions(boundary=2))
    found = terms(*half_plane(), DINLossOptions(boundary=2, boundary_ramp=ramp), progress)
    assert float(found.pop("boundary")) == pytest.approx(share * float(plain["boundary"]), abs=1e-7)
    assert all(torch.equal(value, plain[name]) for name, value in found.items())


def test_the_ramp_follows_the_steps_of_training_and_validation_has_the_final_loss() -> None:
    torch.manual_seed(0)
    options = merge(registry.presets("din")["tiny"]["method"], {"dropout": 0, "loss": {"boundary_ramp": 0.5}})
    method, batch = registry.build("din", options=options), example_batch()

    def boundary(step: int) -> float:
        return float(method.objective(batch, replace(context(step=step), total_steps=40))["boundary"])

    full = boundary(20)
    assert full > 0
    assert [boundary(step) / full for step in (0, 5, 10, 39)] == pytest.approx([0, 1 / 4, 1 / 2, 1])
    method.eval()
    assert boundary(0) == boundary(5) == boundary(20) > 0


def test_nothing_to_learn_is_an_error() -> None:
    with pytest.raises(RecipeError, match="at least one of cross_entropy, dice and boundary"):
        registry.build("din", options={"loss": {"cross_entropy": 0, "dice": 0, "boundary": 0}})


def test_a_ramp_of_no_boundary_loss_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"boundary_ramp raises the weight .* boundary is 0") as caught:
        registry.build("din", options={"loss": {"boundary": 0, "boundary_ramp": 0.5}})
    assert "\n" not in str(caught.value)

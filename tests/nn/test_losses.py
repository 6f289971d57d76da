from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.losses import (
    IGNORE,
    bce,
    boundary,
    cross_entropy,
    dice,
    focal,
    foreground_target,
    tversky,
)

PIXELWISE = [cross_entropy, dice, tversky, focal]
MENU = [*PIXELWISE, boundary]


def example(classes: int, count: int = 3, seed: int = 0, *, ignore: bool = True) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, 6, 5, generator=random)
    target = torch.randint(0, max(2, classes), (count, 6, 5), generator=random)
    if ignore:
        target[torch.rand(target.shape, generator=random) < 0.2] = IGNORE
    return logits, target


@pytest.mark.parametrize("loss", MENU)
@pytest.mark.parametrize("classes", [1, 4])
@given(seed=st.integers(0, 1000), count=st.integers(1, 4))
@settings(max_examples=8, deadline=None)
def test_batch_is_the_mean_of_its_samples(loss, classes: int, seed: int, count: int) -> None:
    logits, target = example(classes, count, seed)
    each = torch.stack([loss(logits[i : i + 1], target[i : i + 1]) for i in range(count)])
    assert torch.allclose(loss(logits, target), each.mean(), atol=1e-6)
    assert (each >= -1e-6).all()


@pytest.mark.parametrize("loss", PIXELWISE)
@pytest.mark.parametrize("classes", [1, 4])
def test_ignored_pixels_get_no_gradient_and_others_do(loss, classes: int) -> None:
    logits, target = example(classes)
    logits.requires_grad_()
    (grad,) = torch.autograd.grad(loss(logits, target), logits)
    ignored = (target == IGNORE)[:, None].expand_as(grad)
    assert (grad[ignored] == 0).all()
    assert (grad[~ignored] != 0).float().mean() > 0.9


@pytest.mark.parametrize("loss", MENU)
@pytest.mark.parametrize("classes", [1, 4])
def test_a_sample_without_labels_counts_as_zero(loss, classes: int) -> None:
    logits, target = example(classes, 2)
    target[1] = IGNORE
    logits.requires_grad_()
    value = loss(logits, target)
    (grad,) = torch.autograd.grad(value, logits)
    assert torch.allclose(value, loss(logits[:1], target[:1]) / 2)
    assert torch.isfinite(grad).all()
    assert (grad[1] == 0).all()


@pytest.mark.parametrize("loss", MENU)
@pytest.mark.parametrize("classes", [1, 4])
def test_float32_under_autocast(loss, classes: int) -> None:
    logits, target = example(classes)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits.bfloat16(), target)
    assert value.dtype == torch.float32
    assert torch.allclose(value, loss(logits.bfloat16().float(), target))


def test_cross_entropy_agrees_with_torch() -> None:
    logits, target = example(4, 1)
    weights = (0.5, 1.0, 2.0, 3.0)
    expected = F.cross_entropy(logits, target, weight=torch.tensor(weights), ignore_index=IGNORE)
    assert torch.allclose(cross_entropy(logits, target, class_weights=weights), expected)
    assert torch.allclose(cross_entropy(logits, target), F.cross_entropy(logits, target, ignore_index=IGNORE))


def test_bce_agrees_with_torch_and_with_two_classes() -> None:
    logits, target = example(1, 1, ignore=False)
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], target.float())
    assert torch.allclose(bce(logits, target), expected)
    two = torch.cat((torch.zeros_like(logits), logits), 1)
    assert torch.allclose(
        bce(logits, target, class_weights=(0.3, 2)), cross_entropy(two, target, class_weights=(0.3, 2))
    )


def test_bce_takes_soft_targets() -> None:
    logits, _ = example(1, 2)
    soft = torch.rand(2, 6, 5)
    assert torch.allclose(bce(logits, soft), F.binary_cross_entropy_with_logits(logits[:, 0], soft))


def test_dice_by_hand() -> None:
    logits = torch.tensor([[[[100.0, 100.0, -100.0, -100.0]]]])
    target = torch.tensor([[[1, 0, 1, 0]]])
    assert dice(logits, target).item() == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))
    assert dice(logits, target, smooth=0).item() == pytest.approx(0.5)
    assert dice(logits, (logits[:, 0] > 0).long()).item() == pytest.approx(0, abs=1e-6)


def test_dice_of_empty_images_is_finite_and_right() -> None:
    nothing = torch.zeros(1, 4, 4, dtype=torch.long)
    assert dice(torch.full((1, 1, 4, 4), -50.0), nothing).item() == pytest.approx(0, abs=1e-6)
    assert dice(torch.full((1, 1, 4, 4), 50.0), nothing).item() == pytest.approx(1 - 1 / 17)


def test_dice_over_the_batch_pools_first() -> None:
    logits, target = example(3, 2, ignore=False)
    pooled = dice(torch.cat(tuple(logits), 1)[None], torch.cat(tuple(target), 0)[None])
    assert torch.allclose(dice(logits, target, pool="batch"), pooled)


def test_tversky_weighs_misses() -> None:
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    target[0, :2] = 1
    all_on, all_off = torch.full((1, 1, 4, 4), 20.0), torch.full((1, 1, 4, 4), -20.0)
    miss, alarm = tversky(all_off, target, smooth=1e-6), tversky(all_on, target, smooth=1e-6)
    assert miss.item() == pytest.approx(1, abs=1e-4)
    assert alarm.item() == pytest.approx(1 - 8 / (8 + 0.3 * 8), abs=1e-4)
    assert torch.allclose(tversky(all_on, target, alpha=0.5, beta=0.5, smooth=0.5), dice(all_on, target))


def test_focal_without_gamma_is_cross_entropy() -> None:
    for classes in (1, 4):
        logits, target = example(classes)
        assert torch.allclose(focal(logits, target, gamma=0), cross_entropy(logits, target))
        assert focal(logits, target) < cross_entropy(logits, target)


def test_foreground_keeps_ignored_pixels() -> None:
    assert foreground_target(torch.tensor([[0, 1, 3, IGNORE]])).tolist() == [[0, 1, 1, IGNORE]]

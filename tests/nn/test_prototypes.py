"""Prototypes: what must hold of them whatever the features are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.prototypes import (
    channel_max,
    cosine_scores,
    mean_prototype,
    peak_location,
    prior_map,
    resize_mask,
    top_k_mean,
    upsampling_weights,
)

POOLS = {"mean": mean_prototype, "max": channel_max, "top": top_k_mean, "peak": peak_location}


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def half(batch: int, height: int, width: int) -> Tensor:
    """A mask of the upper half."""
    mask = torch.zeros(batch, height, width)
    mask[:, : height // 2] = 1
    return mask


@pytest.mark.parametrize("pool", POOLS)
def test_constant_features_are_their_own_prototype(pool: str) -> None:
    constant = features(2, 5)
    found = POOLS[pool](constant[:, :, None, None].expand(-1, -1, 6, 8), half(2, 6, 8))
    torch.testing.assert_close(found, constant, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_the_shots_pixels_are_pooled_as_if_they_were_one_image(pool: str) -> None:
    x, mask = features(2, 3, 5, 6, 8), (features(2, 3, 6, 8, seed=1) > 0).float()
    wide = x.permute(0, 2, 3, 1, 4).reshape(2, 5, 6, 24)
    torch.testing.assert_close(
        POOLS[pool](x, mask), POOLS[pool](wide, mask.permute(0, 2, 1, 3).reshape(2, 6, 24)), atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize("pool", POOLS)
def test_a_pixel_outside_the_mask_is_not_seen(pool: str) -> None:
    x, mask = features(1, 5, 6, 8), half(1, 6, 8)
    other = torch.where(mask[:, None] > 0, x, 100 + x)
    torch.testing.assert_close(POOLS[pool](x, mask), POOLS[pool](other, mask))


def test_an_empty_mask_has_the_mean_zero_and_the_peak_of_its_largest_values() -> None:
    x, mask = features(1, 5, 6, 8).requires_grad_(), torch.zeros(1, 6, 8)
    assert torch.equal(mean_prototype(x, mask), torch.zeros(1, 5))
    mask[0, 2, 3] = 0.4
    for pool in (channel_max, top_k_mean, peak_location):
        found = pool(x, mask)
        assert torch.equal(found, x[:, :, 2, 3])
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert torch.isfinite(gradient).all()


def test_max_top_k_and_mean_are_ordered_and_meet_at_their_ends() -> None:
    x, mask = features(3, 5, 6, 8), half(3, 6, 8)
    highest, mean = channel_max(x, mask), mean_prototype(x, mask)
    assert (highest >= mean - 1e-5).all()
    torch.testing.assert_close(top_k_mean(x, mask, 0.0), highest)
    torch.testing.assert_close(top_k_mean(x, mask, 1.0), mean, atol=1e-5, rtol=1e-5)
    assert (top_k_mean(x, mask, 0.5) <= highest).all()
    single = torch.zeros(3, 6, 8)
    single[:, 4, 4] = 1
    torch.testing.assert_close(channel_max(x, single), mean_prototype(x, single), atol=1e-4, rtol=1e-4)


def test_top_k_counts_each_samples_own_pixels() -> None:
    x = torch.arange(40.0).view(1, 1, 5, 8).expand(2, -1, -1, -1)
    mask = torch.ones(2, 5, 8)
    mask[1, :, 1:] = 0
    found = top_k_mean(x, mask, 0.1)
    assert found.flatten().tolist() == [(39 + 38 + 37 + 36) / 4, 32]
    assert top_k_mean(x[:1, :, :, :6], mask[:1, :, :6], 0.1).item() == pytest.approx((37 + 36 + 35) / 3)


def test_the_peak_lies_where_the_response_is_largest() -> None:
    x, mask, response = features(1, 5, 6, 8), half(1, 6, 8), torch.zeros(1, 6, 8)
    response[0, 1, 2], response[0, 5, 5] = 1, 2
    assert torch.equal(peak_location(x, mask, response), x[:, :, 1, 2])


def test_the_prior_is_one_where_the_query_repeats_a_foreground_pixel() -> None:
    query, support, mask = features(2, 5, 6, 8), features(2, 3, 5, 4, 4, seed=1), torch.zeros(2, 3, 4, 4)
    mask[:, 1, 2, 2] = 1
    query[:, :, 3, 3] = 7 * support[:, 1, :, 2, 2]
    found = prior_map(query, support, mask)
    assert found.shape == (2, 1, 6, 8)
    assert found.min() == 0
    assert found[:, 0, 3, 3].tolist() == pytest.approx([1, 1])
    assert (found.flatten(1).argmax(1) == 3 * 8 + 3).all()
    assert torch.equal(prior_map(torch.ones(1, 5, 2, 2), support[:1], mask[:1]), torch.zeros(1, 1, 2, 2))


def test_cosines_are_scaled_and_one_state_serves_many_queries() -> None:
    x = features(3, 5, 6, 8)
    found = cosine_scores(x, x[:, None, :, 2, 2])
    assert found[:, 0, 2, 2].tolist() == pytest.approx([20, 20, 20])
    prototypes = features(1, 4, 5, seed=2)
    torch.testing.assert_close(cosine_scores(x, prototypes), cosine_scores(x, prototypes.expand(3, -1, -1)))
    expected = 20 * F.cosine_similarity(x[:, None], prototypes[..., None, None], dim=2)
    torch.testing.assert_close(cosine_scores(x, prototypes), expected, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cosine_scores(x, prototypes), expected, atol=1e-4, rtol=1e-4)


def test_cosines_with_a_zero_vector_are_zero_and_differentiable() -> None:
    zero = torch.zeros(1, 2, 5, requires_grad=True)
    found = cosine_scores(features(1, 5, 6, 8), zero)
    (gradient,) = torch.autograd.grad(found.sum(), zero)
    assert torch.equal(found, torch.zeros(1, 2, 6, 8))
    assert torch.isfinite(gradient).all()


def test_ignored_pixels_are_neither_foreground_nor_background() -> None:
    mask = torch.tensor([[0, 1], [255, 1]]).repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None]
    inside, outside = (resize_mask(mask, (2, 2), label=label) for label in (1, 0))
    assert inside.tolist() == [[[[0, 1], [0, 1]]]]
    assert outside.tolist() == [[[[1, 0], [0, 0]]]]
    assert resize_mask(mask, (1, 1)).item() == 0.5
    assert resize_mask(mask, (1, 1), soft=False).item() == 0


@pytest.mark.parametrize("size", [(4, 5), (7, 9), (1, 30)])
def test_pooling_by_the_adjoint_is_pooling_of_up_sampled_features(size: tuple[int, int]) -> None:
    x, weights = features(2, 5, *size), (features(2, 33, 30, seed=1) > 0).float()
    raised = F.interpolate(x, size=(33, 30), mode="bilinear", align_corners=False)
    small = upsampling_weights(weights, size)
    torch.testing.assert_close(mean_prototype(x, small), mean_prototype(raised, weights), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(small.sum((1, 2)), weights.sum((1, 2)))

"""IPSL's prototypes, their interaction and the query's self-learning against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.methods.ipsl.interaction import Interaction, confident, contrast, nearest_scores, peak_prototypes
from delineate.methods.ipsl.self_learning import SelfLearningOptions, local_background, self_learned


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("size", "expected"), [((5, 7), 12), ((2, 3), 6)])
def test_without_a_confident_pixel_the_twelve_highest_stand_in_or_all(size: tuple[int, int], expected: int) -> None:
    probability = 0.69 * torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    probability[1, 0, 0] = 0.71
    chosen = confident(probability, 0.7, 12)
    assert chosen.flatten(1).sum(1).tolist() == [expected, 1]
    rest = probability[0][~chosen[0]]
    assert rest.numel() == 0 or float(probability[0][chosen[0]].min()) >= float(rest.max())


def test_fallback_averages_exactly_twelve_pixels() -> None:
    """Foreground by hand: nothing is above .7, so FP = ½ given + ½ mean of the 12 most probable pixels."""
    features, given = random(1, 6, 5, 5), random(1, 2, 6, seed=1)
    probability = torch.linspace(0.1, 0.5, 25).view(1, 5, 5)
    options = SelfLearningOptions(global_share=1.0)
    pixels = features[0].flatten(1)
    foreground = 0.5 * F.normalize(given[0, 1], dim=0) + 0.5 * F.normalize(pixels[:, 13:].mean(1), dim=0)
    sure = 1 - probability.flatten() > 0.6
    background = pixels[:, sure].mean(1)
    expected = 10 * (
        F.cosine_similarity(pixels, foreground[:, None], dim=0)
        - F.cosine_similarity(pixels, background[:, None], dim=0)
    )
    assert torch.allclose(self_learned(features, given, probability, options).flatten(), expected, atol=1e-4)


def test_local_background_is_the_attention_of_the_formula() -> None:
    features = random(2, 4, 3, 3)
    outside = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(1)) > 0.5
    found = local_background(features, outside)
    for sample in range(2):
        pixels = features[sample].flatten(1).T
        directions = F.normalize(pixels, dim=1)
        there = outside[sample].flatten()
        weights = (2 * directions @ directions[there].T).softmax(1)
        expected = F.normalize(weights @ pixels[there], dim=1)
        assert torch.allclose(found[sample].flatten(1).T, expected, atol=1e-5)


def test_second_pass_mixes_prototypes_and_outputs() -> None:
    """Where all background is one direction and the foreground another, every mixture is the same and so is the result."""
    features = torch.zeros(1, 2, 4, 4)
    features[:, 0, :, :2], features[:, 1, :, 2:] = 3.0, 2.0
    probability = torch.full((1, 4, 4), 0.1)
    probability[..., :2] = 0.9
    given = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    for passes in (1, 2):
        found = self_learned(features, given, probability, SelfLearningOptions(passes=passes))
        assert torch.allclose(found[..., :2], torch.tensor(10.0), atol=1e-4)
        assert torch.allclose(found[..., 2:], torch.tensor(-10.0), atol=1e-4)


def test_second_pass_by_hand() -> None:
    """From the first pass's own result, with the shares .5, .2, .3 and the outputs' .7, .3; background all global."""
    features, given = random(1, 6, 5, 5), random(1, 2, 6, seed=1)
    options = SelfLearningOptions(global_share=1.0, passes=2)
    pixels = features[0].flatten(1)
    start = F.normalize(given[0], dim=1)

    def cosine(prototype: Tensor) -> Tensor:
        return 10 * F.cosine_similarity(pixels, prototype[:, None], dim=0)

    def own(probability: Tensor) -> tuple[Tensor, Tensor]:
        sure = [confident(p.view(1, 5, 5), t, 12).flatten() for p, t in ((probability, 0.7), (1 - probability, 0.6))]
        inside, outside = (F.normalize(pixels[:, chosen].mean(1), dim=0) for chosen in sure)
        return 0.5 * start[1] + 0.5 * inside, outside

    probability = torch.linspace(0.1, 0.9, 25)
    first = own(probability)
    one = cosine(first[0]) - cosine(first[1])
    second = own(torch.sigmoid(one))
    mixed = [0.5 * a + 0.2 * b + 0.3 * c for a, b, c in zip((start[1], start[0]), first, second, strict=True)]
    expected = 0.7 * (cosine(mixed[0]) - cosine(mixed[1])) + 0.3 * one
    found = self_learned(features, given, probability.view(1, 5, 5), options)
    assert torch.allclose(found.flatten(), expected, atol=1e-4)


@pytest.mark.parametrize("attention", [True, False])
def test_interaction_does_not_know_which_image_is_the_support(attention: bool) -> None:
    torch.manual_seed(0)
    module = Interaction(16, heads=4, attention=attention)
    if attention:
        torch.nn.init.normal_(module.project.weight)
    support, query = random(3, 2, 16), random(3, 2, 16, seed=1)
    assert torch.allclose(module(support, query), module(query, support), atol=1e-5)
    # Classes do not see each other.
    other = torch.stack((support[:, 0], random(3, 16, seed=2)), 1)
    assert torch.allclose(module(other, query)[:, 0], module(support, query)[:, 0], atol=1e-6)


def test_interaction_without_parameters_is_half_of_each_and_with_them_starts_there() -> None:
    torch.manual_seed(0)
    support, query = random(2, 2, 16), random(2, 2, 16, seed=1)
    half = (F.normalize(support, dim=2) + F.normalize(query, dim=2)) / 2
    assert torch.allclose(Interaction(16, heads=4, attention=False)(support, query), half, atol=1e-6)
    assert torch.allclose(Interaction(16, heads=4, attention=True)(support, query), half, atol=0.1)


def vectors(*angles: float) -> Tensor:
    """Background and foreground as unit vectors of the plane, 1×2×2."""
    turned = torch.tensor(angles)
    return torch.stack((turned.cos(), turned.sin()), 1)[None]


def test_contrast_falls_within_classes_and_rises_between_them() -> None:
    # Products are held apart by a third dimension: each case changes the named one alone.
    s_bg, s_fg, q_bg = torch.eye(4)[0], torch.eye(4)[1], torch.eye(4)[2]

    def loss(same: float, other: float, own: float) -> float:
        """⟨s_fg,q_fg⟩ = same, ⟨s_bg,q_fg⟩ = other, ⟨s_fg,s_bg⟩ = own."""
        s = torch.stack((own * s_fg + (1 - own**2) ** 0.5 * s_bg, s_fg))
        across = (other - own * same) / (1 - own**2) ** 0.5
        q_fg = same * s_fg + across * s_bg + (1 - same**2 - across**2) ** 0.5 * torch.eye(4)[3]
        return float(contrast(s[None], torch.stack((q_bg, q_fg))[None], 0.1))

    assert loss(0.8, 0, 0) < loss(0.4, 0, 0) < loss(0.0, 0, 0)
    assert loss(0.4, 0.3, 0) > loss(0.4, 0, 0) > loss(0.4, -0.3, 0)
    assert loss(0.4, 0, 0.3) > loss(0.4, 0, 0) > loss(0.4, 0, -0.3)


def test_contrast_is_least_for_equal_images_with_antipodal_classes() -> None:
    pi = torch.pi
    least = float(contrast(vectors(0, pi), vectors(0, pi), 1.0))
    # Both classes: −log(e / (e + 2/e)).
    assert least == pytest.approx(2 * math.log1p(2 * math.exp(-2)), abs=1e-5)
    for angle in (0.3, 1.0, 2.0):
        assert float(contrast(vectors(0, pi), vectors(angle, pi), 1.0)) > least
        assert float(contrast(vectors(0, pi - angle), vectors(0, pi - angle), 1.0)) > least


def test_nearest_scores_are_the_largest_cosines_of_each_class() -> None:
    query, support = random(2, 5, 3, 3), random(2, 2, 5, 3, 3, seed=1)
    masks = torch.zeros(2, 2, 2, 3, 3)
    masks[:, 0, :, 0], masks[0, 1, 1, 2, 1] = 1, 1
    found = nearest_scores(query, support, masks, 20)
    pixels = support.transpose(1, 2)
    for label in range(2):
        chosen = pixels[0][:, masks[0, label] > 0.5]
        expected = 20 * F.cosine_similarity(query[0].flatten(1)[:, :, None], chosen[:, None], dim=0).amax(1)
        assert torch.allclose(found[0, label].flatten(), expected, atol=1e-4)
    assert torch.all(found[1, 1] == -20)


def test_peaks_of_every_kind_are_vectors_of_the_masked_pixels() -> None:
    features = random(1, 4, 2, 2)
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0], masks[0, 1, 1, 0] = 1, 1
    for kind in ("channel_max", "top_k", "location", "dense"):
        found = peak_prototypes(features, masks, kind, 0.1)[0]
        assert torch.allclose(F.normalize(found[1], dim=0), F.normalize(features[0, :, 1, 0], dim=0), atol=1e-4)
        assert found.shape == (2, 4)
    assert torch.equal(peak_prototypes(features, masks, "channel_max", 0.1)[0, 0], features[0].flatten(1).amax(1))

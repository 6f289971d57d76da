"""Class weights by rule, derived by hand from how often classes are seen; bounds, absent classes, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.config import merge
from delineate.common.errors import RecipeError
from delineate.data.core.manifest import Case
from delineate.data.core.samples import Sample
from delineate.engine.class_weights import frequencies
from delineate.methods import registry
from delineate.methods.testing.examples import context, example_batch
from delineate.nn.class_weights import MOST, RULES, Frequency, checked_weights, weights_by_rule
from delineate.nn.segmentation_loss import LossOptions, segmentation_loss


def sample(pixels: dict[int, int], *, labeled: bool = True, size: tuple[int, int] = (10, 10)) -> Sample:
    return Sample(Case(id="x", images=("x",), masks=("m",) if labeled else ()), pixels=pixels, size=size)


def test_frequencies_by_hand() -> None:
    """Shares of valid pixels, each image alike however large it is; unlabeled ones and those ignored throughout do not count."""
    seen = frequencies(
        ((1,), (2,)),
        [
            sample({1: 20, 2: 5}),  # 75, 20 and 5 of 100
            sample({1: 40}, size=(20, 20)),  # 90, 10 and 0 of 100
            sample({1: 10, 255: 50}),  # 80, 20 and 0 of 100
            sample({255: 100}),
            sample({}, labeled=False),
        ],
    )
    assert [one.share for one in seen] == pytest.approx([(75 + 90 + 80) / 300, 50 / 300, 5 / 300])
    assert [one.share_where_present for one in seen] == pytest.approx([245 / 300, 50 / 300, 0.05])


def test_regions_count_all_of_their_classes() -> None:
    seen = frequencies(((1, 2), (2,)), [sample({1: 20, 2: 5}), sample({2: 10})])
    assert [one.share for one in seen] == pytest.approx([0.825, 0.175, 0.075])


def test_rules_by_hand() -> None:
    seen = [Frequency(0.8, 0.8), Frequency(0.16, 0.2), Frequency(0.04, 0.4)]
    assert weights_by_rule("inverse_frequency", seen) == (1, 5, 20)
    assert weights_by_rule("median_frequency", seen) == (1, 4, 2)
    by_hand = [1 / math.log(1.02 + share) for share in (0.8, 0.16, 0.04)]
    assert weights_by_rule("log_frequency", seen) == pytest.approx([one / by_hand[0] for one in by_hand], rel=1e-3)


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=6), st.sampled_from(sorted(RULES)))
def test_weights_are_bounded_and_rarer_classes_never_weigh_less(shares: list[float], rule: str) -> None:
    weights = weights_by_rule(rule, [Frequency(share, share) for share in shares])
    assert min(weights) == 1
    assert max(weights) <= MOST
    by_share = [weight for _, weight in sorted(zip(shares, weights, strict=True))]
    assert by_share == sorted(by_share, reverse=True)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_class_in_no_mask_weighs_as_the_rarest(rule: str) -> None:
    nothing = Frequency(0, 0)
    weights = weights_by_rule(rule, [Frequency(0.9, 0.9), Frequency(0.1, 0.1), nothing])
    assert weights[2] == weights[1]
    assert weights_by_rule(rule, [nothing, nothing]) == (1, 1)


def test_a_rule_that_nobody_settled_is_refused() -> None:
    batch = example_batch(2)
    with pytest.raises(RecipeError, match="'median_frequency' is settled by the training masks"):
        segmentation_loss(torch.zeros(2, 1, 64, 64), batch["mask"], LossOptions(class_weights="median_frequency"))
    with pytest.raises(RecipeError, match="no rule is called 'median': did you mean 'median_frequency'"):
        registry.build("unet", options={"loss": {"class_weights": "median"}})


@pytest.mark.parametrize("numbers", [(1.0, -1.0), (0.0, 0.0)])
def test_numbers_that_are_no_weights_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(RecipeError, match="0 or more, at least one of them above 0"):
        checked_weights(numbers, 1, regions=False)
    assert checked_weights((0.0, 1.0), 1, regions=False) == (0, 1), "a background that does not count"


@pytest.mark.parametrize(
    ("method", "path", "stage"),
    [
        ("din", "loss", "train"),
        ("condseg", "", "reinforcement"),
        ("condseg", "", "segmentation"),
        ("mfel", "loss.segmentation", "train"),
        ("mslkseg", "loss", "train"),
        ("resenc", "loss", "train"),
    ],
)
def test_dense_methods_take_class_weights(method: str, path: str, stage: str) -> None:
    """A weight on the rare class changes the term that has cross-entropy; another number of weights is refused."""
    batch = example_batch(2, classes=4)

    def term(weights: list[float]) -> float:
        options: dict[str, object] = {"class_weights": weights}
        for key in reversed(path.split(".") if path else []):
            options = {key: options}
        tiny = registry.presets(method)["tiny"].get("method", {})
        torch.manual_seed(0)
        built = registry.build(method, classes=4, options=merge(tiny, options)).eval()
        with torch.no_grad():
            found = built.objective(batch, context(stage))
        return float(found["cross_entropy" if "cross_entropy" in found else "mask"])

    assert term([1, 1, 1, 1]) != pytest.approx(term([1, 1, 1, 30]), rel=1e-3)
    with pytest.raises(RecipeError, match="3 weights given for 4 classes"):
        term([1, 1, 1])

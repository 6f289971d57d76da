"""What validation counts, and which weights are kept by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from delineate.engine import validation
from delineate.engine.best_weights import BestScore, CaseCounts, Judgment, is_better, judge_validation
from delineate.engine.validation import ValidationJob, validate
from delineate.methods.contract import Context
from delineate.nn.output import Output

MASKS = hnp.arrays(np.int64, (3, 5, 6), elements=st.sampled_from([0, 1, 2, 255]))
PREDICTED = hnp.arrays(np.int64, (3, 5, 6), elements=st.integers(0, 2))


def count_cases(logits: torch.Tensor, mask: torch.Tensor) -> list[CaseCounts]:
    """Of classes."""
    return validation.count_cases(logits, mask, Output(logits.shape[1]))


def logits_of(predicted: np.ndarray, classes: int = 3) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(predicted), classes).permute(0, 3, 1, 2).float()


def counted(*pairs: tuple[list[int], list[int]]) -> list[CaseCounts]:
    """Cases of one row of pixels, predicted and in the reference, with a binary class."""
    cases = []
    for predicted, reference in pairs:
        logits = torch.tensor(predicted).float()[None, None, None] - 0.5
        cases += count_cases(logits, torch.tensor(reference)[None, None])
    return cases


@given(MASKS, PREDICTED)
def test_counts_of_several_classes(reference: np.ndarray, predicted: np.ndarray) -> None:
    for at, case in enumerate(count_cases(logits_of(predicted), torch.from_numpy(reference))):
        seen = reference[at] != 255
        for place, label in enumerate(case.labels):
            ours, theirs = (predicted[at] == label) & seen, reference[at] == label
            four = (case.both[place], case.ours[place], case.theirs[place], case.valid[place])
            assert four == ((ours & theirs).sum(), ours.sum(), theirs.sum(), seen.sum())


@given(hnp.arrays(np.int64, (4, 5, 6), elements=st.integers(0, 1)), hnp.arrays(np.bool_, (4, 5, 6)))
def test_where_every_case_has_the_class_it_is_the_mean_over_cases(reference: np.ndarray, predicted: np.ndarray) -> None:
    reference[:, 0, 0] = 1
    judged = judge_validation(
        count_cases(torch.from_numpy(predicted)[:, None].float() - 0.5, torch.from_numpy(reference))
    )
    both = (predicted & (reference == 1)).sum((1, 2))
    assert judged.measure == "cases"
    assert judged.dice == pytest.approx(np.mean(2 * both / (predicted.sum((1, 2)) + reference.sum((1, 2)))))


@given(MASKS, PREDICTED)
def test_the_right_masks_are_best_and_none_are_worst(reference: np.ndarray, predicted: np.ndarray) -> None:
    masks = torch.from_numpy(reference)
    right = judge_validation(count_cases(logits_of(np.where(reference == 255, 0, reference)), masks))
    none = judge_validation(count_cases(logits_of(np.zeros_like(reference)), masks))
    any_ = judge_validation(count_cases(logits_of(predicted), masks))
    assert right.measure == none.measure == any_.measure
    if right.measure in ("loss", "nothing"):
        assert right.dice is none.dice is any_.dice is None
        return
    assert any_.dice is not None
    assert (right.dice, none.dice) == (1, 0)
    assert 0 <= any_.dice <= 1


@given(MASKS, PREDICTED, st.integers(0, 2))
def test_empty_cases_change_nothing_unless_something_is_marked_in_them(
    reference: np.ndarray, predicted: np.ndarray, stray: int
) -> None:
    """However many there are; and what is marked there is punished, with the area."""
    reference[:, 0, 0] = predicted[:, 0, 0] = 1
    empty, marked = np.zeros((6, 5, 6), np.int64), np.zeros((6, 5, 6), np.int64)
    marked[0, 0, :stray] = 2
    one = count_cases(logits_of(empty[:1]), torch.from_numpy(empty[:1]))
    before = [*one, *count_cases(logits_of(predicted), torch.from_numpy(reference))]
    more = judge_validation([*before, *count_cases(logits_of(empty), torch.from_numpy(empty))])
    worse = judge_validation([*before, *count_cases(logits_of(marked), torch.from_numpy(empty))])
    assert more.dice is not None
    assert worse.dice is not None
    assert more.dice == judge_validation(before).dice
    told = not (reference == 2).any() or ((predicted == 2) & (reference == 2)).any()
    assert worse.dice < more.dice if stray and told else worse.dice <= more.dice


def test_many_empty_cases_do_not_reward_a_network_that_marks_nothing() -> None:
    cases = [([0, 0, 0], [0, 0, 0])] * 13
    nothing = judge_validation(counted(*cases, *[([0, 0, 0], [0, 1, 1])] * 6))
    something = judge_validation(counted(*cases, *[([0, 0, 1], [0, 1, 1])] * 6))
    assert (nothing.dice, nothing.marked, nothing.cases, nothing.with_foreground) == (0, 0, 19, 6)
    assert something.dice == pytest.approx(2 / 3)
    assert is_better(something, 2.0, BestScore(nothing.dice, 1.0, "pooled"))
    assert nothing.words() == "Dice 0.0000 (pooled, nothing marked)"


def test_without_foreground_the_loss_decides_and_without_valid_pixels_nothing() -> None:
    healthy, ignored = judge_validation(counted(([0, 1], [0, 0]))), judge_validation(counted(([0, 1], [255, 255])))
    assert (healthy.measure, healthy.dice, ignored.measure, ignored.dice) == ("loss", None, "nothing", None)
    assert is_better(healthy, 0.5, BestScore(None, 0.6, "loss"))
    assert not is_better(healthy, 0.6, BestScore(None, 0.6, "loss"))
    assert is_better(ignored, 9.0, BestScore(None, 0.1, "nothing")), "the latest weights are as good as any"
    mixed = judge_validation(counted(([0, 1], [0, 1]), ([1, 1], [255, 255])))
    assert (mixed.measure, mixed.dice, mixed.cases) == ("cases", 1, 1)


DICE = st.sampled_from([0.0, 0.5, 0.7])


@given(st.lists(st.tuples(DICE, st.sampled_from([0.1, 0.2, 0.3])), min_size=1, max_size=8))
def test_ties_are_broken_by_the_loss_then_by_time(seen: list[tuple[float, float]]) -> None:
    best, chosen = None, -1
    for at, (dice, loss) in enumerate(seen):
        if is_better(Judgment(dice, "pooled", 1, 1, 1), loss, best):
            best, chosen = BestScore(dice, loss, "pooled"), at
    assert chosen == min(range(len(seen)), key=lambda at: (-seen[at][0], seen[at][1], at))


def test_a_best_of_an_earlier_version_gives_way_where_it_was_measured_otherwise() -> None:
    old = BestScore(0.684, None)
    assert is_better(Judgment(0.1, "pooled", 1, 1, 1), 9, old)
    assert not is_better(Judgment(0.684, "cases", 1, 1, 1), 0, old), "no loss is known to break the tie by"


@pytest.mark.parametrize(("bad", "words"), [("term", "terms: loss"), ("logits", "logits of b")])
def test_a_validation_that_is_not_finite_is_no_score(bad: str, words: str) -> None:
    batch = {"image": torch.zeros(2, 1, 2, 2), "mask": torch.ones(2, 2, 2).long(), "sample_id": ["a", "b"]}

    def logits(image: torch.Tensor) -> torch.Tensor:
        output = torch.ones(2, 1, 2, 2)
        output[1, 0, 0, 0] = torch.inf if bad == "logits" else 1
        return output

    def objective(*_: object) -> dict[str, torch.Tensor]:
        return {"loss": torch.tensor(torch.nan if bad == "term" else 1.0)}

    ctx = Context("train", 0, 1, torch.Generator())
    job = ValidationJob(torch.nn.Identity(), objective, logits, ctx, 2, torch.device("cpu"), torch.no_grad)  # type: ignore[arg-type]
    result = validate(job, iter([batch]), count_cases)  # type: ignore[list-item]
    assert result.dice is None
    assert result.fault is not None
    assert words in result.fault

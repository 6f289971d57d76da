"""What channels mean: probabilities, targets and labels of one class, several and regions, derived by hand and undone again."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.data.core.manifest import ClassTable
from delineate.nn.losses import boundary, cross_entropy, dice, focal, foreground_target, tversky
from delineate.nn.output import Output

HEART = ClassTable(names=("background", "rv", "wall", "lv")).with_regions(
    {"heart": ["rv", "wall", "lv"], "left": ["wall", "lv"], "lv": ["lv"]}
)
LOGIT = 40.0


@st.composite
def tables(draw: st.DrawFn) -> ClassTable:
    """A random family of nested sets that tells all classes apart: random classes are split off from sets that are there."""
    count = draw(st.integers(2, 7))
    names = [f"c{index}" for index in range(1, count + 1)]
    sets = [frozenset(names)] if draw(st.booleans()) else []
    todo = [list(draw(st.permutations(names)))]
    while todo:
        members = todo.pop()
        if sets and draw(st.booleans()):
            members = members[1:]  # one that only the set around them tells
        if not members:
            continue
        cut = draw(st.integers(1, len(members)))
        sets += [frozenset(members[:cut])]
        todo += [members[1:cut], members[cut:]]
    family = {f"region {at}": sorted(members) for at, members in enumerate(dict.fromkeys(sets))}
    try:
        return ClassTable(names=("background", *names)).with_regions(family)
    except ValueError:
        return ClassTable(names=("background", *names)).with_regions({**{name: [name] for name in names}})


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 2**32 - 1))
def test_perfect_logits_give_the_mask_back(table: ClassTable, seed: int) -> None:
    """Targets as logits, decoded in torch and in NumPy, are the mask; each channel is 1 in exactly its region's classes."""
    output = Output.of(table)
    mask = torch.from_numpy(np.random.default_rng(seed).integers(0, len(table.names), (2, 5, 7)))
    target = output.target(mask)
    assert target.shape == (2, table.outputs, 5, 7)
    for channel, region in enumerate(table.regions):
        assert np.array_equal(target[:, channel].numpy() == 1, np.isin(mask.numpy(), region.classes))
    logits = LOGIT * (2 * target.float() - 1)
    assert torch.equal(output.labels(logits), mask)
    assert torch.equal(output.hard_target(logits), target)
    planes = output.probabilities(logits).numpy()
    assert np.array_equal(output.class_map(planes[1].copy(), 0.5), mask[1].numpy())
    assert all(
        (set(a) <= set(b)) or (set(b) <= set(a)) or not set(a) & set(b) for a, b in combinations(output.structures, 2)
    )


def test_regions_by_hand() -> None:
    output = Output.of(HEART)
    mask = torch.tensor([[[0, 1, 2, 3, 255]]])
    assert output.target(mask)[0, :, 0].tolist() == [[0, 1, 1, 1, 255], [0, 0, 1, 1, 255], [0, 0, 0, 1, 255]]
    assert foreground_target(output.target(mask)).tolist() == [[[0, 1, 1, 1, 255]]]
    # Pixels that say: nothing; the heart; the ventricle alone; left side and ventricle; the heart, not surely.
    logits = torch.tensor([[-1.0, 2.0, -1.0, -1.0, -0.1], [-1.0, -1.0, -1.0, 3.0, -2.0], [-1.0, -1.0, 4.0, 1.0, -3.0]])
    logits = logits.view(1, 3, 1, 5)
    assert output.labels(logits).tolist() == [[[0, 1, 3, 3, 0]]]
    planes = output.probabilities(logits)[0].numpy()
    assert np.allclose(planes[:, 0, 3], 1 / (1 + np.exp([1, -3, -1])))
    assert output.class_map(planes.copy(), 0.5).tolist() == [[0, 1, 3, 3, 0]]
    assert output.class_map(planes.copy(), 0.45).tolist() == [[0, 1, 3, 3, 1]]
    assert torch.allclose(output.foreground(logits)[0, 0, 0], torch.tensor(planes.max(0)[0]))
    assert output.structures == ((1, 2, 3), (2, 3), (3,))


def test_a_single_region_is_one_foreground_class() -> None:
    table = ClassTable(names=("background", "polyp")).with_regions({"any": ["polyp"]})
    assert Output.of(table) == Output(1)


def test_classes_stay_what_they_were() -> None:
    logits = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    several, one = Output(4), Output(1)
    assert torch.equal(several.probabilities(logits), logits.softmax(1))
    assert torch.equal(several.foreground(logits), 1 - logits.softmax(1)[:, :1])
    assert torch.equal(several.labels(logits), logits.argmax(1))
    assert np.array_equal(several.class_map(logits.softmax(1)[0].numpy().copy(), 0.9), logits.argmax(1)[0].numpy())
    assert torch.equal(one.probabilities(logits[:, :1]), logits[:, :1].sigmoid())
    assert torch.equal(one.labels(logits[:, :1]), (logits[:, 0] > 0).long())
    mask = torch.randint(0, 4, (2, 3, 5))
    assert several.target(mask) is mask
    assert several.structures == ((1,), (2,), (3,))
    assert one.structures == ((1,),)


@pytest.mark.parametrize("loss", [cross_entropy, focal, dice, tversky, boundary])
def test_the_loss_of_regions_is_the_mean_of_their_binary_losses(loss: object) -> None:
    """An independent oracle: each channel by itself, against its own mask, by the binary form of the same loss."""
    assert callable(loss)
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 3, 12, 10, generator=random, requires_grad=True)
    mask = torch.randint(0, 4, (3, 12, 10), generator=random)
    mask[0, :4] = 255
    mask[2] = 255  # nothing to learn from
    target = Output.of(HEART).target(mask)
    found = loss(logits, target)
    by_hand = torch.stack([loss(logits[:, at : at + 1], target[:, at]) for at in range(3)]).mean()
    assert torch.allclose(found, by_hand, atol=1e-6)
    (gradient,) = torch.autograd.grad(found, logits)
    assert not gradient[:, :, :4][0].any()
    assert not gradient[2].any()


def test_weights_of_regions_by_hand() -> None:
    """Outside counts 1, inside of the regions 2, 3 and 4: weighted binary cross-entropies, each divided by its weights."""
    mask = torch.tensor([[[0, 1, 3, 255]]])
    logits = torch.tensor([0.5, -1.0, 2.0]).view(1, 3, 1, 1).expand(1, 3, 1, 4)
    target = Output.of(HEART).target(mask)
    found = cross_entropy(logits, target, class_weights=(1.0, 2.0, 3.0, 4.0))
    inside, outside = (np.log1p(np.exp(-sign * np.array([0.5, -1.0, 2.0]))) for sign in (1, -1))
    heart = (outside[0] + 2 * 2 * inside[0]) / 5
    left = (2 * outside[1] + 3 * inside[1]) / 5
    cavity = (2 * outside[2] + 4 * inside[2]) / 6
    assert float(found) == pytest.approx(np.mean([heart, left, cavity]), rel=1e-6)

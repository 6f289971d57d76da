"""Views: the same generator gives the same view, each image its own; geometry can be undone; what is mixed is mixed alike."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from delineate.nn.views.block_mask import BlockMask
from delineate.nn.views.cutmix import CutMix
from delineate.nn.views.noise import NoiseView
from delineate.nn.views.strong import StrongView
from delineate.nn.views.weak import WeakView


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 4, channels: int = 3, height: int = 24, width: int = 20) -> Tensor:
    return torch.rand(count, channels, height, width, generator=seeded(9))


def strong(image: Tensor, seed: int) -> Tensor:
    return StrongView.draw(image, seeded(seed)).image(image)


def weak(image: Tensor, seed: int) -> Tensor:
    return WeakView.draw(image, seeded(seed)).image(image)


def mixed(image: Tensor, seed: int) -> Tensor:
    return CutMix.draw(image, seeded(seed), probability=1)(image)


def hidden(image: Tensor, seed: int) -> Tensor:
    return BlockMask.draw(image, seeded(seed), ratio=0.5, side=1 / 6).image(image)


@pytest.mark.parametrize("view", [strong, weak, mixed, hidden])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_view_depends_on_its_generator_alone(view, channels):
    image = images(channels=channels)
    before = image.clone()
    first, again, other = (view(image, seed) for seed in (3, 3, 4))
    assert torch.equal(image, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == image.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


@pytest.mark.parametrize("view", [strong, weak, hidden])
def test_equal_images_get_views_of_their_own(view):
    seen = view(images(1).expand(6, -1, -1, -1), 0)
    assert all(not torch.equal(seen[0], other) for other in seen[1:])


@pytest.mark.parametrize("channels", [1, 3])
def test_no_view_asks_for_a_value(channels):
    """On a GPU that would wait for the device. Tensors without values tell: asking one raises."""
    with FakeTensorMode():
        image = torch.rand(4, channels, 16, 16)
        with pytest.raises(DataDependentOutputException):
            image.sum().item()
        StrongView.draw(image, None).image(image)
        weak = WeakView.draw(image, None)
        weak.inverse(weak.image(image))
        weak.mask(image[:, 0].long())
        weak.visible()
        CutMix.draw(image, None)(image)
        BlockMask.draw(image, None).image(image)


def test_the_strong_view_draws_in_a_fixed_order():
    """Trained runs hang on it: brightness, contrast, saturation, hue, gray, sigma, side; one number per image."""
    view, numbers = StrongView.draw(images(), seeded(5)), torch.rand(7, 4, 1, 1, 1, generator=seeded(5))
    for factor, number in zip((view.brightness, view.contrast, view.saturation), numbers[:3], strict=True):
        torch.testing.assert_close(factor, 0.7 + 0.6 * number)
    torch.testing.assert_close(view.hue, 2 * math.pi * (0.2 * numbers[3] - 0.1))
    assert torch.equal(view.gray, numbers[4] < 0.5)
    torch.testing.assert_close(view.sigma, 0.1 + 2.9 * numbers[5])
    assert torch.equal(view.side, 2 * (4 * numbers[6]).long() + 1)


def test_the_strong_view_keeps_geometry_and_sometimes_drops_color():
    image = torch.zeros(32, 3, 33, 33)
    image[:, 0, 16, 16] = 1.0
    seen = strong(image, 0)
    assert (seen.sum(1).flatten(1).argmax(1) == 16 * 33 + 16).all()
    gray = (seen[:, 0] - seen[:, 1]).abs().flatten(1).amax(1) < 1e-5
    assert 6 <= int(gray.sum()) <= 26


def test_a_strong_view_of_no_strength_is_the_image():
    view = StrongView.draw(images(), seeded(0), jitter=0, hue=0, gray=0, sides=(1,))
    torch.testing.assert_close(view.image(images()), images(), atol=1e-5, rtol=0)


@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([(8, 8), (8, 11), (7, 7)]),
    channels=st.sampled_from([1, 3, 4]),
    shift=st.sampled_from([0.0, 0.3]),
    turn=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_weak_view_comes_back(seed, size, channels, shift, turn):
    image = images(3, channels, *size)
    view = WeakView.draw(image, seeded(seed), turn=turn, shift=shift)
    visible, back = view.visible()[:, None].expand_as(image), view.inverse(view.image(image))
    assert torch.equal(back[visible], image[visible])
    assert torch.equal(visible.sum((1, 2, 3)), view.valid().sum((1, 2)) * channels)
    if not shift:
        assert visible.all()


@given(seed=st.integers(0, 10_000), kind=st.sampled_from([torch.uint8, torch.int64]))
@settings(max_examples=30, deadline=None)
def test_a_mask_moves_with_its_image_and_keeps_its_classes(seed, kind):
    mask = torch.randint(0, 3, (4, 9, 9), generator=seeded(seed)).to(kind)
    view = WeakView.draw(mask[:, None], seeded(seed), shift=0.4)
    moved = view.mask(mask)
    assert moved.dtype == kind
    assert set(moved.unique().tolist()) <= {0, 1, 2, 255}
    assert torch.equal(moved != 255, view.valid())
    assert torch.equal(moved[view.valid()].float(), view.image(mask[:, None].float())[:, 0][view.valid()])


def test_weak_views_are_all_eight_and_nothing_when_all_is_off():
    image = images(1, 1, 3, 3).expand(400, -1, -1, -1)
    assert len(WeakView.draw(image, seeded(0), shift=0).image(image).unique(dim=0)) == 8
    turned = WeakView.draw(image, seeded(0), flip_horizontal=False, flip_vertical=False, shift=0).image(image)
    assert len(turned.unique(dim=0)) == 4
    assert any(torch.equal(turned[i], image[0].rot90(1, (-2, -1))) for i in range(40))
    still = WeakView.draw(image, seeded(0), flip_horizontal=False, flip_vertical=False, turn=False, shift=0)
    assert torch.equal(still.image(image), image)


def test_gradients_come_back_from_a_shifted_view():
    maps = images(2).requires_grad_()
    view = WeakView.draw(maps, seeded(1), shift=0.4)
    (view.inverse(view.maps(maps)) * view.visible()[:, None]).sum().backward()
    assert torch.equal(maps.grad, view.visible()[:, None].expand_as(maps).float())


@given(seed=st.integers(0, 10_000), size=st.sampled_from([(40, 40), (12, 50)]))
@settings(max_examples=40, deadline=None)
def test_boxes_are_rectangles_of_the_size_asked_for(seed, size):
    inside = CutMix.draw(images(3, 1, *size), seeded(seed), probability=1, area=(0.1, 0.3)).box
    for box in inside:
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows[:, None] & columns)
        assert int(box.sum()) <= 0.3 * box.numel() + 50
        for span in (rows, columns):
            at = span.nonzero()
            assert int(at.max() - at.min()) + 1 == len(at)


def test_all_that_belongs_to_an_image_is_mixed_alike():
    number = torch.arange(5.0).view(-1, 1, 1, 1)
    image = number.expand(5, 3, 16, 16)
    mix = CutMix.draw(image, seeded(0), probability=1)
    seen, mask, maps = mix(image), mix(image[:, 0].to(torch.uint8)), mix(image[:, :, None])
    assert torch.equal(seen[:, 0], mask.float())
    assert torch.equal(seen, maps.squeeze(2))
    assert torch.equal(mask.float(), torch.where(mix.box, number.roll(1, 0)[:, 0], number[:, 0]))


def test_the_probability_of_a_box():
    image = images(400, 1, 8, 8)
    boxes = [CutMix.draw(image, seeded(0), probability=p).box.flatten(1).any(1).sum() for p in (0, 0.5, 1)]
    assert boxes[0] == 0
    assert 160 < boxes[1] < 240
    assert boxes[2] == 400


def test_a_strong_view_of_some_images_alone() -> None:
    image = images(64)
    view = StrongView.draw(image, seeded(0), gray=0, sides=(1,), jitter_probability=0.5)
    changed = (view.image(image) - image).abs().amax((1, 2, 3)) > 1e-3
    assert 20 < int(changed.sum()) < 44
    never = StrongView.draw(image, seeded(0), gray=0, sides=(1,), jitter_probability=0)
    torch.testing.assert_close(never.image(image), image, rtol=0, atol=1e-5)


def test_noise_is_cut_and_of_each_value() -> None:
    image = images(8)
    noise = NoiseView.draw(image, seeded(0)).image(image) - image
    assert float(noise.abs().max()) <= 0.2 + 1e-6
    assert float(noise.std()) == pytest.approx(0.088, abs=0.01)
    assert torch.equal(NoiseView.draw(image, seeded(0)).noise, NoiseView.draw(image, seeded(0)).noise)
    assert len(noise.unique()) > 0.9 * noise.numel()
    assert torch.equal(NoiseView.draw(image, seeded(0), sigma=0).image(image), image)

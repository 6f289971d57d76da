"""Networks that draw images from logits, and BatchNorm of pooled maps."""

from __future__ import annotations

import pytest
import torch

from delineate.nn.batchnorm import PooledBatchNorm
from delineate.nn.cross_generation import CrossGeneration, ImageGenerator
from delineate.nn.half_size import half_size
from delineate.nn.views.strong import StrongView

WIDTHS = (2, 3, 4, 5, 6)


@pytest.mark.parametrize("size", [(33, 20), (16, 16), (1, 1)])
def test_images_of_any_size_are_drawn_also_one_alone_in_training(size: tuple[int, int]) -> None:
    assert ImageGenerator(4, 3, WIDTHS).train()(torch.rand(1, 4, *size)).shape == (1, 3, *size)


def test_the_papers_generator() -> None:
    generator = ImageGenerator(2, 3)
    assert [level[0].out_channels for level in generator.encoder.levels] == [16, 32, 64, 128, 256]
    assert [level[3].p for level in generator.encoder.levels] == [0.05, 0.1, 0.2, 0.3, 0.5]
    assert [conv[0].in_channels for conv in generator.convs] == [128, 64, 32, 16], "no skip connection"


def test_each_draws_the_other_image() -> None:
    torch.manual_seed(0)
    cross = CrossGeneration(1, 3, WIDTHS).eval()
    logits, other = torch.rand(2, 2, 1, 32, 32, requires_grad=True).unbind()
    image, changed = torch.rand(2, 2, 3, 32, 32).unbind()
    wanted = (cross.changed(logits) - changed).square().mean() + (cross.image(other) - image).square().mean()
    loss = cross.loss(logits, image, other, changed)
    torch.testing.assert_close(loss, wanted)
    for gradient in torch.autograd.grad(loss, (logits, other)):
        assert bool(gradient.any())


def test_one_pooled_map_takes_the_running_statistics() -> None:
    torch.manual_seed(0)
    norm, plain = PooledBatchNorm(3), torch.nn.BatchNorm2d(3)
    several, one = torch.rand(4, 3, 1, 1), torch.rand(1, 3, 1, 1)
    torch.testing.assert_close(norm(several), plain(several))
    assert norm.running_mean is not None
    before = norm.running_mean.clone()
    torch.testing.assert_close(norm(one), plain.eval()(one))
    assert torch.equal(norm.running_mean, before)
    torch.testing.assert_close(norm.eval()(several), plain(several))


def test_half_of_a_size() -> None:
    assert half_size((97, 40), multiple=1, least=16) == (49, 20)
    assert half_size((20, 96), multiple=14, least=28) == (20, 56)


def test_brightness_and_hue_alone() -> None:
    gray = torch.full((8, 3, 4, 4), 0.5)
    view = StrongView.draw_light(gray, torch.Generator().manual_seed(0), brightness=0.2, hue=0.05)
    found = view.image(gray)
    assert 0.4 <= float(found.min()) < 0.5 < float(found.max()) <= 0.6
    torch.testing.assert_close(found, found[:, :1].expand_as(found), msg="gray has no hue")
    image = torch.rand(8, 1, 4, 4)
    torch.testing.assert_close(view.image(image), (image * view.brightness).clamp(0, 1))
    assert float(view.hue.abs().max()) <= 2 * torch.pi * 0.05

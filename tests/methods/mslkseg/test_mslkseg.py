"""MS-LKSeg: its size, its variants, what changes while it trains, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from delineate.common.errors import DataError, RecipeError
from delineate.methods import registry
from delineate.methods.contract import Context
from delineate.methods.mslkseg.network import MSLKSeg, MSLKSegOptions
from delineate.methods.testing.examples import as_batch, context, example_batch, randomize_norms, tiny
from delineate.nn.counting import count_cost, count_parameters
from delineate.nn.dynamic_conv import DynamicConv2d
from delineate.nn.large_kernel import DepthwiseConv2d, ReparameterizedConv
from delineate.nn.losses import bce, cross_entropy, dice

ARITHMETIC = {
    8: (1.20, 0.07, 0.25, 1.5),
    16: (4.76, 0.15, 0.98, 5.1),
    32: (19.0, 0.39, 3.92, 18.7),
    64: (75.9, 1.14, 15.7, 71.0),
}
"""Width → millions of parameters of encoder, skips and decoder, and GMAC at 256×256, worked out by hand from the drawing."""


@pytest.mark.parametrize("width", ARITHMETIC)
def test_size_is_what_the_drawing_gives(width: int) -> None:
    with torch.device("meta"):
        method = MSLKSeg(MSLKSegOptions(widths=[width * 2**i for i in range(5)]), classes=1, in_channels=3)
    *parts, gmac = ARITHMETIC[width]
    for module, millions in zip((method.encoder, method.skips, method.decoder), parts, strict=True):
        assert count_parameters(module) / 1e6 == pytest.approx(millions, abs=0.006 + 0.003 * millions)
    found = count_cost(method, in_channels=3, size=(256, 256)).gigaflops / 2
    assert found == pytest.approx(gmac, rel=0.011)


def test_cost_of_the_presets() -> None:
    small = count_cost(tiny("mslkseg"), in_channels=3, size=(128, 128))
    assert (small.parameters, small.flops) == (1_508_129, 757_733_880)
    with torch.device("meta"):
        full = registry.build("mslkseg", options=registry.presets("mslkseg")["paper"]["method"])
    cost = count_cost(full, in_channels=3, size=(256, 256))
    assert (cost.parameters, cost.flops) == (23_310_169, 37_408_663_736)


@pytest.mark.parametrize(
    "options",
    [
        {"skip": "drawn", "up": "transposed", "merge": "add"},
        {"skip": "replknet", "kernels": 1, "heads": 8, "window": 3},
        {"spatial_kernels": [3, 7], "large_kernel": 7, "small_kernel": 5, "normalize": "none"},
    ],
)
def test_variants_deploy_and_learn(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    method = randomize_norms(registry.build("mslkseg", options={"widths": [8, 8, 16, 16, 24], **options}))
    image = torch.rand(2, 3, 40, 56)
    with torch.no_grad():
        expected = method.eval()(image)
        torch.testing.assert_close(method.deploy()(image), expected, atol=1e-4, rtol=1e-4)
    terms = method.train().objective(example_batch(2), context())
    sum(terms.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.parameters())


def test_deployed_network_has_one_large_kernel_a_level_and_no_batchnorm() -> None:
    method = tiny("mslkseg")
    lean = method.deploy()
    assert not any(isinstance(part, ReparameterizedConv) for part in lean.modules())
    assert sum(isinstance(part, DepthwiseConv2d) for part in lean.modules()) == 4
    assert not any(isinstance(part, nn.BatchNorm2d) for part in lean.modules())
    assert all(part.temperature == 1 for part in lean.modules() if isinstance(part, DynamicConv2d))
    assert all(part.temperature == 30 for part in method.modules() if isinstance(part, DynamicConv2d))


def test_temperature_falls_with_progress_and_is_saved() -> None:
    method = registry.build("mslkseg", options={"widths": [4] * 5, "temperature": 21, "anneal": 0.5})
    random = torch.Generator()
    found = []
    for step in (0, 4, 9, 19):
        method.after_step(Context("train", step, 20, random))
        found.append(float(method.state_dict()["encoder.3.1.conv.temperature"]))
    assert found == pytest.approx([19.0, 11.0, 1.0, 1.0])


def test_binary_and_multi_class_losses() -> None:
    for classes in (1, 3):
        method, batch = tiny("mslkseg", classes=classes).eval(), example_batch(2, classes=classes)
        with torch.no_grad():
            terms, logits = method.objective(batch, context()), method(batch["image"])
        wanted = 0.5 * bce(logits, batch["mask"]) if classes == 1 else cross_entropy(logits, batch["mask"])
        torch.testing.assert_close(terms["cross_entropy"], wanted)
        torch.testing.assert_close(terms["dice"], dice(logits, batch["mask"]))


def test_unlabeled_images_do_not_pull() -> None:
    method, batch = tiny("mslkseg").eval(), example_batch(2)
    mask = batch["mask"].clone()
    mask[1] = 255
    with torch.no_grad():
        both = method.objective(as_batch(batch["image"], mask), context())
        first = method.objective(as_batch(batch["image"][:1], mask[:1]), context())
    for key, value in both.items():
        torch.testing.assert_close(value, first[key] / 2)


def test_an_image_that_is_too_small_names_the_smallest_size() -> None:
    with pytest.raises(DataError, match=r"31×64 pixels is too small for 5 levels: the smallest size is 32×32"):
        tiny("mslkseg")(torch.rand(1, 3, 31, 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"widths": [10, 20, 40, 80, 160]},
            "width 10 cannot be divided among the 4 spatial_kernels; choose multiples of 4",
        ),
        ({"heads": 3}, "width 32 cannot be divided among 3 heads"),
        ({"large_kernel": 20}, "a kernel of 20 pixels has no middle"),
        ({"spatial_kernels": [3, 4]}, "a kernel of 4 pixels has no middle"),
        ({"small_kernel": 21}, "small_kernel 21 must be smaller than large_kernel 21"),
        ({"widths": [8, 16, 32]}, "widths"),
        ({"kernel": 4}, "'kernels'"),
    ],
)
def test_impossible_options_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        registry.build("mslkseg", options=options)

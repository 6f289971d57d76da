"""The preset `released`: what the authors' code does, by values derived by hand."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from delineate.common.errors import RecipeError, TrainingError
from delineate.data.core.soft_mask import Targets
from delineate.engine.batch_source import divide
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.condseg.network import ConDSeg
from delineate.methods.condseg.objective import Maps, bce_dice, mask_loss, segmentation_terms
from delineate.methods.contract import Batch, Context
from delineate.nn.output import Output
from delineate.nn.views.strong import StrongView
from delineate.strategies import registry as strategies

SMALL = {"width": 16, "heads": 4, "encoder": {"name": "resnet18"}}


def released(**changes: Any) -> ConDSeg:
    torch.manual_seed(0)
    options = {**registry.presets("condseg")["released"]["method"], **SMALL, **changes}
    method = registry.build("condseg", options=options)
    assert isinstance(method, ConDSeg)
    return method


def batch(size: int = 32) -> Batch:
    random = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 2, (2, size, size), generator=random)
    return {
        "image": torch.rand(2, 3, size, size, generator=random),
        "mask": mask,
        "labeled": torch.ones(2).bool(),
        "sample_id": ["a", "b"],
        "target": 0.25 + 0.5 * mask,
        "unaugmented_target": 1 - mask.float(),
    }


def context(stage: str) -> Context:
    return Context(stage, 0, 10, torch.Generator().manual_seed(0))


def maps(seed: int = 0) -> Maps:
    random = torch.Generator().manual_seed(seed)
    return Maps(*torch.randn(4, 2, 1, 8, 8, generator=random))


def test_a_perfect_and_sure_mask_still_costs_1_309() -> None:
    """Foreground f = .1535 of the pixels: BCE of 1 where it is 1 and of 0 where it is 0, Dice of σ(1) = .731 and σ(0) = .5."""
    mask = torch.zeros(1, 100, 100, dtype=torch.long)
    mask.view(-1)[:1535] = 1
    sure = 80.0 * (2 * mask - 1)[:, None].float()
    f, one = 0.1535, 1 / (1 + math.exp(-1))
    bce = f * math.log(1 + math.exp(-1)) + (1 - f) * math.log(2)
    dice = 1 - (2 * one * f + 1e-4) / (one * f + 0.5 * (1 - f) + f + 1e-4)
    found = mask_loss(sure, mask, Output(1), on="probabilities", pool="batch")
    assert float(found) == pytest.approx(bce + dice, abs=1e-5) == pytest.approx(1.309, abs=1e-3)
    assert float(mask_loss(sure, mask, Output(1))) < 1e-3


@pytest.mark.parametrize(("on", "wanted"), [("logits", -0.99), ("probabilities", -0.005)])
def test_a_missed_pixel_hardly_pulls(on: Any, wanted: float) -> None:
    """d BCE/dx at p = .01: p − 1 = −.99; applied twice (σ(p) − 1)·p(1 − p) = (.5025 − 1)·.0099 = −.0049."""
    logits = torch.full((1, 1, 1, 1), math.log(0.01 / 0.99), requires_grad=True)
    target = torch.ones(1, 1, 1, dtype=torch.long)
    for loss in (partial(mask_loss, output=Output(1)), bce_dice):
        (both,) = torch.autograd.grad(loss(logits, target, on=on).sum(), logits)
        p = logits.sigmoid() if on == "logits" else logits.sigmoid().sigmoid()
        (dice,) = torch.autograd.grad((1 - (2 * p + 1) / (p + 2)).sum(), logits)
        assert float(both - dice) == pytest.approx(wanted, abs=2e-4)


def test_dice_of_the_batch_by_hand() -> None:
    """Sure logits; two images of four pixels: all found, and none of two found. Overlaps 1, 1/3; together 9/(4 + 6 + 1)."""
    target = torch.tensor([[[1, 1], [1, 1]], [[1, 1], [0, 0]]])
    logits = torch.full((2, 1, 2, 2), -80.0)
    logits[0] = 80
    bce = 80 * 2 / 4 / 2
    assert float(mask_loss(logits, target, Output(logits.shape[1]))) == pytest.approx(
        bce + (0 + 1 - 1 / 3) / 2, abs=1e-5
    )
    assert float(mask_loss(logits, target, Output(logits.shape[1]), pool="batch")) == pytest.approx(
        bce + 1 - 9 / 11, abs=1e-5
    )
    each = bce_dice(logits, target, pool="batch")
    assert each.tolist() == pytest.approx([1 - 9 / 11, 40 + 1 - 9 / 11], abs=1e-5)


def test_ignored_pixels_and_images_take_no_part_in_the_dice_of_the_batch() -> None:
    target = torch.tensor([[[1, 255], [0, 0]], [[255, 255], [255, 255]]])
    logits = torch.zeros(2, 1, 2, 2)
    changed = logits.clone()
    changed[0, 0, 0, 1] = changed[1] = 9.0
    found = bce_dice(changed, target, pool="batch")
    assert torch.equal(found, bce_dice(logits, target, pool="batch"))
    assert float(found[0]) == pytest.approx(math.log(2) + 1 - (2 * 0.5 + 1) / (1.5 + 1 + 1), abs=1e-6)
    assert float(bce_dice(changed[1:], target[1:], pool="batch")) == 0


def test_soft_masks_are_learned_as_shares() -> None:
    """A pixel that is .75 foreground: BCE is least at p = .75."""
    target = torch.full((1, 4, 4), 0.75)
    losses = [
        float(mask_loss(torch.full((1, 1, 4, 4), math.log(p / (1 - p))), target, Output(1))) for p in (0.6, 0.75, 0.99)
    ]
    bce = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    dice = 1 - (2 * 16 * 0.75**2 + 1) / (16 * 1.5 + 1)
    assert losses[1] == pytest.approx(bce + dice, abs=1e-5)
    target[:, :2] = 255
    logits = torch.zeros(1, 1, 4, 4)
    moved = logits.clone()
    moved[:, :, :2] = 7
    assert torch.equal(bce_dice(logits, target), bce_dice(moved, target)), "255 is ignored"


def test_the_background_map_learns_from_the_mask_before_augmentation() -> None:
    given = {"beta": "one", "detach_coverage": False, "complement": "logits"}
    here, before = torch.randint(0, 2, (2, 2, 8, 8))
    terms = segmentation_terms(maps(), here, Output(1), against_background=before.float(), **given)  # type: ignore[arg-type]
    plain = segmentation_terms(maps(), here, Output(1), **given)  # type: ignore[arg-type]
    assert float(terms["background"]) == pytest.approx(float(bce_dice(maps().background, 1 - before).mean()))
    assert float(plain["background"]) == pytest.approx(float(bce_dice(maps().background, 1 - here).mean()))
    assert all(torch.equal(terms[name], plain[name]) for name in ("mask", "foreground", "complement"))


def test_what_training_takes_from_the_batch() -> None:
    """Soft masks for mask and foreground, the unaugmented ones for the background; validation has masks alone."""
    method, data = released(), batch()
    assert ConDSeg.targets(method.options) == Targets(soft=True, unaugmented=True)
    assert ConDSeg.targets(ConDSeg.Options()) == Targets()
    for key, term in (("target", "foreground"), ("unaugmented_target", "background"), ("mask", None)):
        changed: Any = {**data, key: 1 - data[key]}  # type: ignore[literal-required]
        states = method.state_dict()
        first, second = (method.objective(one, context("segmentation")) for one in (data, changed))
        method.load_state_dict(states)
        differ = {name for name in first if not torch.equal(first[name], second[name])}
        assert (term in differ) if term else not differ, (key, differ)
    del data["target"], data["unaugmented_target"]
    with torch.no_grad():
        assert set(method.eval().objective(data, context("segmentation"))) == {
            "mask",
            "foreground",
            "background",
            "complement",
        }
    with pytest.raises(TrainingError, match="learns from 'target'"):
        method.train().objective(data, context("segmentation"))


def test_targets_go_through_micro_batches_and_strategies() -> None:
    """Four images, two without masks, in two parts: the mean teacher shows the method the labeled ones with their soft masks."""
    data: Any = {key: torch.cat((x, x)) if isinstance(x, Tensor) else x + x for key, x in batch().items()}
    data["labeled"] = torch.tensor([True, False, False, True])
    for key in ("mask", "target", "unaugmented_target"):
        data[key][~data["labeled"]] = 255
    options = strategies.checked_options("mean-teacher", {"view": "none"})
    strategy = strategies.build("mean-teacher", released(loss_on="logits"), options)
    stage = strategy.method.stages()[1]
    strategy.begin(stage, strategy.options)
    strategy.update, strategy.ctx = strategy.updates(stage)[0], context("segmentation")
    method = strategy.method
    assert isinstance(method, ConDSeg)
    for part, alone in zip(divide(data, 2), (0, 3), strict=True):
        terms = strategy.train()(part)
        wanted = mask_loss(
            method(data["image"][alone : alone + 1]), data["target"][alone : alone + 1], method.output, pool="batch"
        )
        assert float(terms["mask"]) == pytest.approx(float(wanted), rel=1e-4)
        assert {"foreground", "background", "complement", "consistency"} <= terms.keys()


def test_stage_one_is_validated_by_the_mask_alone() -> None:
    method, data = released().eval(), batch()
    with torch.no_grad():
        found = method.objective(data, context("reinforcement"))
        wanted = mask_loss(
            method.encoder_logits(data["image"]), data["mask"], method.output, on="probabilities", pool="batch"
        )
    assert list(found) == ["mask"]
    assert torch.equal(found["mask"], wanted)
    assert set(method.train().objective(data, context("reinforcement"))) == {"mask", "mask_strong", "consistency"}


def blurred(image: Tensor, **options: Any) -> Tensor:
    drawn = {"jitter": 0.0, "hue": 0.0, "gray": 0.0, **options}
    return StrongView.draw(image, torch.Generator().manual_seed(1), **drawn).image(image)


def test_blur_along_one_axis_by_hand() -> None:
    """An impulse becomes a column of seven Gaussian weights that sum to 1; the columns beside it stay black."""
    image = torch.zeros(1, 1, 15, 15)
    image[..., 7, 7] = 1
    seen = blurred(image, blur="vertical", sides=(7,), sigma=(2.0, 2.0))[0, 0]
    weights = torch.tensor([math.exp(-(d**2) / 8) for d in range(-3, 4)])
    assert torch.allclose(seen[4:11, 7], weights / weights.sum(), atol=1e-4)  # hue's matrix is not exact
    seen[4:11, 7] = 0
    assert float(seen.abs().max()) == 0


@pytest.mark.parametrize("blur", ["both", "vertical"])
def test_one_view_for_the_whole_batch(blur: Any) -> None:
    image = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(3)).expand(6, -1, -1, -1)
    for seed in range(8):
        view = StrongView.draw(image, torch.Generator().manual_seed(seed), per="batch", blur=blur)
        seen = view.image(image)
        assert all(torch.allclose(seen[0], other, atol=1e-6) for other in seen[1:])
        alone = StrongView.draw(image[:1], torch.Generator().manual_seed(seed), blur=blur).image(image[:1])
        assert torch.allclose(seen[:1], alone, atol=1e-6), "that of a single image"
    drawn = released()._strong_view(image, context("reinforcement"))
    assert all(torch.allclose(drawn[0], other, atol=1e-6) for other in drawn[1:])


def test_the_recipe_says_what_the_page_of_facts_says() -> None:
    recipe = resolve("condseg", "released", {})
    assert (recipe.input.channels, recipe.input.size, recipe.method["normalize"]) == ("bgr", (256, 256), "none")
    assert (recipe.engine.select_by, recipe.engine.early_stop, recipe.engine.plateau_patience) == ("miou", 100, 30)
    for stage, size, turned, share in (("reinforcement", 8, 90, 0.5), ("segmentation", 12, 35, 0.3)):
        settings, augment = recipe.stage_settings(stage), recipe.stage_augment(stage)
        assert (settings.batch_size, settings.lr, settings.lr_scale, settings.optimizer) == (size, 1e-4, {}, "adam")
        assert (augment.rotate, augment.warp, augment.flip_horizontal, augment.flip_vertical) == (
            turned,
            share,
            share,
            share,
        )
        assert (augment.border, augment.dropout, augment.dropout_holes, augment.dropout_pixels) == (
            "reflect",
            0.3,
            (1, 10),
            32,
        )
    assert resolve("condseg", "paper", {}).stage_settings("segmentation").lr_scale == {"encoder": 0.1}


@pytest.mark.parametrize("name", ["target", "unaugmented_target"])
def test_a_strategy_that_loses_what_is_learned_from_is_told(name: str) -> None:
    given = batch()
    del given[name]  # type: ignore[misc]
    with pytest.raises(
        TrainingError, match=f"condseg: .* learns from '{name}', which the training strategy leaves out"
    ):
        released().objective(given, context("segmentation"))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"pool: batch has one Dice .* choose another beta"):
        released(beta="per_image")
    with pytest.raises(RecipeError, match=r"soft_masks: soft masks are of one foreground class.*soft_masks=false"):
        registry.build("condseg", classes=3, options={**SMALL, "soft_masks": True})
    assert registry.build("condseg", classes=3, options={**SMALL, "background_target": "unaugmented"}).classes == 3

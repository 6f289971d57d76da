"""MFEL's objective: two tasks, images without masks, λ and weights that change, and a corrupt input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from delineate.common.config import merge
from delineate.methods import registry
from delineate.methods.contract import Context
from delineate.methods.mfel.network import MFEL
from delineate.methods.mfel.objective import (
    DynamicWeights,
    reconstruction_terms,
    reconstruction_weight,
)
from delineate.methods.mfel.options import MFELLossOptions, ReconstructionOptions
from delineate.methods.mfel.reconstruction import corrupt
from delineate.methods.testing.examples import as_batch, backward, context, example_batch
from delineate.nn.segmentation_loss import LossOptions, labeled_segmentation_loss
from delineate.nn.ssim import ssim
from delineate.strategies import registry as strategies


def small(**options: Any) -> MFEL:
    torch.manual_seed(0)
    base = {"widths": [8, 8, 16, 16], "decoder_depths": [0, 0, 0], "mvm": {"state": 1, "ratio": 1}}
    method = registry.build("mfel", options=merge(base, options))
    assert isinstance(method, MFEL)
    return method


def test_images_without_masks_train_the_reconstruction_alone() -> None:
    method, batch = small(afm={"source": "coarse"}).train(), example_batch(2)
    nothing = as_batch(batch["image"], torch.full_like(batch["mask"], 255))
    terms = method.objective(nothing, context())
    assert {key for key, value in terms.items() if float(value.detach())} == {"reconstruction"}
    assert float(terms["reconstruction"].detach()) > 0
    backward(method, terms)
    grown = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None and p.grad.abs().any()}
    assert "reconstruction_decoder" in grown
    assert "decoder" not in grown
    assert "coarse_head" not in grown


def test_segmentation_terms_are_means_over_the_labeled() -> None:
    batch = example_batch(3)
    logits = torch.randn(3, 1, 64, 64, requires_grad=True)
    mask, labeled = batch["mask"].clone(), torch.tensor([True, False, True])
    mask[1] = 255
    for pool in ("image", "batch"):
        found = labeled_segmentation_loss(logits, mask, labeled, LossOptions(pool=pool))
        wanted = labeled_segmentation_loss(logits[::2], mask[::2], labeled[::2], LossOptions(pool=pool))
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    (gradient,) = torch.autograd.grad(sum(found.values()), logits)  # type: ignore[arg-type]
    assert not gradient[1].any()


def test_parts_of_a_batch_add_up_to_it() -> None:
    method, batch = small().eval(), example_batch(3)
    batch["mask"][1:] = 255
    whole = as_batch(batch["image"], batch["mask"])
    assert whole["labeled"].tolist() == [True, False, False]
    found = dict.fromkeys(wanted := method.objective(whole, context()), 0.0)
    for samples in (slice(0, 2), slice(2, 3)):
        part = as_batch(batch["image"][samples], batch["mask"][samples])
        for name, term in method.objective(part, replace(context(), labeled_share=1 / 3)).items():
            found[name] += float(term.detach()) * len(part["image"]) / 3
    assert found == pytest.approx({name: float(term.detach()) for name, term in wanted.items()}, rel=1e-4)


def test_a_mean_teacher_and_the_reconstruction_learn_from_the_same_images() -> None:
    options = strategies.checked_options("mean-teacher", {"weight": 5, "ramp": 0, "on": "unlabeled"})
    strategy = strategies.build("mean-teacher", method := small(), options).train()
    strategy.begin(method.stages()[0], options)
    strategy.update, strategy.ctx = strategy.updates(strategy.stage)[0], context()
    batch = example_batch(3)
    batch["mask"][1:] = 255
    terms = strategy(as_batch(batch["image"], batch["mask"]))
    assert terms.keys() > {"reconstruction", "consistency"}
    assert all(float(term.detach()) > 0 for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    grown = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None and p.grad.abs().any()}
    assert {"decoder", "reconstruction_decoder"} <= grown
    assert strategy.average is not None
    assert all(p.grad is None for p in strategy.average.parameters())


def test_reconstruction_is_compared_with_the_clean_image() -> None:
    x, y = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    found = reconstruction_terms(x, y, MFELLossOptions(ssim=0.3))
    torch.testing.assert_close(found["reconstruction"], (x - y).abs().mean())
    torch.testing.assert_close(found["ssim"], 0.3 * (1 - ssim(x, y)).mean())
    squares = reconstruction_terms(x, y, MFELLossOptions(kind="mse"))
    torch.testing.assert_close(squares["reconstruction"], (x - y).square().mean())
    method, batch = small(loss={"reconstruction": 0.25}).eval(), example_batch(2)
    with torch.no_grad():
        term = method.objective(batch, context())["reconstruction"]
        ready = method.normalize(batch["image"])
        made = method.reconstructed(method.features(ready, ready), batch["image"])
    torch.testing.assert_close(term, 0.25 * (made - batch["image"]).abs().mean())


def test_lambda_rises_where_asked() -> None:
    ramp = MFELLossOptions(reconstruction=0.8, schedule="ramp", ramp=0.5)
    assert [reconstruction_weight(p, ramp) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0, 0.4, 0.8, 0.8])
    assert reconstruction_weight(0.01, MFELLossOptions(reconstruction=0.8)) == 0.8


def test_the_task_that_falls_slowly_gets_more_weight() -> None:
    weights = DynamicWeights(2.0)
    torch.testing.assert_close(weights(), torch.ones(2))
    for segmentation, reconstruction in ((1.0, 1.0), (0.5, 0.9)):
        weights.record(0, torch.tensor(2 * segmentation))
        weights.record(0, torch.tensor(0.0))  # accumulated gradients: the mean of both counts
        weights.record(1, torch.tensor(reconstruction))
        weights.step()
    torch.testing.assert_close(weights(), 2 * torch.tensor([0.5 / 2, 0.9 / 2]).softmax(0))
    weights.record(1, torch.tensor(0.9))
    weights.step()  # a step without any mask: segmentation stays where it was
    torch.testing.assert_close(weights(), 2 * torch.tensor([0.5 / 2, 1.0 / 2]).softmax(0))


def test_dynamic_weights_follow_training_and_are_saved() -> None:
    method, batch = small(loss={"dynamic": True}).train(), example_batch(2)
    for step in range(2):
        terms = method.objective(batch, context(step=step))
        method.after_step(Context("train", step, 100, torch.Generator()))
    state = method.state_dict()["balance.history"]
    assert state[0, 1] == pytest.approx(float(terms["reconstruction"].detach()) / 0.5, rel=1e-4)
    method.eval().objective(batch, context())
    assert float(method.state_dict()["balance.counts"].sum()) == 0, "validation is no step"


def test_corruption_is_drawn_from_the_generator_and_only_in_training() -> None:
    image = torch.rand(2, 3, 20, 33)
    assert corrupt(image, ReconstructionOptions(), torch.Generator()) is image
    options = ReconstructionOptions(masked=0.5, patch=8)
    first, again, other = (corrupt(image, options, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    kept = (first == image).all(1)
    blotted = (first == image.mean((2, 3), keepdim=True)).all(1)
    assert (kept | blotted).all()
    assert (kept[:, :8, :8].flatten(1).all(1) | blotted[:, :8, :8].flatten(1).all(1)).all()
    noisy = corrupt(image, ReconstructionOptions(noise=0.1), torch.Generator().manual_seed(1))
    assert float((noisy - image).std()) == pytest.approx(0.1, rel=0.1)

    method, batch = small(reconstruction={"masked": 0.7}), example_batch(2)
    ctx = [context(seed=seed) for seed in (1, 2)]
    one, two = (method.train().objective(batch, c) for c in ctx)
    assert one["reconstruction"] != two["reconstruction"]
    one, two = (method.eval().objective(batch, c) for c in ctx)
    assert one["reconstruction"] == two["reconstruction"]


@pytest.mark.parametrize(("weight", "uses"), [(0.5, True), (0, False)])
def test_images_without_masks_are_for_those_who_reconstruct(weight: float, uses: bool):
    options = registry.checked_options("mfel", {"loss": {"reconstruction": weight}})
    assert MFEL.uses_unlabeled(options) is uses

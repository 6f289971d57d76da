"""The weighted sum of losses: what is asked for is computed, and only that."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch
from pydantic import Field, ValidationError
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.testing.examples import context, example_batch
from delineate.nn import segmentation_loss as menu
from delineate.nn.losses import boundary, cross_entropy, dice, focal, tversky
from delineate.nn.segmentation_loss import LossOptions, loss_terms, segmentation_loss


def example(classes: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    target = torch.randint(0, max(2, classes), (3, 16, 12), generator=random)
    target[:, :2] = 255
    return torch.randn(3, classes, 16, 12, generator=random), target


def unet(**loss: float):
    torch.manual_seed(0)
    options = registry.presets("unet")["tiny"]["method"]
    return registry.build("unet", options={**options, "loss": loss})


def gradient(method) -> Tensor:
    terms = method.objective(example_batch(2), context())
    sum(terms.values()).backward()
    return torch.cat([p.grad.flatten() for p in method.parameters()])


@pytest.mark.parametrize("classes", [1, 4])
def test_every_loss_has_its_weight(classes):
    logits, target = example(classes)
    plain = {"cross_entropy": cross_entropy, "dice": dice, "tversky": tversky, "focal": focal, "boundary": boundary}
    assert plain.keys() == loss_terms(LossOptions).keys()
    for name, loss in plain.items():
        (found,) = segmentation_loss(logits, target, LossOptions(**{**dict.fromkeys(plain, 0), name: 2})).items()
        assert found[0] == name
        assert torch.equal(found[1], 2 * loss(logits, target))
    assert list(segmentation_loss(logits, target, LossOptions())) == ["cross_entropy", "dice"]


@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({"boundary": 1, "boundary_gradient": "sobel", "boundary_scales": [2]}, (boundary, "sobel", (2,))),
        ({"boundary": 1, "boundary_scales": [1, 8]}, (boundary, "central", (1, 8))),
    ],
)
def test_settings_of_the_boundary_loss_reach_it(options, loss):
    logits, target = example()
    found = segmentation_loss(logits, target, LossOptions.model_validate(options))["boundary"]
    function, gradient, scales = loss
    assert torch.equal(found, function(logits, target, gradient=gradient, scales=scales))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict.fromkeys(loss_terms(LossOptions), 0),
            "at least one of cross_entropy, .*focal and boundary must be above 0",
        ),
        ({"boundary": -1}, "boundary"),
        ({"boundary_scales": []}, "boundary_scales"),
        ({"boundary_scales": [0]}, "boundary_scales"),
    ],
)
def test_faulty_options_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        LossOptions(**options)


@pytest.mark.parametrize(("classes", "weights"), [(1, [1, 2, 3]), (1, [1]), (4, [1, 2, 3]), (4, [1, 2, 3, 4, 5])])
def test_class_weights_are_as_many_as_the_classes(classes, weights):
    with pytest.raises(RecipeError, match=f"{len(weights)} weights given for {max(2, classes)} classes"):
        segmentation_loss(*example(classes), LossOptions(class_weights=weights))


def test_a_weight_of_zero_computes_nothing(monkeypatch):
    def broken(*args: object, **kwargs: object) -> Tensor:
        raise AssertionError("computed")

    monkeypatch.setattr(menu, "boundary", broken)
    assert torch.equal(gradient(unet()), gradient(unet(boundary=0)))
    with pytest.raises(AssertionError, match="computed"):
        unet(boundary=1).objective(example_batch(2), context())


def test_unet_learns_by_the_boundary_alone():
    method, batch = unet(cross_entropy=0, dice=0, boundary=1).train(), example_batch(2)
    optimizer, values = torch.optim.Adam(method.parameters(), 1e-3), []
    for _ in range(8):
        optimizer.zero_grad()
        (term,) = method.objective(batch, context()).values()
        term.backward()
        optimizer.step()
        values.append(float(term.detach()))
    assert all(torch.isfinite(p).all() for p in method.parameters())
    assert values[-1] < 0.9 * values[0]


def _size(logits: Tensor, target: Tensor, o: LossOptions) -> Tensor:
    return logits.sigmoid().mean()


class MoreLosses(LossOptions):
    size: Annotated[float, menu.Term(_size)] = Field(0.0, ge=0, description="weight of the size")


def test_a_new_loss_is_a_function_and_a_field():
    logits, target = example()
    found = segmentation_loss(logits, target, MoreLosses(cross_entropy=0, size=3))
    assert list(found) == ["dice", "size"]
    assert torch.equal(found["size"], 3 * logits.sigmoid().mean())
    with pytest.raises(ValidationError, match="boundary and size must be above 0"):
        MoreLosses(cross_entropy=0, dice=0)


def test_a_loss_that_is_hidden_by_its_field_is_told():
    with pytest.raises(TypeError, match="hides a function of the same name"):

        class Hidden(LossOptions):
            example: Annotated[float, menu.Term(example)] = Field(0.0, ge=0)

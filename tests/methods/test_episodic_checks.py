"""The checks of few-shot methods catch what they are there to catch: each broken method below fails the check that names its
fault."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import Tensor, nn

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.contract import Context, MethodInfo, MethodOptions, Panel, Stage
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod, EpisodicModule, State
from delineate.methods.testing.checks import check, checks_of
from delineate.methods.testing.episodic import CHECKS
from delineate.nn.losses import bce
from delineate.nn.prototypes import cosine_scores, mean_prototype, resize_mask


class Sound(EpisodicMethod):
    """Three convolutions and a mean prototype of each class; keeps every promise."""

    info = MethodInfo(name="sound", title="Sound", paper="none", year=2026, min_size=8, checkpoint_modules=("body",))
    Options = MethodOptions

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        if classes != 1:
            raise RecipeError("one class at a time")
        self.body = nn.Sequential(
            *(nn.Conv2d(in_channels, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 32, 1), nn.BatchNorm2d(32), nn.ReLU()),
        )
        self.head = nn.Conv2d(32, 8, 1)

    def features(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))

    def stages(self) -> tuple[Stage, ...]:
        return (Stage("train", source="episodes"),)

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        maps = self.features(support_image.flatten(0, 1)).view(*support_mask.shape[:2], 8, *support_mask.shape[2:])
        masks = [resize_mask(support_mask, support_mask.shape[-2:], label=label) for label in (0, 1)]
        return {"prototypes": torch.stack([mean_prototype(maps, mask) for mask in masks], 1)}

    def forward(self, image: Tensor, state: State) -> Tensor:
        scores = cosine_scores(self.features(image), state["prototypes"])
        return scores[:, 1:] - scores[:, :1]

    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        state = self.condition(batch["support_image"], batch["support_mask"])
        return {"query": bce(self(batch["image"], state), batch["mask"])}

    def deploy(self) -> EpisodicModule:
        return Lean(self).eval()


class Lean(EpisodicModule):
    def __init__(self, method: Sound) -> None:
        super().__init__()
        self.method = copy.deepcopy(method)

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        return self.method.condition(support_image, support_mask)

    def forward(self, image: Tensor, state: State) -> Tensor:
        return self.method(image, state)


class SupervisedSource(Sound):
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("train"),)


class ManyClasses(Sound):
    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=1, in_channels=in_channels)


class FirstShot(Sound):
    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        return super().condition(support_image[:, :1], support_mask[:, :1])


class ForgetsTheSupport(Sound):
    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        return super().condition(support_image, torch.zeros_like(support_mask))


class LooksAround(Sound):
    """Features of a query depend on the others in the batch."""

    def forward(self, image: Tensor, state: State) -> Tensor:
        return super().forward(image - image.mean(), state)


class SharedSupport(Sound):
    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        state = super().condition(support_image, support_mask)
        return {name: tensor.mean(0, keepdim=True).expand_as(tensor) for name, tensor in state.items()}


class EpisodesLast(Sound):
    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        state = super().condition(support_image, support_mask)
        return {"prototypes": state["prototypes"].movedim(0, 2)}

    def forward(self, image: Tensor, state: State) -> Tensor:
        return super().forward(image, {"prototypes": state["prototypes"].movedim(2, 0)})


class ReadsIgnored(Sound):
    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        return super().condition(support_image, torch.where(support_mask == 255, 0, support_mask))


class TrainsOnIgnored(Sound):
    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        return super().objective({**batch, "mask": torch.where(batch["mask"] == 255, 0, batch["mask"])}, ctx)


class DividesByTheArea(Sound):
    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        state = super().condition(support_image, support_mask)
        areas = torch.stack([(support_mask == label).flatten(1).sum(1) for label in (0, 1)], 1)
        return {"prototypes": state["prototypes"] * (areas / areas)[..., None]}


class WrongDeploy(Sound):
    def deploy(self) -> EpisodicModule:
        lean = Lean(self).eval()
        lean.method.body[1] = nn.Identity()
        return lean


class BadPanel(Sound):
    def panels(self, batch: EpisodicBatch) -> dict[str, Panel]:
        return {"image": Panel("image", 100 * batch["image"])}


def register(monkeypatch: pytest.MonkeyPatch, cls: type[Sound]) -> str:
    monkeypatch.setitem(registry.BUILT_IN, "sound", f"{cls.__module__}:{cls.__name__}")
    monkeypatch.setitem(sys.modules, cls.__module__, sys.modules[__name__])
    monkeypatch.setattr(registry, "presets", lambda name: {"paper": {}, "tiny": {}})
    monkeypatch.setattr(registry, "card", lambda name: "# Sound\n## Facts\n## Readings\n## Results\n")
    return "sound"


def test_a_sound_method_passes_and_is_checked_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    name = register(monkeypatch, Sound)
    assert checks_of(name).keys() == CHECKS.keys()
    check(name)


@pytest.mark.parametrize(
    ("cls", "broken", "message"),
    [
        (SupervisedSource, "one_class", "source must be 'episodes'"),
        (ManyClasses, "one_class", "3 classes must raise RecipeError"),
        (EpisodesLast, "shapes", "does not begin with 3 episodes"),
        (LooksAround, "many_queries", "depend on the other queries"),
        (SharedSupport, "own_support", "depend on the other episodes"),
        (ForgetsTheSupport, "own_support", "does not change the logits"),
        (FirstShot, "order_of_shots", "order of the shots"),
        (ReadsIgnored, "ignored", "a shot that is all 255"),
        (TrainsOnIgnored, "ignored", "without any label"),
        (DividesByTheArea, "empty_support", "support of 0 alone"),
        (WrongDeploy, "deploy", r"deploy\(\) differs by"),
        (BadPanel, "panels", r"leaves \[0, 1\]"),
    ],
)
def test_a_broken_method_fails(monkeypatch: pytest.MonkeyPatch, cls: type[Sound], broken: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        CHECKS[broken](register(monkeypatch, cls))

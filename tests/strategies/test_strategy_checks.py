"""The checks catch what they are there to catch: each broken strategy below fails the check that names its fault."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from delineate.methods.contract import Batch, Context, Method, Stage, Update
from delineate.strategies import registry
from delineate.strategies.contract import Strategy, StrategyInfo, StrategyOptions
from delineate.strategies.testing.checks import CHECKS


class Options(StrategyOptions):
    weight: float = Field(1.0, ge=0, description="of the agreement with the average")


class Sound(Strategy):
    """Agreement with the average of the weights, on all images: keeps every promise."""

    info = StrategyInfo(
        name="sound",
        title="Sound",
        paper="none",
        year=2026,
        uses_unlabeled=True,
        step_cost=1.83,
        neutral={"weight": 0.0, "ema": 0.9},
    )
    Options = Options
    options: Options

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return bool(options.weight > 0)

    def begin(self, stage: Stage, options: StrategyOptions) -> None:
        super().begin(stage, options.model_copy(update={"ema": 0.9}))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        terms = self.method_terms(batch)
        return terms | {"agreement": self.agreement(batch["image"])} if self.options.weight else terms

    def agreement(self, image: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.average(image).float().sigmoid()  # type: ignore[misc]
        return self.options.weight * (self.method(image).float().sigmoid() - wanted).square().mean()


class OtherName(Sound):
    info = replace(Sound.info, name="sounds")


class Undescribed(Sound):
    class Options(Options):  # type: ignore[misc]
        more: int = 1


class AnyOption(Sound):
    class Options(Options):  # type: ignore[misc]
        model_config = ConfigDict(extra="ignore")


class SecretlyInside(Sound):
    def agreement(self, image: Tensor) -> Tensor:
        self.method.decode(self.method.encode(image))  # type: ignore[operator]
        return super().agreement(image)


class Unbounded(Sound):
    def agreement(self, image: Tensor) -> Tensor:
        return (super().agreement(image) * 0).log()


class NothingWithoutMasks(Sound):
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return super().forward(batch) if batch["labeled"].any() else {}


class Judged(Sound):
    """Its critic is moved by an update whose terms do not reach it."""

    def __init__(self, method: Method, options: StrategyOptions) -> None:
        super().__init__(method, options)
        self.critic = nn.Conv2d(1, 1, 3)

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        return *super().updates(stage), Update("critic", ("critic", "method.head"))


class MovesTheAverage(Sound):
    def updates(self, stage: Stage) -> tuple[Update, ...]:
        return (Update(modules=("",)),)

    def agreement(self, image: Tensor) -> Tensor:
        return super().agreement(image) + 0 * self.average(image).mean()  # type: ignore[misc]


class OwnRandomness(Sound):
    def agreement(self, image: Tensor) -> Tensor:
        noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(id(self)))
        return super().agreement(image + 0.1 * noise)


class RandomInEval(Sound):
    def agreement(self, image: Tensor) -> Tensor:
        return super().agreement(image + 0.1 * torch.rand(image.shape, generator=self.ctx.generator))


class CostsMore(Sound):
    info = replace(Sound.info, step_cost=1.0)


class TimesZero(Sound):
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.method_terms(batch) | {"agreement": self.agreement(batch["image"])}


class DrawsForNothing(Sound):
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        torch.rand(1, generator=self.ctx.generator)
        return super().forward(batch)


class AlwaysAsks(Sound):
    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return True


class OtherLoss(Sound):
    def method_terms(self, batch: Batch) -> dict[str, Tensor]:
        return {key: 0.5 * term for key, term in super().method_terms(batch).items()}


class OnTheMethod(Sound):
    def __init__(self, method: Method, options: StrategyOptions) -> None:
        super().__init__(method, options)
        method.teacher = copy.deepcopy(method)


class ValidatesThePart(Sound):
    def validated(self) -> Method:
        return self.method.body  # type: ignore[return-value]


class Forgetful(Sound):
    """A pool that is no buffer, so nobody saves it."""

    def __init__(self, method: Method, options: StrategyOptions) -> None:
        super().__init__(method, options)
        self.pool: list[Tensor] = []

    def agreement(self, image: Tensor) -> Tensor:
        self.pool.append(image)
        return super().agreement(self.pool[0])


class EachItsOwn(Sound):
    """Every process draws another noise for the average."""

    def after_step(self, ctx: Context) -> None:
        super().after_step(ctx)
        with torch.no_grad():
            for parameter in self.average.parameters():  # type: ignore[union-attr]
                parameter += 1e-3 * torch.randn(parameter.shape, generator=ctx.generator)


class Coupled(Sound):
    def agreement(self, image: Tensor) -> Tensor:
        return super().agreement(image) + self.method(image).float().sigmoid().mean((1, 2, 3)).std()


class ForgetsTargets(Sound):
    def method_terms(self, batch: Batch) -> dict[str, Tensor]:
        given: Any = {key: batch[key] for key in ("image", "mask", "labeled", "sample_id")}  # type: ignore[literal-required]
        return super().method_terms(given)


class MixesMasksAlone(Sound):
    def method_terms(self, batch: Batch) -> dict[str, Tensor]:
        mixed: Any = {
            **batch,
            "image": batch["image"].flip(0),
            "mask": batch["mask"].flip(0),
            "labeled": batch["labeled"].flip(0),
        }
        return super().method_terms(mixed)


class Unlearning(Sound):
    def method_terms(self, batch: Batch) -> dict[str, Tensor]:
        return {key: -term for key, term in super().method_terms(batch).items()}


def register(monkeypatch: pytest.MonkeyPatch, cls: type[Strategy]) -> str:
    monkeypatch.setitem(registry.BUILT_IN, "sound", f"{cls.__module__}:{cls.__name__}")
    monkeypatch.setitem(sys.modules, cls.__module__, sys.modules[__name__])
    monkeypatch.setattr(registry, "recipe_sections", lambda name: {})
    monkeypatch.setattr(registry, "card", lambda name: "# Sound\n## Facts\n## Readings\n## Results\n")
    return "sound"


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_strategy_passes(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    CHECKS[check](register(monkeypatch, Sound))


def test_a_card_without_headings_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    name = register(monkeypatch, Sound)
    monkeypatch.setattr(registry, "card", lambda name: "# Sound")
    with pytest.raises(AssertionError, match=r"card\.md lacks"):
        CHECKS["card"](name)


@pytest.mark.parametrize(
    ("cls", "check", "message"),
    [
        (OtherName, "facts", "info.name is 'sounds'"),
        (Undescribed, "facts", "option 'more' has no description"),
        (AnyOption, "unknown_option", "does not name 'ema': none"),
        (SecretlyInside, "needs", "needs more of a method than it declares"),
        (Unbounded, "terms", "term 'agreement' is not finite"),
        (NothingWithoutMasks, "terms", "none with masks: no term"),
        (ForgetsTargets, "targets", "a batch without 'target'"),
        (MixesMasksAlone, "targets", "masks are changed, and its 'target' not alike"),
        (Judged, "gradients", r"no gradient reaches critic\.weight"),
        (MovesTheAverage, "gradients", "moves the average"),
        (OwnRandomness, "determinism", "not reproducible"),
        (RandomInEval, "determinism", "random in eval mode"),
        (CostsMore, "cost", r"a step costs 1\.83 supervised ones, and 1\.0 are declared"),
        (TimesZero, "reference", "a step passes 12 layers, where 'supervised' passes 4"),
        (DrawsForNothing, "reference", "draws other random numbers"),
        (AlwaysAsks, "reference", "still asks for images without masks"),
        (OtherLoss, "reference", "the weights are not those of 'supervised'"),
        (OnTheMethod, "own_state", "the method has grown"),
        (ValidatesThePart, "own_state", r"validated\(\) gives a Sequential"),
        (Forgetful, "resume", "it ends with another"),
        (EachItsOwn, "processes", "differs between two processes"),
        (Coupled, "processes", "two processes train to another"),
        (Unlearning, "learns", "on two images after 200 steps"),
    ],
)
def test_a_broken_strategy_fails(
    monkeypatch: pytest.MonkeyPatch, cls: type[Strategy], check: str, message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](register(monkeypatch, cls))


def test_methods_of_another_kind_and_closed_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Needing(Sound):
        info = replace(Sound.info, needs_encode_decode=True)

    monkeypatch.setattr(sys.modules[__name__], "Needing", Needing, raising=False)
    CHECKS["needs"](register(monkeypatch, Needing))
    monkeypatch.setattr(registry, "check_fits", lambda name, method: None)
    with pytest.raises(AssertionError, match="without `encode` and `decode` must be refused"):
        CHECKS["needs"]("sound")

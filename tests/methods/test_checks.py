"""The checks catch what they are there to catch: each broken method below fails the check that names its fault."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from delineate.methods import registry
from delineate.methods.contract import Batch, Context, Method, MethodInfo, MethodOptions, Panel, Stage, Update
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.testing.checks import check
from delineate.methods.testing.dense import CHECKS
from delineate.nn.blocks import size_of
from delineate.nn.segmentation_loss import LossOptions, segmentation_loss


class Options(MethodOptions):
    width: int = Field(48, description="channels")


class Sound(DenseMethod):
    """Two convolutions that keep every promise."""

    info = MethodInfo(name="sound", title="Sound", paper="none", year=2026, min_size=8, checkpoint_modules=("body",))
    Options = Options

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.body = nn.Sequential(nn.Conv2d(in_channels, 48, 5, padding=2), nn.BatchNorm2d(48), nn.ReLU())
        self.head = nn.Conv2d(48, classes, 5, padding=2)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return segmentation_loss(self(batch["image"]), batch["mask"], LossOptions())

    def deploy(self) -> nn.Module:
        return copy.deepcopy(self).eval()


class LearnsFromUnlabeled(Sound):
    """A term of the images without masks alone is the same whatever their masks would be."""

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        sharpness = (self(batch["image"]).sigmoid() - 0.5).square().mean((1, 2, 3))
        return {**super().objective(batch, ctx), "sharpness": (sharpness * ~batch["labeled"]).mean()}


class Unused(Sound):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.spare = nn.Parameter(torch.zeros(1))


class WrongDeploy(Sound):
    def deploy(self) -> nn.Module:
        lean = copy.deepcopy(self).eval()
        lean.body[1] = nn.Identity()
        return lean


class DeployInPlace(Sound):
    def deploy(self) -> nn.Module:
        return self.eval()


class RandomInEval(Sound):
    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        noise = torch.rand(batch["image"].shape, generator=ctx.generator)
        return segmentation_loss(self(batch["image"] + 0.1 * noise), batch["mask"], LossOptions())


class OwnRandomness(Sound):
    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        noise = torch.rand(batch["image"].shape, generator=torch.Generator().manual_seed(id(self)))
        return segmentation_loss(self(batch["image"] + noise), batch["mask"], LossOptions())


class Coupled(Sound):
    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return segmentation_loss(self(batch["image"]), batch["mask"], LossOptions(pool="batch"))


class ReadsIgnored(Sound):
    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        mask = torch.where(batch["mask"] == 255, 0, batch["mask"])
        return segmentation_loss(self(batch["image"]), mask, LossOptions())


class FixedSize(Sound):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image)[..., : image.shape[-2] // 2 * 2, :]


class NotFinite(Sound):
    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return {"loss": (super().objective(batch, ctx)["dice"] * 0).log()}


class LearnsNothing(Sound):
    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return {"loss": self(batch["image"]).square().mean()}


class BadPanel(Sound):
    def panels(self, batch: Batch) -> dict[str, Panel]:
        return {"logits": Panel("heat", 100 * self(batch["image"]))}


class HalfTheSteps(Sound):
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("one", 0.5),)


class Open(Sound):
    """Shows its inside."""

    def encode(self, image: Tensor) -> FeatureMaps:
        return FeatureMaps([self.body(image)], size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        return self.head(maps.levels[0])


class HalfOpen(Sound):
    def encode(self, image: Tensor) -> FeatureMaps:
        return FeatureMaps([self.body(image)], size_of(image))


class DecodesOtherwise(Open):
    def decode(self, maps: FeatureMaps) -> Tensor:
        return super().decode(maps.each(lambda level: level + 1e-6))


class TrainsOtherwise(Open):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(image, 0.1, self.training))


class Remembers(Open):
    """Decodes what was encoded last, whatever the maps are."""

    def encode(self, image: Tensor) -> FeatureMaps:
        self.last = super().encode(image)
        return self.last

    def decode(self, maps: FeatureMaps) -> Tensor:
        return super().decode(self.last)


class ChangesTheMaps(Open):
    def decode(self, maps: FeatureMaps) -> Tensor:
        logits = super().decode(maps)
        maps.levels[0].mul_(0.5)
        return logits


class SpareLevel(Open):
    def encode(self, image: Tensor) -> FeatureMaps:
        maps = super().encode(image)
        return FeatureMaps([*maps.levels, maps.levels[0]], maps.size)


class CoarsestFirst(Open):
    def encode(self, image: Tensor) -> FeatureMaps:
        maps = super().encode(image)
        return FeatureMaps([nn.functional.avg_pool2d(image, 2), *maps.levels], maps.size)

    def decode(self, maps: FeatureMaps) -> Tensor:
        return self.head(maps.levels[1])


class NoSuchObjective(Sound):
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("one", updates=(Update(objective="loss"),)),)


class NoSuchLogits(Sound):
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("one", logits="logits"),)


class HiddenRandomness(Sound):
    """Draws from a generator that recomputation knows nothing of."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.body = _Noisy(*self.body)


class _Noisy(nn.Sequential):
    def __init__(self, *parts: nn.Module) -> None:
        super().__init__(*parts)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image + torch.rand(image.shape, generator=self.generator))


def register(monkeypatch: pytest.MonkeyPatch, cls: type[Method]) -> str:
    monkeypatch.setitem(registry.BUILT_IN, "sound", f"{cls.__module__}:{cls.__name__}")
    monkeypatch.setitem(sys.modules, cls.__module__, sys.modules[__name__])
    monkeypatch.setattr(registry, "presets", lambda name: {"paper": {}, "tiny": {}})
    monkeypatch.setattr(registry, "card", lambda name: "# Sound\n## Facts\n## Readings\n## Results\n")
    return "sound"


@pytest.mark.parametrize("kept", CHECKS)
def test_a_sound_method_passes(monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    CHECKS[kept](register(monkeypatch, Sound))


def test_a_sound_method_that_shows_its_inside_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Open.has_encode_decode()
    assert not Sound.has_encode_decode()
    CHECKS["encode_decode"](register(monkeypatch, Open))


def test_a_method_with_a_term_of_images_without_masks_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    CHECKS["ignored"](register(monkeypatch, LearnsFromUnlabeled))


def test_a_method_without_the_small_preset_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = register(monkeypatch, Sound)
    monkeypatch.setattr(registry, "presets", lambda name: {"paper": {}})
    with pytest.raises(AssertionError, match="method 'sound' has no preset 'tiny'"):
        check(name)


@pytest.mark.parametrize(
    ("cls", "broken", "message"),
    [
        (Unused, "gradients", "no gradient reaches spare"),
        (WrongDeploy, "deploy", r"deploy\(\) differs by"),
        (DeployInPlace, "deploy", "changed the method's mode"),
        (RandomInEval, "determinism", "random in eval mode"),
        (OwnRandomness, "determinism", "not reproducible"),
        (Coupled, "sample_mean", "term 'dice' is not a mean over samples .*couples_samples=True"),
        (ReadsIgnored, "ignored", "without any label"),
        (FixedSize, "shapes", "at 65×97"),
        (NotFinite, "terms", "term 'loss' is not finite"),
        (LearnsNothing, "overfit", "two images with 1 outputs"),
        (BadPanel, "panels", r"leaves \[0, 1\]"),
        (HalfTheSteps, "facts", "shares must sum to 1"),
        (NoSuchObjective, "facts", "no function is called 'loss'"),
        (NoSuchLogits, "facts", "no function is called 'logits'"),
        (HiddenRandomness, "recomputation", "differs"),
        (HalfOpen, "encode_decode", "encode is defined alone"),
        (DecodesOtherwise, "encode_decode", "not forward.image. bit for bit"),
        (TrainsOtherwise, "encode_decode", "in training"),
        (Remembers, "encode_decode", "not forward.image. bit for bit"),
        (ChangesTheMaps, "encode_decode", "changes the maps"),
        (SpareLevel, "encode_decode", "level 1 of the maps does not change"),
        (CoarsestFirst, "encode_decode", "from the finest to the coarsest"),
    ],
)
def test_a_broken_method_fails(monkeypatch: pytest.MonkeyPatch, cls: type[Method], broken: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        CHECKS[broken](register(monkeypatch, cls))

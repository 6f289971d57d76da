"""The smallest method that there can be: one 3×3 convolution. For tests of what knows methods only by their contract."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from delineate.methods.contract import Batch, Context, ImportedModel, MethodInfo, MethodOptions
from delineate.methods.dense import DenseMethod


class MicroOptions(MethodOptions):
    kernel: int = Field(3, ge=1, description="size of the convolution")
    tied: bool = Field(False, description="a second name for the same weight")


class Micro(DenseMethod):
    info = MethodInfo(name="micro", title="Micro", paper="none", year=2024, min_size=1)
    Options = MicroOptions

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        assert isinstance(options, MicroOptions)
        self.conv = nn.Conv2d(in_channels, classes, options.kernel, padding=options.kernel // 2)
        self.norm = nn.BatchNorm2d(classes)
        if options.tied:
            self.twin = nn.Conv2d(in_channels, classes, options.kernel, padding=options.kernel // 2)
            self.twin.weight = self.conv.weight

    def load_pretrained(self) -> None:
        raise AssertionError("a model that is read from disk must not fetch pretrained weights")

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.conv(image))

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return {"square": self(batch["image"]).square().mean()}

    def deploy(self) -> nn.Module:
        return copy.deepcopy(self).eval()


def micro_checkpoint(state: Mapping[str, Tensor]) -> ImportedModel:
    method = Micro(MicroOptions(), classes=1, in_channels=3)
    method.load_state_dict({**method.state_dict(), **dict(state)})
    return ImportedModel(method, channels="bgr", size=(32, 32), description="a micro checkpoint")


def brightness(classes: int = 1, in_channels: int = 3) -> Micro:
    """A micro method that knows its answer: binary, foreground where the mean channel exceeds ½; else class = its level."""
    method = Micro(MicroOptions(kernel=1), classes=classes, in_channels=in_channels).eval()
    with torch.no_grad():
        levels = torch.linspace(0, 1, classes) if classes > 1 else torch.tensor([0.5])
        slope = 200 * levels if classes > 1 else torch.full((1,), 50.0)
        method.conv.weight.copy_((slope / in_channels).view(-1, 1, 1, 1).expand_as(method.conv.weight))
        method.conv.bias.copy_(-100 * levels.square() if classes > 1 else -25.0 * torch.ones(1))
    return method

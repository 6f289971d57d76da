"""Cross pseudo supervision (CPS): two networks that begin apart learn from each other's masks."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from delineate.common.errors import DelineateError, RecipeError
from delineate.methods.contract import READING, Batch, Context, Method, Stage, Update
from delineate.nn.losses import cross_entropy
from delineate.strategies.added_term import AddedTerm, AddedTermOptions
from delineate.strategies.averaging import update_average
from delineate.strategies.contract import StrategyInfo, StrategyOptions

__all__ = ["CrossPseudoOptions", "CrossPseudoSupervision"]

_SECOND = "second."
"""Prefix of the second network's parameters among those of the strategy."""


class CrossPseudoOptions(AddedTermOptions):
    weight: float = Field(
        0.1,
        ge=0,
        description="of the cross-entropy with the other network's masks; 0: plain supervised training of one network",
        json_schema_extra=READING,
    )
    on: Literal["all", "unlabeled"] = Field(
        "unlabeled",
        description="images on which the networks learn from each other; all: those with masks too",
        json_schema_extra=READING,
    )
    kept: Literal["better", "first", "both"] = Field(
        "better",
        description="the network that becomes the model: at each validation the better of both, or always the first; both: the "
        "first, with the second beside it in the run's folder `second`, for `predict RUN --ensemble RUN/second`",
        json_schema_extra=READING,
    )


class CrossPseudoSupervision(AddedTerm):
    """Both networks are moved by one update, so that each learns from the other as it was before the step."""

    term = "cross"
    info = StrategyInfo(
        name="cps",
        title="CPS",
        paper="Chen, Yuan, Zeng, Wang: Semi-supervised semantic segmentation with cross pseudo supervision, CVPR 2021, "
        "arXiv 2106.01226",
        year=2021,
        uses_unlabeled=True,
        networks=2,
        step_cost=2.0,
        neutral={"weight": 0.0},
    )
    Options = CrossPseudoOptions
    options: CrossPseudoOptions
    second: Method | None
    """None where the weight is 0: it would change nothing of the first."""
    second_average: Method | None
    """Of its weights, with the option `ema`."""

    def __init__(self, method: Method, options: CrossPseudoOptions) -> None:
        super().__init__(method, options)
        self.register_module("second", _begun_anew(method) if options.weight else None)
        self.register_module("second_average", None)

    @classmethod
    def networks(cls, options: Any) -> int:
        return 2 if options.weight else 1

    def begin(self, stage: Stage, options: StrategyOptions) -> None:
        super().begin(stage, options)
        if self.second is None and self.options.weight:
            raise RecipeError(
                f"stages.{stage.name}.strategy.weight: the weight of the run is 0, so that there is no second network; set "
                "strategy.weight above 0 and the weights of the other stages to 0"
            )
        averaged = self.second is not None and options.ema
        self.second_average = copy.deepcopy(self.second).requires_grad_(False) if averaged else None  # type: ignore[union-attr]

    def learners(self) -> dict[str, Method]:
        return super().learners() | ({} if self.second is None else {_SECOND: self.second})

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        own = super().updates(stage)
        if self.second is None:
            return own
        return tuple(replace(update, modules=(*update.modules, *map(_of_second, update.modules))) for update in own)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().forward(batch)
        if self.second is None:
            return terms
        return terms | {f"second_{name}": term for name, term in self.terms_of(self.second, batch).items()}

    def added(self, image: Tensor) -> Tensor:
        """Cross-entropy of each network with the other's most probable classes, summed."""
        assert self.second is not None, "`begin` sees to it"
        output = self.method.output
        first, second = (self.logits_of(network)(image) for network in (self.method, self.second))
        return cross_entropy(first, output.hard_target(second.detach())) + cross_entropy(
            second, output.hard_target(first.detach())
        )

    def after_step(self, ctx: Context) -> None:
        super().after_step(ctx)
        if self.second is not None:
            self.second.after_step(ctx)
        if self.second_average is not None and self.second is not None:
            update_average(self.second_average, self.second, self.decay(ctx))

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        if self.second_average is not None:
            self.second_average.eval()
        return self

    def candidates(self) -> tuple[Method, ...]:
        """Both networks in the last stage: a stage in between hands the first on, so that the two stay apart."""
        second = self._second_at_the_end() if self.options.kept == "better" else None
        return (self.validated(),) if second is None else (self.validated(), second)

    def companion(self) -> Method | None:
        """The second network, where both are kept."""
        return self._second_at_the_end() if self.options.kept == "both" else None

    def _second_at_the_end(self) -> Method | None:
        if self.stage.name != self.method.stages()[-1].name:
            return None
        return self.second if self.second_average is None else self.second_average


def _of_second(module: str) -> str:
    """The second network's part that is called `module` in the first."""
    return "second" + module.removeprefix("method")


def _begun_anew(method: Method) -> Method:
    """A network like `method` with other random numbers, and the same pretrained weights where it has some."""
    fresh = type(method)(method.options, classes=method.classes, in_channels=method.in_channels)
    # What cannot be loaded now could not be loaded into the first network either: then a run is resumed, and its checkpoint
    # has the weights of both.
    with suppress(DelineateError):
        fresh.load_pretrained()
    second = copy.deepcopy(method)  # in the same memory format, and with the same checkpointing of activations
    with torch.no_grad():
        second.load_state_dict(fresh.state_dict())
    return second

"""The strategy contract: an `nn.Module` that holds a method and whatever only training needs.

A strategy is what the training loop steps and what several processes wrap. The method inside is what is validated, handed on and
saved; all else (an averaged copy, a critic, a pool of images) is the strategy's own, is kept with the run's resume states and
never comes into `model.safetensors`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from delineate.common.errors import TrainingError
from delineate.data.core.findings import some
from delineate.methods.contract import Batch, Context, Kind, Method, Stage, Update
from delineate.strategies.averaging import average, decay
from delineate.strategies.batches import select_samples

METHOD_PREFIX = "method."
"""What the names of the method's parameters begin with, seen from the strategy."""


@dataclass(frozen=True)
class StrategyInfo:
    """Declared facts, read by the command line, the checks and the model card."""

    name: str
    title: str
    paper: str
    """Citation: authors, venue, identifier."""
    year: int
    reference: str = "supervised"
    """The strategy that it equals bit for bit where the `neutral` options are set; one that changes more than it adds names another
    than supervised training here, or options of it."""
    reference_options: Mapping[str, Any] = field(default_factory=dict)
    neutral: Mapping[str, Any] = field(default_factory=dict)
    """Options with which nothing is added, such as {"weight": 0}: images without masks are then neither asked for nor passed
    through a network, and no random number is drawn for them."""
    uses_unlabeled: bool = False
    """True where it learns from samples without masks (`Batch.labeled` false); then it may still say no by its options."""
    kinds: tuple[Kind, ...] = ("dense",)
    """Kinds of methods that it can train."""
    needs_encode_decode: bool = False
    """True where it calls `encode` and `decode`: methods without them are refused."""
    couples_samples: bool = False
    """True where its terms are no means over samples: a batch divided over processes then gives another gradient."""


class StrategyOptions(BaseModel):
    """Base of every strategy's options: typed, closed, each field described.

    A field with `json_schema_extra={"origin": "paper"}` is stated by the paper; all others are this project's reading.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ema: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights; 0 = none")
    ema_ramp: float = Field(
        0.0,
        ge=0,
        description="the decay rises to `ema` as (1 + t) / (ramp + t) over the steps t; 0 = it is `ema` at once",
    )


class Strategy(nn.Module):
    """Base class of all strategies, and by itself plain supervised training. A subclass sets `info` and `Options`.

    The loop asks in this order: `begin(stage, options)` once per stage; at each step, for each of `updates(stage)` that is due,
    `forward(batch)` with `ctx` and `update` set; then `after_step`. They are attributes, since under autocast Fabric walks
    through all arguments of `forward`.
    """

    info: ClassVar[StrategyInfo]
    Options: ClassVar[type[StrategyOptions]] = StrategyOptions

    options: StrategyOptions
    """Those of the current stage."""
    stage: Stage
    update: Update
    """The one whose terms are asked for."""
    ctx: Context
    """Where training stands; all randomness comes from its generator."""
    average: Method | None
    """The exponential moving average of the method's weights, with the option `ema`."""

    def __init__(self, method: Method, options: StrategyOptions) -> None:
        """Args:
        method: The network to be trained, with its initial weights.
        options: An instance of the class's `Options`.

        Built once per run, with seeded random numbers, before the device is known. A network of the strategy's own (a critic, a
        second student) is made here.
        """
        super().__init__()
        self.method = method
        self.options = options
        self.register_module("average", None)

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        """Whether training with these options (of the class's `Options`) learns from images without masks. Asked only of a strategy
        whose `info` says that it can. Where neither the strategy nor the method does, they are left out of training."""
        return cls.info.uses_unlabeled

    def begin(self, stage: Stage, options: StrategyOptions) -> None:
        """A stage starts, or is taken up again (`load_own_state` follows then). The method holds the weights that were handed on.

        Args:
            stage: The method's stage.
            options: Those of the recipe, with what `stages.<name>.strategy` says of this one.
        """
        self.stage, self.options = stage, options
        self.average = copy.deepcopy(self.method).requires_grad_(False) if options.ema else None

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        """The updates of a stage's step, in order: by default the method's own.

        Returns:
            Each with its `modules` as prefixes of the strategy's parameters: "method.encoder", "critic".
        """
        return tuple(with_method_prefix(update) for update in stage.updates)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The named scalar terms of `self.update`; the engine adds them up and logs each. In eval mode nothing is drawn at random.

        Args:
            batch: This process's samples, on the device; some may have no mask, where `uses_unlabeled` says that they are used.

        Returns:
            Float32 scalars with a gradient, at least one; means over samples wherever possible.
        """
        return self.method_terms(batch)

    def train(self, mode: bool = True) -> Self:
        """The average stays in eval mode."""
        super().train(mode)
        if self.average is not None:
            self.average.eval()
        return self

    def method_terms(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the method's own objective that the current update names, on the samples that it learns from.

        Those without masks are left out, unless the method learns from them: they would dilute its means. Where no sample has a
        mask, the batch is passed on as it is, and the terms are 0: so every process has a gradient to exchange.
        """
        weight, ctx = 1.0, self.ctx
        if self.info.uses_unlabeled and not learns_from_unlabeled(self.method):
            weight = ctx.weight_of_part(batch["labeled"])
            batch, ctx = select_samples(batch, batch["labeled"]) or batch, replace(ctx, labeled_share=None)
        terms = getattr(self.method, self.update.objective)(batch, ctx)
        return {name: weight * term for name, term in terms.items()}

    def after_step(self, ctx: Context) -> None:
        """What changes with time, once per step after all updates. A subclass calls it of its base: the average is moved here."""
        self.method.after_step(ctx)
        if self.average is not None:
            average(self.average, self.method, decay(self.options.ema, self.options.ema_ramp, ctx.step))

    def validated(self) -> Method:
        """Which network is validated, and handed on to the next stage and to the artefact: the average where there is one."""
        return self.method if self.average is None else self.average

    def own_state(self) -> dict[str, Tensor]:
        """Everything that training needs beyond the method, by name; saved with the run's resume states."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(METHOD_PREFIX)}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `own_state`. Raises `TrainingError` for the state of another strategy."""
        ours = self.own_state()
        fitting = [name for name in ours if name in state and state[name].shape == ours[name].shape]
        if strange := sorted((ours.keys() | state.keys()) - set(fitting)):
            raise TrainingError(
                f"the resume state does not fit strategy '{self.info.name}' ({some(strange, 3)}); go on with the version of "
                "Delineate that began the run"
            )
        self.load_state_dict(state, strict=False)


def learns_from_unlabeled(method: Method) -> bool:
    """Whether the method's own objective, with its options, uses images without masks."""
    return method.info.uses_unlabeled and method.uses_unlabeled(method.options)


def with_method_prefix(update: Update) -> Update:
    """A method's update as the strategy sees it."""
    return replace(update, modules=tuple(f"{METHOD_PREFIX}{name}".removesuffix(".") for name in update.modules))

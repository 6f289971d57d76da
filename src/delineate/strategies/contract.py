"""The strategy contract: an `nn.Module` that holds a method and whatever only training needs.

The training loop steps a strategy, and several processes wrap it. The method inside is what is validated, passed to the next stage
and saved as the model. All else (an averaged copy, a critic, a pool of images) is the strategy's own: it is kept in the run's
checkpoints and never comes into `model.safetensors`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from delineate.common.errors import TrainingError
from delineate.data.core.findings import some
from delineate.methods.contract import Batch, Context, Kind, Method, Stage, Update
from delineate.strategies.averaging import ema_decay, update_average
from delineate.strategies.batches import select_samples

__all__ = ["METHOD_PREFIX", "Shown", "Strategy", "StrategyInfo", "StrategyOptions", "learns_from_unlabeled"]

METHOD_PREFIX = "method."
"""Prefix of the method's parameters among those of the strategy."""
Shown = Literal["views", "boxes", "squares"]
"""What a network may be shown beyond the data's augmentation. views: other colors, blur, other places; boxes: parts of one image in
another; squares: parts that are hidden."""


@dataclass(frozen=True)
class StrategyInfo:
    """Declared facts of a strategy, read by the command line, the checks and the model card.

    Example:
        >>> from delineate.strategies.contract import StrategyInfo
        >>> info = StrategyInfo(
        ...     name="my-strategy", title="My strategy", paper="Doe: My paper, MICCAI 2026", year=2026, neutral={"weight": 0.0}
        ... )
        >>> info.reference
        'supervised'
    """

    name: str
    """What users type after `--strategy`; equals the name of the entry point."""
    title: str
    """For people, in tables and reports."""
    paper: str
    """Citation: authors, title, venue, identifier."""
    year: int
    """Of publication."""
    reference: str = "supervised"
    """The strategy that this one equals bit for bit where the `neutral` options are set."""
    reference_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the reference, where it needs others than its defaults to be equal."""
    neutral: Mapping[str, Any] = field(default_factory=dict)
    """Options with which the strategy adds nothing, such as {"weight": 0}: images without masks are then neither loaded nor passed
    through a network, and no random number is drawn for them."""
    uses_unlabeled: bool = False
    """True where it can learn from samples without masks (`Batch.labeled` false); `Strategy.uses_unlabeled` tells with which
    options."""
    kinds: tuple[Kind, ...] = ("dense",)
    """Kinds of methods that it can train."""
    needs_encode_decode: bool = False
    """True where it calls `encode` and `decode`: methods without them are refused."""
    networks: int = 1
    """Networks of the method's size that learn at the same time, and have their gradients and activations in memory;
    `Strategy.networks` tells with which options."""
    one_for_all_stages: tuple[str, ...] = ()
    """Options that a stage cannot change, since what the strategy keeps through the run has its form by them."""
    step_cost: float = 1.0
    """Of a training step with the default options and masks for half of the batch, where supervised training with masks for all of
    it costs 1. Counted in passes through a network: forward and backward as three, forward alone as one."""
    couples_samples: bool = False
    """True where its terms are not means over samples: a batch divided over processes then gives another gradient."""


class StrategyOptions(BaseModel):
    """Base of every strategy's options: typed, each field described; an unknown name is an error.

    A field with `json_schema_extra={"origin": "paper"}` is stated by the paper; all others are this project's reading.

    Example:
        >>> from pydantic import Field
        >>> from delineate.strategies.contract import StrategyOptions
        >>> class MyOptions(StrategyOptions):
        ...     weight: float = Field(0.1, ge=0, description="of the added term; 0: plain supervised training")
        >>> MyOptions().ema
        0.0
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

    The training loop calls `begin(stage, options)` once per stage; at each step, for each of `updates(stage)` that is due,
    `forward(batch)` with `ctx` and `update` set; then `after_step`. `ctx` and `update` are attributes and not arguments, since
    in mixed precision Fabric converts all arguments of `forward`.

    A strategy is built once per run, with seeded random numbers, before the device is known. Build networks of the strategy's own
    (a critic, a second student) in `__init__`.

    Args:
        method: The network to be trained, with its initial weights.
        options: An instance of the class's `Options`.

    Example:
        >>> from delineate.strategies import registry
        >>> strategy = registry.build("supervised", delineate.create("unet", preset="tiny"))
        >>> strategy.begin(strategy.method.stages()[0], strategy.options)
        >>> [update.modules for update in strategy.updates(strategy.stage)]
        [('method',)]
    """

    info: ClassVar[StrategyInfo]
    Options: ClassVar[type[StrategyOptions]] = StrategyOptions

    options: StrategyOptions
    """Those of the current stage."""
    stage: Stage
    """The method's current stage."""
    update: Update
    """The update whose terms `forward` computes."""
    ctx: Context
    """Where training stands; all random numbers come from its generator."""
    average: Method | None
    """The exponential moving average of the method's weights, with the option `ema`."""

    def __init__(self, method: Method, options: StrategyOptions) -> None:
        super().__init__()
        self.method = method
        self.options = options
        self.register_module("average", None)

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        """Whether training with these options learns from images without masks. Only asked where `info.uses_unlabeled` is true.

        Where neither the strategy nor the method uses them, such images are left out of training.

        Args:
            options: An instance of the class's `Options`.

        Returns:
            False with options that switch this off.
        """
        return cls.info.uses_unlabeled

    @classmethod
    def networks(cls, options: Any) -> int:
        """Networks of the method's size that learn at the same time with these options.

        Args:
            options: Of this strategy.

        Returns:
            By default what `info` says.
        """
        return cls.info.networks

    @classmethod
    def shows(cls, options: Any) -> frozenset[Shown]:
        """What images are shown as with these options, beyond the data's augmentation: what it is compared with should be, too.

        Args:
            options: Of this strategy.

        Returns:
            By default what the options `view`, `mix` and `masked` say, where there are such.
        """
        wanted = {"views": "view", "boxes": "mix", "squares": "masked"}
        return frozenset(kind for kind, name in wanted.items() if getattr(options, name, None) not in (None, "none", 0))  # type: ignore[misc]

    def begin(self, stage: Stage, options: StrategyOptions) -> None:
        """A stage starts or is resumed (then `load_own_state` follows). The method holds the first weights of the stage.

        Args:
            stage: The method's stage.
            options: Those of the recipe, with what `stages.<name>.strategy` says of this stage.
        """
        self.stage, self.options = stage, options
        self.average = copy.deepcopy(self.method).requires_grad_(False) if options.ema else None

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        """The updates of each step, in order: by default the method's own.

        Args:
            stage: The method's stage.

        Returns:
            Each with its `modules` as prefixes of the strategy's parameters: "method.encoder", "critic".
        """
        return tuple(_with_method_prefix(update) for update in stage.updates)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss terms of `self.update`; the engine minimizes their sum and logs each. In eval mode nothing is random.

        Args:
            batch: This process's samples, on the device; some may have no mask, if `uses_unlabeled` is true.

        Returns:
            Float32 scalars with a gradient, by name, at least one; means over samples wherever possible.
        """
        return self.method_terms(batch)

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`; the average stays in eval mode.

        Args:
            mode: False: eval mode.

        Returns:
            The strategy itself.
        """
        super().train(mode)
        if self.average is not None:
            self.average.eval()
        return self

    def method_terms(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the method's own objective, on the samples that the method learns from.

        Samples without masks are left out, unless the method learns from them: they would make its means smaller. Where no sample
        has a mask, the whole batch is used and the terms are 0, so that every process has a gradient to exchange.

        Args:
            batch: As for `forward`.

        Returns:
            Scalars by name: those of the method's function that `self.update.objective` names.
        """
        return self.terms_of(self.method, batch)

    def terms_of(self, network: Method, batch: Batch) -> dict[str, Tensor]:
        """The same of another network of the method's form, such as a second student.

        Args:
            network: The method, or a network like it.
            batch: As for `forward`.

        Returns:
            As `method_terms`.
        """
        weight, ctx = 1.0, self.ctx
        if self.info.uses_unlabeled and not learns_from_unlabeled(network):
            weight = ctx.weight_of_part(batch["labeled"])
            batch, ctx = select_samples(batch, batch["labeled"]) or batch, replace(ctx, labeled_share=None)
        terms = getattr(network, self.update.objective)(batch, ctx)
        return {name: weight * term for name, term in terms.items()}

    def logits_of(self, network: Method | None) -> Callable[[Tensor], Tensor]:
        """What the current stage validates of a network.

        Args:
            network: The method, or another network of its form.

        Returns:
            Image B×C×H×W → logits B×K×H×W.
        """
        found: Callable[[Tensor], Tensor] = getattr(network, self.stage.logits)
        return found

    def after_step(self, ctx: Context) -> None:
        """What changes over time, once per step after all updates. A subclass calls `super().after_step(ctx)`, which moves the
        average.

        Args:
            ctx: Of the step that was made.
        """
        self.method.after_step(ctx)
        if self.average is not None:
            update_average(self.average, self.method, self.decay(ctx))

    def decay(self, ctx: Context) -> float:
        """Of the average, after a step: 0 makes it the latest weights.

        Args:
            ctx: Of the step that was made.

        Returns:
            By default `ema`, once it has risen to that.
        """
        return ema_decay(self.options.ema, self.options.ema_ramp, ctx.step)

    def learners(self) -> dict[str, Method]:
        """The networks of the method's form that learn: settings of its parts (`engine.lr_scale`, `engine.freeze`) hold for each.

        Returns:
            Prefix of its parameters among those of the strategy → the network; by default the method alone.
        """
        return {METHOD_PREFIX: self.method}

    def validated(self) -> Method:
        """The network that is validated, passed to the next stage and saved as the model.

        Returns:
            The average where there is one, else the method.
        """
        return self.method if self.average is None else self.average

    def candidates(self) -> tuple[Method, ...]:
        """The networks of which the best is kept at each validation; the first where they are equally good.

        Returns:
            By default `validated()` alone. Each costs a pass over the validation split.
        """
        return (self.validated(),)

    def companion(self) -> Method | None:
        """A second network that is saved beside the model, in the run's folder `second`, to predict as an ensemble with it.

        Returns:
            By default none. It is kept as it is at the step whose weights become the model; nothing chooses it.
        """
        return None

    def own_state(self) -> dict[str, Tensor]:
        """What the strategy adds to a checkpoint of the run: everything that training needs beyond the method.

        Returns:
            Tensors by name.
        """
        return {name: value for name, value in self.state_dict().items() if not name.startswith(METHOD_PREFIX)}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `own_state`.

        Args:
            state: Of a checkpoint.

        Raises:
            TrainingError: The state is that of another strategy.
        """
        ours = self.own_state()
        fitting = [name for name in ours if name in state and state[name].shape == ours[name].shape]
        if others := sorted((ours.keys() | state.keys()) - set(fitting)):
            raise TrainingError(
                f"the checkpoint does not fit strategy '{self.info.name}' ({some(others, 3)}); resume with the version of "
                "Delineate that started the run"
            )
        self.load_state_dict(state, strict=False)


def learns_from_unlabeled(method: Method) -> bool:
    """Whether the method's own objective, with its options, uses images without masks.

    Args:
        method: Built with its options.

    Returns:
        True if it does.

    Example:
        >>> from delineate.strategies.contract import learns_from_unlabeled
        >>> learns_from_unlabeled(delineate.create("unet", preset="tiny"))
        False
    """
    return method.info.uses_unlabeled and method.uses_unlabeled(method.options)


def _with_method_prefix(update: Update) -> Update:
    """A method's update, with its modules as prefixes of the strategy's parameters."""
    return replace(update, modules=tuple(f"{METHOD_PREFIX}{name}".removesuffix(".") for name in update.modules))

"""The method contract: an `nn.Module` that is both a network and what trains it.

Everything the engine, the predictor and the report know of a paper goes through this page. It says what all methods have in common;
`methods.dense` and `methods.episodic` say what is asked of the two kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, Literal, TypedDict

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from delineate.data.doctor.fingerprint import Fingerprint

Kind = Literal["dense", "episodic"]
"""Of a method: "dense" segments an image alone, "episodic" as a few annotated images show."""


class Batch(TypedDict):
    """What a dense method's objective is given, and nothing else."""

    image: Tensor
    """float B×C×H×W in [0, 1], after the InputSpec and before mean/std."""
    mask: Tensor
    """long B×H×W class indices; 255 = ignore (all 255 where unlabeled)."""
    labeled: Tensor
    """bool B."""
    sample_id: list[str]


@dataclass(frozen=True)
class Context:
    """Where training stands. `step` counts optimizer steps from 0 within the stage, up to `total_steps`."""

    stage: str
    step: int
    total_steps: int
    generator: torch.Generator
    """On the batch's device, seeded by (seed, stage, step, rank): all randomness of an objective comes from it, so that a
    resumed run draws the same numbers."""
    labeled_share: float | None = None
    """Of the whole batch, where an objective sees one part of it at a time (several processes, gradient accumulation): the share
    of samples with masks. None: what it sees is the whole batch, or all of the data has masks."""

    def weight_of_part(self, labeled: Tensor, *, with_masks: bool = True) -> float:
        """What a mean over the samples with masks (`labeled`, bool B), or over those without, counts for, so that the parts' means
        add up to the whole batch's. A part counts by its samples anyway; this is by how much more of them are of that kind.

        Costs a synchronization, where there are parts.
        """
        if self.labeled_share is None:
            return 1.0
        whole = self.labeled_share if with_masks else 1 - self.labeled_share
        part = (labeled if with_masks else ~labeled).float().mean()
        return float(part) / whole if whole else 1.0

    @property
    def progress(self) -> float:
        """0 at the stage's first step, towards 1 at its end."""
        return self.step / max(1, self.total_steps)


@dataclass(frozen=True)
class Update:
    """One optimizer of a stage: which submodules it moves and which of the method's functions gives its terms."""

    name: str = "main"
    modules: tuple[str, ...] = ("",)
    """Prefixes of parameter names; "" is all."""
    objective: str = "objective"
    """Name of a method attribute with the signature of `Method.objective`."""
    optimizer: str | None = None
    """As the recipe's `engine.optimizer` names them. Here and below None means what the recipe says of the stage."""
    lr: float | None = None
    """Base learning rate; the schedule's factor and `lr_scale` apply to it too."""
    betas: tuple[float, float] | None = None
    """Of the Adam family; None: torch's default."""
    weight_decay: float | None = None
    every: int = 1
    """The update is made at each step that is a multiple of it, the first (0) included."""


@dataclass(frozen=True)
class Stage:
    """A phase of training. Weights (the best by validation) are handed on to the next."""

    name: str
    share: float = 1.0
    """Part of the run's steps, unless the recipe says otherwise; the shares of a method's stages sum to 1."""
    updates: tuple[Update, ...] = (Update(),)
    source: str = "supervised"
    """Name of the source of batches, as the engine lists them."""
    logits: str = "forward"
    """Name of the method attribute (image → logits) that validation uses during this stage."""


@dataclass(frozen=True)
class Panel:
    """A picture worth showing in a report.

    `kind`: "image" (B×3×H×W or B×1×H×W in [0, 1]), "heat" (B×1×H×W in [0, 1]) or "mask" (B×H×W class indices).
    """

    kind: Literal["image", "heat", "mask"]
    tensor: Tensor


@dataclass(frozen=True)
class MethodInfo:
    """Declared facts, read by the command line, the contract tests and the model card."""

    name: str
    title: str
    paper: str
    """Citation: authors, venue, identifier. A baseline names its origin."""
    year: int
    min_size: int = 32
    """Smallest height and width that `forward` takes."""
    divisor: int = 1
    """Height and width must be multiples of it; 1 = any size (the method pads or interpolates by itself)."""
    exportable: bool = True
    couples_samples: bool = False
    """True where the paper's loss is not a mean over samples: a batch divided over processes then gives another gradient."""
    license_note: str = ""
    checkpoint_modules: tuple[str, ...] = ()
    """Submodules whose activations may be recomputed in the backward pass (engine option `activation_checkpointing`)."""
    uses_unlabeled: bool = False
    """True where the objective learns from samples without masks (`Batch.labeled` false). They are left out of the training of
    all other methods, whose supervised terms they would only dilute."""


@dataclass(frozen=True)
class Decision:
    """One setting that a planner has chosen."""

    key: str
    """Dotted, as in the recipe: "input.size", "method.widths"."""
    value: Any
    """As YAML would hold it."""
    why: str
    """One sentence, with the figures it rests on."""


@dataclass(frozen=True)
class Budget:
    """What a training step may take, and how to know what one would take. Options are the method's, sizes (height, width)."""

    memory: int
    """Bytes."""
    flops: float | None
    """Most floating-point operations of one image's forward pass (a multiply-add counts as two); None: no limit."""
    longest_side: int
    """Most pixels that the network's input may have along either side."""
    training_bytes: Callable[[Mapping[str, Any], int, tuple[int, int]], int]
    """(options, batch, size) → bytes that are kept for the backward pass, and for weights, gradients and optimizer."""
    forward_flops: Callable[[Mapping[str, Any], tuple[int, int]], float]
    """(options, size) → operations of one image's forward pass."""


class MethodOptions(BaseModel):
    """Base of every method's options: typed, closed, each field described.

    A field with `json_schema_extra={"origin": "paper"}` is stated by the paper; all others are this project's reading.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def _once(deploy: Callable[[Any], nn.Module]) -> Callable[[Any], nn.Module]:
    """A `deploy` that gives a deployed network back as it is: what is folded or dropped cannot be so twice."""

    @wraps(deploy)
    def deploy_once(self: Any) -> nn.Module:
        if getattr(self, "deployed", False):
            return self
        lean: Any = deploy(self)
        lean.deployed = True
        return lean

    return deploy_once


class Method(nn.Module):
    """What all methods have in common. Derive from `DenseMethod` or `EpisodicMethod`, which say what `forward` is.

    A subclass of theirs sets `info` and `Options`, builds itself and answers the questions below.
    """

    kind: ClassVar[Kind]
    """Set by the two classes, never by a method."""
    info: ClassVar[MethodInfo]
    Options: ClassVar[type[MethodOptions]]

    def __init_subclass__(cls, **further: Any) -> None:
        super().__init_subclass__(**further)
        if "deploy" in cls.__dict__:
            setattr(cls, "deploy", _once(cls.__dict__["deploy"]))  # noqa: B010 - no plain assignment to a method

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        """`classes`: output channels K (1 = binary). Builds with random weights; `load_pretrained` fetches others."""
        super().__init__()
        self.options = options
        self.classes = classes
        self.in_channels = in_channels

    @classmethod
    def plan(cls, fingerprint: Fingerprint, budget: Budget, given: Mapping[str, Any]) -> list[Decision]:
        """Settings chosen by the data, for recipes that ask for it (`plan.from_data`); empty: the method does not plan.

        `given`: the recipe's sections as preset and user state them; those hold, whatever is decided here, and decisions must
        agree with them. Deterministic: the same arguments give the same decisions on every machine. Raises `RecipeError`
        when nothing fits the budget.
        """
        return []

    @classmethod
    def uses_unlabeled(cls, options: MethodOptions) -> bool:
        """Whether training with these options learns from images without masks. Asked only of a method whose `info` says that it
        can; it may say here that with some options it does not."""
        return cls.info.uses_unlabeled

    def load_pretrained(self) -> None:
        """Load what the options ask for (encoder weights from timm or a local file). Called once when a model is
        created, never when one is read from disk. Raises `DelineateError` when the weights cannot be had."""

    def stages(self) -> tuple[Stage, ...]:
        """The phases of training, in order."""
        return (Stage("train"),)

    def objective(self, batch: Any, ctx: Context) -> dict[str, Tensor]:
        """Named scalar terms; the engine adds them up and logs each. Deterministic in eval mode.

        Terms are means over samples of per-sample values wherever the paper allows, so that a batch divided over
        processes gives the same gradient. `batch`: the kind's, `Batch` or `EpisodicBatch`.
        """
        raise NotImplementedError

    def after_step(self, ctx: Context) -> None:
        """What changes with time (temperature, mean teacher …); its state lives in buffers, so it is saved."""

    def deploy(self) -> nn.Module:
        """The same function as `forward` (probabilities equal to 1e-4 in float32 eval) as a lean inference module; `self`
        is left as it was. Of a network that is deployed already: itself (the base class sees to that)."""
        raise NotImplementedError

    def panels(self, batch: Any) -> dict[str, Panel]:
        """Pictures for the report; called in eval mode without gradients."""
        return {}


CheckpointReader = Callable[[Mapping[str, Tensor]], "ImportedModel"]


@dataclass(frozen=True)
class ImportedModel:
    """What a foreign checkpoint turned into."""

    method: Method
    channels: Literal["rgb", "bgr", "gray"]
    size: tuple[int, int]
    description: str
    """One line: what was recognized."""
    complete: bool = True
    """False when the checkpoint holds only a part (an encoder, an early stage): good for `--init`, not for prediction."""
    extra: dict[str, Any] = field(default_factory=dict)

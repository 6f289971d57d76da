"""The method contract: an `nn.Module` that is both a network and what trains it.

The engine, the predictor and the report use a method only through the classes here. This page says what all methods have in
common; `methods.dense` and `methods.episodic` say what the two kinds must define.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, Literal, NotRequired, Self, TypedDict

import torch
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict
from torch import Tensor, nn

from delineate.data.doctor.fingerprint import Fingerprint
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.output import Output

__all__ = [
    "PAPER",
    "READING",
    "Batch",
    "Budget",
    "CheckpointReader",
    "Context",
    "Decision",
    "ExportForm",
    "ImportedModel",
    "Kind",
    "Method",
    "MethodInfo",
    "MethodOptions",
    "Panel",
    "Stage",
    "Update",
]

Kind = Literal["dense", "episodic"]
ExportForm = Literal["any", "multiple", "fixed"]
"""Of a method: "dense" segments an image by itself, "episodic" as a few annotated images show (few-shot)."""

PAPER: JsonDict = {"origin": "paper"}
"""`json_schema_extra` of an option that the paper states."""
READING: JsonDict = {"origin": "reading"}
"""`json_schema_extra` of an option that the paper leaves open: this project's reading."""


class Batch(TypedDict):
    """What a dense method's objective is given, and nothing else. What is changed in a batch is changed in all of its entries."""

    image: Tensor
    """Float B×C×H×W in [0, 1], after the InputSpec and before mean and standard deviation."""
    mask: Tensor
    """Long B×H×W class indices; 255 = ignore (all 255 where unlabeled)."""
    labeled: Tensor
    """Bool B: whether the sample has a mask."""
    sample_id: list[str]
    target: NotRequired[Tensor]
    """Float B×H×W in training, where the method asks for it (`DenseMethod.targets`): soft masks, the share of each pixel that is
    foreground, in [0, 1]; 255 = ignore."""
    unaugmented_target: NotRequired[Tensor]
    """The same before augmentation: it belongs to the image as it is in the file, not to `image`."""


@dataclass(frozen=True)
class Context:
    """Where training stands, and the random numbers of this step."""

    stage: str
    """Name of the current stage."""
    step: int
    """Optimizer steps done in this stage: 0 at its first step."""
    total_steps: int
    """Optimizer steps of this stage."""
    generator: torch.Generator
    """On the batch's device, seeded by (seed, stage, step, rank). All random numbers of an objective come from it, so that a
    resumed run draws the same ones."""
    labeled_share: float | None = None
    """Share of samples with masks in the whole batch, where an objective sees one part of it at a time (several processes, gradient
    accumulation). None: it sees the whole batch, or all of the data have masks."""

    steps_per_epoch: int | None = None
    """Optimizer steps in which each sample with a mask is seen about once. None: not known, as in checks."""

    def weight_of_part(self, labeled: Tensor, *, with_masks: bool = True) -> float:
        """Factor on a mean over the samples with masks of a part of the batch, so that the parts add up to the mean of the whole.

        A part counts by its samples anyway; the factor is how many more of them have masks than in the whole batch. Costs a GPU
        synchronization, where there are parts.

        Args:
            labeled: Bool B, the part's `Batch.labeled`.
            with_masks: False: for a mean over the samples without masks.

        Returns:
            The factor; 1 where the part is the whole batch.
        """
        if self.labeled_share is None:
            return 1.0
        whole = self.labeled_share if with_masks else 1 - self.labeled_share
        part = (labeled if with_masks else ~labeled).float().mean()
        return float(part) / whole if whole else 1.0

    @property
    def progress(self) -> float:
        """Share of the stage that is done: 0 at its first step, towards 1 at its end."""
        return self.step / max(1, self.total_steps)


@dataclass(frozen=True)
class Update:
    """One optimizer of a stage: which parameters it updates, by which objective. Where a value is None, the recipe decides.

    Example:
        >>> from delineate.methods.contract import Update
        >>> Update("discriminator", modules=("discriminator",), objective="discriminator_loss", lr=2e-4, every=2).every
        2
    """

    name: str = "main"
    modules: tuple[str, ...] = ("",)
    """Prefixes of parameter names, such as "encoder"; "" is all."""
    objective: str = "objective"
    """Name of the method's function that gives the loss terms; it has the signature of `Method.objective`."""
    optimizer: str | None = None
    """One of the names of the recipe's `engine.optimizer`."""
    lr: float | None = None
    """Base learning rate; the scheduler's factor and `lr_scale` apply to it too."""
    betas: tuple[float, float] | None = None
    """Of the Adam family; None: torch's default."""
    weight_decay: float | None = None
    every: int = 1
    """The update is made at each step that is a multiple of it, starting with step 0."""


@dataclass(frozen=True)
class Stage:
    """A phase of training. Its best weights (by validation) are the first weights of the next stage.

    Example:
        >>> from delineate.methods.contract import Stage, Update
        >>> warm_up = Stage("warm-up", share=0.25, updates=(Update(modules=("encoder", "head")),), logits="encoder_logits")
        >>> warm_up.source
        'supervised'
    """

    name: str
    share: float = 1.0
    """Share of the run's steps, unless the recipe says otherwise; the shares of a method's stages sum to 1."""
    updates: tuple[Update, ...] = (Update(),)
    """Made one after another at each step."""
    source: str = "supervised"
    """Which batches: "supervised" (images with masks) or "episodes" (few-shot)."""
    logits: str = "forward"
    """Name of the method's function, image → logits, by which this stage is validated."""
    hands_on: Literal["all", "parameters"] = "all"
    """What the next stage begins with: all of the best weights, or their parameters alone. Buffers, such as the statistics of
    BatchNorm, are then as they were when this stage began."""


@dataclass(frozen=True)
class Panel:
    """A picture for the report.

    Example:
        >>> from delineate.methods.contract import Panel
        >>> Panel("heat", torch.rand(2, 1, 64, 64)).kind
        'heat'
    """

    kind: Literal["image", "heat", "mask"]
    """"image": B×C×H×W in [0, 1], of one or three channels, or of those of the network's input; "heat" (a heat map): B×1×H×W in
    [0, 1]; "mask": B×H×W class indices."""
    tensor: Tensor

    @classmethod
    def of_image(cls, image: Tensor) -> Self:
        """A panel of kind "image".

        Args:
            image: B×C×H×W in [0, 1]. Where it has the channels of the network's input, which may be several slices, the one in the
                middle is shown; other numbers of channels than 1 and 3 are averaged.

        Returns:
            The panel.
        """
        return cls("image", image)


@dataclass(frozen=True)
class MethodInfo:
    """Declared facts of a method, read by the command line, the checks and the model card.

    Example:
        >>> from delineate.methods.contract import MethodInfo
        >>> MethodInfo(name="my-method", title="My method", paper="Doe: My paper, MICCAI 2026", year=2026).divisor
        1
    """

    name: str
    """What users type after `--method`; equals the name of the entry point."""
    title: str
    """For people, in tables and reports."""
    paper: str
    """Citation: authors, title, venue, identifier. A baseline names its origin."""
    year: int
    """Of publication."""
    min_size: int = 32
    """Smallest height and width that `forward` takes, in pixels."""
    divisor: int = 1
    """Height and width must be multiples of it, in pixels; 1: any size (the method pads or interpolates by itself)."""
    exportable: bool = True
    """Whether `torch.export` takes the deployed network."""
    export_form: ExportForm = "fixed"
    """Which heights and widths a graph of the deployed network takes: `any`, `multiple`s of `export_multiple`, or one (`fixed`)."""
    export_multiple: int = 32
    """In pixels; with `export_form="multiple"`."""
    export_least: int = 0
    """Smallest height and width of such a graph, in pixels, where it is larger than `min_size`."""
    couples_samples: bool = False
    """True where the loss is not a mean over samples: a batch divided over processes then gives another gradient."""
    license_note: str = ""
    """Restrictions of the authors' code or weights; empty: none."""
    checkpoint_modules: tuple[str, ...] = ()
    """Names of submodules for activation checkpointing (the recipe's `engine.activation_checkpointing`)."""
    uses_unlabeled: bool = False
    """True where the objective learns from samples without masks (`Batch.labeled` false). For all other methods, training leaves
    such samples out."""
    learns_regions: bool = False
    """True where the output channels may be nested regions, each with a sigmoid of its own: the objective compares logits with
    `self.output.target(mask)`, and nothing takes a softmax of them. Other methods learn classes alone."""


@dataclass(frozen=True)
class Decision:
    """One setting that a method has planned from the data (`Method.plan`).

    Example:
        >>> from delineate.methods.contract import Decision
        >>> Decision("input.size", [512, 512], "the median image is 500×520").key
        'input.size'
    """

    key: str
    """Dotted, as in the recipe: "input.size", "method.widths"."""
    value: Any
    """As YAML would hold it."""
    why: str
    """One sentence, with the numbers that it rests on."""


@dataclass(frozen=True)
class Budget:
    """What a training step may cost, and functions that tell what one would cost. Options are the method's, sizes (height, width)
    in pixels."""

    memory: int
    """Bytes."""
    flops: float | None
    """Most floating-point operations of one image's forward pass (a multiply-add counts as two); None: no limit."""
    longest_side: int
    """Largest height and width of the network's input, in pixels."""
    training_bytes: Callable[[Mapping[str, Any], int, tuple[int, int]], int]
    """(options, batch, size) → bytes that are kept for the backward pass, and for weights, gradients and optimizer."""
    forward_flops: Callable[[Mapping[str, Any], tuple[int, int]], float]
    """(options, size) → operations of one image's forward pass."""


class MethodOptions(BaseModel):
    """Base of every method's options: typed, each field described; an unknown name is an error.

    A field with `json_schema_extra={"origin": "paper"}` is stated by the paper; all others are this project's reading.

    Example:
        >>> from pydantic import Field
        >>> from delineate.methods.contract import MethodOptions
        >>> class MyOptions(MethodOptions):
        ...     width: int = Field(32, ge=1, description="channels of every layer", json_schema_extra={"origin": "paper"})
        >>> MyOptions().width
        32
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def check_available(self) -> None:
        """Called before a new run reads its data: refuse what surely cannot be had later, such as weights that are not installed.

        Raises:
            DelineateError: With the way out.
        """

    def remarks(self) -> list[str]:
        """What a user should know of these options before training: settings that contradict each other, or had to be assumed.

        Returns:
            Lines, each a whole sentence; empty: nothing.
        """
        return []


def _deploy_once(deploy: Callable[[Any], nn.Module]) -> Callable[[Any], nn.Module]:
    """Of a deployed network, `deploy` returns the network itself: it cannot be folded twice."""

    @wraps(deploy)
    def wrapped(self: Any) -> nn.Module:
        if getattr(self, "deployed", False):
            return self
        lean: Any = deploy(self)
        lean.deployed = True
        return lean

    return wrapped


class Method(nn.Module):
    """What all methods have in common. Derive from `DenseMethod` or `EpisodicMethod`, which say what `forward` is.

    A subclass of these sets `info` and `Options`, builds its layers in `__init__` and defines `objective` and `deploy`; the other
    functions have a default.

    `output` says what the K channels mean: K classes, unless it is told that they are regions (`registry.build`).

    Args:
        options: An instance of the class's `Options`.
        classes: Output channels K; 1 = one foreground class with sigmoid.
        in_channels: Channels of the images.

    Example:
        >>> method = delineate.create("unet", preset="tiny")
        >>> method.info.title, method.kind
        ('U-Net', 'dense')
        >>> [stage.name for stage in method.stages()]
        ['train']
    """

    kind: ClassVar[Kind]
    """Set by `DenseMethod` and `EpisodicMethod`, never by a method."""
    info: ClassVar[MethodInfo]
    Options: ClassVar[type[MethodOptions]]
    output: Output
    """How its logits become probabilities and class indices, and masks what the losses compare with."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "deploy" in cls.__dict__:
            setattr(cls, "deploy", _deploy_once(cls.__dict__["deploy"]))  # noqa: B010 - no plain assignment to a method

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        """Weights are random; `load_pretrained` loads others."""
        super().__init__()
        self.options = options
        self.classes = classes
        self.output = Output(classes)
        self.in_channels = in_channels

    @classmethod
    def plan(cls, fingerprint: Fingerprint, budget: Budget, given: Mapping[str, Any]) -> list[Decision]:
        """Settings chosen by the data, for recipes with `plan.from_data`. The same arguments must give the same decisions.

        Args:
            fingerprint: Sizes, intensities and classes of the training images.
            budget: Limits of memory and arithmetic.
            given: The recipe's sections as preset and user state them. These hold, and the decisions must agree with them.

        Returns:
            The decisions; empty: the method does not plan.

        Raises:
            RecipeError: Nothing fits the budget.
        """
        return []

    @classmethod
    def uses_unlabeled(cls, options: MethodOptions) -> bool:
        """Whether training with these options learns from images without masks. Only asked where `info.uses_unlabeled` is true.

        Args:
            options: An instance of the class's `Options`.

        Returns:
            False with options that switch this off.
        """
        return cls.info.uses_unlabeled

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        """Load the pretrained weights that the options ask for. Called once when a model is created, never when one is loaded.

        Returns:
            Where they come from, by the submodule that has them; empty: all weights stay random.

        Raises:
            DelineateError: The weights cannot be fetched or read.
        """
        return {}

    def stages(self) -> tuple[Stage, ...]:
        """The phases of training.

        Returns:
            One or more, in order.
        """
        return (Stage("train"),)

    def objective(self, batch: Any, ctx: Context) -> dict[str, Tensor]:
        """The loss of a batch, as named terms; the engine minimizes their sum and logs each.

        Terms are means over samples of per-sample values wherever the paper allows it, so that a batch divided over
        processes gives the same gradient. In eval mode nothing is random.

        Args:
            batch: `Batch`, or `EpisodicBatch` for few-shot methods.
            ctx: Where training stands. All random numbers come from `ctx.generator`.

        Returns:
            Float32 scalars by name, at least one.
        """
        raise NotImplementedError

    def after_step(self, ctx: Context) -> None:
        """What changes over time (a temperature, say), after each optimizer step. Keep it in buffers, so that it is saved.

        Args:
            ctx: Of the step that was made.
        """

    def deploy(self) -> nn.Module:
        """The network for inference: the same function as `forward`, without what only training needs.

        The probabilities agree to 1e-4 in float32. `self` is left as it was. Of a deployed network: itself (the base class sees
        to that).

        Returns:
            A module in eval mode.
        """
        raise NotImplementedError

    def panels(self, batch: Any) -> dict[str, Panel]:
        """Pictures for the report; called in eval mode, without gradients.

        Args:
            batch: As for `objective`.

        Returns:
            Panels by title.
        """
        return {}


CheckpointReader = Callable[[Mapping[str, Tensor]], "ImportedModel"]
"""The tensors of a checkpoint of the authors' code → a method with these weights."""


@dataclass(frozen=True)
class ImportedModel:
    """What a checkpoint of other software turned into (`delineate import`).

    Example:
        >>> from delineate.methods.contract import ImportedModel
        >>> method = delineate.create("unet", preset="tiny")
        >>> ImportedModel(method, channels="rgb", size=(256, 256), description="U-Net as released").complete
        True
    """

    method: Method
    """With the checkpoint's weights."""
    channels: Literal["rgb", "bgr", "gray"]
    """Order of the channels of its input."""
    size: tuple[int, int]
    """Height and width of its input, in pixels."""
    description: str
    """One line: what was recognized."""
    complete: bool = True
    """False where the checkpoint holds only a part (an encoder, an early stage): good for `--init`, not for prediction."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further facts for the model's metadata."""

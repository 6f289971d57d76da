"""The loss that most methods offer: a weighted sum of those in `nn.losses`, with the weights as options.

`LossOptions` is the registry: a loss is a field there, its weight, annotated with the function. A new one is a function in
`nn.losses` and such a field (and a field for each setting of its own); nothing else knows their names. A method with a loss of
its own adds it in a subclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor

from delineate.nn.boundary_loss import Gradient
from delineate.nn.class_weights import DESCRIPTION, ClassWeights, weights_of
from delineate.nn.losses import Pool, boundary, cross_entropy, dice, focal, tversky

__all__ = ["LossOptions", "Term", "labeled_segmentation_loss", "loss_terms", "segmentation_loss"]


@dataclass(frozen=True)
class Term:
    """Marks a field of `LossOptions` as the weight of a loss, and names the function that computes it.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import Field
        >>> from delineate.nn.segmentation_loss import LossOptions, Term
        >>> def mean_square(logits, target, options):
        ...     return ((logits[:, 0].sigmoid() - (target == 1)) ** 2)[target != 255].mean()
        >>> class MyLossOptions(LossOptions):
        ...     square: Annotated[float, Term(mean_square)] = Field(1.0, ge=0, description="weight of the squared error")
    """

    function: Callable[[Tensor, Tensor, LossOptions], Tensor]
    """(logits B×K×H×W, target B×H×W, options) → a scalar, before the weight."""

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                "Term takes a function; in a class, a field's name hides a function of the same name: give the function another"
            )


def _weights(logits: Tensor, target: Tensor, options: LossOptions) -> tuple[float, ...] | None:
    return weights_of(options.class_weights, logits, target)


def _cross_entropy(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    return cross_entropy(logits, target, class_weights=_weights(logits, target, options))


def _dice(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    return dice(logits, target, smooth=options.smooth, pool=options.pool)


def _tversky(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    return tversky(
        logits, target, alpha=options.tversky_alpha, beta=options.tversky_beta, smooth=options.smooth, pool=options.pool
    )


def _focal(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    return focal(logits, target, gamma=options.focal_gamma, class_weights=_weights(logits, target, options))


def _boundary(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    return boundary(logits, target, gradient=options.boundary_gradient, scales=options.boundary_scales)


class LossOptions(BaseModel):
    """A weighted sum of losses, as in the recipe's section `method.loss`; a loss with weight 0 is not computed.

    Example:
        >>> from delineate.nn.segmentation_loss import LossOptions
        >>> LossOptions(cross_entropy=0.5, boundary=1.0).dice
        1.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cross_entropy: Annotated[float, Term(_cross_entropy)] = Field(
        1.0, ge=0, description="weight of cross-entropy (binary: BCE)"
    )
    dice: Annotated[float, Term(_dice)] = Field(1.0, ge=0, description="weight of the soft Dice loss")
    tversky: Annotated[float, Term(_tversky)] = Field(0.0, ge=0, description="weight of the Tversky loss")
    focal: Annotated[float, Term(_focal)] = Field(0.0, ge=0, description="weight of the focal loss")
    boundary: Annotated[float, Term(_boundary)] = Field(
        0.0, ge=0, description="weight of the multi-scale boundary loss"
    )
    class_weights: ClassWeights = Field(None, description=DESCRIPTION)
    pool: Pool = Field("image", description="Dice and Tversky per image, or over the whole batch")
    smooth: float = Field(1.0, ge=0, description="smoothing constant of Dice and Tversky")
    tversky_alpha: float = Field(0.3, ge=0, description="weight of false positives")
    tversky_beta: float = Field(0.7, ge=0, description="weight of false negatives")
    focal_gamma: float = Field(
        2.0, ge=0, description="exponent of the focal loss: the larger, the less do easy pixels count"
    )
    boundary_gradient: Gradient = Field("central", description="how the boundary loss finds edges")
    boundary_scales: tuple[PositiveInt, ...] = Field(
        (1, 2, 4), min_length=1, description="sides of the average pools at which the boundary loss compares, in pixels"
    )

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        losses = loss_terms(type(self))
        if not any(getattr(self, name) for name in losses):
            *others, last = losses
            raise ValueError(f"at least one of {', '.join(others)} and {last} must be above 0")
        return self


@cache
def loss_terms(options: type[LossOptions]) -> dict[str, Term]:
    """The losses of a class of options, by the name of their weight.

    Args:
        options: `LossOptions` or a subclass.

    Returns:
        Name of the field → its `Term`, in the order of the fields.

    Example:
        >>> from delineate.nn.segmentation_loss import LossOptions, loss_terms
        >>> list(loss_terms(LossOptions))
        ['cross_entropy', 'dice', 'tversky', 'focal', 'boundary']
    """
    found: dict[str, Term] = {}
    for name, field in options.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Term):
                found[name] = mark
    return found


def segmentation_loss(logits: Tensor, target: Tensor, options: LossOptions) -> dict[str, Tensor]:
    """The weighted losses of a prediction; their sum is what training minimizes.

    Args:
        logits: Float B×K×H×W; K = 1 is binary with sigmoid, several are softmax.
        target: Long B×H×W class indices, 255 = ignore. Long B×K×H×W: a map of 0, 1 and 255 for each channel, which are regions.
            `Output.target` makes the one or the other.
        options: The weights, and the losses' own settings.

    Returns:
        Scalars by name, each times its weight, without those of weight 0. A method's `objective` can return them as they are.

    Raises:
        RecipeError: There are not as many `class_weights` as classes. Raised here and not when a method is built, so that a model
            with such options still loads.

    Example:
        >>> from delineate.nn.segmentation_loss import LossOptions, segmentation_loss
        >>> logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
        >>> mask = torch.ones(2, 8, 8, dtype=torch.long)
        >>> terms = segmentation_loss(logits, mask, LossOptions(dice=1, boundary=0.5))
        >>> list(terms)
        ['cross_entropy', 'dice', 'boundary']
        >>> sum(terms.values()).backward()
    """
    _weights(logits, target, options)  # here too, since not every loss has them
    found: dict[str, Tensor] = {}
    for name, term in loss_terms(type(options)).items():
        if weight := getattr(options, name):
            found[name] = weight * term.function(logits, target, options)
    return found


def labeled_segmentation_loss(
    logits: Tensor, target: Tensor, labeled: Tensor, options: LossOptions
) -> dict[str, Tensor]:
    """The same as means over the samples with masks, for methods that learn from images without masks too.

    Args:
        logits: Float B×K×H×W.
        target: As for `segmentation_loss`.
        labeled: Bool B. Reading it costs a GPU synchronization.
        options: The weights, and the losses' own settings.

    Returns:
        Scalars by name; 0, with a gradient, where no sample has a mask.

    Raises:
        RecipeError: As `segmentation_loss`.

    Example:
        >>> from delineate.nn.segmentation_loss import LossOptions, labeled_segmentation_loss
        >>> logits, mask = torch.zeros(2, 1, 8, 8), torch.ones(2, 8, 8, dtype=torch.long)
        >>> mask[1] = 255
        >>> float(labeled_segmentation_loss(logits, mask, torch.tensor([True, False]), LossOptions())["cross_entropy"])  # ln 2
        0.693...
    """
    if bool(labeled.any()) and not bool(labeled.all()):
        logits, target = logits[labeled], target[labeled]
    return segmentation_loss(logits, target, options)

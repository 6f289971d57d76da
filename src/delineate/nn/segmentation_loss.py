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

from delineate.common.errors import RecipeError
from delineate.nn.boundary_loss import Gradient
from delineate.nn.losses import Pool, boundary, cross_entropy, dice, focal, tversky


@dataclass(frozen=True)
class Term:
    """Marks the weight of a loss, and computes it before the weight."""

    of: Callable[[Tensor, Tensor, LossOptions], Tensor]
    """(logits, target, options) → a scalar."""

    def __post_init__(self) -> None:
        if not callable(self.of):
            raise TypeError(
                "Term takes a function; in a class, a field's name hides a function of the same name: give the function another"
            )


def _cross_entropy(logits: Tensor, target: Tensor, o: LossOptions) -> Tensor:
    return cross_entropy(logits, target, class_weights=o.class_weights)


def _dice(logits: Tensor, target: Tensor, o: LossOptions) -> Tensor:
    return dice(logits, target, smooth=o.smooth, pool=o.pool)


def _tversky(logits: Tensor, target: Tensor, o: LossOptions) -> Tensor:
    return tversky(logits, target, alpha=o.tversky_alpha, beta=o.tversky_beta, smooth=o.smooth, pool=o.pool)


def _focal(logits: Tensor, target: Tensor, o: LossOptions) -> Tensor:
    return focal(logits, target, gamma=o.focal_gamma, class_weights=o.class_weights)


def _boundary(logits: Tensor, target: Tensor, o: LossOptions) -> Tensor:
    return boundary(logits, target, gradient=o.boundary_gradient, scales=o.boundary_scales)


class LossOptions(BaseModel):
    """A weighted sum of losses; a term with weight 0 is not computed."""

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
    class_weights: tuple[float, ...] | None = Field(
        None, description="one per class, background first (binary: two), for cross-entropy and focal"
    )
    pool: Pool = Field("image", description="Dice and Tversky per image, or over the whole batch")
    smooth: float = Field(1.0, ge=0, description="smoothing constant of Dice and Tversky")
    tversky_alpha: float = Field(0.3, ge=0, description="weight of false positives")
    tversky_beta: float = Field(0.7, ge=0, description="weight of false negatives")
    focal_gamma: float = Field(2.0, ge=0, description="how much easy pixels are played down")
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
    """All losses of a class of options, by the name of their weight."""
    fields = options.model_fields.items()
    return {name: mark for name, field in fields for mark in field.metadata if isinstance(mark, Term)}


def segmentation_loss(logits: Tensor, target: Tensor, options: LossOptions) -> dict[str, Tensor]:
    """The weighted sum's terms.

    Args:
        logits: B×K×H×W; K = 1 is binary with sigmoid, several are softmax.
        target: long B×H×W, 255 = ignore.
        options: the weights, and the losses' own settings.

    Returns:
        Terms by name, each times its weight, without those of weight 0.

    Raises:
        RecipeError: `class_weights` are not as many as the classes. Here and not when a method is built, so that a model with such
            options still loads.

    ```python
    terms = segmentation_loss(logits, batch["mask"], LossOptions(dice=1, boundary=0.5))
    loss = sum(terms.values())
    ```
    """
    given, wanted = options.class_weights, max(2, logits.shape[1])
    if given is not None and len(given) != wanted:
        raise RecipeError(f"loss.class_weights: {len(given)} weights given for {wanted} classes (background first)")
    found: dict[str, Tensor] = {}
    for name, term in loss_terms(type(options)).items():
        if weight := getattr(options, name):
            found[name] = weight * term.of(logits, target, options)
    return found

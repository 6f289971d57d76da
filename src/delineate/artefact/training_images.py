"""What a model knows of its training images: ranges of their statistics, and how far from them held-out images lie.

It is in the header's provenance, under `training_images`: no earlier reader is disturbed by it, and no mask depends on it. It holds
numbers of all images together, none of a single one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from delineate.artefact.encoder_cloud import EncoderCloud
from delineate.common.config import first_fault
from delineate.data.core.findings import count

__all__ = ["ENTRY", "FEWEST_HELD_OUT", "LEVELS", "RATE", "Cloud", "EncoderImages", "Span", "TrainingImages"]

ENTRY: Final = "training_images"
"""Of the provenance."""
RATE: Final = 0.05
"""Of false alarms."""
FEWEST_HELD_OUT: Final = 20
"""Cases: on 19 or fewer no threshold keeps the rate."""
LEVELS: Final = (0.0, 0.005, *(round(0.025 * at, 3) for at in range(1, 40)), 0.995, 1.0)
"""Of quantiles."""

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Numbers = tuple[_Number, ...]
Span = tuple[_Number, _Number]
"""Least and greatest."""


class Cloud(BaseModel):
    """Where vectors lie: a center, and by what they are multiplied so that they vary by 1 in each direction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    center: _Numbers = Field(min_length=1)
    whitening: tuple[_Numbers, ...] = Field(min_length=1)
    """A row for each direction."""
    held_out: _Numbers = ()
    """Distances of held-out cases, at `LEVELS`; none where there are too few."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(len(row) != len(self.center) for row in self.whitening):
            raise ValueError("the rows of a whitening are not as long as its center")
        if self.held_out and not _ascending(self.held_out):
            raise ValueError(f"distances are not {len(LEVELS)} ascending numbers")
        return self

    def distances(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Of N×D vectors: Mahalanobis distances divided by the square root of the number of directions: about 1 in training."""
        away = np.atleast_2d(np.asarray(vectors, np.float64)) - np.asarray(self.center)
        turned = away @ np.asarray(self.whitening).T
        return np.sqrt(np.square(turned).mean(1))


class EncoderImages(BaseModel):
    """What the network's encoder makes of the training images."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: int = Field(ge=2)
    """Measured."""
    cases: int = Field(ge=FEWEST_HELD_OUT)
    """Held out, and measured."""
    features: EncoderCloud
    threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """As `TrainingImages.threshold`, of statistics and features together: the root of the sum of both squared distances."""
    held_out: _Numbers
    """These distances of held-out cases, at `LEVELS`."""

    @model_validator(mode="after")
    def _distances_fit(self) -> Self:
        if not _ascending(self.held_out):
            raise ValueError(f"distances are not {len(LEVELS)} ascending numbers")
        return self


class TrainingImages(BaseModel):
    """The summary of a model's training images. What a later version adds to it is left unread: it changes no mask.

    Example:
        ```python
        found = delineate.drift("runs/first")
        print(found.words, found.to_table()["statistics"]["brightness"])
        ```
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: int = Field(ge=2)
    """Pictures, or slices of volumes, that were measured."""
    held_out: int = Field(ge=0)
    """Validation cases: pictures or volumes."""
    groups: int | None = Field(None, ge=1)
    """Of the held-out cases (patients); None: not known."""
    rate: float = Field(RATE, gt=0, lt=1)
    threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    """A case at a greater distance (`Cloud.distances`) lies outside: at most `rate` of new ones like those held out do. None: too
    few were held out."""
    names: tuple[str, ...] = Field(min_length=1)
    """Of the statistics (`data.core.image_statistics`)."""
    quantiles: tuple[_Numbers, ...]
    """Of each statistic over the training images, at `LEVELS`."""
    statistics: Cloud
    height: Span
    """In pixels, of all images that were measured."""
    width: Span
    spacing: tuple[Span, Span] | None = None
    """Of pictures whose files tell: mm from row to row, and from column to column."""
    encoder: EncoderImages | None = None
    """None: the method does not tell its encoder's features, or too few cases were held out."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if not len(self.names) == len(self.quantiles) == len(self.statistics.center):
            raise ValueError("names, quantiles and center of the training images differ in number")
        if not all(map(_ascending, self.quantiles)):
            raise ValueError(f"quantiles of the training images are not {len(LEVELS)} ascending numbers")
        spans = (self.height, self.width, *(self.spacing or ()))
        if any(not 0 < low <= high for low, high in spans):
            raise ValueError("a size or spacing of the training images is no range of positive numbers")
        if (self.threshold is None) != (self.held_out < FEWEST_HELD_OUT):
            raise ValueError(f"a threshold goes with {FEWEST_HELD_OUT} held-out cases or more")
        if self.threshold is not None and not self.statistics.held_out:
            raise ValueError("a threshold goes with the distances of held-out cases")
        return self

    @classmethod
    def read(cls, provenance: Mapping[str, Any]) -> Self | None:
        """Take the summary out of a header's provenance.

        Args:
            provenance: Of a model.

        Returns:
            The summary; None: the model has none.

        Raises:
            ValueError: It is damaged.
        """
        content = provenance.get(ENTRY)
        try:
            return None if content is None else cls.model_validate(content)
        except ValidationError as error:
            raise ValueError(f"{ENTRY}: {first_fault(error)}") from error

    @property
    def words(self) -> str:
        """A line."""
        if self.threshold is None:
            held = f"with {self.held_out_words}, fewer than the {FEWEST_HELD_OUT} that a threshold needs"
            return f"{self.images} are summarized; {held}, new images are not compared with them"
        return (
            f"{self.images} are summarized; predict names images outside of them (false alarms: at most {100 * self.rate:g} % of "
            f"images like those held out, by {self.held_out_words})"
        )

    @property
    def held_out_words(self) -> str:
        """The held-out cases in words."""
        of = "" if self.groups is None else f" of {count(self.groups, 'group')}"
        return f"{count(self.held_out, 'held-out case')}{of}"

    def to_table(self) -> dict[str, Any]:
        """Shorten it for people and their programs.

        Returns:
            Its numbers; under `statistics`, name → 5th, 50th and 95th percentile.
        """
        usual = [LEVELS.index(level) for level in (0.05, 0.5, 0.95)]
        content = self.model_dump(mode="json", exclude={"names", "quantiles", "statistics", "encoder"})
        rows = zip(self.names, self.quantiles, strict=True)
        content["encoder"] = self.encoder is not None
        return content | {"statistics": {name: [own[at] for at in usual] for name, own in rows}}


def _ascending(numbers: _Numbers) -> bool:
    return len(numbers) == len(LEVELS) and all(one <= other for one, other in pairwise(numbers))

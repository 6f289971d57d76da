"""Where the features of a network's encoder lie for training images: their main directions, and one spread for all others.

With hundreds of features a whole covariance would need as many images and a megabyte; this is its low-rank form (probabilistic
principal components).
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["EncoderCloud"]

_Numbers = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class EncoderCloud(BaseModel):
    """Where vectors of features lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    center: _Numbers = Field(min_length=1)
    scale: tuple[_Positive, ...]
    """Standard deviation of each feature."""
    directions: tuple[_Numbers, ...]
    """Of the scaled features: orthogonal rows of length 1."""
    variances: tuple[_Positive, ...]
    """Along each."""
    rest: _Positive
    """Variance in any other direction."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        rows = {len(self.scale), *map(len, self.directions)}
        if rows != {len(self.center)} or len(self.directions) != len(self.variances):
            raise ValueError("center, scale, directions and variances of the encoder's features differ in number")
        return self

    def distances(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Of N×D vectors: Mahalanobis distances divided by the square root of D: about 1 in training."""
        scaled = (np.atleast_2d(np.asarray(vectors, np.float64)) - np.asarray(self.center)) / np.asarray(self.scale)
        along = np.square(scaled @ np.asarray(self.directions).T)
        beside = np.maximum(np.square(scaled).sum(1) - along.sum(1), 0)
        total: NDArray[np.float64] = (along / np.asarray(self.variances)).sum(1) + beside / self.rest
        return np.sqrt(total / len(self.center))

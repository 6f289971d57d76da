"""Where vectors of training images lie, fitted: centers, spreads, covariances that are shrunk, and thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.encoder_cloud import EncoderCloud
from delineate.artefact.training_images import FEWEST_HELD_OUT, LEVELS, RATE, Cloud
from delineate.inference.measuring import rounded
from delineate.inference.outside import case_distance

__all__ = ["case_distances", "fit_cloud", "fit_encoder_cloud", "quantiles_of", "shrunk_covariance", "threshold_of"]

_LEAST: Final = 0.005
"""The least spread of a statistic: what hardly varies in training must not decide by rounding."""
_LEAST_VARIANCE: Final = 1e-6
_DIRECTIONS: Final = 16
"""Of the encoder's features."""
_Vectors = NDArray[np.float64]


def fit_cloud(vectors: _Vectors) -> Cloud:
    """Of N×D statistics: a robust center, robust scales, and the covariance of what is scaled, shrunk."""
    middle = np.median(vectors, 0)
    low, high = np.percentile(vectors, (16, 84), axis=0)
    scale = np.maximum((high - low) / 2, _LEAST)
    scaled = (vectors - middle) / scale
    center = scaled.mean(0)
    variances, directions = np.linalg.eigh(shrunk_covariance(scaled - center))
    whitening = (directions / np.sqrt(np.maximum(variances, _LEAST_VARIANCE))).T / scale
    return Cloud(center=rounded(middle + scale * center), whitening=tuple(map(rounded, whitening)))


def fit_encoder_cloud(vectors: _Vectors) -> EncoderCloud:
    """Of N×D features: their main directions, and one variance for all others."""
    center, scale = vectors.mean(0), np.maximum(vectors.std(0), _LEAST_VARIANCE)
    variances, directions = np.linalg.eigh(shrunk_covariance((vectors - center) / scale))
    variances = np.maximum(variances[::-1], _LEAST_VARIANCE)
    kept = min(_DIRECTIONS, len(center) - 1)
    return EncoderCloud(
        center=rounded(center),
        scale=rounded(scale),
        directions=tuple(map(rounded, directions.T[::-1][:kept])),
        variances=rounded(variances[:kept]),
        rest=float(variances[kept:].mean()),
    )


def shrunk_covariance(centered: _Vectors) -> _Vectors:
    """Between the covariance and a multiple of the identity, where the expected squared error is least (Ledoit, Wolf 2004)."""
    number, size = centered.shape
    covariance = centered.T @ centered / number
    middle = np.trace(covariance) / size * np.eye(size)
    away = np.square(covariance - middle).sum()
    # Σ ‖x xᵀ - S‖² over the images, without making each x xᵀ
    error = (np.square(np.square(centered).sum(1)).sum() / number - np.square(covariance).sum()) / number
    share = min(1.0, error / away) if away > 0 else 1.0
    shrunk: _Vectors = share * middle + (1 - share) * covariance
    return shrunk


def case_distances(cloud: Cloud | EncoderCloud, cases: Sequence[_Vectors]) -> _Vectors:
    """Of pictures (one vector each) or volumes (one for each slice)."""
    return np.array([case_distance(cloud, one) for one in cases])


def threshold_of(distances: _Vectors) -> float | None:
    """Conformal: the distance that a new case among n + 1 exceeds with a probability of at most `RATE`; None: too few."""
    number = len(distances)
    if number < FEWEST_HELD_OUT:
        return None
    place = math.ceil((number + 1) * (1 - RATE) - 1e-9)
    return max(float(np.sort(distances)[place - 1]), _LEAST_VARIANCE)


def quantiles_of(values: _Vectors) -> tuple[float, ...]:
    """At `LEVELS`."""
    return rounded(np.quantile(values, LEVELS))

"""A loaded model with another threshold or test-time augmentation: the same weights on the same device, nothing is loaded again."""

from __future__ import annotations

import copy
import math

from delineate.common.errors import DataError
from delineate.inference.exported_model import ExportedModel
from delineate.inference.predictor import Predictor
from delineate.inference.segmenter import Segmenter
from delineate.inference.tta import Tta, views_of

__all__ = ["has_threshold", "variant_of"]


def variant_of(model: Segmenter, threshold: float | None = None, tta: Tta | None = None) -> Segmenter:
    """A model that differs in how masks are decided.

    Args:
        model: A `Predictor` or an `ExportedModel`. It stays as it is.
        threshold: From which probability on a pixel is foreground, or in a region. None: the model's own.
        tta: Test-time augmentation. None: the model's own.

    Returns:
        The model itself where nothing differs; else a copy that shares its networks.

    Raises:
        DataError: A threshold for a model whose classes compete, or outside of 0 … 1; an augmentation that the model's input does
            not allow, or for an exported graph.
    """
    if threshold is not None and not has_threshold(model):
        raise DataError("the model has no threshold: its classes compete, and the most probable one wins; leave it out")
    if threshold is not None and not (math.isfinite(threshold) and 0 <= threshold <= 1):
        raise DataError(f"threshold {threshold:g}: probabilities lie between 0 and 1")
    tta = None if tta == model.tta else tta
    if threshold is None and tta is None:
        return model
    model.get_ready()  # so that the copy has the networks
    if isinstance(model, Predictor):
        other = copy.copy(model)
        if tta is not None:
            other.tta, other.views = tta, views_of(tta, model.tiling.size)
        if threshold is not None and threshold != model.threshold:
            other.asked_threshold = threshold
        return other
    if not isinstance(model, ExportedModel) or tta is not None:
        raise DataError("an exported model has no test-time augmentation: leave it out")
    exported = copy.copy(model)
    exported.threshold = model.threshold if threshold is None else threshold
    return exported


def has_threshold(model: Segmenter) -> bool:
    """Whether masks are decided by a threshold: with one foreground class, or with regions; else the most probable class wins."""
    return model.classes.outputs == 1 or bool(model.classes.regions)

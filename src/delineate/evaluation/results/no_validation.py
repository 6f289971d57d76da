"""What a model says of itself whose weights were chosen by nothing."""

from __future__ import annotations

__all__ = ["NO_VALIDATION"]

NO_VALIDATION = (
    "There are no validation cases: the model has the weights of the last step; only a test set tells how good it is."
)

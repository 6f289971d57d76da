"""Errors that a user can mend.

Each carries one line: what is wrong, in which file, what to do. The command line prints that line and exits with 2;
anything that is not a `DelineateError` is a defect of this project and keeps its traceback.
"""

from __future__ import annotations

__all__ = [
    "ArtefactError",
    "DataError",
    "DelineateError",
    "DeviceError",
    "Diverged",
    "Interrupted",
    "NotFiniteError",
    "RecipeError",
    "TrainingError",
]


class DelineateError(Exception):
    """Base of all errors whose message is meant for the user."""

    exit_code = 2
    told_elsewhere: bool = False
    """Set where another process of the same run tells the user, so that one line stays one."""


class DataError(DelineateError):
    """Images, masks, folders or manifests that cannot be used as they are."""


class RecipeError(DelineateError):
    """An unknown option, a value of the wrong type, or settings that contradict each other."""


class ArtefactError(DelineateError):
    """A model file or run folder that is not what it should be."""


class DeviceError(DelineateError):
    """A device that is absent or too small for what was asked."""


class TrainingError(DelineateError):
    """Training that cannot go on (a loss that is not finite, a state that does not fit)."""


class Diverged(TrainingError):  # noqa: N818 - it is an outcome, not a fault
    """Training whose loss, gradients or weights are not finite; the last good state is kept."""


class NotFiniteError(DelineateError):
    """An output of a network that is not finite, where a mask was due."""


class Interrupted(DelineateError):  # noqa: N818 - it is an outcome, not a fault
    """Training was stopped from outside after its state was saved."""

    exit_code = 130

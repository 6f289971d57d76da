"""Whether probabilities were ever held against validation cases: what `predict --calibrated` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.artefact.calibration import CalibrationRecord
from delineate.common.errors import ArtefactError

__all__ = ["check_calibrated"]


def check_calibrated(models: Sequence[tuple[Path | str | None, CalibrationRecord | None]]) -> None:
    """Refuse a model whose probabilities nobody has calibrated.

    Args:
        models: Files of all members, with what their calibration found.

    Raises:
        ArtefactError: One has none, or validation had too few groups to tell what its probabilities are worth.
    """
    for file, record in models:
        name = "the model" if file is None else file
        if record is None:
            raise ArtefactError(
                f"--calibrated: {name} is not calibrated, its probabilities are those of the network; run `delineate calibrate` on "
                "its run first (and export it again, if it is an exported file)"
            )
        if record.figures is None:
            raise ArtefactError(
                f"--calibrated: the validation cases of {name} were too few to calibrate its probabilities; train with a larger "
                "validation split, or leave the option out"
            )

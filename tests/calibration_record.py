"""What a calibration stores in a model, with made-up figures."""

from __future__ import annotations

from delineate.artefact.calibration import CalibrationRecord, Figure, Measured, ProbabilityFigures


def record(*temperatures: float, **about: object) -> CalibrationRecord:
    one = Measured(value=0.2, low=0.1, high=0.3)
    figure = Figure(before=one, after=one, change=one)
    given = {"figures": ProbabilityFigures(nll=figure, ece=figure, brier=figure), "cases": 8, "groups": 8, "folds": 5}
    fixed = {"pixels": 800, "references_sha256": "", "date": "2026-01-01", "version": "0"}
    return CalibrationRecord.model_validate({"temperatures": temperatures, **given, **fixed, **about})

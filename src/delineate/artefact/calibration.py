"""What a model knows of its own probabilities: how they were calibrated on validation cases, and what its masks are worth.

`delineate calibrate` writes it. Nothing here is executed code: numbers and names only. Temperatures say what to do; all else is for
the reader, but for the weights of `ExpectedDice`, which `inference.expected_dice` reads.
"""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "FOUND",
    "MISSING",
    "CalibrationRecord",
    "DiceLine",
    "ExpectedDice",
    "Figure",
    "Measured",
    "ProbabilityFigures",
]

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]


FOUND: Final = 3
"""Numbers that `ExpectedDice.found` weighs: how sure the model is inside of the mask, how much lies inside, and how large it is."""
MISSING: Final = 1
"""And `ExpectedDice.missing`: how sure it is that there is nothing."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Frozen):
    """A number with its 95 % interval, from resampled groups."""

    value: _Finite
    low: _Finite
    high: _Finite

    @property
    def words(self) -> str:
        """As it is written in tables."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Figure(_Frozen):
    """One measure of the probabilities, lower is better."""

    before: Measured
    """Without the temperatures."""
    after: Measured
    """With temperatures that were fitted on the other folds; where none was adopted, those that were tried."""
    change: Measured
    """After less before, of the same resamples."""


class ProbabilityFigures(_Frozen):
    """Do the probabilities mean what they say? Each case counts the same, whatever its size."""

    nll: Figure
    """Mean negative logarithm of the probability of what is true; of regions the mean of theirs."""
    ece: Figure
    """Over the pixels of all cases together, 15 bins of equal width, as `evaluation.metrics.calibration`."""
    brier: Figure

    @property
    def by_title(self) -> dict[str, Figure]:
        """Title → figure, in the order of tables."""
        return {"NLL": self.nll, "ECE": self.ece, "Brier score": self.brier}

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """For tables: measure, before, after, change; each with its 95 % interval."""
        return [(title, one.before.words, one.after.words, one.change.words) for title, one in self.by_title.items()]


class DiceLine(_Frozen):
    """Dice as a weighted sum of numbers that `inference.expected_dice` measures, brought into the range that they had."""

    intercept: _Finite
    weights: tuple[_Finite, ...]
    low: tuple[_Finite, ...]
    """Of each number, over the validation cases."""
    high: tuple[_Finite, ...]

    @model_validator(mode="after")
    def _alike(self) -> Self:
        if not len(self.weights) == len(self.low) == len(self.high):
            raise ValueError("expected Dice with other numbers than ranges of them")
        return self


class ExpectedDice(_Frozen):
    """What Dice a mask will have, by how sure the model is of it."""

    found: dict[str, DiceLine]
    """Class or region → where the mask has it."""
    missing: dict[str, DiceLine]
    """Where the mask lacks it."""
    error: Measured
    """Mean absolute error of a case, cross-validated."""
    baseline: Measured
    """The same of the mean Dice of the other folds, whatever the mask."""
    gain: Measured
    """Baseline less error, of the same resamples."""

    @property
    def words(self) -> str:
        """What it is worth, in a line."""
        return f"mean absolute error {self.error.words}; of the mean Dice alone {self.baseline.words}"


class CalibrationRecord(_Frozen):
    """What a calibration found, and on what."""

    temperatures: tuple[_Temperature, ...] = ()
    """In place of the model's own: one for all channels, or one for each; empty: none was better."""
    figures: ProbabilityFigures | None = None
    """None: too few groups to measure them."""
    expected_dice: ExpectedDice | None = None
    remarks: tuple[str, ...] = ()
    """Why something is not there."""
    cases: int = Field(ge=1)
    groups: int = Field(ge=1)
    folds: int = Field(ge=0)
    """Of the cross-validation, by group."""
    pixels: int = Field(ge=0)
    """That were measured, of all cases together."""
    references_sha256: str
    date: str
    version: str
    """Of Delineate."""

    @property
    def words(self) -> str:
        """The temperatures in a line."""
        if not self.temperatures:
            return "none"
        numbers = ", ".join(f"{one:.3g}" for one in self.temperatures)
        return numbers if len(self.temperatures) == 1 else f"{numbers} (one for each channel)"

    def fault(self, channels: int, structures: tuple[str, ...]) -> str | None:
        """What contradicts a model in one line; None if nothing does.

        Args:
            channels: Of the network's output.
            structures: Names of its classes, or regions.

        Returns:
            The contradiction.
        """
        if len(self.temperatures) not in (0, 1, channels):
            return f"{len(self.temperatures)} temperatures for {channels} channels"
        expected = self.expected_dice
        if expected is None:
            return None
        for lines, numbers in ((expected.found, FOUND), (expected.missing, MISSING)):
            if set(lines) != set(structures):
                return "expected Dice of other classes than the model has"
            if any(len(line.weights) != numbers for line in lines.values()):
                return f"expected Dice that is not a sum of {numbers} numbers"
        return None

"""What is done to a mask after the network, as a model holds it: chosen on validation cases by `delineate calibrate`.

It says what to do; `inference.postprocess` does it. Nothing here is executed code: numbers and names only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["ChosenOn", "Postprocessing", "StructureRule"]


class StructureRule(BaseModel):
    """What is done to one class, or to one region where a model has learned regions.

    First components are taken away: those below `min_size`, then, with `largest`, all but the largest. Then holes are filled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of the class or region."""
    largest: bool = False
    """Keep the largest component alone; of equals the first."""
    min_size: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Components smaller than this are taken away; in the unit of the whole (`Postprocessing.unit`)."""
    fill_holes: bool = False
    """Fill what the structure encloses on all sides."""

    @property
    def acts(self) -> bool:
        """Whether it does anything."""
        return self.largest or self.min_size > 0 or self.fill_holes


class ChosenOn(BaseModel):
    """Where a post-processing comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Literal["val"] = "val"
    cases: int = Field(ge=1)
    """With a mask that has a valid pixel."""
    references_sha256: str
    """Of their masks, all together."""
    margin: float = Field(ge=0, allow_inf_nan=False)
    """A rule was adopted only where it gained more Dice than this, and than the standard error of its gain."""
    before: dict[str, float]
    """Class or region → mean Dice over these cases (column `all`) of the network alone."""
    after: dict[str, float]
    """The same with the post-processing."""
    date: str
    version: str
    """Of Delineate."""


class Postprocessing(BaseModel):
    """The post-processing of a model.

    Example:
        >>> from delineate.artefact.postprocessing import Postprocessing, StructureRule
        >>> Postprocessing(dimensions=3, unit="mm", rules=(StructureRule(name="liver", largest=True),)).words
        'liver: largest component (26 neighbors)'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: Literal[2, 3]
    """Of the masks that it was chosen for: pictures or whole volumes. Others are left as they are."""
    unit: Literal["px", "mm"] = "px"
    """Sizes are in pixels (voxels), or in mm² (mm³)."""
    threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    """In place of the model's own; None: that. Only of models with one foreground class, or with regions."""
    rules: tuple[StructureRule, ...] = ()
    """In the order of the class table: outer regions come before inner ones."""
    chosen_on: ChosenOn | None = None
    """None: it was set by hand."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"post-processing of '{twice}' is there twice")
        return self

    def fault(self, structures: Sequence[str], *, thresholded: bool) -> str | None:
        """What contradicts a model in one line; None if nothing does.

        Args:
            structures: Names of its classes, or regions.
            thresholded: Whether its masks come from a threshold.

        Returns:
            The contradiction.
        """
        stranger = next((rule.name for rule in self.rules if rule.name not in structures), None)
        if stranger is not None:
            return f"post-processing of '{stranger}', which is no class of the model"
        if self.threshold is not None and not thresholded:
            return "a threshold in the post-processing of a model whose classes compete"
        return None

    @property
    def measure(self) -> str:
        """The unit as it is written: "px", "voxels", "mm²" or "mm³"."""
        if self.unit == "px":
            return "px" if self.dimensions == 2 else "voxels"
        return "mm²" if self.dimensions == 2 else "mm³"

    @property
    def words(self) -> str:
        """All that it does, in a line."""
        parts = [] if self.threshold is None else [f"threshold {self.threshold:g}"]
        parts += [f"{rule.name}: {self._of(rule)}" for rule in self.rules if rule.acts]
        return "; ".join(parts) or "nothing"

    def _of(self, rule: StructureRule) -> str:
        neighbors = 8 if self.dimensions == 2 else 26
        parts = [f"largest component ({neighbors} neighbors)"] if rule.largest else []
        if rule.min_size:
            joined = "" if rule.largest else f" ({neighbors} neighbors)"
            parts.append(f"no component below {rule.min_size:g} {self.measure}{joined}")
        parts += ["holes filled"] if rule.fill_holes else []
        return ", ".join(parts)

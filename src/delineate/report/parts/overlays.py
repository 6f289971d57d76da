"""The image of a case with the prediction that was scored, and with the reference where it can still be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DelineateError
from delineate.common.files import parse_json
from delineate.data.cases.pixels import case_mask
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.formats.registry import read_image, reads_volume
from delineate.evaluation.inputs.pairing import by_name
from delineate.evaluation.inputs.prediction_values import listed_rule
from delineate.evaluation.inputs.predictions import PredictionList, mask_files, read_prediction
from delineate.evaluation.inputs.references import open_references
from delineate.evaluation.inputs.test_access_log import ACCESS_LOG_FILE as OPENINGS
from delineate.evaluation.metrics.registry import INSTANCE_METRICS
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.overlay import draw
from delineate.report.html.elements import Html, element
from delineate.report.html.images import drawn

__all__ = ["Overlays"]

_SHORTER, _LONGEST = 400, 480
"""Pixels: small images are enlarged before they are drawn on, large ones shrunk afterwards."""


@dataclass(frozen=True)
class Overlays:
    """The pictures of one evaluation's cases; without files there are none, and none of volumes and instance maps."""

    classes: ClassTable
    files: Mapping[str, tuple[Path, Path]]
    """Case id → (predicted mask, image), as `predict` listed them."""
    manifest: Manifest | None
    """Of the references."""
    rule: LabelRule | None = None
    """How the values of the predicted masks are read; None where there are no files."""

    @classmethod
    def find(cls, scores_file: ScoresFile, manifest: Manifest | None = None) -> Overlays:
        """What lies about of an evaluation: the list beside its predictions; its references, unless they are given."""
        names = scores_file.content.get("class_names") or ("background", *scores_file.classes)
        classes = ClassTable(names=tuple(names))
        folder = Path(scores_file.origin.predictions or "")
        try:
            listed = PredictionList.find(folder) if scores_file.origin.predictions else None
            objects = any(name in INSTANCE_METRICS for name in scores_file.metrics)
            if listed is None or objects or scores_file.origin.level == "volume":
                return cls(classes, {}, None)
            listed = listed.followed(folder)
            masks = mask_files(folder, listed)
            image_of = {mask: Path(file.image) for mask, file in zip(masks, listed.files, strict=True)}
            named = by_name(folder, masks, dict.fromkeys(scores_file.cases()))
        except DelineateError:
            return cls(classes, {}, None)
        files = {case: (mask, image_of[mask]) for case, mask in named.items() if not reads_volume(mask)}
        return cls(classes, files, (manifest or _noted(scores_file, classes)) if files else None, listed_rule(listed))

    @property
    def names(self) -> list[str]:
        """Of all classes, the background first."""
        return list(self.classes.names)

    def picture(self, case: str, whose: str = "the prediction") -> Html:
        """The overlay, or a sentence that says why there is none."""
        if case not in self.files or self.rule is None:
            return element("p", "no prediction is listed", class_="note")
        mask, image = self.files[case]
        try:
            overlay = draw(
                read_image(image),
                read_prediction(mask, self.rule),
                self._reference(case),
                self.classes,
                shorter=_SHORTER,
            )
        except DelineateError as error:
            return element("p", str(error), class_="note")
        return drawn(overlay, f"Contours of {whose} on {case}", longest=_LONGEST)

    def _reference(self, case: str) -> NDArray[np.uint8] | None:
        known: dict[str, Case] = {one.id: one for one in self.manifest.cases} if self.manifest else {}
        return case_mask(self.manifest, known[case]) if self.manifest and case in known else None


def _noted(scores_file: ScoresFile, classes: ClassTable) -> Manifest | None:
    """The references that an evaluation names, where they are still there and of the same classes."""
    noted = scores_file.content.get("references") or _last_opening(scores_file.folder)
    if not noted:
        return None
    try:
        labels = scores_file.content.get("labels")
        rule = None if labels is None else LabelRule.model_validate(labels)
        return open_references(Path(noted), "all", classes.model_copy(update={"labels": rule})).manifest
    except (DelineateError, ValueError):
        return None


def _last_opening(folder: Path) -> str | None:
    """The references in the last note of a test split's opening."""
    try:
        lines = (folder / OPENINGS).read_text(encoding="utf-8").splitlines()
        return str(parse_json(lines[-1])["references"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None

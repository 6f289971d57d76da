"""The image of a case with the prediction that was scored, and with the reference where it can still be found.

Of volumes, planes and slices (`inference.three_planes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DelineateError
from delineate.common.files import parse_json
from delineate.data.cases.pixels import case_mask
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.formats.registry import read_image, reads_volume
from delineate.data.layouts.source import as_source
from delineate.evaluation.inputs.joined_masks import joined_masks
from delineate.evaluation.inputs.numbered_cases import by_listed_images
from delineate.evaluation.inputs.pairing import by_name, paired
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.inputs.prediction_values import listed_rule, prediction_rule
from delineate.evaluation.inputs.predictions import mask_files, read_prediction
from delineate.evaluation.inputs.references import open_references
from delineate.evaluation.inputs.test_access_log import ACCESS_LOG_FILE as OPENINGS
from delineate.evaluation.metrics.registry import INSTANCE_METRICS
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.overlay import draw
from delineate.report.html.elements import Html, element
from delineate.report.html.images import drawn
from delineate.report.parts.volume_pictures import volume_picture

__all__ = ["Overlays"]

_SHORTER, _LONGEST = 400, 480
"""Pixels: small images are enlarged before they are drawn on, large ones shrunk afterwards."""
_VOLUMES_ALONE = "label volumes"
"""Layout of references that were found without their images."""
_SHEET = 960
"""Pixels of a volume's planes together, at most."""


@dataclass(frozen=True)
class Overlays:
    """The pictures of one evaluation's cases; without files there are none, and none of instance maps and of slices that were put
    together to volumes."""

    classes: ClassTable
    files: Mapping[str, tuple[Path, Path | None]]
    """Case id → (predicted mask, image), as `predict` listed them, or as the data set has them; None: the image of a volume whose
    references alone are known."""
    manifest: Manifest | None
    """Of the references."""
    rule: LabelRule | None = None
    """How the values of the predicted masks are read; None where there are no files."""

    @classmethod
    def find(cls, scores_file: ScoresFile, manifest: Manifest | None = None) -> Overlays:
        """What lies about of an evaluation: the list beside its predictions, or the images of its data set; its references, unless
        they are given."""
        names = scores_file.content.get("class_names") or ("background", *scores_file.classes)
        classes = ClassTable(names=tuple(names))
        folder = Path(scores_file.origin.predictions or "")
        try:
            listed = PredictionList.find(folder) if scores_file.origin.predictions else None
            objects = any(name in INSTANCE_METRICS for name in scores_file.metrics)
            if objects or scores_file.origin.predictions is None:
                return cls(classes, {}, None)
            if listed is None:
                found = manifest or _noted(scores_file, classes)
                return cls._unlisted(scores_file, found and _with_images(found), classes, folder)
            listed = listed.followed(folder)
            masks = mask_files(folder, listed)
            image_of = {mask: Path(file.image) for mask, file in zip(masks, listed.files, strict=True)}
            found = manifest or _noted(scores_file, classes)
            named = _named(folder, masks, found, scores_file)
        except DelineateError:
            return cls(classes, {}, None)
        known = set(scores_file.cases())
        files = {case: (mask, image_of[mask]) for case, mask in named.items() if case in known}
        return cls(classes, files, found if files else None, listed_rule(listed))

    @classmethod
    def _unlisted(
        cls, scores_file: ScoresFile, manifest: Manifest | None, classes: ClassTable, folder: Path
    ) -> Overlays:
        """Of masks that other software made: their images are those of the data set. Raises `DelineateError`."""
        if manifest is None:
            return cls(classes, {}, None)
        known = {one.id: one for one in manifest.cases}
        named = _named(folder, joined_masks(mask_files(folder, None)), manifest, scores_file)
        masks = {case: mask for case, mask in named.items() if case in known}
        files: dict[str, tuple[Path, Path | None]] = {}
        for case, mask in masks.items():
            images = known[case].images
            if images or reads_volume(mask):
                files[case] = (mask, manifest.path(images[0]) if images else None)
        rule = prediction_rule(list(masks.values()), None, manifest.classes, manifest.labels) if files else None
        return cls(classes, files, manifest, rule)

    @property
    def volumes(self) -> bool:
        """Whether they are of volumes."""
        return any(reads_volume(mask) for mask, _ in self.files.values())

    @property
    def names(self) -> list[str]:
        """Of all classes, the background first."""
        return list(self.classes.names)

    def picture(self, case: str, whose: str = "the prediction") -> Html:
        """The overlay, or a sentence that says why there is none."""
        if case not in self.files or self.rule is None:
            return element("p", "no prediction is listed", class_="note")
        mask, image = self.files[case]
        said = f"Contours of {whose} on {case}"
        try:
            if reads_volume(mask):
                sheet = volume_picture(image, mask, self.rule, self.classes, self.manifest, self._case(case))
                return drawn(sheet, f"{said}: axial, coronal and sagittal plane, and the worst slices", longest=_SHEET)
            assert image is not None, "only volumes are shown without"
            overlay = draw(
                read_image(image),
                read_prediction(mask, self.rule),
                self._reference(case),
                self.classes,
                shorter=_SHORTER,
            )
        except DelineateError as error:
            return element("p", str(error), class_="note")
        return drawn(overlay, said, longest=_LONGEST)

    def _reference(self, case: str) -> NDArray[np.uint8] | None:
        known = self._case(case)
        return case_mask(self.manifest, known) if self.manifest and known is not None else None

    def _case(self, case: str) -> Case | None:
        return next((one for one in self.manifest.cases if one.id == case), None) if self.manifest else None


def _with_images(manifest: Manifest) -> Manifest:
    """The manifest with the images of the data set that its label volumes lie in: to score them, none was looked for."""
    if any(case.images for case in manifest.cases) or manifest.layout != _VOLUMES_ALONE:
        return manifest
    try:
        found = {case.id: case.images for case in as_source(Path(manifest.root)).manifest().cases}
    except DelineateError:
        return manifest
    cases = [case.model_copy(update={"images": found.get(case.id, ())}) for case in manifest.cases]
    return manifest.model_copy(update={"cases": tuple(cases)})


def _named(folder: Path, masks: Sequence[Path], manifest: Manifest | None, scores_file: ScoresFile) -> dict[str, Path]:
    """Case → prediction, as they were scored."""
    scored = dict.fromkeys(scores_file.cases())
    if manifest is None or not scored.keys() <= {case.id for case in manifest.cases}:
        return by_name(folder, masks, scored)
    cases = [case for case in manifest.cases if case.id in scored and case.masks]
    listed = PredictionList.find(folder)
    images = {} if listed is None else {folder / file.mask: file.image for file in listed.files}
    known = by_listed_images(masks, images, cases)
    return paired(folder, masks, manifest, cases)[0] if known is None else known


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

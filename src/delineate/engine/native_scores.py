"""The validation cases at the end of a run on single images: scored at native resolution, the telling ones drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.artefact.format import Artefact
from delineate.common.errors import NotFiniteError
from delineate.common.file_names import fitting_name
from delineate.data.augment.patches import Corner, cut, tiles
from delineate.data.cases.large import LargeMask, native_region
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.cases.volumes import opened, volume_image, volume_mask
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.formats.contract import ImageHandle
from delineate.data.formats.images import write_image, write_mask
from delineate.data.formats.registry import read_mask
from delineate.engine.finish import ScoredValidation, TrainedModel, worst_median_best
from delineate.engine.volume_scores import segment_volume
from delineate.evaluation.metrics.registry import resolve
from delineate.evaluation.results.case_scores import QUICK, Row, score_case
from delineate.evaluation.results.scores_file import Origin
from delineate.evaluation.results.scoring import content_hash, joint_hash
from delineate.evaluation.results.summary import summarize
from delineate.inference.overlay import draw, palette
from delineate.inference.panels import render
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Worker
from delineate.inference.shading import shaded
from delineate.inference.three_planes import draw_three_planes
from delineate.inference.write import volume_mask_name
from delineate.methods.contract import Batch

__all__ = ["score_validation_cases"]

_OF_VOLUMES = (*QUICK, *resolve(["hd95_pooled"]))
"""Metrics of volumes; lengths are in mm where all of them tell the size of their voxels."""


@dataclass(frozen=True)
class _Pair:
    """A labeled picture's or slice's pixels at native size."""

    case: Case
    image: Pixels
    """With the channels that the model takes."""
    reference: NDArray[np.uint8]

    @classmethod
    def read(cls, pixels: SamplePixels, case: Case, plane: int | None = None) -> _Pair:
        sample = Sample(case, plane)
        reference = pixels.mask(sample)
        assert reference is not None  # unlabeled cases were left out
        return cls(case, pixels.image(sample), reference)

    @classmethod
    def region(cls, manifest: Manifest, case: Case, spec: InputSpec, corner: Corner) -> _Pair:
        """A place of a large picture, at native size, as a case of its own in the picture's group."""
        place, handle = native_region(manifest, case, spec, corner)
        reference = LargeMask(manifest, case, (handle.shape[0], handle.shape[1]))[place]
        pixels = handle.window(place[0].start, place[1].start, *reference.shape)
        name = f"{case.id}_{place[0].start}_{place[1].start}"
        own = case.model_copy(update={"id": name, "group": case.group or case.id, "spacing": _spacing(case, handle)})
        return cls(own, pixels, reference)


@dataclass(frozen=True)
class _Scored:
    case: Case
    dice: float
    rows: list[Row]
    """None for a case without a valid pixel."""
    reference: str = ""
    """SHA-256 of its content."""
    plane: int | None = None
    """Of a volume: the slice that shows most."""
    again: Callable[[], _Pair] | None = None
    """Of a region of a large picture: reads it."""


def score_validation_cases(
    manifest: Manifest,
    axis: int | None,
    max_pixels: int,
    regions: Mapping[str, Sequence[Corner]],
    trained: TrainedModel,
) -> ScoredValidation:
    """Score the validation cases by the predictor that `delineate predict` uses; their masks go into `masks/`.

    `axis`: across the slices of volumes, which are scored as volumes; None where cases are pictures. `regions`: of large pictures,
    the places that stand for each.
    """
    predictor = Predictor(trained.artefact, device=str(trained.device))
    pixels = SamplePixels(manifest, axis, max_pixels, spec=predictor.spec)
    masks, cases = trained.folder / "masks", [case for case in manifest.split("val") if case.masks]
    if axis is None:
        scored = []
        for case in cases:
            places = regions.get(case.id)
            if places is None:
                scored.append(_score(predictor, _Pair.read(pixels, case), manifest, masks))
            for corner in places or ():
                again = partial(_Pair.region, manifest, case, predictor.spec, corner)
                scored.append(replace(_score(predictor, again(), manifest, masks), again=again))
    else:
        worker = Worker(predictor, maps=predictor.spec.all_axes)
        told = all(case.spacing for case in cases)
        scored = [_score_volume(worker, case, axis, manifest, masks, told) for case in cases]
    rows = tuple(row for each in scored for row in each.rows)
    valid = [each for each in scored if each.rows]
    return ScoredValidation(
        rows,
        summarize(rows, QUICK if axis is None else _OF_VOLUMES, "regions" if manifest.classes.regions else "classes"),
        _origin(trained, manifest, {one.case.id: one.reference for one in valid}, volumes=axis is not None),
        protocol="native",
        draw=partial(_pictures, predictor, pixels, manifest, valid, trained.folder),
    )


def _origin(trained: TrainedModel, manifest: Manifest, references: dict[str, str], *, volumes: bool) -> Origin:
    grouped = any(case.group for case in manifest.split("val"))
    return Origin(
        level="volume" if volumes else "image",
        length=("mm" if all(case.spacing for case in manifest.split("val")) else "voxel") if volumes else "px",
        grouping="groups of the data set" if grouped else "each case is its own group",
        references_sha256=joint_hash(references),
        method=trained.recipe.name,
        seed=trained.recipe.engine.seed,
    )


def _score(predictor: Predictor, pair: _Pair, manifest: Manifest, masks: Path) -> _Scored:
    try:
        prediction = predictor.predict(pair.image, pair.case.pixel_spacing)
    except NotFiniteError as error:
        raise NotFiniteError(f"validation case {pair.case.id}: {error}") from error
    binary = len(manifest.classes.names) == 2
    write_mask(
        masks / f"{pair.case.id}.png", prediction * 255 if binary else prediction, palette=palette(manifest.classes)
    )
    if not (pair.reference != IGNORE).any():
        return _Scored(pair.case, math.nan, [])
    rows = score_case(pair.case.id, prediction, pair.reference, manifest.classes, group=pair.case.group)
    return _Scored(pair.case, _dice(rows), rows, content_hash(pair.reference))


def _score_volume(worker: Worker, case: Case, axis: int, manifest: Manifest, masks: Path, millimeters: bool) -> _Scored:
    found = segment_volume(worker, manifest, case, axis, masks)
    if (found.reference == IGNORE).all():
        return _Scored(case, math.nan, [])
    rows = score_case(
        case.id,
        found.prediction,
        found.reference,
        manifest.classes,
        metrics=_OF_VOLUMES,
        spacing=found.spacing if millimeters else None,
        group=case.group,
    )
    return _Scored(case, _dice(rows), rows, content_hash(found.reference), found.plane)


def _dice(rows: Sequence[Row]) -> float:
    """Mean over the classes that the reference has; of one class, or where it has none, over all."""
    counted = [row for row in rows if row.present] or rows if len(rows) > 1 else rows
    return float(np.mean([row.scores["dice"] for row in counted]))


def _pictures(
    predictor: Predictor, pixels: SamplePixels, manifest: Manifest, scored: Sequence[_Scored], folder: Path
) -> None:
    for rank, each in worst_median_best(sorted(scored, key=lambda one: one.dice)).items():
        pair = _Pair.read(pixels, each.case, each.plane) if each.again is None else each.again()
        if each.plane is None:
            image = pixels.view(Sample(each.case)) if each.again is None else pair.image
            drawn = draw(
                image, predictor.predict(pair.image, each.case.pixel_spacing), pair.reference, manifest.classes
            )
        else:
            drawn = _planes(manifest, each.case, predictor.spec, folder / "masks")
        write_image(folder / "overlays" / fitting_name(f"{rank}_{each.case.id}", ".png"), drawn)
        for name, panel in _panels(predictor.artefact, pair).items():
            write_image(folder / "panels" / each.case.id / f"{name}.png", panel)


def _spacing(case: Case, handle: ImageHandle) -> tuple[float, ...] | None:
    """In mm, by the data set or by the picture's file."""
    microns = handle.microns
    return case.spacing or (None if microns is None else (microns[0] / 1000, microns[1] / 1000))


def _planes(manifest: Manifest, case: Case, spec: InputSpec, masks: Path) -> NDArray[np.uint8]:
    """A volume with its reference and the mask that was written of it."""
    volume = opened([manifest.path(case.images[0])])
    mask = masks / volume_mask_name(case.id, volume)
    return draw_three_planes(
        shaded(volume_image(manifest, case, spec.volume_numbers), spec, volume.path),
        volume.turn.apply(read_mask(mask).astype(np.uint8)),
        manifest.classes,
        volume.geometry.spacing,
        volume_mask(manifest, case),
        lambda axis, index: volume.turn.stored_slice(axis, index, volume.shape[axis])[1],
        placed=volume.geometry.tells == "place",
    )


def _panels(artefact: Artefact, pair: _Pair) -> dict[str, NDArray[np.uint8]]:
    parameter = next(artefact.method.parameters())
    image, mask = _input(artefact.spec, pair)
    batch: Batch = {
        "image": torch.from_numpy(image).permute(2, 0, 1)[None].to(parameter.device),
        "mask": torch.from_numpy(mask).long()[None].to(parameter.device),
        "labeled": torch.ones(1, dtype=torch.bool, device=parameter.device),
        "sample_id": [pair.case.id],
    }
    with torch.no_grad():
        found = artefact.method.panels(batch)
    return {name: render(panel, artefact.spec.planes) for name, panel in found.items()}


def _input(spec: InputSpec, pair: _Pair) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """What the network is shown of a case: all of it, or the tile with the most foreground."""
    spacing = pair.case.pixel_spacing
    pixels, mask = spec.working_pixels(pair.image, spacing), spec.working_mask(pair.reference, spacing)
    if spec.fit != "patch":
        return spec.to_unit(pixels), mask
    corners = tiles((mask.shape[0], mask.shape[1]), spec.size)
    masks = [cut(mask, corner, spec.size, IGNORE) for corner in corners]
    best = max(range(len(corners)), key=lambda index: np.count_nonzero((masks[index] > 0) & (masks[index] < IGNORE)))
    return spec.to_unit(cut(pixels, corners[best], spec.size), spec.limits(pixels)), masks[best]

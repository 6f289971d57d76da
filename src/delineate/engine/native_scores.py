"""The validation cases at the end of a run on single images: scored at native resolution, the telling ones drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.artefact.format import Artefact
from delineate.common.errors import NotFiniteError
from delineate.common.paths import fitting
from delineate.data.augment.windows import cut, tiles
from delineate.data.cases.pixels import case_mask, case_view, input_pixels, open_case
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.formats.images import write_image, write_mask
from delineate.engine.finish import Judged, Trained, selected
from delineate.evaluation.cases import Row, score_case
from delineate.evaluation.scoring import content_hash, joint_hash
from delineate.evaluation.stored import Origin
from delineate.evaluation.table import summarise
from delineate.inference.overlay import draw, palette
from delineate.inference.panels import render
from delineate.inference.predictor import Predictor
from delineate.methods.contract import Batch


@dataclass(frozen=True)
class _Pair:
    """A labelled case's pixels at native size."""

    case: Case
    image: Pixels
    """With the channels that the model takes."""
    reference: NDArray[np.uint8]

    @classmethod
    def read(cls, manifest: Manifest, case: Case, spec: InputSpec, max_pixels: int) -> _Pair:
        reference = case_mask(manifest, case, max_pixels=max_pixels)
        assert reference is not None  # unlabelled cases were left out
        return cls(case, input_pixels(open_case(manifest, case, max_pixels=max_pixels), spec), reference)


@dataclass(frozen=True)
class _Scored:
    case: Case
    dice: float
    rows: list[Row]
    """None for a case without a valid pixel."""
    reference: str = ""
    """SHA-256 of its content."""


def judge(manifest: Manifest, max_pixels: int, trained: Trained) -> Judged:
    """Score the validation cases by the predictor that `delineate predict` uses; their masks go into `masks/`."""
    predictor = Predictor(trained.artefact, device=str(trained.device))
    scored = [
        _score(predictor, _Pair.read(manifest, case, predictor.spec, max_pixels), manifest, trained.folder / "masks")
        for case in manifest.split("val")
        if case.masks
    ]
    rows = tuple(row for each in scored for row in each.rows)
    valid = [each for each in scored if each.rows]
    return Judged(
        rows,
        summarise(rows),
        _origin(trained, manifest, {one.case.id: one.reference for one in valid}),
        protocol="native",
        draw=partial(_pictures, predictor, manifest, valid, trained.folder, max_pixels),
    )


def _origin(trained: Trained, manifest: Manifest, references: dict[str, str]) -> Origin:
    grouped = any(case.group for case in manifest.split("val"))
    return Origin(
        grouping="groups of the data set" if grouped else "each case is its own group",
        references_sha256=joint_hash(references),
        method=trained.recipe.name,
        seed=trained.recipe.engine.seed,
    )


def _score(predictor: Predictor, pair: _Pair, manifest: Manifest, masks: Path) -> _Scored:
    try:
        prediction = predictor.predict(pair.image)
    except NotFiniteError as error:
        raise NotFiniteError(f"validation case {pair.case.id}: {error}") from error
    binary = len(manifest.classes.names) == 2
    write_mask(
        masks / f"{pair.case.id}.png", prediction * 255 if binary else prediction, palette=palette(manifest.classes)
    )
    if not (pair.reference != IGNORE).any():
        return _Scored(pair.case, math.nan, [])
    rows = score_case(pair.case.id, prediction, pair.reference, manifest.classes, group=pair.case.group)
    counted = rows if binary else [row for row in rows if row.present] or rows
    return _Scored(
        pair.case, float(np.mean([row.scores["dice"] for row in counted])), rows, content_hash(pair.reference)
    )


def _pictures(
    predictor: Predictor, manifest: Manifest, scored: Sequence[_Scored], folder: Path, max_pixels: int
) -> None:
    for rank, each in selected(sorted(scored, key=lambda one: one.dice)).items():
        pair = _Pair.read(manifest, each.case, predictor.spec, max_pixels)
        seen = case_view(manifest, each.case, max_pixels=max_pixels)
        drawn = draw(seen, predictor.predict(pair.image), pair.reference, classes=manifest.classes)
        write_image(folder / "overlays" / fitting(f"{rank}_{each.case.id}", ".png"), drawn)
        for name, panel in _panels(predictor.artefact, pair).items():
            write_image(folder / "panels" / each.case.id / f"{name}.png", panel)


def _panels(artefact: Artefact, pair: _Pair) -> dict[str, NDArray[np.uint8]]:
    parameter = next(artefact.method.parameters())
    image, mask = _input(artefact.spec, pair)
    batch: Batch = {
        "image": torch.from_numpy(image).permute(2, 0, 1)[None].to(parameter.device),
        "mask": torch.from_numpy(mask).long()[None].to(parameter.device),
        "labelled": torch.ones(1, dtype=torch.bool, device=parameter.device),
        "sample_id": [pair.case.id],
    }
    with torch.no_grad():
        return {name: render(panel) for name, panel in artefact.method.panels(batch).items()}


def _input(spec: InputSpec, pair: _Pair) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """What the network is shown of a case: all of it, or the tile with the most foreground."""
    pixels, mask = spec.working_pixels(pair.image), spec.working_mask(pair.reference)
    if spec.fit != "patch":
        return spec.to_unit(pixels), mask
    corners = tiles((mask.shape[0], mask.shape[1]), spec.size)
    masks = [cut(mask, corner, spec.size, IGNORE) for corner in corners]
    best = max(range(len(corners)), key=lambda index: np.count_nonzero((masks[index] > 0) & (masks[index] < IGNORE)))
    return spec.to_unit(cut(pixels, corners[best], spec.size), spec.limits(pixels)), masks[best]

"""The end of a run: the portable model, its validation scores at native resolution with pictures, and the card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from delineate.artefact.format import Artefact, save
from delineate.common.errors import NotFiniteError
from delineate.common.files import write_bytes, write_text
from delineate.common.paths import fitting
from delineate.data.augment.windows import cut, tiles
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import IGNORE, Case, ClassTable, Manifest, Split
from delineate.data.formats.images import write_mask
from delineate.engine.card import model_card
from delineate.engine.run_state import Run
from delineate.engine.selection import WORDS
from delineate.evaluation.cases import Row, score_case
from delineate.evaluation.caveats import caveats, headline_dice, headline_json
from delineate.evaluation.scoring import content_hash, joint_hash
from delineate.evaluation.stored import Origin, write_scores
from delineate.evaluation.table import Summary, summarise
from delineate.evaluation.training import Training
from delineate.inference.overlay import draw, palette
from delineate.inference.panels import render
from delineate.inference.predictor import Predictor
from delineate.methods import registry
from delineate.methods.contract import Batch

SPLITS: tuple[Split, ...] = ("train", "val")
PICTURES = 3
"""Overlays at each end and in the middle of the ranking."""
Ranked = TypeVar("Ranked")


@dataclass(frozen=True)
class _Pair:
    """A labelled case's pixels at native size."""

    case: Case
    image: Pixels
    reference: NDArray[np.uint8]

    @classmethod
    def read(cls, manifest: Manifest, case: Case, max_pixels: int) -> _Pair:
        reference = case_mask(manifest, case, max_pixels=max_pixels)
        assert reference is not None  # unlabelled cases were left out
        return cls(case, case_image(manifest, case, max_pixels=max_pixels), reference)


@dataclass(frozen=True)
class _Scored:
    case: Case
    dice: float
    rows: list[Row]
    """None for a case without a valid pixel."""
    reference: str = ""
    """SHA-256 of its content."""


def finish(run: Run, manifest: Manifest, max_pixels: int) -> float | None:
    """Write `validation/`, `model.safetensors`, `card.md`. Returns the headline Dice, if any.

    The method in `run` holds the best weights by validation. Every figure here is measured by the same predictor that
    `delineate predict` uses, at each image's native resolution.
    """
    folder = run.folder
    artefact = artefact_of(run, manifest)
    predictor = Predictor(artefact, device=str(run.fabric.device))
    scored = [
        _score(predictor, _Pair.read(manifest, case, max_pixels), manifest, folder.validation / "masks")
        for case in manifest.split("val")
        if case.masks
    ]
    rows = tuple(row for each in scored for row in each.rows)
    summary = summarise(rows)
    origin = _origin(run, manifest, {one.case.id: one.reference for one in scored if one.rows})
    write_scores(folder.validation, rows, summary, origin, {"training": artefact.provenance["training"]})
    _pictures(predictor, manifest, [each for each in scored if each.rows], folder.validation, max_pixels)
    artefact.scores = {"split": "validation", "protocol": "native", **summary.to_json()}
    save(folder.model, artefact)
    folder.update_summary(
        minutes=run.seconds / 60,
        images_seen=run.progress.images_seen,
        **kept_words(run, summary),
    )
    write_text(folder.card, model_card(artefact, manifest, run.recipe, summary))
    return headline_dice(summary)


def kept_words(run: Run, summary: Summary) -> dict[str, Any]:
    """What `run.json` says of the weights that were kept; what is doubtful about them is told at once."""
    said = caveats(summary)
    for line in said:
        run.reporter.note(f"WARNING: {line}")
    progress = run.progress
    best = {"step": progress.best_step, "dice": progress.best_dice, "chosen_by": WORDS[progress.measure]}
    return {"best": best, "headline": headline_json(summary), "warnings": said}


def artefact_of(run: Run, manifest: Manifest, classes: ClassTable | None = None, **about: Any) -> Artefact:
    """A fresh method with the run's weights: no wrapper of training (DDP, recomputation) goes with it.

    `classes`: of its output (default: the manifest's); `about`: further entries of the provenance.
    """
    method = registry.build(
        run.recipe.name, classes=run.method.classes, in_channels=run.method.in_channels, options=run.recipe.method
    )
    method.load_state_dict(run.method.state_dict())
    training = Training.of_run(run.folder.path, run.progress.images_seen)
    provenance: dict[str, Any] = {
        "preset": run.recipe.preset,
        "seed": run.recipe.engine.seed,
        "data": Path(manifest.root).name,
        "cases": {split: len(manifest.split(split)) for split in SPLITS},
        "date": date.today().isoformat(),
        "training": training.to_json() if training is not None else None,
        "pictures": run.folder.known_pictures().to_json(),
        **about,
    }
    return Artefact(method.eval(), run.spec, classes or manifest.table, provenance=provenance)


def _origin(run: Run, manifest: Manifest, references: dict[str, str]) -> Origin:
    grouped = any(case.group for case in manifest.split("val"))
    return Origin(
        grouping="groups of the data set" if grouped else "each case is its own group",
        references_sha256=joint_hash(references),
        method=run.recipe.name,
        seed=run.recipe.engine.seed,
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
        pair = _Pair.read(manifest, each.case, max_pixels)
        drawn = draw(pair.image, predictor.predict(pair.image), pair.reference, classes=manifest.classes)
        _write_png(folder / "overlays" / fitting(f"{rank}_{each.case.id}", ".png"), drawn)
        for name, panel in _panels(predictor.artefact, pair).items():
            _write_png(folder / "panels" / each.case.id / f"{name}.png", panel)


def selected(ranked: Sequence[Ranked]) -> dict[str, Ranked]:
    """The worst, the median and the best cases of those ranked by score, each case once; names like "worst1"."""
    count = min(PICTURES, len(ranked) // 3) or 1
    middle = max(0, (len(ranked) - count) // 2)
    groups = {"worst": ranked[:count], "median": ranked[middle : middle + count], "best": ranked[::-1][:count]}
    chosen: dict[str, Ranked] = {}
    for name, members in groups.items():
        for number, member in enumerate(members, 1):
            if all(member is not other for other in chosen.values()):
                chosen[f"{name}{number}"] = member
    return chosen


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


def _write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert done
    write_bytes(path, encoded.tobytes())

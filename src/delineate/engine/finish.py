"""The end of a run: the portable model, its validation scores at native resolution with pictures, and the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from delineate.artefact.format import Artefact, save
from delineate.common.files import write_bytes, write_text
from delineate.data.case import Case, Manifest, Split
from delineate.data.images import write_mask
from delineate.data.pixels import case_image, case_mask
from delineate.data.spec import Pixels
from delineate.engine.card import model_card
from delineate.engine.loop import Run
from delineate.evaluation.cases import Row, score_case
from delineate.evaluation.files import write_scores
from delineate.evaluation.table import summarise
from delineate.inference.overlay import draw
from delineate.inference.predictor import Predictor
from delineate.methods import registry
from delineate.methods.contract import Batch, Panel

SPLITS: tuple[Split, ...] = ("train", "val", "test")
PICTURES = 3
"""Overlays at each end and in the middle of the ranking."""


@dataclass(frozen=True)
class _Scored:
    case: Case
    dice: float
    rows: list[Row]


def finish(run: Run, manifest: Manifest) -> float:
    """Write `validation/`, `model.safetensors`, `card.md`; mark the run finished. Returns the headline Dice.

    The method in `run` holds the best weights by validation. Every figure here is measured by the same predictor that
    `delineate predict` uses, at each image's native resolution.
    """
    folder = run.folder
    artefact = _artefact(run, manifest)
    predictor = Predictor(artefact, device=str(run.fabric.device))
    scored = [
        _score(predictor, manifest, case, folder.validation / "masks") for case in manifest.split("val") if case.masks
    ]
    rows = tuple(row for each in scored for row in each.rows)
    summary = summarise(rows)
    write_scores(folder.validation, rows, summary, split="val")
    _pictures(predictor, artefact, manifest, scored, folder.validation)
    artefact.scores = {"split": "validation", "protocol": "native", **summary.to_json()}
    save(folder.model, artefact)
    folder.update_summary(
        status="finished",
        minutes=run.seconds / 60,
        images_seen=run.progress.images_seen,
        best={"step": run.progress.best_step, "dice": run.progress.best_dice},
    )
    write_text(folder.card, model_card(artefact, manifest, run.recipe, summary))
    run.states.discard()
    return summary.headline("dice")


def _artefact(run: Run, manifest: Manifest) -> Artefact:
    """A fresh method with the run's weights: no wrapper of training (DDP, recomputation) goes with it."""
    method = registry.build(
        run.recipe.name, classes=run.method.classes, in_channels=run.method.in_channels, options=run.recipe.method
    )
    method.load_state_dict(run.method.state_dict())
    provenance: dict[str, Any] = {
        "preset": run.recipe.preset,
        "seed": run.recipe.engine.seed,
        "data": Path(manifest.root).name,
        "cases": {split: len(manifest.split(split)) for split in SPLITS},
        "date": date.today().isoformat(),
    }
    return Artefact(method.eval(), run.spec, manifest.classes, provenance=provenance)


def _score(predictor: Predictor, manifest: Manifest, case: Case, masks: Path) -> _Scored:
    prediction = predictor.predict(case_image(manifest, case))
    reference = case_mask(manifest, case)
    assert reference is not None  # unlabelled cases were left out
    binary = len(manifest.classes.names) == 2
    write_mask(masks / f"{case.id}.png", prediction * 255 if binary else prediction)
    rows = score_case(case.id, prediction, reference, manifest.classes)
    column = [row for row in rows if row.present] or rows
    return _Scored(case, float(np.mean([row.scores["dice"] for row in (rows if binary else column)])), rows)


def _pictures(
    predictor: Predictor, artefact: Artefact, manifest: Manifest, scored: Sequence[_Scored], folder: Path
) -> None:
    for rank, each in _selected(sorted(scored, key=lambda one: one.dice)).items():
        image = case_image(manifest, each.case)
        reference = case_mask(manifest, each.case)
        assert reference is not None
        drawn = draw(image, predictor.predict(image), reference, classes=manifest.classes, shorter=400)
        _write_png(folder / "overlays" / f"{rank}_{each.case.id}.png", drawn)
        for name, panel in _panels(artefact, image, reference, each.case).items():
            _write_png(folder / "panels" / each.case.id / f"{name}.png", panel)


def _selected(ranked: list[_Scored]) -> dict[str, _Scored]:
    """The worst, the median and the best cases, each case once; names like "worst1"."""
    count = min(PICTURES, len(ranked) // 3) or 1
    middle = max(0, (len(ranked) - count) // 2)
    groups = {"worst": ranked[:count], "median": ranked[middle : middle + count], "best": ranked[::-1][:count]}
    chosen: dict[str, _Scored] = {}
    for name, members in groups.items():
        for number, member in enumerate(members, 1):
            if all(member is not other for other in chosen.values()):
                chosen[f"{name}{number}"] = member
    return chosen


def _panels(
    artefact: Artefact, image: Pixels, reference: NDArray[np.uint8], case: Case
) -> dict[str, NDArray[np.uint8]]:
    spec = artefact.spec
    parameter = next(artefact.method.parameters())
    pixels = torch.from_numpy(spec.to_unit(spec.working_pixels(image))).permute(2, 0, 1)[None].to(parameter.device)
    batch: Batch = {
        "image": pixels,
        "mask": torch.from_numpy(spec.working_mask(reference)).long()[None].to(parameter.device),
        "labelled": torch.ones(1, dtype=torch.bool, device=parameter.device),
        "sample_id": [case.id],
    }
    with torch.no_grad():
        return {name: _render(panel) for name, panel in artefact.method.panels(batch).items()}


def _render(panel: Panel) -> NDArray[np.uint8]:
    """A panel's first picture as RGB."""
    tensor = panel.tensor[0].float().cpu()
    if panel.kind == "mask":
        values = tensor.numpy()
        scaled = (values * (255 / max(1, values.max()))).astype(np.uint8)
        return np.repeat(scaled[..., None], 3, 2)
    levels = (tensor.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    if panel.kind == "heat":
        return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
    return levels if levels.shape[2] == 3 else np.repeat(levels, 3, 2)


def _write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert done
    write_bytes(path, encoded.tobytes())

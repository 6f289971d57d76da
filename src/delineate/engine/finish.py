"""The end of a run: the portable model, its validation scores with pictures, the card. The same for every kind of data, which
gives what differs (`FinishSpec`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from delineate.artefact.format import Artefact, save
from delineate.common.files import write_text
from delineate.data.core.manifest import ClassTable, Manifest, Split
from delineate.data.formats.dicom.names import data_name
from delineate.data.layouts.description import describe
from delineate.engine.best_weights import measure_words
from delineate.engine.recipe import Recipe
from delineate.engine.run_folder import RunFolder
from delineate.engine.run_state import Run
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.evaluation.results.case_scores import Row
from delineate.evaluation.results.no_validation import NO_VALIDATION
from delineate.evaluation.results.score_warnings import headline_dice, headline_json, score_warnings
from delineate.evaluation.results.scores_file import Origin, write_scores
from delineate.evaluation.results.summary import Summary
from delineate.inference.model_card import model_card
from delineate.inference.model_info import read_info
from delineate.methods import registry

__all__ = ["FinishSpec", "ScoredValidation", "TrainedModel", "finish_run", "worst_median_best"]

_SPLITS: tuple[Split, ...] = ("train", "val")
_PICTURES = 3
"""At each end and in the middle of the ranking."""
_Ranked = TypeVar("_Ranked")


@dataclass(frozen=True)
class TrainedModel:
    """A model with the best weights, and where its validation goes."""

    artefact: Artefact
    recipe: Recipe
    device: torch.device
    folder: Path
    """`validation/` of the run."""


@dataclass(frozen=True)
class ScoredValidation:
    """A trained model's validation cases, scored."""

    rows: Sequence[Row]
    summary: Summary
    origin: Origin
    protocol: str
    """As the model says it of its scores."""
    draw: Callable[[], None]
    """Writes the pictures."""


@dataclass(frozen=True)
class FinishSpec:
    """What one kind of data gives to the end of a run."""

    manifest: Manifest
    """Training and validation cases."""
    judge: Callable[[TrainedModel], ScoredValidation]
    """Scores the validation cases as the command line would score test cases; writes what belongs to them into the folder."""
    classes: ClassTable | None = None
    """Of the model's output; None: the manifest's."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What the model says of its data, besides what all do."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of `run.json`."""
    describe: Callable[[TrainedModel], Mapping[str, Any]] = lambda _: {}
    """What else the model says of its data once it is trained."""
    about: Callable[[ScoredValidation], Sequence[str]] = lambda _: ()
    """Further lines of the card, which the model file keeps."""


def finish_run(run: Run, spec: FinishSpec) -> float | None:
    """Write `validation/`, `model.safetensors`, `card.md`. Returns the headline Dice, if any.

    The method in `run` holds the best weights by validation. Every figure is measured by the predictor that the command line
    uses, at each image's native resolution.
    """
    folder, validated = run.folder, bool(spec.manifest.split("val"))
    if run.companion:
        _finish_model(run, spec, run.companion, folder.second)
        write_text(folder.second.manifest, folder.manifest.read_text(encoding="utf-8"))  # so that `calibrate` takes it
    summary = _finish_model(run, spec, run.method.state_dict(), folder)
    folder.update_summary(
        minutes=run.seconds / 60,
        images_seen=run.progress.images_seen,
        **_kept_words(run, summary, validated=validated),
        **spec.summary,
    )
    return headline_dice(summary)


def _finish_model(run: Run, spec: FinishSpec, weights: Mapping[str, Tensor], folder: RunFolder) -> Summary:
    """Score the network with these weights and write its `validation/`, `model.safetensors` and `card.md` into the folder."""
    artefact = _artefact(run, weights, spec)
    trained = TrainedModel(artefact, run.recipe, run.fabric.device, folder.validation)
    judged = spec.judge(trained)
    summary, training = judged.summary, artefact.provenance["training"]
    classes = artefact.classes
    extra = {"class_names": list(classes.names), "regions": classes.regions_by_name} if classes.regions else {}
    write_scores(folder.validation, judged.rows, summary, judged.origin, {"training": training, **extra})
    judged.draw()
    about = {"split": "validation", "protocol": judged.protocol}
    warnings = {"warnings": score_warnings(summary)} if spec.manifest.split("val") else {}
    artefact.scores = about | warnings | summary.to_json(judged.origin.length)
    artefact.provenance |= spec.describe(trained)
    artefact.provenance["about"] = list(spec.about(judged))
    save(folder.model, artefact)
    write_text(folder.card, model_card(read_info(folder.model)))
    return summary


def worst_median_best(ranked: Sequence[_Ranked]) -> dict[str, _Ranked]:
    """The worst, the median and the best cases of those ranked by score, each case once; names like "worst1"."""
    count = min(_PICTURES, len(ranked) // 3) or 1
    middle = max(0, (len(ranked) - count) // 2)
    groups = {"worst": ranked[:count], "median": ranked[middle : middle + count], "best": ranked[::-1][:count]}
    chosen: dict[str, _Ranked] = {}
    for name, members in groups.items():
        for number, member in enumerate(members, 1):
            if all(member is not other for other in chosen.values()):
                chosen[f"{name}{number}"] = member
    return chosen


def _artefact(run: Run, weights: Mapping[str, Tensor], spec: FinishSpec) -> Artefact:
    """A fresh method with the weights: no wrapper of training (DDP, recomputation) goes with it."""
    manifest = spec.manifest
    method = registry.build(
        run.recipe.name,
        classes=run.method.classes,
        in_channels=run.method.in_channels,
        options=run.recipe.method,
        regions=run.method.output.regions,
    )
    method.load_state_dict(weights)
    training = TrainingRecord.of_run(run.folder.path, run.progress.images_seen)
    described = describe(Path(manifest.root))
    provenance: dict[str, Any] = {
        "preset": run.recipe.preset,
        "seed": run.recipe.engine.seed,
        "data": data_name(manifest),
        "splits": manifest.split_origin,
        "data_license": run.recipe.data.license or (described.license if described is not None else None),
        "cases": {split: len(manifest.split(split)) for split in _SPLITS},
        "date": date.today().isoformat(),
        "method": {
            "title": method.info.title,
            "paper": method.info.paper,
            "license_note": method.info.license_note,
            "parameters": sum(parameter.numel() for parameter in method.parameters()),
        },
        "training": training.to_json() if training is not None else None,
        "pictures": run.folder.known_pictures().to_json(),
        "pretrained": {name: origin.to_json() for name, origin in run.folder.pretrained_weights().items()},
        **spec.provenance,
    }
    return Artefact(method.eval(), run.spec, spec.classes or manifest.table, provenance=provenance)


def _kept_words(run: Run, summary: Summary, *, validated: bool) -> dict[str, Any]:
    """What `run.json` says of the weights that were kept; what is doubtful about them is told at once."""
    said = score_warnings(summary) if validated else [NO_VALIDATION]
    for line in said:
        run.reporter.note(f"WARNING: {line}")
    progress = run.progress
    by = run.recipe.engine.select_by
    best = {"step": progress.best_step, "dice": progress.best_dice, "chosen_by": measure_words(progress.measure, by)}
    return {"best": best, "headline": headline_json(summary), "warnings": said}

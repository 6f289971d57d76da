"""The end of a few-shot run: the portable model, its scores on frozen validation episodes, pictures, the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from delineate.artefact.format import save
from delineate.common.files import write_text
from delineate.data.core.manifest import ClassTable
from delineate.data.loading.samples import SampleSet
from delineate.engine.card import model_card
from delineate.engine.finish import artefact_of, kept_words, selected
from delineate.engine.run_state import Run
from delineate.evaluation.caveats import headline_dice
from delineate.evaluation.stored import write_scores
from delineate.fewshot.candidates import Candidate
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.evaluate import Job, Scored, evaluate_episodes
from delineate.fewshot.pictures import Picture, Pictured
from delineate.fewshot.segmenter import FewShotPredictor
from delineate.inference.panels import render
from delineate.inference.write import write_png

VERB = "delineate fewshot evaluate"
_GAP = 4


@dataclass(frozen=True)
class Ending:
    """What a run ends with."""

    data: SampleSet
    """Training and validation stacks."""
    episodes: EpisodeFile
    section: dict[str, Any]
    """What the artefact says of the episodes it was trained on."""
    words: str
    """The same for the reader."""


def finish(run: Run, ending: Ending) -> float | None:
    """Write `validation/`, `model.safetensors`, `card.md`. Returns the headline Dice.

    The method in `run` holds the best weights. Figures are those that `delineate fewshot evaluate` would measure on the same
    episodes, which are kept in `validation/episodes.json`.
    """
    folder, manifest = run.folder, ending.data.manifest
    artefact = artefact_of(run, manifest, ClassTable(), episodes=ending.section)
    predictor = FewShotPredictor(artefact, str(run.fabric.device))
    candidate = Candidate(str(folder.path), run.recipe.name, predictor.condition_on, run.recipe.engine.seed)
    job = Job(candidate, ending.data, ending.episodes)
    evaluation, scored = evaluate_episodes(job)
    summary = evaluation.summary
    ending.episodes.save(folder.validation / "episodes.json")
    write_scores(
        folder.validation, evaluation.rows, summary, evaluation.origin, {"training": artefact.provenance["training"]}
    )
    _write_pictures(job, scored, folder.validation)
    about = {"split": "validation", "protocol": evaluation.origin.protocol_words}
    artefact.scores = about | summary.to_json(evaluation.origin.length)
    save(folder.model, artefact)
    folder.update_summary(
        minutes=run.seconds / 60,
        images_seen=run.progress.images_seen,
        **kept_words(run, summary),
        episodes=ending.words,
        test_with=VERB,
    )
    lines = [f"Episodes: {ending.words}", f"Validated by: {evaluation.origin.protocol_words}"]
    write_text(folder.card, model_card(artefact, manifest, run.recipe, summary, about=lines, verb=VERB))
    return headline_dice(summary)


def _write_pictures(job: Job, scored: Sequence[Scored], folder: Path) -> None:
    """Of the worst, median and best cases: support and query of each class side by side, and the method's own pictures."""
    cases: dict[str, list[Scored]] = {}
    for one in scored:
        cases.setdefault(one.row.case, []).append(one)
    ranked = sorted(cases.items(), key=lambda item: float(np.mean([one.row.scores["dice"] for one in item[1]])))
    for rank, (case, members) in selected(ranked).items():
        pictured = [Pictured.of(job, one) for one in members]
        rows = [_beside(each.draw_support(0), each.draw_query()) for each in pictured]
        write_png(folder / "overlays" / f"{rank}_{case}.png", _stacked(rows))
        for one, each in zip(members, pictured, strict=True):
            label = f"{one.row.name} " if len(job.episodes.labels) > 1 else ""
            for name, panel in each.panels.items():
                write_png(folder / "panels" / case / f"{label}{name}.png", render(panel))


def _beside(left: Picture, right: Picture) -> Picture:
    """The left picture at the right one's height, with a white gap between."""
    height = right.shape[0]
    if left.shape[0] != height:
        width = max(1, round(left.shape[1] * height / left.shape[0]))
        left = cv2.resize(left, (width, height)).astype(np.uint8)
    return np.hstack([left, np.full((height, _GAP, 3), 255, np.uint8), right])


def _stacked(pictures: Sequence[Picture]) -> Picture:
    """One below the other, on white."""
    width = max(picture.shape[1] for picture in pictures)
    rows: list[Picture] = []
    for picture in pictures:
        if rows:
            rows.append(np.full((_GAP, width, 3), 255, np.uint8))
        rows.append(np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255))
    return np.vstack(rows)

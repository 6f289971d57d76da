"""Score the validation episodes at the end of a few-shot run, as `delineate fewshot evaluate` does, and draw some of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from delineate.data.formats.images import write_image
from delineate.data.loading.samples import SampleSet
from delineate.engine.finish import ScoredValidation, TrainedModel, worst_median_best
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.episode_images import EpisodeImages, Picture
from delineate.fewshot.evaluate import EpisodeTest, ScoredEpisode, evaluate_episodes
from delineate.fewshot.evaluated_models import EvaluatedModel
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.panels import render

__all__ = ["judge"]

_GAP = 4


def judge(data: SampleSet, episodes: EpisodeFile, trained: TrainedModel) -> ScoredValidation:
    """Score the episodes, which are kept beside the scores. `data`: training and validation stacks."""
    recipe, run = trained.recipe, trained.folder.parent
    predictor = FewShotPredictor(trained.artefact, str(trained.device))
    candidate = EvaluatedModel(
        str(run), recipe.name, predictor.condition_on, recipe.engine.seed, numbers=predictor.spec.volume_numbers
    )
    job = EpisodeTest(candidate, data, episodes)
    evaluation, scored = evaluate_episodes(job)
    episodes.save(trained.folder / "episodes.json")
    return ScoredValidation(
        evaluation.rows,
        evaluation.summary,
        evaluation.origin,
        protocol=evaluation.origin.protocol_words,
        draw=partial(_write_pictures, job, scored, trained.folder),
    )


def _write_pictures(job: EpisodeTest, scored: Sequence[ScoredEpisode], folder: Path) -> None:
    """Of the worst, median and best cases: support and query of each class side by side, and the method's own pictures."""
    cases: dict[str, list[ScoredEpisode]] = {}
    for one in scored:
        cases.setdefault(one.row.case, []).append(one)
    ranked = sorted(cases.items(), key=lambda item: float(np.mean([one.row.scores["dice"] for one in item[1]])))
    for rank, (case, members) in worst_median_best(ranked).items():
        pictured = [EpisodeImages.of(job, one) for one in members]
        rows = [_beside(each.draw_support(0), each.draw_query()) for each in pictured]
        write_image(folder / "overlays" / f"{rank}_{case}.png", _stacked(rows))
        for one, each in zip(members, pictured, strict=True):
            label = f"{one.row.name} " if len(job.episodes.labels) > 1 else ""
            for name, panel in each.panels.items():
                write_image(folder / "panels" / case / f"{label}{name}.png", render(panel))


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

"""Pictures of few-shot episodes: what was shown, what was found, and what the method looked at on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.data.case import ClassTable
from delineate.fewshot.evaluate import Job, Scored
from delineate.fewshot.segmenter import ConditionedPredictor
from delineate.inference.files import write_png
from delineate.inference.overlay import draw
from delineate.inference.panels import render

FOLDER = "pictures"
MOST = 9
"""Episodes in pictures."""
SHOTS = 3
"""Support slices in a picture."""
SHORTER = 256
"""Pixels: small slices are enlarged before they are drawn on."""


def write_pictures(job: Job, scored: Sequence[Scored], out: Path) -> list[dict[str, Any]]:
    """The worst, median and best episodes of each class, in `out/pictures/`.

    Returns for each, in plain types: `rank`, `class`, `case`, `dice`, and `files`, pairs of a caption and a path relative to `out`.
    """
    listed = []
    for number, (rank, one) in enumerate(_selected(scored), start=1):
        files = []
        for at, (caption, picture) in enumerate(_of_episode(job, one)):
            relative = f"{FOLDER}/{number:02d}_{at}.png"
            write_png(out / relative, picture)
            files.append([caption, relative])
        about = {"rank": rank, "class": one.row.name, "case": one.row.case, "dice": one.row.scores["dice"]}
        listed.append({**about, "files": files})
    return listed


def _selected(scored: Sequence[Scored]) -> list[tuple[str, Scored]]:
    """Of each class the worst, the median and the best; with many classes the worst alone."""
    by_class: dict[str, list[Scored]] = {}
    for one in sorted(scored, key=lambda each: each.row.scores["dice"]):
        by_class.setdefault(one.row.name, []).append(one)
    chosen: list[tuple[str, Scored]] = []
    for members in by_class.values():
        places = {0: "worst", len(members) // 2: "median", len(members) - 1: "best"}
        if 3 * len(by_class) > MOST:
            places = {0: "worst"}
        chosen += [(rank, members[place]) for place, rank in sorted(places.items())]
    return chosen[:MOST]


def _of_episode(job: Job, one: Scored) -> list[tuple[str, NDArray[np.uint8]]]:
    episode, classes = one.episode, ClassTable()
    prediction, reference = job.segment(episode)
    area = (reference == 1).sum((1, 2)) + 1e-6 * prediction.sum((1, 2))
    at = int(area.argmax())
    index = episode.scored[at]
    chunk = next(chunk for chunk in episode.chunks if index in chunk.slices)
    support, query = job.support(episode, chunk), job.stack(episode).slices[index]
    image = job.data.image(query)
    pictures = [
        (f"support {number}", draw(shown, None, mask, classes, shorter=SHORTER))
        for number, (shown, mask) in enumerate(zip(support.images[:SHOTS], support.masks, strict=False), start=1)
    ]
    pictures.append((f"query {query.name}", draw(image, prediction[at], reference[at], classes, shorter=SHORTER)))
    conditioned = job.conditioned(episode, chunk)
    if isinstance(conditioned, ConditionedPredictor):
        batch = conditioned.episode(1, image, reference[at], query.name)
        with torch.inference_mode():
            panels = conditioned.method.panels(batch)
        pictures += [(name, render(panel)) for name, panel in panels.items() if not name.startswith("support")]
    return pictures

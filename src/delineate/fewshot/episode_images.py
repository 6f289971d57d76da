"""Pictures of few-shot episodes: support, query with prediction and reference, and the method's own intermediate pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.data.core.input_spec import Pixels
from delineate.data.formats.images import write_image
from delineate.fewshot.evaluate import EpisodeTest, Labels, ScoredEpisode
from delineate.fewshot.predictor import ConditionedPredictor
from delineate.fewshot.support import Support
from delineate.inference.overlay import draw
from delineate.inference.panels import render
from delineate.methods.contract import Panel

__all__ = ["EpisodeImages", "Picture", "write_pictures"]

_FOLDER = "pictures"
_MAX_EPISODES = 9
"""Episodes in pictures."""
_MAX_SHOTS = 3
"""Support slices in a picture."""
_MIN_SIDE = 256
"""Pixels: small slices are enlarged before they are drawn on."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class EpisodeImages:
    """The slice of an episode with most of the class, segmented anew, and what it was segmented by."""

    support: Support
    query: str
    """Name of the slice."""
    image: Pixels
    prediction: Labels
    reference: Labels
    panels: dict[str, Panel]
    """The method's own pictures of the slice and its support; none of a baseline."""
    named: bool = False
    """Whether channels have names: people are shown the first one."""

    @classmethod
    def of(cls, job: EpisodeTest, one: ScoredEpisode) -> EpisodeImages:
        episode, index = one.episode, one.fullest
        chunk = next(chunk for chunk in episode.chunks if index in chunk.slices)
        query = job.stack(episode).slices[index]
        image, reference = job.data.image(query), job.reference(episode, index)
        conditioned = job.conditioned(episode, chunk)
        (prediction,) = conditioned.predict_each([image])
        panels: dict[str, Panel] = {}
        if isinstance(conditioned, ConditionedPredictor):
            with torch.inference_mode():
                panels = conditioned.method.panels(conditioned.episode(1, image, reference, query.name))
        named = bool(job.data.manifest.channels)
        return cls(job.support(episode, chunk), query.name, image, prediction, reference, panels, named)

    def draw_support(self, at: int) -> Picture:
        """A support slice with its mask, as `inference.overlay` draws references."""
        return draw(self._seen(self.support.images[at]), None, self.support.masks[at], shorter=_MIN_SIDE)

    def draw_query(self) -> Picture:
        """The slice with prediction and reference."""
        return draw(self._seen(self.image), self.prediction, self.reference, shorter=_MIN_SIDE)

    def _seen(self, image: Pixels) -> Pixels:
        return np.ascontiguousarray(image[..., 0]) if self.named else image


def write_pictures(job: EpisodeTest, scored: Sequence[ScoredEpisode], out: Path) -> list[dict[str, Any]]:
    """The worst, median and best episodes of each class, in `out/pictures/`.

    Returns for each, in plain types: `rank`, `class`, `case`, `dice`, and `files`, pairs of a caption and a path relative to `out`.
    """
    listed = []
    for number, (rank, one) in enumerate(_selected(scored), start=1):
        files = []
        for at, (caption, picture) in enumerate(_of_episode(job, one)):
            relative = f"{_FOLDER}/{number:02d}_{at}.png"
            write_image(out / relative, picture)
            files.append([caption, relative])
        about = {"rank": rank, "class": one.row.name, "case": one.row.case, "dice": one.row.scores["dice"]}
        listed.append({**about, "files": files})
    return listed


def _selected(scored: Sequence[ScoredEpisode]) -> list[tuple[str, ScoredEpisode]]:
    """Of each class the worst, the median and the best; with many classes the worst alone."""
    by_class: dict[str, list[ScoredEpisode]] = {}
    for one in sorted(scored, key=lambda each: each.row.scores["dice"]):
        by_class.setdefault(one.row.name, []).append(one)
    chosen: list[tuple[str, ScoredEpisode]] = []
    for members in by_class.values():
        places = {0: "worst", len(members) // 2: "median", len(members) - 1: "best"}
        if 3 * len(by_class) > _MAX_EPISODES:
            places = {0: "worst"}
        chosen += [(rank, members[place]) for place, rank in sorted(places.items())]
    return chosen[:_MAX_EPISODES]


def _of_episode(job: EpisodeTest, one: ScoredEpisode) -> list[tuple[str, Picture]]:
    pictured = EpisodeImages.of(job, one)
    shots = min(_MAX_SHOTS, len(pictured.support.images))
    pictures = [(f"support {at + 1}", pictured.draw_support(at)) for at in range(shots)]
    pictures.append((f"query {pictured.query}", pictured.draw_query()))
    return pictures + [
        (name, render(panel)) for name, panel in pictured.panels.items() if not name.startswith("support")
    ]

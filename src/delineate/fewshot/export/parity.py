"""Whether the two files of a few-shot model do what the model does, measured as for single files (`inference.export.parity`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.common.errors import ArtefactError
from delineate.data.core.manifest import IGNORE
from delineate.fewshot.export.episodes import TrialEpisode, TrialEpisodes, blob
from delineate.fewshot.export.graphs import ConditionGraph, ForwardGraph, ShotGraph
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.export.cases import noise
from delineate.inference.export.contract import IMAGE, SUPPORT_IMAGE, SUPPORT_MASK, SUPPORT_SIZE, ExportFacts
from delineate.inference.export.graph_input import graph_feed
from delineate.inference.export.parity import TOLERANCE, USUAL, Parity, mean_dice, run_file
from delineate.inference.export.support_input import support_feed

__all__ = ["Files", "Graphs", "fewshot_parity"]

_Feed = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Files:
    """The two files, opened by a runtime."""

    condition: Any
    forward: Any

    def state(self, feeds: Sequence[_Feed]) -> _Feed:
        """Of the supports of several classes, ready for `forward`."""
        names = [one.name for one in self.condition.get_outputs()]
        found = [run_file(self.condition, feed) for feed in feeds]
        return {name: np.concatenate(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)}

    def run(self, feed: _Feed, state: _Feed) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Probabilities of the classes B×N×H×W, and masks B×H×W."""
        probabilities, mask = run_file(self.forward, feed | state)
        return probabilities, mask


@dataclass(frozen=True)
class Graphs:
    """The same in torch."""

    shot: ShotGraph
    condition: ConditionGraph
    forward: ForwardGraph

    def state(self, feeds: Sequence[_Feed]) -> list[Tensor]:
        """As `Files.state`."""
        found = []
        for feed in feeds:
            shots = []
            parts = zip(feed[SUPPORT_IMAGE], feed[SUPPORT_MASK], feed[SUPPORT_SIZE].tolist(), strict=True)
            for image, mask, (height, width) in parts:
                inside = (torch.from_numpy(one[None, :height, :width].copy()) for one in (image, mask))
                shots.append(self.shot(*inside))
            found.append(self.condition(*(torch.cat(each) for each in zip(*shots, strict=True))))
        return [torch.cat(each) for each in zip(*found, strict=True)]


def fewshot_parity(
    files: Files,
    graphs: Graphs,
    model: FewShotPredictor,
    facts: ExportFacts,
    episodes: TrialEpisodes,
    progress: Callable[[int, int], None] | None = None,
) -> Parity:
    """Measure the files.

    Args:
        files: Of the model, opened.
        graphs: The same in torch, on the CPU.
        model: On the CPU.
        facts: Of the file that segments.
        episodes: For `predict`.
        progress: Called with (episodes done, episodes in all).

    Returns:
        What was measured; `sizes` are those of the images asked for.

    Raises:
        ArtefactError: A file does not run at one of the sizes, or gives other shapes.
    """
    sizes, differences = [], []
    for number, (supports, query) in enumerate(_trials(model, facts)):
        feeds = [support_feed(*one, facts) for one in supports]
        found, _ = files.run({IMAGE: query}, files.state(feeds))
        with torch.inference_mode():
            expected = graphs.forward(torch.from_numpy(query), *graphs.state(feeds))[0].numpy()
        if found.shape != expected.shape:
            raise ArtefactError(f"the exported file gives maps of {found.shape[2:]} for an image of {query.shape[1:3]}")
        away = np.abs(found - expected)
        differences.append(float(away.max() if number == 0 else np.quantile(away, USUAL)))
        sizes.append((query.shape[0], query.shape[1], query.shape[2]))
    return Parity(
        tolerance=TOLERANCE[facts.precision],
        sizes=tuple(sizes),
        network_difference=differences[0],
        resized_difference=max(differences[1:]),
        images=episodes.words,
        real=episodes.real,
        threads=torch.get_num_threads(),
        **_against_predict(files, model, facts, episodes.episodes, progress),
    )


def _against_predict(
    files: Files,
    model: FewShotPredictor,
    facts: ExportFacts,
    episodes: Sequence[TrialEpisode],
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    scores = []
    times: dict[str, list[float]] = {
        name: [] for name in ("torch_condition", "torch", "onnxruntime_condition", "onnxruntime")
    }
    largest, pixels, others = 0.0, 0, 0
    for number, episode in enumerate(episodes, start=1):
        query, support = episode.query.pixels, episode.support
        height, width = query.shape[:2]
        watch = _Watch(times)
        ready = model.condition_on(support)
        watch.note("torch_condition")
        working = ready.probabilities_of(ready.prepare(query))
        mask = ready.to_classes(working, height, width)
        watch.note("torch")
        masks = [[_of_class(one, label) for one in support.masks] for label in support.labels]
        state = files.state([support_feed(support.images, shown, facts) for shown in masks])
        watch.note("onnxruntime_condition")
        found, classes = files.run(graph_feed(query, None, facts), state)
        watch.note("onnxruntime")
        expected = ready.to_native(working, height, width).transpose(2, 0, 1)
        expected = expected if len(expected) == 1 else expected[support.labels]
        found_mask = np.array([0, *support.labels], np.uint8)[classes[0]]
        largest = max(largest, float(np.abs(found[0] - expected).max()))
        pixels, others = pixels + mask.size, others + int((mask != found_mask).sum())
        scores.append(mean_dice(found_mask, mask, len(support.classes.names)))
        if progress is not None:
            progress(number, len(episodes))
    return {
        "largest_difference": largest,
        "dice": float(np.mean(scores)),
        "least_dice": min(scores),
        "pixels": pixels,
        "other_pixels": others,
        **{f"{name}_milliseconds": 1000 * median(values) for name, values in times.items()},
    }


class _Watch:
    """Notes the seconds since the last note."""

    def __init__(self, times: dict[str, list[float]]) -> None:
        self._times, self._last = times, time.perf_counter()

    def note(self, name: str) -> None:
        now = time.perf_counter()
        self._times[name].append(now - self._last)
        self._last = now


def _of_class(mask: NDArray[np.uint8], label: int) -> NDArray[np.uint8]:
    return np.where(mask == IGNORE, IGNORE, mask == label).astype(np.uint8)


_Support = tuple[list[NDArray[Any]], list[NDArray[np.uint8]]]


def _trials(model: FewShotPredictor, facts: ExportFacts) -> Iterator[tuple[list[_Support], NDArray[Any]]]:
    """The supports of some classes, and images to segment. The network's own size first; then several shots, classes and images, of
    the least, odd, small and large sizes."""
    height, width = model.spec.size
    own, large = (height, width), (2 * height + 1, 2 * width + 3)
    small, tall = (height // 3 + 1, width // 2 + 3), (2 * height + 1, width // 2 + 1)
    trials = [
        ([[own]], 1, own),
        ([[large]], 3, tall),
        ([[own, small]], 1, (1, 1)),
        ([[tall, own, large]], 2, large),
        ([[small], [large]], 1, small),
        ([[own, small], [tall, tall], [own, own]], 2, (height + 11, width + 6)),
        ([[own] * 5], 1, (2 * height, 2 * width)),
        ([[small] * 2] * 4, 1, (3 * height + 1, 3 * width + 2)),
    ]

    for first, (classes, images, size) in enumerate(trials):
        supports = []
        for at, shots in enumerate(classes):
            seeds = range(100 * first + 10 * at, 100 * first + 10 * at + len(shots))
            shown = [noise(model.spec, facts.numbers, one, seed) for one, seed in zip(shots, seeds, strict=True)]
            supports.append((shown, [blob(one) for one in shots]))
        yield (
            supports,
            np.stack([noise(model.spec, facts.numbers, size, 100 * first + 50 + at) for at in range(images)]),
        )

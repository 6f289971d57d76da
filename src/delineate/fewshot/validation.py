"""Validation during few-shot training: fixed episodes of the validation patients' labels, at the working size.

They choose the best weights, even if training used no labels. Excluded classes are not among them: weights that were chosen with
a class would have seen it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.manifest import IGNORE
from delineate.data.core.samples import SliceStack
from delineate.data.formats.dicom.names import data_name
from delineate.data.loading.cached_slices import CachedSlices
from delineate.data.loading.samples import SampleSet
from delineate.engine.batch_source import to_device
from delineate.engine.best_weights import CaseCounts
from delineate.engine.validation import ValidationJob, ValidationResult, evaluating, not_finite_samples
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.episode_source import EpisodeArrays, MaskedImage, as_batch
from delineate.fewshot.protocol import ProtocolSettings, make_episodes
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod

__all__ = ["FixedEpisodes", "freeze"]

_SEED = 0
"""Of the supports and of the slices that are asked for: the same in all runs, so that runs can be compared."""


def freeze(
    data: SampleSet, parts: Sequence[CachedSlices], labels: Sequence[int], *, shots: int, least: int, stack: str
) -> EpisodeFile:
    """Episodes of the validation split: `chunk3` of volumes, `any2d` of pictures (see `fewshot.protocol`).

    `data`: training and validation stacks; `parts`: all of their slices at the working size; `labels`: to be asked for; `least`:
    pixels at the working size, below which a slice counts as one without the class. Supports are other patients of the validation
    split, or where those are too few, training patients. Raises `DataError` where neither suffices.
    """
    if not labels:
        raise DataError(
            "all classes are excluded, so that none is left to choose the weights by; exclude fewer classes"
        )
    seen = _seen(data, parts, least)
    held = {label for stack in seen.split("val").stacks for label in labels if stack.holding(label)}
    if not held:
        names = ", ".join(data.classes.names[label] for label in labels)
        raise DataError(f"{data.manifest.root}: no validation slice holds {names}; move some into the val split")
    flat = all(len(stack.slices) == 1 for stack in seen.split("val").stacks)
    plan = ProtocolSettings(
        protocol="any2d" if flat else "chunk3",
        shots=shots,
        seed=_SEED,
        split="val",
        classes=[str(label) for label in sorted(held)],
    )
    try:
        found = make_episodes(seen, plan, name=data_name(data.manifest), stack=stack)
        if {episode.label for episode in found.episodes} == held:
            return found
    except DataError:
        pass
    return make_episodes(seen, replace(plan, support_split="train"), name=data_name(data.manifest), stack=stack)


class _Place(NamedTuple):
    """Where a slice is found at the working size."""

    part: CachedSlices
    number: int


@dataclass(frozen=True)
class _Asked:
    """One query slice with the support that serves it."""

    label: int
    volume: str
    query: _Place
    support: tuple[_Place, ...]


class FixedEpisodes:
    """Some of the slices of frozen episodes, the same in each validation."""

    def __init__(self, episodes: EpisodeFile, parts: Sequence[CachedSlices], *, most: int) -> None:
        """At most `most` slices, shared out evenly among the classes; `parts` as for `freeze`."""
        self._asked = tuple(_chosen(list(_all(episodes, parts)), most))

    def __len__(self) -> int:
        return len(self._asked)

    def batches(self, size: int) -> Iterator[tuple[Sequence[_Asked], EpisodicBatch]]:
        """All of them in batches, with what they ask for."""
        for first in range(0, len(self._asked), size):
            part = self._asked[first : first + size]
            yield part, as_batch([_rendered(one) for one in part])

    @torch.no_grad()
    def validate(self, job: ValidationJob) -> ValidationResult:
        """A case is one volume: its pixels of each class are counted over all slices asked for. Terms: means over slices."""
        counts: dict[str, dict[int, NDArray[np.int64]]] = defaultdict(
            lambda: defaultdict(lambda: np.zeros(4, np.int64))
        )
        faulty: list[str] = []
        sums: dict[str, float] = defaultdict(float)
        method = job.module
        assert isinstance(method, EpisodicMethod)  # `DataKind.trains` says so
        with evaluating(method):
            for asked, batch in self.batches(job.batch_size):
                batch = to_device(batch, job.device)
                with job.autocast():
                    terms = job.objective(batch, job.ctx)
                    state = method.condition(batch["support_image"], batch["support_mask"])
                    output = job.logits(batch["image"], state)
                for name, term in terms.items():
                    sums[name] += float(term) * len(asked)
                faulty += not_finite_samples(output, batch["sample_id"])
                _count(counts, asked, output.float(), batch["mask"])
        cases = [CaseCounts(tuple(of_class), *np.stack(list(of_class.values()), 1)) for of_class in counts.values()]
        return ValidationResult.of(cases, {name: total / len(self) for name, total in sums.items()}, faulty)


def _rendered(one: _Asked) -> EpisodeArrays:
    query, *support = (_view(place, one.label) for place in (one.query, *one.support))
    return EpisodeArrays(query, tuple(support), f"{one.query.part.slices[one.query.number].name} (class {one.label})")


def _view(place: _Place, label: int) -> MaskedImage:
    mask = place.part.masks[place.number]
    target = np.where(mask == IGNORE, np.uint8(IGNORE), (mask == label).astype(np.uint8))
    return MaskedImage(place.part.unit(place.number), target)


def _places(parts: Sequence[CachedSlices]) -> dict[tuple[str, int], _Place]:
    """(volume, index in it) → where the slice is."""
    return {key: _Place(part, number) for part in parts for key, number in part.place().items()}


def _seen(data: SampleSet, parts: Sequence[CachedSlices], least: int) -> SampleSet:
    """The same slices, holding a class only where enough of it is left at the working size: what is shown must be visible."""
    places = _places(parts)

    def visible(stack: SliceStack) -> SliceStack:
        slices = []
        for index, one in enumerate(stack.slices):
            part, number = places[stack.volume, index]
            counts = part.pixels[number]
            kept = {label: size for label, size in one.pixels.items() if counts[label] >= least}
            slices.append(replace(one, pixels=kept))
        return replace(stack, slices=tuple(slices))

    return replace(data, stacks=tuple(map(visible, data.stacks)))


def _all(episodes: EpisodeFile, parts: Sequence[CachedSlices]) -> Iterator[_Asked]:
    places = _places(parts)
    for episode in episodes.episodes:
        for chunk in episode.chunks:
            shown = [episode.support[at] for at in chunk.support]
            support = tuple(places[one.volume, one.slice] for one in shown)
            for index in chunk.slices:
                yield _Asked(episode.label, episode.query, places[episode.query, index], support)


def _chosen(asked: Sequence[_Asked], most: int) -> Iterator[_Asked]:
    rng = np.random.default_rng(_SEED)
    labels = sorted({one.label for one in asked})
    for label in labels:
        members = [one for one in asked if one.label == label]
        number = min(len(members), max(1, most // len(labels)))
        yield from (members[at] for at in sorted(rng.choice(len(members), number, replace=False)))


def _count(
    counts: dict[str, dict[int, NDArray[np.int64]]], asked: Sequence[_Asked], logits: torch.Tensor, mask: torch.Tensor
) -> None:
    """Add up pixels in both masks, in ours, in the reference, and not ignored, per volume and class."""
    seen = mask != IGNORE
    ours, theirs = (logits[:, 0] > 0) & seen, mask == 1
    sums = torch.stack([part.sum((1, 2)) for part in (ours & theirs, ours, theirs, seen)], 1).cpu().numpy()
    for one, four in zip(asked, sums, strict=True):
        counts[one.volume][one.label] += four

"""Test protocols for few-shot methods: the support slices, the query slices, and which support slice serves which query slice.

- `chunk3`: the usual protocol of the field (Roy et al., Medical Image Analysis 59, 2020; Ouyang et al., ECCV 2020). The support has
  three slices of each annotated scan, at 1/6, 1/2 and 5/6 of the slices with the class. The query's labeled extent is cut in
  three, each third is segmented with the support slice of the same third, and nothing else is scored. The protocol assumes that
  the first and the last slice of the structure in the query are known, which is not the case in practice.
- `middle`: the middle labeled slice of each annotated scan is the support for all slices of the query, which are all scored.
- `any2d`: slices (or plain images) are cases by themselves: K random ones are the support, all others are queries.

Support and query are never of the same group (patient), nor the same picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import count
from delineate.data.core.manifest import Split
from delineate.data.core.samples import SliceStack
from delineate.data.loading.samples import SampleSet
from delineate.fewshot.class_names import labels_by_name
from delineate.fewshot.episode_file import Chunk, Episode, EpisodeFile, ProtocolName, SupportSlice

__all__ = ["ProtocolSettings", "make_episodes", "support_slices", "thirds"]

_MIN_PIXELS_2D = 64
"""With `any2d`, a support has at least so many pixels of the class."""
_THIRDS = 3

_DESCRIPTIONS = {
    "chunk3": "support slices at 1/6, 1/2 and 5/6 of the labeled extent; each third of the query's labeled extent, which "
    "is taken as known, by its own; other slices are not scored",
    "middle": "the middle labeled slice as support; all slices of the query are scored",
    "any2d": "each slice or image is a case; random ones as support, all others are scored",
}
"""Protocol → what it does."""


@dataclass(frozen=True)
class ProtocolSettings:
    """How to make episodes."""

    protocol: ProtocolName = "chunk3"
    shots: int = 1
    """Annotated scans (of `any2d`: slices or images)."""
    seed: int = 0
    """Draws the supports."""
    draws: int = 1
    """How often supports are drawn; each draw has all queries."""
    split: Split = "test"
    """Of the queries."""
    support_split: Split | None = None
    """Of the supports. None: that of the queries; patients in the support are then no queries."""
    classes: Sequence[str] = ()
    """Names or indices of the classes to test; none: all."""


@dataclass(frozen=True)
class _Unit:
    """What can be shown or asked for as one: a volume, or with `any2d` a slice."""

    stack: SliceStack
    slices: tuple[int, ...]

    def pictures(self) -> set[str]:
        """Digests of its slices' pixels: an equal picture under another name is of the same patient."""
        cases = (self.stack.slices[index].case for index in self.slices)
        return {case.pixels for case in cases if case.pixels}

    def holding(self, label: int) -> tuple[int, ...]:
        """Those of its slices that hold the class."""
        return tuple(index for index in self.slices if self.stack.slices[index].holds(label))


def make_episodes(data: SampleSet, settings: ProtocolSettings, *, name: str, stack: str) -> EpisodeFile:
    """Episodes of a data set; the same arguments give the same episodes on every machine.

    `name`, `stack`: the data set's name and the rule that it was opened with, noted in the file. Raises `DataError`: an unknown
    protocol or class, an empty split, fewer annotated patients than shots, nothing left to ask for.
    """
    if settings.protocol not in get_args(ProtocolName):
        raise DataError(
            f"unknown protocol '{settings.protocol}': {did_you_mean(settings.protocol, get_args(ProtocolName))}"
        )
    if min(settings.shots, settings.draws) < 1:
        raise DataError(f"--shots and --draws count from 1 (given: {settings.shots} and {settings.draws})")
    labels = (
        labels_by_name(settings.classes, data.classes, data.manifest.root) if settings.classes else tuple(data.labels)
    )
    source = settings.support_split or settings.split
    query_units = _units(data, settings.split, settings)
    support_units = _units(data, source, settings)
    episodes = [
        episode
        for draw in range(settings.draws)
        for episode in _episodes_of_draw(draw, query_units, support_units, labels, data, settings)
    ]
    return EpisodeFile(
        data=name,
        protocol=settings.protocol,
        shots=settings.shots,
        seed=settings.seed,
        draws=settings.draws,
        split=settings.split,
        support_split=source,
        stack=stack,
        axis=data.axis,
        order="file" if data.axis is None else "canonical",
        class_names=data.classes.names,
        labels=labels,
        words=_DESCRIPTIONS[settings.protocol],
        files=_hashes(data, episodes),
        episodes=tuple(episodes),
    )


def support_slices(holding: Sequence[int], protocol: ProtocolName) -> tuple[int, ...]:
    """Which of the slices that hold a class are shown: of `chunk3` those at 1/6, 1/2 and 5/6, else the middle one."""
    if protocol == "chunk3":
        return tuple(holding[(2 * third + 1) * len(holding) // (2 * _THIRDS)] for third in range(_THIRDS))
    return (holding[len(holding) // 2],)


def thirds(first: int, last: int) -> tuple[tuple[int, ...], ...]:
    """The slices first … last in three parts, by where their middles lie; parts of fewer than three slices may be empty."""
    number = last + 1 - first
    parts: tuple[list[int], ...] = ([], [], [])
    for at in range(number):
        parts[_THIRDS * (2 * at + 1) // (2 * number)].append(first + at)
    return tuple(map(tuple, parts))


def _units(data: SampleSet, split: Split, settings: ProtocolSettings) -> list[_Unit]:
    stacks = [stack for stack in data.split(split).stacks if all(one.case.masks for one in stack.slices)]
    if not stacks:
        there = sorted({stack.split for stack in data.stacks if stack.split})
        raise DataError(
            f"{data.manifest.root} has nothing labeled in its split '{split}'; there are: {', '.join(there)}"
        )
    if settings.protocol == "any2d":
        return [_Unit(stack, (index,)) for stack in stacks for index in range(len(stack.slices))]
    return [_Unit(stack, tuple(range(len(stack.slices)))) for stack in stacks]


def _episodes_of_draw(
    draw: int,
    query_units: Sequence[_Unit],
    support_units: Sequence[_Unit],
    labels: Sequence[int],
    data: SampleSet,
    settings: ProtocolSettings,
) -> Iterable[Episode]:
    """Supports for each class, from as few patients as will do; queries are the cases of all other patients."""
    order = np.random.default_rng([settings.seed, draw]).permutation(len(support_units))
    drawn = [support_units[index] for index in order]
    supports = {label: _support(drawn, label, data, settings) for label in labels}
    taken = {unit.stack.group for units in supports.values() for unit in units}
    copied = {picture for units in supports.values() for unit in units for picture in unit.pictures()}
    queries = [unit for unit in query_units if unit.stack.group not in taken and not copied & unit.pictures()]
    if settings.protocol == "chunk3":
        queries = [unit for unit in queries if any(unit.holding(label) for label in labels)]
    if not queries:
        patients = len({unit.stack.group for unit in query_units})
        raise DataError(
            f"nothing is left to ask for in split '{settings.split}' of {data.manifest.root}: the support takes "
            f"{count(len(taken), 'patient')} of {patients}; take the support from another split"
        )
    for label in labels:
        for query in queries:
            episode = _episode(draw, label, supports[label], query, settings)
            if episode is not None:
                assert query.stack.group not in {unit.stack.group for unit in supports[label]}
                yield episode


def _support(drawn: Sequence[_Unit], label: int, data: SampleSet, settings: ProtocolSettings) -> list[_Unit]:
    """The first K cases that hold the class, each of another patient."""
    found: dict[str, _Unit] = {}
    for unit in drawn:
        if _shows(unit, label, settings):
            found.setdefault(unit.stack.group, unit)
    if len(found) < settings.shots:
        split, name = settings.support_split or settings.split, data.classes.names[label]
        raise DataError(
            f"{count(settings.shots, 'shot')} asked for, but in split '{split}' class '{name}' is in the masks of "
            f"{count(len(found), 'patient')}; ask for fewer --shots, or take the support from another split"
        )
    return list(found.values())[: settings.shots]


def _shows(unit: _Unit, label: int, settings: ProtocolSettings) -> bool:
    if settings.protocol == "any2d":
        return unit.stack.slices[unit.slices[0]].holds(label, _MIN_PIXELS_2D)
    return bool(unit.holding(label))


def _episode(
    draw: int, label: int, support: Sequence[_Unit], query: _Unit, settings: ProtocolSettings
) -> Episode | None:
    """One query's episode; None where `chunk3` has nothing to ask."""
    picked = [(unit, support_slices(unit.holding(label), settings.protocol)) for unit in support]
    shown = tuple(SupportSlice(volume=unit.stack.volume, slice=index) for unit, indices in picked for index in indices)
    if settings.protocol != "chunk3":
        chunks: tuple[Chunk, ...] = (Chunk(slices=query.slices, support=tuple(range(len(shown)))),)
    else:
        holding = query.holding(label)
        if not holding:
            return None
        chunks = tuple(
            Chunk(slices=part, support=tuple(range(third, len(shown), _THIRDS)))
            for third, part in enumerate(thirds(holding[0], holding[-1]))
            if part
        )
    return Episode(label=label, support=shown, query=query.stack.volume, chunks=chunks, draw=draw)


def _hashes(data: SampleSet, episodes: Iterable[Episode]) -> dict[str, str]:
    """SHA-256 of each image and mask that is shown or asked for."""
    used = {(shown.volume, shown.slice) for episode in episodes for shown in episode.support}
    used |= {(episode.query, index) for episode in episodes for index in episode.scored}
    cases = {data.stack(volume).slices[index].case.id: data.stack(volume).slices[index].case for volume, index in used}
    return {
        path: case.hashes[path]
        for case in sorted(cases.values(), key=lambda one: one.id)
        for path in (*case.images, *case.masks)
    }

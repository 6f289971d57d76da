"""Frozen episodes: a file that lists support and query slices, with the hashes of the data.

Two models that were scored on the same file had the same supports and the same queries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from delineate.common.config import first_fault
from delineate.common.errors import DataError
from delineate.common.file_names import path_fault
from delineate.common.files import write_json
from delineate.data.cases.volumes import keeps_numbers
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import ClassTable, Manifest, Split
from delineate.data.formats.registry import digest_of
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.loading.samples import SampleSet, open_samples
from delineate.fewshot.class_names import first_version_name

__all__ = ["Chunk", "Episode", "EpisodeFile", "ProtocolName", "SupportSlice"]

_FORMAT: Final = 1
ProtocolName = Literal["chunk3", "middle", "any2d"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SupportSlice(_Part):
    """One annotated slice of a support."""

    volume: str
    slice: int = Field(ge=0)


class Chunk(_Part):
    """Query slices with the support slices that they are segmented by."""

    slices: tuple[int, ...] = Field(min_length=1)
    """Indices in the query volume, ascending."""
    support: tuple[int, ...] = Field(min_length=1)
    """Positions in the episode's `support`."""


class Episode(_Part):
    """One class, a support, and one query volume. Slices of the volume that are in no chunk are not scored."""

    label: int = Field(ge=1)
    support: tuple[SupportSlice, ...] = Field(min_length=1)
    query: str
    chunks: tuple[Chunk, ...] = Field(min_length=1)
    draw: int = Field(0, ge=0)
    """Number of the draw, where supports are drawn several times; from 0."""

    @property
    def scored(self) -> tuple[int, ...]:
        """All query slices, ascending."""
        return tuple(sorted(index for chunk in self.chunks for index in chunk.slices))


class EpisodeFile(_Part):
    """Frozen episodes, with everything that is needed to find the same slices again. `fewshot_episodes` makes and saves one.

    Example:
        >>> episodes = delineate.fewshot_episodes("polyps", protocol="any2d", shots=1, split="train", out="episodes.json")
        >>> episodes.shots, episodes.classes.names[1:], len(episodes.digest)
        (1, ('foreground',), 8)
        >>> len(episodes.open("polyps").samples)
        8
    """

    format: Literal[1] = _FORMAT
    data: str
    """Name of the data set's folder, for the reader."""
    protocol: ProtocolName
    shots: int = Field(ge=1)
    seed: int
    draws: int = Field(1, ge=1)
    split: Split
    """Of the queries."""
    support_split: Split
    stack: str
    """The rule by which slices are put together to volumes, and below the axis of voxel arrays (`data.loading.samples`)."""
    axis: int | None = None
    order: Literal["file", "canonical"] = "file"
    """Of the axes of volumes, by which slices are numbered: that of each file in files of the first release, else the canonical."""
    fold: int | None = None
    """Of a manifest with folds: the one that validates, by which the splits were told."""
    class_names: tuple[str, ...]
    labels: tuple[int, ...] = Field(min_length=1)
    """Indices of the classes that are tested."""
    words: str
    """What the protocol does, in one line for tables."""
    files: dict[str, str]
    """SHA-256 of every file that an episode uses, by its path in the data set."""
    episodes: tuple[Episode, ...] = Field(min_length=1)

    @property
    def classes(self) -> ClassTable:
        """The names of the tested classes after the background."""
        return ClassTable(names=(self.class_names[0], *(self.class_names[label] for label in self.labels)))

    @property
    def digest(self) -> str:
        """First eight hex digits of the content's SHA-256: names these episodes in tables."""
        return hashlib.sha256(self._text().encode()).hexdigest()[:8]

    def save(self, path: Path) -> None:
        """Write the file as JSON, whole or not at all.

        Args:
            path: The file.

        Raises:
            DelineateError: The file cannot be written.
        """
        write_json(path, json.loads(self._text()))

    def _text(self) -> str:
        """Without `order` and `fold` where they say nothing new, so that the digests of older files stay."""
        silent = {"order": self.order == "file", "fold": self.fold is None}
        return self.model_dump_json(exclude={name for name, is_silent in silent.items() if is_silent})

    @classmethod
    def load(cls, path: Path) -> EpisodeFile:
        """Read a file of episodes.

        Args:
            path: The file.

        Returns:
            The episodes.

        Raises:
            DataError: The file is absent or malformed, or refers to slices that it does not hold.
        """
        try:
            found = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(
                f"cannot read episodes {path}: {error.strerror}; make them with `fewshot episodes`"
            ) from error
        except ValidationError as error:
            raise DataError(f"{path} is no file of episodes: {first_fault(error)}; freeze them anew") from error
        for file in found.files:
            if fault := path_fault(file):
                raise DataError(f"{path} cannot be used: the file {file!r}: {fault}; freeze episodes anew")
        if not 1 <= min(found.labels) <= max(found.labels) < len(found.class_names):
            raise DataError(f"{path} is damaged: it names no class for one of its labels; freeze them anew")
        for number, episode in enumerate(found.episodes):
            positions = [at for chunk in episode.chunks for at in chunk.support]
            if max(positions) >= len(episode.support) or episode.label not in found.labels:
                raise DataError(f"{path} is damaged: episode {number} refers to what is not there; freeze them anew")
        return found

    def of_classes(self, names: Sequence[str]) -> EpisodeFile:
        """The episodes of some of the classes.

        Args:
            names: Classes by name or index.

        Returns:
            The file with the episodes of these classes only.

        Raises:
            DataError: A class is not in the file.
        """
        known = {self.class_names[label].lower(): label for label in self.labels}
        known |= {str(label): label for label in self.labels}
        unknown = next((name for name in names if name.strip().lower() not in known), None)
        if unknown is not None:
            there = ", ".join(f"{label} ({self.class_names[label]})" for label in self.labels)
            raise DataError(f"the episodes know no class '{unknown}'; they are of {there}")
        kept = tuple(sorted({known[name.strip().lower()] for name in names}))
        episodes = tuple(episode for episode in self.episodes if episode.label in kept)
        return self.model_copy(update={"labels": kept, "episodes": episodes})

    def open(self, data: Path | DataSource) -> SampleSet:
        """Open the dataset. Its files must have the recorded hashes, and no patient may be in both support and query.

        Args:
            data: Folder of the dataset, its manifest, or a source with options.

        Returns:
            All samples of the dataset.

        Raises:
            DataError: A file has changed or is missing, classes differ, or a patient is in support and query.
        """
        source = as_source(data)
        self._check_files(source)
        fold = self.fold if source.is_manifest else None
        opened = open_samples(source, stack=self.stack, axis=self.axis, fold=fold)
        self._check_classes(opened)
        self._check_order(opened)
        groups = {stack.volume: stack.group for stack in opened.stacks}
        lengths = {stack.volume: len(stack.slices) for stack in opened.stacks}
        for episode in self.episodes:
            slices = [(shown.volume, shown.slice) for shown in episode.support]
            slices += [(episode.query, index) for index in episode.scored]
            gone = next(
                (f"{volume}, slice {index}" for volume, index in slices if index >= lengths.get(volume, 0)), None
            )
            if gone is not None:
                raise DataError(f"{source.path} has no {gone}, which the episodes use; freeze them anew")
            if groups[episode.query] in {groups[shown.volume] for shown in episode.support}:
                raise DataError(
                    f"the episodes show '{groups[episode.query]}' and ask for it too (query {episode.query}); freeze them anew"
                )
        return opened

    def _check_order(self, opened: SampleSet) -> None:
        """Raise `DataError` where an older file's slice numbers, in the file's own order, mean other slices now."""
        if self.axis is None or self.order == "canonical":
            return
        used = {shown.volume for episode in self.episodes for shown in episode.support}
        used |= {episode.query for episode in self.episodes}
        for volume in sorted(used):
            case = opened.stack(volume).slices[0].case
            if not keeps_numbers(opened.manifest, case, self.axis):
                path = opened.manifest.path(case.images[0])
                raise DataError(
                    f"the episodes number the slices of {path} in the order of the file, but volumes are now seen in one order "
                    "(RAS, by their affines), which is another one here; freeze episodes anew"
                )

    def _check_classes(self, opened: SampleSet) -> None:
        """Raise `DataError` where the data's classes are not those that the episodes number."""
        frozen, found = self.class_names, opened.classes.names
        unnamed = any(
            all(first_version_name(name) == f"class {name.split()[-1]}" for name in names[1:])
            for names in (frozen, found)
        )
        if len(frozen) != len(found) or (len(found) > 2 and frozen != found and not unnamed):
            raise DataError(
                f"the episodes were frozen with the classes {', '.join(frozen)}, but {opened.manifest.root} has "
                f"{', '.join(found)}; give the --labels that they were frozen with"
            )

    def _check_files(self, source: DataSource) -> None:
        root = Path(Manifest.load(source.path).root) if source.is_manifest else source.folder
        found = {name: _digest(root / name) for name in self.files}
        missing = [name for name, digest in found.items() if digest is None]
        if missing:
            raise DataError(
                f"{root} lacks {count(len(missing), 'file')} of the episodes ({some(missing, 3)}), which were frozen on "
                f"'{self.data}'; give that data set"
            )
        changed = [name for name, digest in self.files.items() if found[name] != digest]
        if changed:
            raise DataError(
                f"{count(len(changed), 'file')} in {root} changed since the episodes were frozen ({some(changed, 3)}); restore "
                "them, or freeze episodes anew"
            )


def _digest(path: Path) -> str | None:
    """What a file, or a place in one, is known by; None where it is not there or cannot be read."""
    try:
        return digest_of(path)
    except DataError:
        return None

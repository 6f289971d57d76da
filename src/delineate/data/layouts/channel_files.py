"""Image files without masks → images with named channels, as data sets keep them: for `predict`, and for images in `unlabeled/`.

Numbers at the end of names (`a_0000`, `a_0001`), files of four axes, or names that end with the channel's (`a_t1`, `a_flair`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.words import channel_of
from delineate.data.formats.frames import frame_address
from delineate.data.formats.registry import file_frames, frame_names
from delineate.data.layouts.case_folders import gather
from delineate.data.layouts.description import Description
from delineate.data.layouts.frame_channels import addresses, unnamed
from delineate.data.layouts.roles import Item, assign
from delineate.data.layouts.tree import File

__all__ = ["ChannelFiles", "by_channels"]


@dataclass(frozen=True)
class ChannelFiles:
    """One image."""

    key: tuple[str, tuple[str, ...]]
    """Name and folders, as `core.naming.unique_names` takes them."""
    files: tuple[tuple[str, Path], ...]
    """Name and file, or address, of each channel."""
    counted: bool = False
    """Whether the names are just numbers."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.files)


def by_channels(files: Sequence[File], description: Description | None) -> list[ChannelFiles]:
    """The files as images. `description`: of the data set that they are from, which may name their channels.

    Raises `DataError` for a file of four axes whose volumes nothing names.
    """
    if files and all(channel_of(file.stem) for file in files):
        return _numbered(files, description)
    if any(frame_address(file.path)[1] is None and file_frames(file.path) > 1 for file in files):
        return [_framed(file, description) for file in files]
    return [_named(case.key, list(case.channels.items())) for case in gather(assign(files)) if all(case.channels)]


def _numbered(files: Sequence[File], description: Description | None) -> list[ChannelFiles]:
    groups: dict[tuple[tuple[str, ...], str], dict[int, Path]] = defaultdict(dict)
    for file in files:
        base, number = channel_of(file.stem) or ("", 0)
        groups[file.parts, base][number] = file.path
    names = dict(enumerate(description.channels)) if description is not None else {}
    return [
        ChannelFiles(
            (base, parts),
            tuple((names.get(number, f"{number:04d}"), path) for number, path in sorted(held.items())),
            counted=not names,
        )
        for (parts, base), held in groups.items()
    ]


def _framed(file: File, description: Description | None) -> ChannelFiles:
    number = file_frames(file.path)
    names = description.channels if description is not None else frame_names(file.path)
    if not names:
        raise DataError("; ".join(unnamed(file.path, number, description)))
    if len(names) != number:
        assert description is not None, "it has names"
        holds = "1 volume" if number == 1 else f"{number} volumes"
        raise DataError(f"{description.in_words}, but {file.path} holds {holds}; correct the one or the other")
    paths = [file.path] if number == 1 else [Path(one) for one in addresses(str(file.path), number)]
    return ChannelFiles((file.stem, file.parts), tuple(zip(names, paths, strict=True)))


def _named(key: tuple[str, tuple[str, ...]], channels: Sequence[tuple[str, Item]]) -> ChannelFiles:
    return ChannelFiles(key, tuple((name, item.path) for name, item in sorted(channels)))

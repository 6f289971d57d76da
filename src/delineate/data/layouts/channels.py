"""nnU-Net's way to keep channels: `heart_01_0000.png` and `heart_01_0001.png` are one image, whose mask is `heart_01.png`.

`dataset.json` beside the folders may name the channels; else they are called by their numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.words import channel_of
from delineate.data.layouts.description import describe
from delineate.data.layouts.roles import Item

__all__ = ["Channels", "find_channels"]


@dataclass
class Channels:
    """What the further files of images are."""

    names: tuple[str, ...] = ()
    """Of the channels; none where each image is one file."""
    further: dict[Path, list[Item]] = field(default_factory=dict)
    """The first file of an image → the others, in the order of the names."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def used(self) -> set[Path]:
        """The further files."""
        return {item.path for items in self.further.values() for item in items}


def find_channels(root: Path, images: Sequence[Item], bare: Sequence[Item]) -> Channels:
    """The channels of `images`, which are those with masks, among files without: where all of both are named as channels are.

    An image that lacks a channel is an error.
    """
    firsts = {(image.path.parent, found[0]): image.path for image in images if (found := _numbered(image, 0))}
    if not bare or len(firsts) != len(images):
        return Channels()
    groups: dict[Path, dict[int, Item]] = defaultdict(dict)
    for item in bare:
        found = channel_of(item.stem)
        first = firsts.get((item.path.parent, found[0])) if found else None
        if first is None or found is None:
            return Channels()
        groups[first][found[1]] = item
    numbers = sorted({number for files in groups.values() for number in files})
    lacking = [
        f"{base}_{number:04d}"
        for (_, base), first in firsts.items()
        for number in numbers
        if number not in groups[first]
    ]
    if lacking:
        text = f"the images in {root} are in several files, one for each channel, of which some are not there: {some(lacking, 3)}"
        return Channels(
            findings=[Finding("error", text, "add them, or move the image's other files and its mask away")]
        )
    further = {first: [groups[first][number] for number in numbers] for first in firsts.values()}
    names, findings = _names(root, [0, *numbers])
    return Channels(names, further, findings)


def _numbered(image: Item, number: int) -> tuple[str, int] | None:
    found = channel_of(image.stem)
    return found if found and found[1] == number else None


def _names(root: Path, numbers: Sequence[int]) -> tuple[tuple[str, ...], list[Finding]]:
    """As `dataset.json` has them by number, if it names them; an error where it names others than there are."""
    called = tuple(f"{number:04d}" for number in numbers)
    description = describe(root)
    if description is None or not description.channels:
        return called, []
    if list(range(len(description.channels))) != list(numbers):
        text = f"{description.in_words}, but each image has the files _{', _'.join(called)}"
        cure = f"name {count(len(numbers), 'channel')} in it, or move the files of others away"
        return called, [Finding("error", text, cure)]
    return description.channels, []

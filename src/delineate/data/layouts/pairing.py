"""Images and masks → which belong together, by name alone: as strictly as finds all of them, and never by guessing between two."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from delineate.data.core.manifest import Split as SplitName
from delineate.data.core.words import PARTS, channel_of, ending, folder_word, image_stem, mask_base, mask_stem
from delineate.data.formats.registry import reads_volume
from delineate.data.layouts.roles import Item

__all__ = ["Key", "Pairs", "Place", "Split", "case_name", "merged", "pair"]

_LAST_WORD = re.compile(r"[-_. ][^\W\d_]+$")
_MODALITIES = frozenset({"ct", "mr", "mri"})

Key = tuple[object, ...]
Place = Callable[[Item], Key]
"""The part of a key that the folders give."""
Split = Callable[[Item], SplitName | None]


@dataclass
class Pairs:
    """Images with their masks."""

    images: dict[Key, list[Item]] = field(default_factory=dict)
    masks: dict[Key, list[Item]] = field(default_factory=dict)

    @property
    def found(self) -> list[tuple[Item, list[Item]]]:
        """Each image with its masks; of an image that is there twice, the first."""
        return [(items[0], self.masks[key]) for key, items in self.images.items() if key in self.masks]

    @property
    def twice(self) -> list[list[Item]]:
        """Images that cannot be told apart."""
        return [items for items in self.images.values() if len(items) > 1]

    @property
    def bare(self) -> list[Item]:
        """Images without mask."""
        return [items[0] for key, items in self.images.items() if key not in self.masks]

    @property
    def alone(self) -> list[Item]:
        """Masks without image."""
        return [item for key, items in self.masks.items() if key not in self.images for item in items]


def pair(images: Sequence[Item], masks: Sequence[Item], split: Split) -> Pairs:
    """Match by folders and stem; the strictest way that finds the most pairs and confuses no two images."""
    best, score = Pairs(), (-1.0, 0)
    common = (_without_common_end(images), _without_common_end(masks))
    for place, (of_image, of_mask) in product(_places(split), (*_FORMS, common)):
        pairs = Pairs(
            _grouped(images, place, lambda item, form=of_image: form(item.stem)),  # type: ignore[misc]
            _grouped(masks, place, lambda item, form=of_mask: form(item.stem)),  # type: ignore[misc]
        )
        score, best = _better(score, best, pairs)
        if score[1] == len(images) and not pairs.alone:
            return best
    pairs = Pairs(_grouped(images, _folders, None), _grouped(masks, _folders, None))
    if not pairs.twice and all(item.kept for item in images):
        score, best = _better(score, best, pairs)
    return best


def _better(score: tuple[float, int], best: Pairs, pairs: Pairs) -> tuple[tuple[float, int], Pairs]:
    """Images that are confused count against a way of matching more than any number of pairs speaks for it."""
    matched = sum(key in pairs.masks for key in pairs.images)
    new = (-sum(len(items) - 1 for items in pairs.twice), matched)
    return (new, pairs) if best.images == {} or new > score else (score, best)


def _places(split: Split) -> tuple[Place, ...]:
    return (
        lambda item: (*item.kept, item.rest),
        lambda item: item.kept,
        lambda item: (item.last,),
        lambda item: (split(item),),
        lambda item: (),
    )


_FORMS: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (str, str),
    (str, mask_base),
    (image_stem, mask_base),
    (image_stem, mask_stem),
    (str.casefold, lambda stem: mask_base(stem).casefold()),
    (lambda stem: image_stem(stem).casefold(), lambda stem: mask_stem(stem).casefold()),
)
"""How the stems of an image and of its mask may be brought to one name."""


def _without_common_end(items: Sequence[Item]) -> Callable[[str], str]:
    """Stems without a word that all of them end with, whatever it says: `a_MA`, `b_MA`. Numbers are no words."""
    stems = [item.stem for item in items]
    last = _LAST_WORD.search(stems[0]) if len(stems) > 1 else None
    if last is None or not all(stem.endswith(last[0]) for stem in stems):
        return str
    return lambda stem: stem.removesuffix(last[0])


def _folders(item: Item) -> Key:
    return item.kept


def _grouped(items: Iterable[Item], place: Place, form: Callable[[Item], str] | None) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[place(item) if form is None else (*place(item), form(item))].append(item)
    return dict(groups)


def merged(masks: Sequence[Item]) -> str:
    """Why several masks of one image are one: '' where nothing says so, and they are rivals.

    Numbered (`a_mask.png`, `a_mask_1.png`), the left and the right part of a structure, or each an object in a folder of the
    image's own.
    """
    if len(masks) == 1:
        return "only one"
    ends = [ending(mask.stem) for mask in masks]
    apart = len({mask.stem for mask in masks}) == len(masks)
    if apart and len({mask.path.parent for mask in masks}) == 1:
        words = {(end.base, end.word.lower()) for end in ends if end}
        if all(ends) and len(words) == 1:
            return "numbered masks"
        bases = {end.base if end else mask.stem for end, mask in zip(ends, masks, strict=True)}
        # `liver_seg`, `spleen_seg` beside one volume; of pictures, names with endings are mostly those of images.
        alike = not any(ends) or reads_volume(masks[0].path)
        if alike and len(bases) == len(masks) and masks[0].kept:
            return "a mask for each object"
    sides = {tuple(set(_words(mask)) & PARTS) for mask in masks}
    if len(sides) == len(masks) and () not in sides:
        return "parts"
    return ""


def _words(mask: Item) -> list[str]:
    return [token for name in mask.file.parts[-2:] for token in folder_word(name).tokens]


def case_name(image: Item, mask: Item) -> str:
    """What a case is called: its image's stem, without a channel (`heart_01_0000`) that the mask's has not; '' where it says no
    more than that it is an image (`image.png`), or how it was taken (`ct.nii.gz`)."""
    channel = channel_of(image.stem)
    name = channel[0] if channel and channel[0] == mask.stem else image.stem
    return "" if image_stem(name) == "" or name.casefold() in _MODALITIES else name

"""What each file of a folder is, told by the words of its folders and of its own name, and what it shall be compared by.

The innermost folder with a telling name decides (`P1/masks/a.png`); where images and masks lie in one folder, the ends of their
names do (`a.png`, `a_mask.png`), or their suffixes (`a.jpg`, `a.png`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.data.core.manifest import Split
from delineate.data.core.words import (
    PARTS,
    Role,
    Word,
    ending,
    folder_word,
    image_stem,
    mask_stem,
    starts_as_mask,
    tokens_of,
)
from delineate.data.formats.registry import reads_volume
from delineate.data.layouts.tree import File

__all__ = ["CHOSEN", "Item", "as_role", "assign", "split_levels", "split_of"]

CHOSEN = "chosen"
"""The source of what the user has named."""
_LOSSY = frozenset({".jpg", ".jpeg", ".webp", ".avif", ".jp2"})
_ARRAY = ".npy"
_SEQUENCE = re.compile(r"[-_ .](?:4d|sequence|cine)$", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """A file with its role."""

    file: File
    role: Role
    source: str = ""
    """Which of several kinds of masks (or images) it is of: `1st manual`, `*_mask`; files of one kind share it."""
    folder: str = ""
    """The folder that tells the role, as it is called; '' where an ending does."""
    kept: tuple[str, ...] = ()
    """The folders that tell no role: a patient, a class, a split."""
    rest: str = ""
    """What the telling folder's name says beside the role."""

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def stem(self) -> str:
        return self.file.stem

    @property
    def last(self) -> str:
        """The innermost folder that tells no role."""
        return self.kept[-1] if self.kept else ""


def assign(files: Sequence[File]) -> list[Item]:
    """The files with their roles. What nothing tells has `Role.NONE`."""
    inside = Counter(file.parts[:depth] for file in files for depth in range(len(file.parts) + 1))
    masked = {
        file.parts[:depth]
        for file in files
        for depth, name in enumerate(file.parts)
        if folder_word(name).role is Role.MASK
    }
    by_folder: dict[tuple[str, ...], list[File]] = defaultdict(list)
    for file in files:
        by_folder[file.parts].append(file)
    items: list[Item] = []
    twos = _twos(by_folder)
    for parts, members in by_folder.items():
        items += twos.get(parts) or _of_folder(parts, members, inside, masked)
    return items


def as_role(file: File, role: Role, folder: str = "") -> Item:
    """A file that the user has named, in that role; `folder`: the folder by which it was named."""
    at = next((at for at, name in enumerate(file.parts) if name == folder), None)
    kept = tuple(name for index, name in enumerate(file.parts) if index != at and not _tells(name))
    word = folder_word(folder)
    return Item(file, role, CHOSEN, folder, kept, " ".join(word.rest) if word.role is role else "")


def _twos(by_folder: Mapping[tuple[str, ...], Sequence[File]]) -> dict[tuple[str, ...], list[Item]]:
    """Folders of one picture and one mask that is called nothing else, where there are several: `P1/P1.png`, `P1/mask.png`.

    Volumes are gathered by `case_folders`.
    """
    found: dict[tuple[str, ...], list[Item]] = {}
    for parts, members in by_folder.items():
        masks = [file for file in members if (end := ending(file.stem)) and end.role is Role.MASK and not end.base]
        images = [file for file in members if ending(file.stem) is None and image_stem(file.stem)]
        telling = any(folder_word(name).role is not Role.NONE for name in parts)
        if (
            parts
            and not telling
            and len(members) == 2
            and len(masks) == len(images) == 1
            and not reads_volume(masks[0].path)
        ):
            mask = Item(masks[0], Role.MASK, f"*{masks[0].stem}", "", parts)
            found[parts] = [Item(images[0], Role.IMAGE, "beside", "", parts), mask]
    return found if len(found) > 1 else {}


def _tells(name: str) -> bool:
    word = folder_word(name)
    return word.role is not Role.NONE and word.plain


def _of_folder(
    parts: tuple[str, ...],
    members: Sequence[File],
    inside: Mapping[tuple[str, ...], int],
    masked: set[tuple[str, ...]],
) -> list[Item]:
    """The files of one folder."""
    at = _giver(parts, inside, masked)
    word = Word() if at is None else folder_word(parts[at])
    kept = tuple(name for index, name in enumerate(parts) if index != at and not _is_role(parts, index, inside))
    by_ending = {} if word.role not in (Role.NONE, Role.IMAGE, Role.MASK) else _by_ending(members, word.role)
    if word.role is Role.MASK and not word.plain:
        # `BUSI_with_GT/` may hold masks alone, or images with their masks beside them.
        beside = _by_ending(members, Role.NONE)
        by_ending = beside if any(role is Role.IMAGE for role, _ in beside.values()) else by_ending
    items = []
    for file in members:
        role, source = by_ending.get(file, (word.role, ""))
        if source:
            items.append(Item(file, role, source, "", kept))
        elif at is None:
            items.append(Item(file, role, "", "", kept))
        else:
            items.append(Item(file, role, _source(parts, at, word), parts[at], kept, " ".join(word.rest)))
    return items


def _is_role(parts: tuple[str, ...], at: int, inside: Mapping[tuple[str, ...], int]) -> bool:
    """Whether a folder's name tells a role: without images beside it, it is just what the data set is called."""
    return _tells(parts[at]) and inside[parts[:at]] > inside[parts[: at + 1]]


def _giver(parts: tuple[str, ...], inside: Mapping[tuple[str, ...], int], masked: set[tuple[str, ...]]) -> int | None:
    """Which of the folders tells the role."""
    there = [
        at
        for at, name in enumerate(parts)
        if folder_word(name).role is not Role.NONE and inside[parts[:at]] > inside[parts[: at + 1]]
    ]
    if not there:
        return None
    inner = there[-1]
    role = folder_word(parts[inner]).role
    for at in there[:-1]:
        outer = folder_word(parts[at])
        if role is Role.MASK and outer.role in (Role.RATER, Role.INSTANCES, Role.OTHER) and outer.plain:
            return at  # 2nd_observer/masks
        inner_masks = any(parts[:depth] in masked for depth in range(at + 1, len(parts)))
        if role is Role.IMAGE and outer.role not in (Role.IMAGE, Role.NONE) and outer.plain and not inner_masks:
            return at  # labels/images
    return inner


def _source(parts: tuple[str, ...], at: int, word: Word) -> str:
    """What masks of this kind are called, whichever patient or split they are of."""
    around = set(tokens_of(parts[at - 1])) if at else set()
    tokens = [token for token in word.tokens if token in word.rest]
    own = [token for token in tokens if token not in around | PARTS and folder_word(token).split is None]
    telling = [token for token in word.tokens if token not in word.rest]
    return " ".join([*own, *telling])


def _by_ending(members: Sequence[File], role: Role) -> dict[File, tuple[Role, str]]:
    """Roles by the ends of names, of those files whose partner lies beside them; in a folder of masks, of the other observers'."""
    stems = {file.stem for file in members}
    plain = {image_stem(stem) for stem in stems if ending(stem) is None}
    based = {end.base for end in map(ending, stems) if end and end.role is Role.MASK}
    found: dict[File, tuple[Role, str]] = {}
    for file in members:
        end = ending(file.stem)
        if end is None:
            continue
        source = f"*{end.word}"
        if role is Role.MASK:
            if end.role is not Role.MASK and end.base in stems | based:
                found[file] = (end.role, source)
        elif end.base in stems or image_stem(end.base) in plain:
            found[file] = (end.role, source)
    if role is not Role.MASK and not found:
        found = _by_start(members)
    if role is Role.MASK:
        return found
    if role is Role.NONE and not any(one is Role.MASK for one, _ in found.values()):
        found |= _by_suffix([file for file in members if file not in found])
    others = [file for file in members if file not in found]
    # The whole sequence beside frames of it that have masks: `patient001_4d` (ACDC), `_sequence` (CAMUS), `_CINE` (M&Ms-2).
    images = {
        file: (Role.OTHER, "*_4d") if _SEQUENCE.search(file.stem) and file.stem not in based else (Role.IMAGE, "beside")
        for file in others
    }
    return found | images if any(one is Role.MASK for one, _ in found.values()) else found


def _by_start(members: Sequence[File]) -> dict[File, tuple[Role, str]]:
    """Roles by the starts of names: `img_07.png` with `mask_07.png`."""
    masks = [file for file in members if ending(file.stem) is None and starts_as_mask(file.stem)]
    images = {image_stem(file.stem) for file in members} - {file.stem for file in masks}
    return {file: (Role.MASK, "mask_*") for file in masks if mask_stem(file.stem) in images}


def _by_suffix(members: Sequence[File]) -> dict[File, tuple[Role, str]]:
    """`a.jpg` and `a.png` in one folder, the same for most: what has lost detail is the image, and an array the mask."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in members:
        by_stem[file.stem].append(file.path.suffix.lower())
    kinds = Counter(tuple(sorted(suffixes)) for suffixes in by_stem.values())
    pair, number = kinds.most_common(1)[0] if kinds else ((), 0)
    arrays = _ARRAY in pair
    images = [suffix for suffix in pair if (suffix != _ARRAY if arrays else suffix in _LOSSY)]
    masks = [suffix for suffix in pair if suffix not in images]
    # One that lacks its partner is told of later; another kind of pair is another kind of folder.
    clear = all(len(kind) == 1 or kind == pair for kind in kinds) and 2 * number > len(by_stem)
    if len(pair) != 2 or len(images) != 1 or len(by_stem) < 2 or not clear:
        return {}
    return {file: (Role.MASK, f"*{masks[0]}") for file in members if file.path.suffix.lower() == masks[0]}


def split_of(file: File, level: Mapping[tuple[str, ...], bool]) -> Split | None:
    """The split that the innermost telling folder names. `level`: folder → whether all beside it name a split, too."""
    for depth in range(len(file.parts), 0, -1):
        word = folder_word(file.parts[depth - 1])
        if word.split and (word.plain_split or level.get(file.parts[:depth], False)):
            return word.split
    return None


def split_levels(files: Sequence[File]) -> dict[tuple[str, ...], bool]:
    """Folder → whether it and all folders beside it that hold files name a split: `…_Training_Data`, `…_Test_Data`."""
    below: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for file in files:
        for depth, name in enumerate(file.parts):
            below[file.parts[:depth]].add(name)
    return {
        (*parent, name): all(folder_word(other).split for other in names)
        for parent, names in below.items()
        for name in names
    }

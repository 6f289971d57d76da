"""Which of several folders hold the images, and which the masks: the plainest name, or one line that names both and the flag."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.words import FORMATS, Role, folder_word, image_stem
from delineate.data.layouts.pairing import Pairs, Split, pair
from delineate.data.layouts.roles import CHOSEN, Item

__all__ = ["Chosen", "Kinds", "choose", "folder_of", "quoted", "what_they_are"]

_PLAIN_IMAGES = ("images", "image", "imgs", "img")
_PLAIN_MASKS = ("masks", "labels")
"""These win over all other words; where both are there, neither does."""
_MOST = 6
"""More kinds of masks than these are folders that are named after patients, not kinds."""

Kinds = dict[str, list[Item]]


@dataclass
class Chosen:
    """The images and masks that were taken, and what pairs with the images beside them."""

    images: list[Item] = field(default_factory=list)
    masks: list[Item] = field(default_factory=list)
    raters: Kinds = field(default_factory=dict)
    pairs: list[Pairs] = field(default_factory=list)
    """One for each kind of masks; kinds that complement each other are all taken."""
    rivals: list[Item] = field(default_factory=list)
    """Masks that were not taken although they pair with the images, by the order of their names."""


def choose(items: Sequence[Item], split: Split, root: Path) -> Chosen | None:
    """Decide what the images and the masks are; None where there are no masks at all.

    Raises `DataError` where two folders are equally good.
    """
    images = [item for item in items if item.role is Role.IMAGE] or [item for item in items if item.role is Role.NONE]
    kinds, raters = _kinds(items, Role.MASK), _kinds(items, Role.RATER)
    if not kinds:
        kinds, raters = raters or _kinds(items, Role.INSTANCES), {}
    if not images or not kinds:
        return None
    _refuse_two_formats(images, root)
    own = _of_one_name(images, kinds, split)
    images = [item for members in own.values() for item in members] if own else _chosen_images(images, root)
    found = {name: pair(own.get(name, images), masks, split) for name, masks in kinds.items()}
    taken = _chosen_kinds(found, root)
    pairs = [found[name] for name in taken]
    masks = [item for name in taken for item in kinds[name]]
    images, pairs = _without_strangers(images, pairs)
    rivals = [item for name, each in found.items() if name not in taken and each.found for item in kinds[name]]
    return Chosen(images, masks, raters, pairs, rivals)


def folder_of(item: Item) -> str:
    """How a user would name the files of that kind: their folder, or a pattern of their names."""
    if item.folder:
        return item.folder
    return f"{item.source}*" if item.source.startswith("*_") else item.source


def _kinds(items: Sequence[Item], role: Role) -> Kinds:
    kinds: Kinds = defaultdict(list)
    for item in items:
        if item.role is role:
            kinds[item.source].append(item)
    if len(kinds) > _MOST:
        return {role.value: [item for members in kinds.values() for item in members]}
    return dict(kinds)


def _of_one_name(images: Sequence[Item], kinds: Kinds, split: Split) -> Kinds:
    """Kind of masks → the images in the folder that is called as theirs (`north_images`, `north_masks`), where there are several
    such folders: picture 7 of one is not that of the other. Empty where folders do not tell.

    Masks that the user has named decide by themselves. Else every folder of images must have its masks, but for parts to test on.
    """
    by_name: Kinds = defaultdict(list)
    for item in images:
        by_name[item.rest].append(item)
    named = {kind: {mask.rest for mask in masks} for kind, masks in kinds.items()}
    if len(by_name) < 2 or not all(
        len(rests) == 1 and "" not in rests and rests <= by_name.keys() for rests in named.values()
    ):
        return {}
    own = {kind: by_name[next(iter(rests))] for kind, rests in named.items()}
    masked = {rest for rests in named.values() for rest in rests}
    others = [item for rest, members in by_name.items() if rest not in masked for item in members]
    return own if CHOSEN in own or all(split(item) == "test" for item in others) else {}


def _chosen_images(images: Sequence[Item], root: Path) -> list[Item]:
    """Of folders that hold the same images, the one with the plainest name; those that hold others, all."""
    kinds: Kinds = defaultdict(list)
    for item in images:
        kinds[item.source].append(item)
    keys = {name: {(item.kept, image_stem(item.stem)) for item in members} for name, members in kinds.items()}
    taken = _winners(keys, _PLAIN_IMAGES, kinds, "--images", "images", root)
    return [item for name in kinds if name in taken for item in kinds[name]]


def _chosen_kinds(found: Mapping[str, Pairs], root: Path) -> list[str]:
    """The kinds of masks to take."""
    keys = {name: {image.path for image, _ in pairs.found} for name, pairs in found.items()}
    if not any(keys.values()):
        return sorted(found, key=lambda name: _rank(name, _PLAIN_MASKS))[:1]
    members = {name: [mask for _, masks in pairs.found for mask in masks] for name, pairs in found.items()}
    return _winners({name: own for name, own in keys.items() if own}, _PLAIN_MASKS, members, "--masks", "masks", root)


def _winners(
    keys: Mapping[str, set[object]] | Mapping[str, set[Path]] | Mapping[str, set[tuple[tuple[str, ...], str]]],
    plain: Sequence[str],
    members: Mapping[str, Sequence[Item]],
    flag: str,
    what: str,
    root: Path,
) -> list[str]:
    """The kinds with no better one that has the same keys. Raises `DataError` for two that are equally good."""
    taken = []
    for name, own in keys.items():
        rank = _rank(name, plain)
        others = [other for other in keys if other != name and own & set(keys[other])]
        equal = [other for other in others if _rank(other, plain) == rank]
        better = any(_rank(other, plain) < rank for other in others)
        if equal and not better:
            raise _undecided([members[each][0] for each in (name, *equal)], flag, what, root)
        if not better:
            taken.append(name)
    return taken


def _rank(name: str, plain: Sequence[str]) -> int:
    """0 for the plainest names, 2 for the ends of names; what the user has chosen before all."""
    if name == CHOSEN:
        return -1
    return 0 if name in plain else 2 if "*" in name else 1


def _undecided(rivals: Sequence[Item], flag: str, what: str, root: Path) -> DataError:
    names = sorted({folder_of(item) for item in rivals}, key=lambda name: ("manual" not in name, name))
    if len(names) == 1:
        names = sorted({item.path.parent.relative_to(root).as_posix() for item in rivals})
    both = "both" if len(names) == 2 else "all"
    text = f"{' and '.join(sorted(names))} {both} hold {what} of the same names in {root}; "
    words = [folder_word(name) for name in names]
    if flag == "--masks" and all(word.role is Role.MASK and word.rest for word in words):
        classes = ",".join(f"{'_'.join(word.rest)}={name}" for word, name in zip(words, names, strict=True))
        text += f"if they are classes, {flag} {quoted(classes)}; else "
    return DataError(f"{text}say which are meant, such as {flag} {quoted(names[0])}")


def quoted(name: str) -> str:
    """A name as a shell takes it."""
    return f"'{name}'" if any(sign in name for sign in " *?[()&;#") else name


def what_they_are(masks: Mapping[str, str]) -> str:
    """How a user says what several masks of one image are. `masks`: class → the folder or file name of its masks."""
    every = ",".join(masks.values())
    others = f"--masks {quoted(every)} merges them into one, and --masks {quoted(next(iter(masks.values())))} takes one of them"
    named = ",".join(f"{name}={mask}" for name, mask in masks.items())
    return f"say what they are: --masks {quoted(named)} makes them classes, {others}"


def _refuse_two_formats(images: Sequence[Item], root: Path) -> None:
    """`PNG/` and `TIF/` with the same pictures: one set, twice."""
    for depth in range(max(len(item.kept) for item in images)):
        held: dict[str, set[tuple[tuple[str, ...], str]]] = defaultdict(set)
        folders: dict[str, Path] = {}
        for item in images:
            name = item.kept[depth] if depth < len(item.kept) else ""
            held[name].add((item.kept[:depth] + item.kept[depth + 1 :], item.stem))
            folders[name] = root.joinpath(*item.file.parts[: item.file.parts.index(name) + 1]) if name else root
        alike = [name for name in held if name.lower() in FORMATS]
        if len(alike) > 1 and held[alike[0]] & held[alike[1]]:
            names = [str(folders[name]) for name in sorted(alike)]
            raise DataError(f"{' and '.join(names)} hold the same images in two formats; give one of these folders")


def _without_strangers(images: list[Item], pairs: list[Pairs]) -> tuple[list[Item], list[Pairs]]:
    """Without those folders that no plain word calls images and in which no picture has a mask: they are something else."""
    known = {image.path.parent for each in pairs for image, _ in each.found}
    if not known:
        plain = [item for item in images if _rank(item.source, _PLAIN_IMAGES) < 1]
        return plain or images, pairs

    def wanted(item: Item) -> bool:
        return item.path.parent in known or item.source in (*_PLAIN_IMAGES, CHOSEN, "beside")

    for each in pairs:
        kept = {key: [item for item in items if wanted(item)] for key, items in each.images.items()}
        each.images = {key: items for key, items in kept.items() if items}
    return [item for item in images if wanted(item)], pairs

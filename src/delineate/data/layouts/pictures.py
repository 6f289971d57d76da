"""Files with their roles → cases: the images with their masks and further raters, their splits, and what stays alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case
from delineate.data.core.manifest import Split as SplitName
from delineate.data.core.naming import unique_names
from delineate.data.core.words import ending, mask_base, split_in_stem, tokens_of
from delineate.data.formats.registry import file_stem, reads_volume
from delineate.data.layouts.channels import Channels, find_channels
from delineate.data.layouts.choice import Kinds, choose, folder_of, what_they_are
from delineate.data.layouts.faults import faults, without_masks
from delineate.data.layouts.pairing import Split, case_name, merged, pair
from delineate.data.layouts.roles import CHOSEN, Item, split_levels, split_of

__all__ = ["Pictures", "find_pictures"]


@dataclass
class Pictures:
    """What was made of a folder's files."""

    cases: list[Case]
    findings: list[Finding]
    split_origin: str
    images: list[Item] = field(default_factory=list)
    masks: list[Item] = field(default_factory=list)
    rivals: list[Item] = field(default_factory=list)
    """Other masks of the same images."""
    used: set[Path] = field(default_factory=set)
    """All files of the cases."""
    stems: dict[str, str] = field(default_factory=dict)
    """Case id → stem of its image."""
    channels: tuple[str, ...] = ()
    """Names of the channels, where each is a file of its own."""
    classes: dict[Path, str] = field(default_factory=dict)
    """Mask → its class, where volumes have a mask for each class in a folder of the case, called by it; in the order of names."""

    def split_by_name(self, cases: list[Case]) -> tuple[list[Case], str]:
        """The splits that all names begin with (`train_1`, `testA_7`), where they name more than one."""
        splits = {case.id: split_in_stem(self.stems[case.id]) for case in cases}
        named = set(splits.values())
        if None in named or "train" not in named or len(named) < 2:
            return cases, ""
        return [case.model_copy(update={"split": splits[case.id]}) for case in cases], "names"


def find_pictures(items: Sequence[Item], root: Path) -> Pictures | None:
    """The cases that the files make; None where there are no masks. Raises `DataError` where two folders are equally good."""
    levels = split_levels([item.file for item in items])
    split: Split = partial(_split, levels)
    chosen = choose(items, split, root)
    if chosen is None:
        return None
    pairs = [pair for each in chosen.pairs for pair in each.found]
    labeled = {split(image) for image, _ in pairs}
    bare = [item for item in without_masks(chosen) if split(item) is None or split(item) in labeled]
    channels = find_channels(root, [image for image, _ in pairs], bare)
    raters, findings = _raters(chosen.raters, chosen.images, split)
    classes = _classes(pairs)
    pairs, skipped = _sorted_out(pairs, told=bool(classes))
    findings += faults(root, chosen, split, channels) + skipped
    cases, stems = _cases(root, pairs, raters, channels, split)
    present = {case.split for case in cases} - {None}
    if present == {"train"} and all("tr" in tokens_of(mask.folder) for mask in chosen.masks):
        # imagesTr holds all cases with labels; that is no split.
        cases, present = [case.model_copy(update={"split": None}) for case in cases], set()
    if present:
        cases, more = _rest(cases, "train" in present)
        findings += more
    used = {root / file for case in cases for file in (*case.images, *case.masks, *(f for r in case.raters for f in r))}
    origin = "folders" if present else ""
    return Pictures(
        cases, findings, origin, chosen.images, chosen.masks, chosen.rivals, used, stems, channels.names, classes
    )


def _split(levels: dict[tuple[str, ...], bool], item: Item) -> SplitName | None:
    return split_of(item.file, levels)


def _classes(pairs: Sequence[tuple[Item, list[Item]]]) -> dict[Path, str]:
    """Mask → its class, where volumes have several masks in a folder of each case that are called alike: TotalSegmentator's
    `segmentations/liver.nii.gz`. Of pictures the owner says it (`_sorted_out`): there, such masks are often of objects."""
    names = _called_alike(pairs)
    masks = [mask for _, members in pairs for mask in members if mask.path.name in names and reads_volume(mask.path)]
    ended = all(ending(mask.stem) for mask in masks)
    named = {mask.path: mask_base(mask.stem) if ended else mask.stem for mask in masks}
    return dict(sorted(named.items(), key=lambda one: (one[1].casefold(), one[0])))


def _sorted_out(
    pairs: list[tuple[Item, list[Item]]], told: bool
) -> tuple[list[tuple[Item, list[Item]]], list[Finding]]:
    """Pairs without those whose masks are rivals (`faults` names them), and a note of the masks that are merged. `told`: whether it
    is known that several masks are classes."""
    reasons: dict[str, list[Item]] = defaultdict(list)
    for image, masks in pairs:
        if len(masks) > 1:
            reasons[CHOSEN if all(mask.source == CHOSEN for mask in masks) else merged(masks)].append(image)
    findings = []
    if not told and (classes := _called_alike(pairs)):
        text = f"masks of the same names lie in a folder of each case: {some(classes)}"
        mend = what_they_are({file_stem(Path(name)): name for name in classes})
        findings.append(Finding("error", text, mend))
        told = True
    for why, images in reasons.items():
        if why and not told:
            words = {CHOSEN: "all of them were named", "parts": "the left and the right part"}.get(why, why)
            names = some(_told_apart(images), 3)
            text = (
                f"{count(len(images), 'image has', 'images have')} several masks, which are merged ({words}): {names}"
            )
            findings.append(Finding("note", text))
    return [(image, masks) for image, masks in pairs if len(masks) == 1 or _together(masks)], findings


def _told_apart(images: Sequence[Item]) -> list[str]:
    """The images' stems; with their folders where stems alone do not tell them apart: `s0001/ct`."""
    stems = [image.stem for image in images]
    return stems if len(set(stems)) == len(stems) else ["/".join((*image.kept, image.stem)) for image in images]


def _called_alike(pairs: Sequence[tuple[Item, list[Item]]]) -> list[str]:
    """The names of masks, where each case has several in a folder of its own and they are called alike: they may be classes.

    Objects are called by numbers, or by names that occur once; a name is in two cases or more on average where names are classes.
    """
    open_ones = [masks for _, masks in pairs if not all(mask.source == CHOSEN for mask in masks)]
    several = [masks for masks in open_ones if merged(masks) == "a mask for each object"]
    held = Counter(mask.path.name for masks in several for mask in masks)
    if len(several) < 2 or 2 * len(held) > held.total() or not _are_words(held):
        return []
    return sorted(held)


def _are_words(names: Iterable[str]) -> bool:
    """Whether names differ in more than a number: `liver`, `rib_left_1`, but not `1`, `2` or `cell_1`, `cell_2`."""
    words = {"".join(letter for letter in name.split(".")[0].casefold() if letter.isalpha()) for name in names}
    return len(words) > 1 and "" not in words


def _together(masks: Sequence[Item]) -> bool:
    return all(mask.source == CHOSEN for mask in masks) or bool(merged(masks))


def _raters(kinds: Kinds, images: Sequence[Item], split: Split) -> tuple[dict[Path, list[list[Item]]], list[Finding]]:
    """Image → the masks of each second observer."""
    found: dict[Path, list[list[Item]]] = defaultdict(list)
    findings = []
    for members in kinds.values():
        pairs = pair(images, members, split).found
        for image, masks in pairs:
            found[image.path].append(masks)
        if pairs:
            name = folder_of(members[0])
            text = f"{name}: a second observer's masks of {count(len(pairs), 'image')}, kept as a further rater's"
            findings.append(Finding("note", text))
    return found, findings


def _cases(
    root: Path,
    pairs: Sequence[tuple[Item, list[Item]]],
    raters: dict[Path, list[list[Item]]],
    channels: Channels,
    split: Split,
) -> tuple[list[Case], dict[str, str]]:
    pairs = sorted(pairs, key=lambda each: (each[0].stem, each[0].kept))
    names = unique_names([(case_name(image, masks[0]), _places(image)) for image, masks in pairs])
    cases = [
        Case(
            id=name,
            images=tuple(_relative(root, one) for one in (image, *channels.further.get(image.path, ()))),
            masks=tuple(_relative(root, mask) for mask in masks),
            raters=tuple(tuple(_relative(root, mask) for mask in one) for one in raters.get(image.path, ())),
            split=split(image),
        )
        for name, (image, masks) in zip(names, pairs, strict=True)
    ]
    return cases, {name: image.stem for name, (image, _) in zip(names, pairs, strict=True)}


def _places(image: Item) -> tuple[str, ...]:
    """The folders that tell cases of one name apart; of `train_images`, the first word."""
    return (*image.kept, image.rest.replace(" ", "_")) if image.rest else image.kept


def _rest(cases: list[Case], training: bool) -> tuple[list[Case], list[Finding]]:
    """Cases in folders that name no split: for training, unless other folders are."""
    bare = [case for case in cases if case.split is None]
    if not bare:
        return cases, []
    if not training:
        return [case if case.split else case.model_copy(update={"split": "train"}) for case in cases], []
    folders = some(sorted({str(Path(case.images[0]).parent) for case in bare}), 3)
    text = f"{count(len(bare), 'case is', 'cases are')} in folders that name no split and not used: {folders}"
    return cases, [Finding("note", text)]


def _relative(root: Path, item: Item) -> str:
    return item.path.relative_to(root).as_posix()

"""What does not fit together in a folder of images and masks, in lines for its owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Split as SplitName
from delineate.data.layouts.channels import Channels
from delineate.data.layouts.choice import Chosen, what_they_are
from delineate.data.layouts.pairing import Split, merged
from delineate.data.layouts.roles import CHOSEN, Item

__all__ = ["faults", "without_masks"]

_ADD = (
    "add their masks (all 0 where there is nothing to mark), or move the images away: into a folder `unlabeled` to train on them "
    "without masks"
)


def without_masks(chosen: Chosen) -> list[Item]:
    """The images that have no mask, and are not confused with others."""
    paired = {image.path for kind in chosen.pairs for image, _ in kind.found}
    doubled = {item.path for kind in chosen.pairs for items in kind.twice for item in items}
    return [image for image in chosen.images if image.path not in paired | doubled]


def faults(root: Path, chosen: Chosen, split: Split, channels: Channels) -> list[Finding]:
    """Names that occur twice, images without mask and masks without image; a split that has no masks at all is only noted."""
    pairs = [each for kind in chosen.pairs for each in kind.found]
    if not pairs:
        return [_no_pairs(root, chosen)]
    findings = _twice(root, chosen)
    bare = [image for image in without_masks(chosen) if image.path not in channels.used]
    alone = [mask for kind in chosen.pairs for mask in kind.alone]
    whole = {split(image) for image, _ in pairs}
    findings += _elsewhere(root, bare, whole, split, "images", "without masks")
    findings += _elsewhere(root, alone, whole, split, "masks", "without images")
    bare = [item for item in bare if split(item) is None or split(item) in whole]
    alone = [item for item in alone if split(item) is None or split(item) in whole]
    findings += channels.findings
    if channels.findings and not channels.names:
        return findings  # the images without masks are those that lack a channel
    if bare:
        number = count(len(chosen.images), "image")
        text = f"{len(bare)} of {number} in {root} without mask: {some(_names(bare))}"
        findings.append(Finding("error", text, _ADD))
    if alone:
        number = count(len(chosen.masks), "mask")
        text = f"{len(alone)} of {number} in {root} without image: {some(_names(alone))}"
        findings.append(Finding("error", text, "add their images or move the masks away"))
    return findings


def _no_pairs(root: Path, chosen: Chosen) -> Finding:
    images, masks = (_names(items) for items in (chosen.images, chosen.masks))
    text = f"no image and mask in {root} share a name: images are called {some(images, 3)}; masks {some(masks, 3)}"
    mend = "give each mask the name of its image, or say which belong together: --images and --masks, or a CSV file"
    return Finding("error", text, mend)


def _twice(root: Path, chosen: Chosen) -> list[Finding]:
    """Images that cannot be told apart, and masks of one image that nothing says are to be merged."""
    twice = [items for kind in chosen.pairs for items in kind.twice]
    twice = list({tuple(item.path for item in items): items for items in twice}.values())
    rivals = []
    for kind in chosen.pairs:
        for image, masks in kind.found:
            if len(masks) > 1 and not all(mask.source == CHOSEN for mask in masks) and not merged(masks):
                rivals.append((image, masks))
    apart = [(image, masks) for image, masks in rivals if len({mask.path.parent for mask in masks}) == len(masks)]
    findings = []
    if apart:
        folders = sorted({mask.path.parent.relative_to(root).as_posix() for _, masks in apart for mask in masks})
        text = (
            f"{some(folders)} hold masks of the same images ({some(_names(image for image, _ in apart), 3)}) in {root}"
        )
        mend = what_they_are({Path(folder).name: folder for folder in folders})
        findings.append(Finding("error", text, mend))
    twice += [masks for each in rivals if each not in apart for masks in [each[1]]]
    if twice:
        names = some([" and ".join(item.path.relative_to(root).as_posix() for item in items) for items in twice], 3)
        text = f"{count(len(twice), 'name occurs', 'names occur')} twice in {root}: {names}"
        findings.append(Finding("error", text, "keep one file of each"))
    return findings


def _elsewhere(
    root: Path, items: Sequence[Item], whole: set[SplitName | None], split: Split, what: str, lack: str
) -> list[Finding]:
    """A note about files of a split that has no pairs at all: a test set is often published without its masks."""
    out = [item for item in items if split(item) is not None and split(item) not in whole]
    if not out:
        return []
    folders = sorted({item.path.parent.relative_to(root).as_posix() for item in out})
    return [Finding("note", f"{some(folders, 3)}: {len(out)} {what} {lack}, not used")]


def _names(items: Iterable[Item]) -> list[str]:
    return sorted("/".join((*item.kept, item.stem)) for item in items)

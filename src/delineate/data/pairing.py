"""Image files and mask files → cases, by name alone; what does not fit together becomes findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from delineate.data.case import Case, Split
from delineate.data.findings import Finding, count, some
from delineate.data.images import IMAGE_SUFFIXES, volume_suffix

MASK_ENDINGS = ("", "_segmentation", "_mask", "_seg", "_label", "_gt")
"""What a mask's stem may have after the image's stem, where all masks lie in a folder of their own."""


def image_files(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted by name; hidden files are left out."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and _visible(path))


def volume_files(folder: Path) -> list[Path]:
    """The files directly in a folder whose name is that of a volume format."""
    return sorted(path for path in folder.iterdir() if volume_suffix(path) and _visible(path))


def masks_by_stem(masks: Iterable[Path], images: Iterable[Path]) -> dict[str, list[Path]]:
    """Image stem → mask files, for masks in a folder of their own: same stem, or the stem and one of `MASK_ENDINGS`."""
    stems = {path.stem for path in images}
    masks = list(masks)
    for ending in MASK_ENDINGS:
        named: dict[str, list[Path]] = defaultdict(list)
        for path in masks:
            named[path.stem.removesuffix(ending)].append(path)
        if stems & named.keys():
            return named
    return {path.stem: [path] for path in masks}


def pair(
    root: Path,
    images: Sequence[Path],
    masks: Mapping[str, Sequence[Path]],
    *,
    split: Split | None = None,
    several: bool = False,
    where: str = "",
) -> tuple[list[Case], list[Finding]]:
    """Cases of the images that have a mask, in the order of their stems, and errors for whatever stays alone.

    `several` allows more than one mask per image. `where` is put into messages (a folder's name).
    """
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in images:
        by_stem[path.stem].append(path)
    findings = _faults(root, by_stem, masks, several, where)
    cases = [
        Case(
            id=stem,
            images=(_relative(root, by_stem[stem][0]),),
            masks=tuple(_relative(root, path) for path in masks[stem]),
            split=split,
        )
        for stem in sorted(by_stem)
        if stem in masks
    ]
    return cases, findings


def _faults(
    root: Path, images: Mapping[str, Sequence[Path]], masks: Mapping[str, Sequence[Path]], several: bool, where: str
) -> list[Finding]:
    place = f" in {where}" if where else f" in {root}"
    if images and masks and not images.keys() & masks.keys():
        text = f"no image and mask{place} share a name: images are called {some(sorted(images), 3)}; masks {some(sorted(masks), 3)}"
        return [Finding("error", text, "give each mask the name of its image")]
    findings = []
    twice = [files for files in images.values() if len(files) > 1]
    if not several:
        twice += [files for files in masks.values() if len(files) > 1]
    if twice:
        names = some([" and ".join(_relative(root, path) for path in files) for files in twice], 3)
        findings.append(
            Finding(
                "error",
                f"{count(len(twice), 'name occurs', 'names occur')} twice{place}: {names}",
                "keep one file of each",
            )
        )
    bare = sorted(images.keys() - masks.keys())
    if bare:
        text = f"{len(bare)} of {count(len(images), 'image')}{place} without mask: {some(bare)}"
        findings.append(
            Finding(
                "error",
                text,
                "add their masks (all 0 where there is nothing to mark), or move the images away: into a folder "
                "`unlabelled` to train on them without masks",
            )
        )
    alone = sorted(masks.keys() - images.keys())
    if alone:
        text = f"{len(alone)} of {count(len(masks), 'mask')}{place} without image: {some(alone)}"
        findings.append(Finding("error", text, "add their images or move the masks away"))
    return findings


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _visible(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file()

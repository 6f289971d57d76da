"""Channels that lie in one file of four axes: the Medical Segmentation Decathlon keeps T1, T2 and FLAIR of a head so, microscopes
their stains.

OME-TIFF names its channels; no header of the other formats does, but `dataset.json`. A case's images are then the addresses
`FILE#0`, `FILE#1` … under these names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.data.core.findings import Finding, some
from delineate.data.core.manifest import Case
from delineate.data.formats.registry import file_frames, frame_names
from delineate.data.layouts.description import FILE, Description

__all__ = ["addresses", "unnamed", "with_frames"]


def with_frames(
    root: Path, cases: Sequence[Case], description: Description | None
) -> tuple[list[Case], tuple[str, ...], list[Finding]]:
    """The cases, of which each image is one file, with a file of four axes as its channels; their names; and what does not fit.

    Headers are read: of all images where `description` names several channels, else of the first. Where something does not fit,
    there are no cases: each file would only be told of again when it is read.
    """
    names = description.channels if description is not None else ()
    if description is None or len(names) < 2:
        first = root / cases[0].images[0] if cases else None
        if first is None or (number := file_frames(first)) == 1:
            return list(cases), (), []
        if description is None and (own := frame_names(first)):
            return _named_by_files(root, cases, own)
        text, cure = unnamed(first, number, description)
        return [], (), [Finding("error", text, cure)]
    held = {case.images[0]: file_frames(root / case.images[0]) for case in cases}
    odd = {file: number for file, number in held.items() if number != len(names)}
    if odd:
        number = next(iter(odd.values()))
        files = some([file for file, other in odd.items() if other == number], 3)
        holds = "one alone" if number == 1 else f"{number} volumes"
        text = f"{description.in_words}, but {len(odd)} of {len(held)} images hold {holds}: {files}"
        cure = "correct its channel_names (or modality), or add what is missing as a frame of the file or as files _0000, _0001 …"
        return [], (), [Finding("error", text, cure)]
    framed = [case.model_copy(update={"images": addresses(case.images[0], len(names))}) for case in cases]
    return framed, names, []


def _named_by_files(
    root: Path, cases: Sequence[Case], names: tuple[str, ...]
) -> tuple[list[Case], tuple[str, ...], list[Finding]]:
    """`with_frames` where the files name their channels, in whatever order."""
    found = []
    for case in cases:
        own = frame_names(root / case.images[0])
        if sorted(own) != sorted(names):
            said = ", ".join(own) or "no names"
            text = f"{root / cases[0].images[0]} has the channels {', '.join(names)}, but {case.images[0]} has {said}"
            return [], (), [Finding("error", text, "give all images the same channels, under the same names")]
        images = tuple(f"{case.images[0]}#{own.index(name)}" for name in names)
        found.append(case.model_copy(update={"images": images}))
    return found, names, []


def addresses(file: str, number: int) -> tuple[str, ...]:
    """Those of all frames of a file."""
    return tuple(f"{file}#{frame}" for frame in range(number))


def unnamed(file: Path, number: int, description: Description | None) -> tuple[str, str]:
    """What to say of a file of several volumes that nothing names, and what to do."""
    said = f", and {description.in_words}" if description is not None and description.channels else ""
    text = f"{file} holds {number} volumes (frames over time, or channels){said}; which is which no header tells"
    cure = (
        f"name them in a {FILE} beside the folders ('channel_names': {{'0': 'T1', '1': …}}), or choose by a table with addresses, "
        f"such as {file.name}#0: a column image_T1, image_FLAIR … for each channel, or image for one frame"
    )
    return text, cure

"""Channels that lie in one file of four axes: the Medical Segmentation Decathlon keeps T1, T2 and FLAIR of a head so.

No header says which is which. `dataset.json` does, and a case's images are then the addresses `FILE#0`, `FILE#1` … under its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.data.core.findings import Finding, some
from delineate.data.core.manifest import Case
from delineate.data.formats.registry import file_frames
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

"""Addresses of the frames of files that hold several volumes: `head.nii.gz#2` is the third.

A volume over time, or the channels of one (BraTS and the Medical Segmentation Decathlon keep four MR sequences in a file of four
axes). Which frame is what, no header tells: a data set's description does, or the user.
"""

from __future__ import annotations

import re
from pathlib import Path

from delineate.common.errors import DataError

__all__ = ["frame_address", "frames_needed", "without_frame"]

_FRAME = re.compile(r"#(\d+)$")


def frame_address(path: Path) -> tuple[Path, int | None]:
    """Take an address apart.

    Args:
        path: of a file, or `FILE#k`.

    Returns:
        The file, and the number of the frame from 0; None where the address is the file's.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.frames import frame_address
        >>> frame_address(Path("head.nii.gz#2"))
        (PosixPath('head.nii.gz'), 2)
    """
    found = _FRAME.search(path.name)
    if found is None or path.exists():
        return path, None
    return path.with_name(path.name[: found.start()]), int(found[1])


def without_frame(name: str) -> str:
    """A file's name without the number of a frame.

    Args:
        name: of a file, or of an address.

    Returns:
        What is before `#k`.

    Example:
        >>> from delineate.data.formats.frames import without_frame
        >>> without_frame("head.nii.gz#2")
        'head.nii.gz'
    """
    return _FRAME.sub("", name)


def frames_needed(path: Path, frame: int | None, number: int, kind: str = "volume") -> int | None:
    """Check the frame of an address against how many a file has.

    Args:
        path: of the address, for messages.
        frame: its number; None where none is stated.
        number: frames in the file.
        kind: what a frame is, for messages.

    Returns:
        `frame`; None where the file has one.

    Raises:
        DataError: a file of several without a number; a number that there is not.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.frames import frames_needed
        >>> frames_needed(Path("head.nii.gz#2"), 2, 4)
        2
    """
    if frame is None and number > 1:
        raise DataError(
            f"{path} holds {number} {kind}s (frames or channels): state one as {path.name}#0 … #{number - 1}, such as in a table "
            "with a column for each channel (image_T1, image_FLAIR), or save each as a file"
        )
    if frame is not None and not 0 <= frame < number:
        raise DataError(f"{path} does not exist: the file holds {number} {kind}{'s' * (number > 1)}, counted from 0")
    return frame if number > 1 else None

"""What a format brings: a `Reader` that opens its files as `ImageHandle`s, and, where masks can be written in it, a `Writer`.

A handle knows its image's size and geometry before any pixel is decoded, and gives pixels by parts. Whoever uses pixels uses
handles, so that a new format is one class and its registration (`data.formats.registry`), and nothing else learns of it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core import labels
from delineate.data.core.geometry import Geometry, sizes
from delineate.data.core.input_spec import Pixels
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.orientation import UPRIGHT

__all__ = [
    "ANY_SIZE",
    "DEFAULT_MAX_PIXELS",
    "FULL",
    "GRAY",
    "RGB",
    "RGBA",
    "ImageHandle",
    "Kind",
    "Palette",
    "Reader",
    "Writer",
    "grid_to_write",
    "plane_of",
    "slab_of",
]

Kind = Literal["picture", "volume", "packed"]
"""`packed`: files that hold pictures at addresses inside of them (`data.formats.archives`)."""
Palette = Sequence[tuple[int, int, int]]
"""The RGB color of each value from 0 on."""

DEFAULT_MAX_PIXELS = 400_000_000
"""Images with more pixels than this are refused unless the caller raises the limit."""
FULL = 65535
"""The number in a probability map that stands for 1."""
ANY_SIZE = 1 << 62
"""The limit where nothing is decoded."""
GRAY = ("gray",)
"""Names of the channels of pictures that have one."""
RGB = ("red", "green", "blue")
"""The same of three."""
RGBA = (*RGB, "alpha")
"""The same of four."""


class ImageHandle(ABC):
    """An open image of any kind: a picture of two axes (rows, columns), or a volume of three, in the order of its file.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.registry import open_image
        >>> handle = open_image(sorted(Path("polyps/images").iterdir())[0])
        >>> handle.shape, handle.channels, handle.window(8, 8, 4, 6).shape
        ((32, 32), ('red', 'green', 'blue'), (4, 6, 3))
    """

    path: Path
    """Of the file, folder or address that it was opened from; for messages, too."""
    shape: tuple[int, ...]
    """Pixels along each axis, channels not counted: (height, width) or (x, y, z)."""
    orientation: int = UPRIGHT
    """What the file says of how its picture is turned (EXIF, 1…8). It has been applied: shape and pixels are as they are seen."""
    geometry: Geometry | None = None
    """Where the voxels of a volume lie; None where the file does not tell."""
    block: tuple[int, int] | None = None
    """Height and width of the parts that a picture is unpacked by, where `window` reads a part without the rest; None where it does
    not. Windows that begin at multiples of them cost least."""
    modality: str | None = None
    """What made the image, as DICOM names it (CT, MR), where the file tells; None where it does not."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers that are read, the file's own scaling applied."""

    @property
    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """Names of the numbers of a pixel, in their order."""

    @property
    def decoded_bytes(self) -> int:
        """Memory that `read` needs for its pixels, at most; known without decoding them."""
        return math.prod(self.shape) * len(self.channels) * self.dtype.itemsize

    @abstractmethod
    def read(self) -> Pixels:
        """Decode all pixels.

        Returns:
            An array of the shape `shape`, with an axis of channels at the end where there are several.

        Raises:
            DataError: naming the file, where it is damaged.
        """

    @abstractmethod
    def slice(self, axis: int, index: int) -> Pixels:
        """One plane of a volume. A picture is the one slice that it has: `slice(0, 0)`.

        Args:
            axis: that the planes lie across: 0, 1 or 2.
            index: of the plane, from 0 on.

        Returns:
            H×W or H×W×channels; rows go along the earlier of the two axes left.

        Raises:
            DataError: as `read`.
        """

    def window(self, y: int, x: int, height: int, width: int, *, axis: int = 0, index: int = 0) -> Pixels:
        """A part of a slice. Formats that can read a part of a plane do so; others decode all of it.

        Args:
            y: first row.
            x: first column.
            height: rows of the part.
            width: columns of the part.
            axis: of the slice.
            index: of the slice.

        Returns:
            height×width or height×width×channels.
        """
        return self.slice(axis, index)[y : y + height, x : x + width]

    @property
    def microns(self) -> tuple[float, float] | None:
        """Distances of a picture's pixels in µm, from row to row and from column to column, where its file tells them."""
        return None

    @property
    def levels(self) -> tuple[ImageHandle, ...]:
        """The picture, and the smaller copies of it that its file holds, the largest first.

        Returns:
            Handles that are read as this one is; itself alone where there are no copies.

        Raises:
            DataError: the file is damaged there.
        """
        return (self,)

    @property
    def is_volume(self) -> bool:
        """Whether there are three axes."""
        return len(self.shape) == 3

    def depth(self, axis: int) -> int:
        """Number of slices.

        Args:
            axis: that they lie across.

        Returns:
            Their number; 1 of a picture.
        """
        return self.shape[axis] if self.is_volume else 1

    def labels(self) -> RawMask:
        """The image as a mask before it is known what its values mean.

        Returns:
            Whole numbers of the shape `shape`.

        Raises:
            DataError: as `read`, and for what cannot be labels: several channels, fractions, values outside of 0…65535.
        """
        kind, unit = ("volume", "voxels") if self.is_volume else ("image", "pixels")
        array = self.read()
        if not array.size:
            raise DataError(f"{self.path} has no {unit} ({sizes(self.shape)})")
        return RawMask(labels.whole(array, self.path, kind, unit))

    def read_with(self, others: Sequence[ImageHandle]) -> None:
        """Learn which images are read together with this one, so that a file with several of them is unpacked once.

        Args:
            others: the handles, this one among them; each is read once.
        """
        return

    def digest(self) -> str:
        """By which a manifest knows the image again.

        Returns:
            SHA-256 of what it is stored as, as hexadecimal text.

        Raises:
            OSError: the file cannot be read.
        """
        return sha256(self.path)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the owner of the image should know of how it is read: its header contradicts itself, for one."""
        return ()

    @property
    def stored(self) -> ImageHandle:
        """The handle of the file itself, where this one sees it in another order (`data.formats.canonical`)."""
        return self

    def as_stored(self, mask: NDArray[Any]) -> NDArray[Any]:
        """Turn a mask into the order of axes of the file.

        Args:
            mask: of the shape `shape`.

        Returns:
            The same values in the file's order.
        """
        return mask


def plane_of(voxels: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """One slice across an axis, as an array of its own. `np.take` would first copy all voxels that are not stored row by row.

    Args:
        voxels: of a volume, with or without an axis of channels at the end.
        axis: that the slices lie across.
        index: of the slice.

    Returns:
        H×W or H×W×channels, contiguous.

    Example:
        >>> import numpy as np
        >>> from delineate.data.formats.contract import plane_of
        >>> plane_of(np.zeros((5, 6, 7)), 1, 3).shape
        (5, 7)
    """
    return np.ascontiguousarray(np.moveaxis(voxels, axis, 0)[index])


def slab_of(voxels: NDArray[Any], axis: int, index: int, neighbors: int) -> NDArray[Any]:
    """One slice with those around it as further channels; beyond the ends of the volume the last one is repeated.

    Args:
        voxels: of a volume, with or without an axis of channels at the end.
        axis: that the slices lie across.
        index: of the slice in the middle.
        neighbors: slices on either side. 0: `plane_of`.

    Returns:
        H×W×((2·neighbors + 1)·channels), the channels of each slice in turn; without neighbors as `plane_of`.

    Example:
        >>> import numpy as np
        >>> from delineate.data.formats.contract import slab_of
        >>> slab_of(np.arange(3)[None, None].repeat(2, 0), 2, 0, 1).shape
        (2, 1, 3)
        >>> slab_of(np.arange(3)[None, None], 2, 0, 1).ravel().tolist()
        [0, 0, 1]
    """
    if not neighbors:
        return plane_of(voxels, axis, index)
    last = voxels.shape[axis] - 1
    planes = [plane_of(voxels, axis, min(max(at, 0), last)) for at in range(index - neighbors, index + neighbors + 1)]
    return np.concatenate([plane.reshape(*plane.shape[:2], -1) for plane in planes], axis=2)


def grid_to_write(like: ImageHandle | Geometry | None, array: NDArray[Any]) -> Geometry:
    """Where the voxels of a volume to write lie.

    Args:
        like: as of `Writer.write_mask`.
        array: X×Y×Z.

    Returns:
        The grid of `like`, of the shape of the array.

    Raises:
        ValueError: `like` does not tell, or the shape is another one.

    Example:
        >>> import numpy as np
        >>> from delineate.data.core.geometry import Geometry
        >>> from delineate.data.formats.contract import grid_to_write
        >>> grid = Geometry((2, 3, 4), (0.0, 0.0, 0.0), np.eye(3), (1.0, 1.0, 2.0))
        >>> grid_to_write(grid, np.zeros((2, 3, 4), np.uint8)) is grid
        True
    """
    geometry = like.geometry if isinstance(like, ImageHandle) else like
    if geometry is None:
        raise ValueError("a volume to write needs to know where its voxels lie")
    if array.shape != geometry.shape:
        raise ValueError(f"a volume to write has the shape {geometry.shape} of its grid, not {array.shape}")
    return geometry


class Writer(ABC):
    """Writes masks of one format.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from delineate.data.formats.registry import read_mask, write_mask
        >>> mask = np.zeros((4, 6), np.uint8)
        >>> mask[1, 2] = 255
        >>> write_mask(Path("small.png"), mask)  # the registry finds the writer by the name
        >>> int(read_mask(Path("small.png")).max())
        255
    """

    suffixes: ClassVar[tuple[str, ...]]
    """With which its files' names may end; masks get the first where nobody asks for another."""

    def check(self) -> None:  # noqa: B027 - most formats need no package of their own
        """Whether files can be written here: asked before hours of computing.

        Raises:
            DataError: a package that writing needs is missing.
        """

    @abstractmethod
    def write_mask(
        self,
        path: Path,
        mask: NDArray[Any],
        *,
        like: ImageHandle | Geometry | None = None,
        labels: str = "",
        palette: Palette | None = None,
    ) -> None:
        """Write class values atomically, on the grid of `like`.

        Args:
            path: ends with one of `suffixes`.
            mask: uint8 (or what else the format holds), of the shape of `like`, in the order of its file's axes.
            like: the image that the mask is of, as it is stored, or where it lies. None: nowhere, as pictures.
            labels: what the values mean, as text, where the format has a place for it.
            palette: colors of the values, where the format has a place for them.

        Raises:
            ValueError: another type or shape. `DataError`: `like` cannot be read.
        """

    def write_map(self, path: Path, values: NDArray[np.uint16], *, like: ImageHandle | Geometry | None = None) -> None:
        """Write probabilities atomically.

        Args:
            path: ends with one of `suffixes`.
            values: whole numbers, of which 65535 (`FULL`) is 1.
            like: as in `write_mask`.

        Raises:
            DataError: the format has no maps.
        """
        raise DataError(f"probabilities cannot be written to {path}: its format has no maps of 16 bits")


class Reader(ABC):
    """Opens files of one format.

    Subclasses are registered by `name` and made without arguments. They import heavy libraries when a file is opened.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.registry import reader_of
        >>> reader = reader_of(sorted(Path("polyps/images").iterdir())[0])
        >>> reader.kind
        'picture'
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """With which names of its files end, in lower case, each with its dot: `(".nii", ".nii.gz")`."""
    kind: ClassVar[Kind] = "picture"
    writer: ClassVar[Writer | None] = None
    windowed: ClassVar[bool] = False
    """Of a format of pictures: whether opening a large file reads its header alone, so that it can be asked for windows."""
    folders: ClassVar[bool] = False
    """Whether its pictures are folders, with names that end as `suffixes` say."""
    framed: ClassVar[bool] = False
    """Of a format of pictures: whether its files may hold several images, as volumes' may, with addresses (`FILE#2`)."""

    def sniff(self, path: Path, first: bytes) -> bool:
        """Whether a path whose name ends as no format's does is of this one.

        Args:
            path: a file or a folder.
            first: the first bytes of the file; empty for a folder.

        Returns:
            Whether this reader opens it.
        """
        return False

    @abstractmethod
    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        """Read what the header tells. Pixels are decoded when they are asked for.

        Args:
            path: of the file.
            max_pixels: most pixels in a slice.

        Returns:
            The open image.

        Raises:
            DataError: in one line that names the file: missing, empty, not of this format, above `max_pixels`.
        """

    def volume_at(self, path: Path) -> bool:
        """Whether what lies at a path or an address is a volume.

        Args:
            path: of a file of this format, or an address inside of one, or made of several.

        Returns:
            By the kind of the format; where its files may be either, by their headers: False where these cannot be read.
        """
        return self.kind == "volume"

    def frames(self, path: Path) -> int:
        """How many volumes a file holds, by its header: frames over time or channels, which have addresses (`FILE#2`).

        Args:
            path: of the file.

        Returns:
            Their number; 1 of formats that have no such files.

        Raises:
            DataError: as `open`.
        """
        return 1

    def frame_names(self, path: Path) -> tuple[str, ...]:
        """What the frames of a file are called, where it names them itself (OME-TIFF).

        Args:
            path: of the file.

        Returns:
            Names of channels, in their order; none where the file names none.
        """
        return ()

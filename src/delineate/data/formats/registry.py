"""Which formats there are, by name and by the endings of files' names.

Other packages add theirs by the entry point `delineate.formats`. Ours come first: no other format can take a suffix from them.
What is in a file decides where its name does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from delineate.common.errors import DataError, DelineateError
from delineate.common.plugins import Plugins
from delineate.data.core.geometry import Geometry, check_same_geometry
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import Coding
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.contract import ANY_SIZE, DEFAULT_MAX_PIXELS, ImageHandle, Palette, Reader, Writer
from delineate.data.formats.frames import without_frame
from delineate.data.formats.regrid import regrid

__all__ = [
    "FORMATS",
    "PICTURES",
    "and_faults",
    "check_grid_of_labels",
    "check_same_grid",
    "check_writers",
    "digest_of",
    "faults",
    "file_frames",
    "file_stem",
    "forget_other_packages",
    "frame_names",
    "image_suffix",
    "is_picture_folder",
    "open_image",
    "pairs_named",
    "read_geometry",
    "read_image",
    "read_mask",
    "read_raw_labels",
    "reader_of",
    "readers",
    "reads_image",
    "reads_volume",
    "volume_suffix",
    "what_is_read",
    "write_map",
    "write_mask",
    "writer_of",
]

FORMATS = Plugins(
    "format",
    f"{__name__.partition('.')[0]}.formats",  # in the runtime those that were made for it
    {
        "raster": "delineate.data.formats.pictures:Raster",
        "tiff": "delineate.data.formats.tiff_files:Tiff",
        "slides": "delineate.data.formats.slides:Slides",
        "ome_zarr": "delineate.data.formats.ome_zarr:OmeZarr",
        "npy": "delineate.data.formats.npy:Npy",
        "nifti": "delineate.data.formats.nifti:Nifti",
        "itk": "delineate.data.formats.itk:Itk",
        "packed": "delineate.data.formats.packed:Packed",
        "dicom_masks": "delineate.data.formats.dicom_masks.reader:DicomMasks",
        "dicom_mask_addresses": "delineate.data.formats.dicom_masks.reader:DicomMaskAddresses",
        "dicom": "delineate.data.formats.dicom.reader:Dicom",
        "classes": "delineate.data.formats.class_files:Classes",
        "annotations": "delineate.data.formats.annotations.reader:Annotations",
    },
)
_UNREAD_PICTURES = {
    ".heic": "a HEIC picture, as phones save them",
    ".heif": "a HEIF picture, as phones save them",
    ".jxl": "a JPEG XL picture",
    ".psd": "a Photoshop picture",
    ".xcf": "a GIMP picture",
}
"""Endings of pictures that no reader is built in for; they are known, so that the user is told what they are."""
_PAIRS = (".hdr", ".img")
"""Endings of the two files of a volume of Analyze, or of NIfTI before it was one file."""
PICTURES = "PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000, AVIF, PGM/PPM and NumPy's .npy"

_SNIFFED = 1024
"""Bytes that a format is told by."""


def readers() -> dict[str, Reader]:
    """All formats that can be used, by name, ours first."""
    return _known()[0]


def faults() -> tuple[str, ...]:
    """A line for each format of another package that cannot be used. It matters only where a file is of no other format."""
    return _known()[1]


def what_is_read() -> str:
    """For messages about files of no format: what could be read, other packages' formats too, and why one of these cannot."""
    others = sorted(set(readers()) - set(FORMATS.built_in))
    named = [*PICTURES.replace(" and ", ", ").split(", "), "NIfTI", "MetaImage", "NRRD", "DICOM", *others]
    return f"{', '.join(named[:-1])} and {named[-1]} are read{and_faults()}"


def pairs_named(names: Iterable[str]) -> str:
    """For messages about files of no format: that pairs of files are not read, where some are; else ''."""
    if not any(name.lower().endswith(_PAIRS) for name in names):
        return ""
    return (
        "; volumes in two files (.hdr and .img) are not read: convert them to .nii.gz, such as by nibabel's nib-convert"
    )


def and_faults() -> str:
    """The same as the end of a message about files that are of no format; mostly ''."""
    return "".join(f"; {line}" for line in faults())


@cache
def _known() -> tuple[dict[str, Reader], tuple[str, ...]]:
    found: dict[str, Reader] = {}
    told: list[str] = []

    def add(name: str) -> None:
        reader = _made(name)
        taken = {suffix: other for other, one in found.items() for suffix in one.suffixes}
        twice = next((suffix for suffix in reader.suffixes if suffix in taken), None)
        if twice is not None:
            raise DelineateError(f"format '{name}' ({FORMATS.place(name)}) reads {twice}, as '{taken[twice]}' does")
        found[name] = reader

    FORMATS.usable(add, told.append)
    return found, tuple(told)


def forget_other_packages() -> None:
    """Look for entry points anew at the next question: a package was installed or removed while the program runs."""
    FORMATS.forget_others()
    _known.cache_clear()
    _suffixes.cache_clear()
    _framed.cache_clear()


def image_suffix(path: Path) -> str:
    """The ending of a picture format that a file's name has, in lower case, readable or not, or ''. Of a TIFF stack, too."""
    return (
        _ending(path.name, _suffixes("picture"))
        or _ending(without_frame(path.name), _framed())
        or _ending(path.name, tuple(_UNREAD_PICTURES))
    )


def volume_suffix(path: Path) -> str:
    """The ending of a format of volumes or packed files that a file's name has, in lower case, readable or not, or ''."""
    return _ending(without_frame(path.name), _suffixes("volume")) or _ending(path.name, _suffixes("packed"))


def reads_volume(path: Path) -> bool:
    """Whether a file, or an address, is that of a volume that can be read: by its name, and of TIFF and packed files by its header.
    Packed files themselves are none."""
    if "#" in path.name and (inside := _packed_reader(path)) is not None:
        return inside.volume_at(path)
    found = _by_name(path)
    return found is not None and found.kind != "packed" and found.volume_at(path)


def reads_image(path: Path) -> bool:
    """Whether a file's name is that of a picture or a volume that can be read; packed files are neither."""
    found = _by_name(path)
    return (found is not None and found.kind != "packed") or reads_volume(path)


def is_picture_folder(path: Path) -> bool:
    """Whether a folder is a picture by its name, and no place in which pictures lie."""
    found = _by_name(path)
    return found is not None and found.folders and path.is_dir()


def file_stem(path: Path) -> str:
    """A file's name without its suffix, `.nii.gz` being one: `case_01.nii.gz` and `case_01.nii.gz#2` → `case_01`."""
    found = _by_name(path)
    name = path.name if found is None else _file_name(path, found)
    suffix = volume_suffix(path) or image_suffix(path)
    return name[: -len(suffix)] if suffix else path.stem


def reader_of(path: Path) -> Reader:
    """The format of a file, a folder, or an address inside of a file (`FILE#ARRAY.17`, `VOLUME#2`).

    Raises `DataError` for a file of no known format where a format cannot be used. What else is unknown is left to the reader of
    pictures, which says so.
    """
    known = readers()
    if "#" in path.name and (inside := _packed_reader(path)) is not None:
        return inside
    if (named := _by_name(path)) is not None:
        return named
    if unread := _ending(path.name, tuple(_UNREAD_PICTURES)):
        raise DataError(f"{path} is {_UNREAD_PICTURES[unread]}, which is not readable: convert it to PNG or JPEG")
    if pair := pairs_named([path.name]):
        raise DataError(f"{path} is not an image that can be read{pair}")
    first = _first_bytes(path)
    told = next((one for one in known.values() if one.sniff(path, first)), None)
    if told is None and first and faults():
        raise DataError(f"{path} is of no format that can be read here{and_faults()}")
    return known["raster"] if told is None else told


def _by_name(path: Path) -> Reader | None:
    """The format that a name ends as one of."""
    return next((one for one in readers().values() if _ending(_file_name(path, one), one.suffixes)), None)


def _file_name(path: Path, reader: Reader) -> str:
    """What a file is called, without the number of a frame where its format has such."""
    return without_frame(path.name) if reader.kind == "volume" or reader.framed else path.name


def _packed_reader(path: Path) -> Reader | None:
    """The format of an address, which may end as the name of an image does."""
    return next((one for one in readers().values() if one.kind == "packed" and one.sniff(path, b"")), None)


def open_image(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
    """Open an image of any format: its size is known then, its pixels are decoded when they are asked for.

    Args:
        path: a file, a folder with one series of DICOM, or an address in one of them, such as `head.nii.gz#2`.
        max_pixels: larger pictures are refused.

    Returns:
        The image.

    Raises:
        DataError: as `Reader.open`: the file is damaged, or of a format that is not read.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.registry import open_image
        >>> handle = open_image(sorted(Path("polyps/images").iterdir())[0])
        >>> handle.shape
        (32, 32)
    """
    return reader_of(path).open(path, max_pixels=max_pixels)


def frame_names(path: Path) -> tuple[str, ...]:
    """What a file calls its frames (`Reader.frame_names`); none of what cannot be read."""
    try:
        return reader_of(path).frame_names(path)
    except DataError:
        return ()


def file_frames(path: Path) -> int:
    """How many volumes a file holds, by its header (`Reader.frames`); 1 of what cannot be read, which reading it tells."""
    try:
        return reader_of(path).frames(path)
    except DataError:
        return 1


def digest_of(path: Path) -> str:
    """What a manifest knows a file by (`ImageHandle.digest`). Raises `DataError` as `open_image`."""
    return open_image(path, max_pixels=ANY_SIZE).digest()


def read_raw_labels(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RawMask:
    """A mask of any format before it is known what its values mean. Raises `DataError` as `ImageHandle.labels`."""
    return open_image(path, max_pixels=max_pixels).labels()


def read_image(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """The pixels of a picture of any format: H×W (gray) or H×W×3/4 (RGB order), uint8 or uint16, turned as it is to be seen.

    Raises `DataError` naming the file when it is missing, empty, damaged, no image, a volume, or larger than `max_pixels`.
    """
    handle = open_image(path, max_pixels=max_pixels)
    if handle.is_volume:
        raise DataError(
            f"{path} is a volume, and a picture is needed here: save the slice that is meant as PNG or TIFF"
        )
    return handle.read()


def read_mask(path: Path, coding: Coding | None = None, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[Any]:
    """Raw label values of a mask of any format, H×W or X×Y×Z, uint8 or uint16; colors as uint32.

    `coding`: what a pixel says (`images.decode_mask`). Raises `DataError` as `ImageHandle.labels`, and for masks painted in
    colors where no coding says so.
    """
    return read_raw_labels(path, max_pixels=max_pixels).as_coded(coding, path)


def check_same_grid(one: Path, other: Path) -> None:
    """Raise `DataError` naming both volumes where their voxels do not lie at the same places (`core.geometry`)."""
    (first, of_first), (second, of_second) = (_placed(path) for path in (one, other))
    check_same_geometry(of_first, first.path, of_second, second.path)


def check_grid_of_labels(image: Path, mask: Path) -> None:
    """Raise `DataError` naming both where a label volume has not the voxels of an image, in whatever order of axes."""
    (first, of_first), (second, of_second) = (_placed(path) for path in (image, mask))
    if sorted(of_first.shape) == sorted(of_second.shape):
        regrid(of_second, second.path, of_first, first.path)
    else:
        check_same_geometry(of_first, first.path, of_second, second.path)


def read_geometry(path: Path) -> Geometry:
    """Where the voxels of a volume lie, from its header alone. Raises `DataError` as `open_image`, and where it does not tell."""
    return _placed(path)[1]


def _placed(path: Path) -> tuple[ImageHandle, Geometry]:
    handle = open_image(path)
    if handle.geometry is None:
        raise DataError(
            f"{handle.path} does not tell where its voxels lie; convert it to a format that does, such as .nii.gz"
        )
    return handle, handle.geometry


def writer_of(name: str) -> Writer:
    """The writer of a format. Raises `DataError` naming the formats that masks are written in."""
    reader = readers().get(name)
    if reader is None or reader.writer is None:
        able = ", ".join(one.name for one in readers().values() if one.writer is not None)
        raise DataError(f"masks cannot be written as '{name}'; there are {able}{and_faults()}")
    return reader.writer


def check_writers(paths: Iterable[Path]) -> None:
    """Raise `DataError` where files of such names cannot be written: no format has them, or its package is missing."""
    for suffix in sorted({"".join(path.suffixes[-2:]) for path in paths}):
        _writer_for(Path(f"x{suffix}")).check()


def _writer_for(path: Path) -> Writer:
    """The writer for a file's name. Raises `DataError` where no format writes such files."""
    writers = [one.writer for one in readers().values() if one.writer is not None]
    found = next((one for one in writers if _ending(path.name, one.suffixes)), None)
    if found is None:
        known = ", ".join(suffix for one in writers for suffix in one.suffixes)
        raise DataError(f"masks cannot be written to {path}; its name must end in {known}{and_faults()}")
    return found


def write_mask(
    path: Path,
    mask: NDArray[Any],
    *,
    like: ImageHandle | Geometry | None = None,
    labels: str = "",
    palette: Palette | None = None,
) -> None:
    """Write class values in the format of `path`, on the grid of the image `like`: `Writer.write_mask` says what is what.

    `mask` is in the order of axes of `like`, which need not be that of its file. Raises `DataError` for an unknown format.
    """
    while isinstance(like, ImageHandle) and like.stored is not like:
        mask, like = like.as_stored(mask), like.stored
    _writer_for(path).write_mask(path, mask, like=like, labels=labels, palette=palette)


def write_map(path: Path, values: NDArray[Any], *, like: ImageHandle | Geometry | None = None) -> None:
    """Write probabilities, uint16 of which 65535 is 1, as `write_mask` writes masks: `Writer.write_map`."""
    if isinstance(like, ImageHandle):
        values, like = like.as_stored(values), like.stored
    _writer_for(path).write_map(path, values, like=like)


def _made(name: str) -> Reader:
    loaded = FORMATS.load(name)
    if not (isinstance(loaded, type) and issubclass(loaded, Reader)):
        raise DelineateError(
            f"format '{name}' ({FORMATS.place(name)}) is not a subclass of delineate.data.formats.contract.Reader"
        )
    reader = loaded()
    wrong = [suffix for suffix in reader.suffixes if suffix != suffix.lower() or not suffix.startswith(".")]
    if reader.name != name or wrong:
        what = (
            f"has the suffix '{wrong[0]}', which is not in lower case with a dot"
            if wrong
            else f"calls itself '{reader.name}'"
        )
        raise DelineateError(f"format '{name}' ({FORMATS.place(name)}) {what}")
    return reader


@cache
def _suffixes(*kinds: str) -> tuple[str, ...]:
    """Of all formats of these kinds, longest first."""
    found = {suffix for one in readers().values() if one.kind in kinds for suffix in one.suffixes}
    return tuple(sorted(found, key=len, reverse=True))


@cache
def _framed() -> tuple[str, ...]:
    """Endings of pictures that may hold several."""
    return tuple(suffix for one in readers().values() if one.framed for suffix in one.suffixes)


def _ending(name: str, suffixes: tuple[str, ...]) -> str:
    lower = name.lower()
    if not lower.endswith(suffixes):
        return ""
    return next((one for one in suffixes if lower.endswith(one) and len(lower) > len(one)), "")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_SNIFFED)
    except OSError:  # a folder, an address inside of a file, or nothing: the reader says what is wrong
        return b""

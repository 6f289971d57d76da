"""Damaged DICOM files by the thousand: each is read, or refused in one line. `python tests/mutated.py 5000` prints the counts.

Bytes are changed, cut, doubled, and numbers replaced by such as cannot be, in pydicom's own test files of all ways of packing.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.registry import open_image

SEEDS = (
    *("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_2frame.dcm"),
    *("SC_rgb_small_odd.dcm", "SC_ybr_full_422_uncompressed.dcm", "JPGExtended.dcm", "JPEG2000.dcm", "image_dfl.dcm"),
    *("examples_palette.dcm", "no_meta_group_length.dcm", "liver_1frame.dcm"),
)
_NUMBERS = (
    b"nan",
    b"inf",
    b"-inf",
    b"1e400",
    b"0",
    b"-1",
    b"1e-30",
    b"9" * 16,
    b"",
    b"A",
    b"\\",
    b"1\\2\\3\\4\\5\\6\\7",
)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One of several kinds of damage, in the header more often than in the pixels."""
    kind, size = int(rng.integers(6)), len(content)
    start = 132 if rng.random() < 0.9 else 0
    within = min(size, 3000) if rng.random() < 0.7 else size
    at = int(rng.integers(start, max(start + 1, within)))
    if kind == 0:
        changed = bytearray(content)
        for place in rng.integers(start, within, int(rng.integers(1, 12))):
            changed[place] = int(rng.integers(256))
        return bytes(changed)
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + content[at + int(rng.integers(1, 64)) :]
    if kind == 3:
        return content[:at] + content[max(0, at - 40) : at] + content[at:]
    if kind == 4:
        return content[:at] + rng.bytes(int(rng.integers(1, 40))) + content[at:]
    return _with_number(content, rng)


def outcomes(number: int, folder: Path, seed: int = 0) -> Iterator[str]:
    """What became of each file: read, refused, or what it raised, which nothing should."""
    from pydicom.data import get_testdata_file

    contents = [Path(str(get_testdata_file(name))).read_bytes() for name in SEEDS] + [lossless()]
    rng = np.random.default_rng(seed)
    for count in range(number):
        which = int(rng.integers(len(contents)))
        file = folder / f"m{count}.dcm"
        file.write_bytes(mutated(contents[which], rng))
        yield outcome(file)
        file.unlink()


def lossless() -> bytes:
    """A file in lossless JPEG, of which pydicom's test files have none."""
    import imagecodecs
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGLosslessSV1

    image = dcmread(str(get_testdata_file("MR_small.dcm")))
    image.PixelData = encapsulate([imagecodecs.ljpeg_encode(image.pixel_array.astype(np.uint16))])
    image["PixelData"].VR, image.file_meta.TransferSyntaxUID = "OB", JPEGLosslessSV1
    stream = BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def outcome(file: Path) -> str:
    """Read all that a file holds."""
    start = time.perf_counter()
    try:
        found = scan(file)
        said = "no image" if not found.series else "read"
        for address in found.addresses:
            pixels = open_image(address).read()
            if not np.isfinite(pixels).all():
                said = "NOT FINITE"
        lines = found.faults
    except DataError as error:
        said, lines = "refused", (str(error),)
    except Exception as error:
        return f"RAISED {type(error).__name__}: {error}"[:200]
    if any("\n" in line or str(file) not in line for line in lines):
        return f"NOT ONE LINE WITH THE FILE: {lines}"
    return said if time.perf_counter() - start < 10 else "TOO SLOW"


def main() -> None:
    number, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with TemporaryDirectory() as folder:
        print(dict(Counter(outcomes(number, Path(folder), seed))))


def _with_number(content: bytes, rng: np.random.Generator) -> bytes:
    """A value of digits in the header replaced, its length corrected (explicit VR, little endian)."""
    places = [at for vr in (b"DS", b"IS") for at in _all(content[:4000], vr)]
    if not places:
        return content[: len(content) // 2]
    at = places[int(rng.integers(len(places)))]
    length = int.from_bytes(content[at + 2 : at + 4], "little")
    value = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    value += b" " * (len(value) % 2)
    return content[: at + 2] + len(value).to_bytes(2, "little") + value + content[at + 4 + length :]


def _all(content: bytes, word: bytes) -> Iterator[int]:
    at = content.find(word)
    while at >= 0:
        yield at
        at = content.find(word, at + 1)


if __name__ == "__main__":
    main()

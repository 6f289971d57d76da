"""Damaged files of all formats by the thousand: each is read, or refused in one line. `python tests/mutated_all.py 5000` counts.

Files are read in a process of their own, a hundred in each, so that a crash is counted; so is reading that takes more than ten
seconds of the processor, more than a gigabyte of memory, exceptions that are no message, and words on the terminal.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import numpy as np

import mutated
from delineate.common.errors import DataError
from delineate.data.formats.registry import open_image
from dicom_results import balls, opened, write_rtstruct, write_seg
from scanner import noise, oblique, write_enhanced, write_series

SECONDS, BYTES, CHUNK = 10.0, 1 << 30, 100
SHAPE = (24, 20, 6)
VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 7, 8)).astype(np.uint16)
PICTURE = np.random.default_rng(1).integers(0, 255, (40, 30, 3)).astype(np.uint8)


@dataclass(frozen=True)
class Kind:
    """A sound file, and all that is done with a file of its kind."""

    name: str
    content: bytes
    use: Callable[[Path], None]


def kinds(folder: Path) -> list[Kind]:
    """All that can be made with the packages at hand; `folder`: for the files, of which the series stays in use."""
    return [*_dicom_kinds(), *mask_kinds(folder), *_volume_kinds(folder), *_picture_kinds()]


def outcome(kind: Kind, file: Path) -> str:
    """What became of a file: read, refused, or what should not be."""
    start = time.process_time()
    try:
        kind.use(file)
        said = "read"
    except DataError as error:
        said = "refused" if str(file) in str(error) and "\n" not in str(error) else f"NOT A LINE WITH THE FILE: {error}"
    except Exception as error:
        return f"RAISED {type(error).__name__}: {error}"[:200]
    return said if time.process_time() - start < SECONDS else "TOO SLOW"


def damaged(kind: Kind, rng: np.random.Generator) -> bytes:
    """In the header more often than elsewhere; of TIFF and ZIP, whose directories are last, at the end, too."""
    if rng.random() < 0.3:
        return mutated.mutated(kind.content, rng)
    content = bytearray(kind.content)
    reach = 700 if rng.random() < 0.7 else len(content)
    for _ in range(int(rng.choice((1, 1, 2, 4, 16)))):
        place = int(rng.integers(min(len(content), reach)))
        if kind.name.startswith(("tif", "npz", "ome")) and rng.random() < 0.5:
            place = len(content) - 1 - place
        content[place] = int(rng.choice((0, 255, 127, 128, int(rng.integers(256)))))
    return bytes(content)


def outcomes(kind: Kind, number: int, folder: Path, seed: int) -> Iterator[tuple[str, bytes]]:
    """What became of each file, and its content."""
    rng = np.random.default_rng([seed, len(kind.content)])
    for turn in range(number):
        content = damaged(kind, rng)
        file = folder / f"m{turn}{kind.name}"
        file.write_bytes(content)
        yield outcome(kind, file), content
        file.unlink()


def _dicom_kinds() -> list[Kind]:
    from pydicom.data import get_testdata_file

    files = {name: Path(str(get_testdata_file(name))).read_bytes() for name in mutated.SEEDS}
    files["lossless.dcm"] = mutated.lossless()
    return [Kind(f"-{name}", content, _images) for name, content in files.items()]


def _images(file: Path) -> None:
    from delineate.data.formats.dicom.scan import scan

    found = scan(file)
    if found.faults:
        raise DataError(found.faults[0])
    for address in found.addresses:
        assert np.isfinite(open_image(address).read()).all()


def mask_kinds(folder: Path) -> list[Kind]:
    """Segmentations and structure sets; they are drawn on their series, which stays sound."""
    series = write_series(folder / "series", noise(SHAPE), direction=oblique(), series="fuzz")
    mask = balls(SHAPE)
    made = {
        "-binary.seg.dcm": write_seg(folder / "binary.seg.dcm", mask, series),
        "-labelmap.seg.dcm": write_seg(folder / "labelmap.seg.dcm", mask, series, "labelmap"),
        "-set.rtstruct.dcm": write_rtstruct(folder / "set.rtstruct.dcm", mask, series),
    }
    frames = write_enhanced(folder / "frames" / "enhanced.dcm", noise(SHAPE))
    masks = [Kind(name, path.read_bytes(), lambda file: _drawn(file, series)) for name, path in made.items()]
    return [*masks, Kind("-enhanced.dcm", frames.read_bytes(), _images)]


def _drawn(file: Path, series: Path) -> None:
    from delineate.data.formats.dicom_masks.objects import open_object

    drawn = open_object(file).drawn(_grid(series), series)
    assert drawn.shape == SHAPE


@cache
def _grid(series: Path) -> Any:
    return opened(series).geometry


def _volume_kinds(folder: Path) -> list[Kind]:
    import h5py
    import nibabel
    import SimpleITK
    import tifffile

    image = SimpleITK.GetImageFromArray(VOXELS)
    for name in ("v.nii", "v.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(VOXELS, np.diag([0.7, 0.8, 3, 1.0])), folder / name)
    for name in ("v.mha", "packed.mha", "v.nrrd", "packed.nrrd"):
        SimpleITK.WriteImage(image, str(folder / name), name.startswith("packed"))
    tifffile.imwrite(folder / "stack.tif", VOXELS, photometric="minisblack", imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "ome.tif", VOXELS, photometric="minisblack", ome=True, compression="zlib")
    np.savez(folder / "v.npz", image=VOXELS)
    np.savez_compressed(folder / "packed.npz", image=VOXELS)
    np.save(folder / "v.npy", VOXELS)
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_dataset("image", data=VOXELS, chunks=(4, 4, 4), compression="gzip")
    names = ("v.nii", "v.nii.gz", "v.mha", "packed.mha", "v.nrrd", "packed.nrrd", "stack.tif", "ome.tif", "v.npy")
    plain = [Kind(f"-{name}", (folder / name).read_bytes(), _volume) for name in names]
    packed = [Kind(f"-{name}", (folder / name).read_bytes(), _inside) for name in ("v.npz", "packed.npz", "v.h5")]
    return plain + packed


def _picture_kinds() -> list[Kind]:
    from PIL import Image

    picture = Image.fromarray(PICTURE)
    found = []
    for name, form in (("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"), ("gif", "GIF"), ("tif", "TIFF")):
        stream = io.BytesIO()
        how = {"compression": "tiff_lzw"} if form == "TIFF" else {}
        (picture.quantize(8) if form == "GIF" else picture).save(stream, form, **how)
        found.append(Kind(f"-p.{name}", stream.getvalue(), _volume))
    return found


def _volume(file: Path) -> None:
    from delineate.data.formats.registry import read_raw_labels

    handle = open_image(file)
    handle.read()
    handle.digest()
    read_raw_labels(file)


def _inside(file: Path) -> None:
    open_image(Path(f"{file}#image@volume")).read()


def main() -> None:
    number, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        sound = kinds(folder)
        each = -(-number // len(sound))
        total: Counter[str] = Counter()
        for kind in sound:
            found: Counter[str] = Counter()
            for first in range(0, each, CHUNK):
                found += _apart(kind, min(CHUNK, each - first), folder, seed + first)
            total += found
            print(f"{kind.name:40} {dict(found)}", flush=True)
        print(f"{'all':40} {dict(total)}")


def _apart(kind: Kind, number: int, folder: Path, seed: int) -> Counter[str]:
    """In a process of its own."""
    here, there = multiprocessing.Pipe()
    with TemporaryFile() as printed:
        process = multiprocessing.get_context("fork").Process(
            target=_child, args=(kind, number, folder, seed, there, printed.fileno())
        )
        process.start()
        there.close()
        found: Counter[str] = Counter()
        while True:
            try:
                if not here.poll(60):
                    process.kill()
                    found["HANGS"] += 1
                    break
                found[here.recv()] += 1
            except EOFError:
                break
        process.join()
        if process.exitcode and not found["HANGS"]:
            found[f"CRASHED ({process.exitcode})"] += 1
        printed.seek(0)
        if words := printed.read().decode(errors="replace").strip():
            found[f"PRINTED: {words.splitlines()[-1][:150]}"] += 1
    return found


def _child(kind: Kind, number: int, folder: Path, seed: int, pipe: Any, printed: int) -> None:
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    for said, content in outcomes(kind, number, folder, seed):
        if (used := _peak()) > BYTES:
            said = f"MEMORY {used >> 20} MB ({said})"
        if said not in ("read", "refused"):
            Path(os.environ.get("KEEP", "/tmp"), f"fuzz-{seed}-{len(content)}{kind.name}").write_bytes(content)
        pipe.send(said)
    pipe.close()
    os._exit(0)


def _peak() -> int:
    """The most memory that the process held since the last question, in bytes."""
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    Path("/proc/self/clear_refs").write_text("5")
    return peak


if __name__ == "__main__":
    main()

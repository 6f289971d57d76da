"""One volume as DICOM series of all sorts, with what must come of each. `python tests/long_series.py CT.nii.gz` prints a table.

The volume is cut into 66 slices; a sound series must give its very numbers at their very places, a faulty one is told.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanner import ALONG_AXES, oblique, uid, write_enhanced, write_series

SLICES = 66
SPACING = (1.5, 1.4, 2.5)
TILT = np.array([0.0, SPACING[2] * np.sin(np.radians(15)), SPACING[2] * np.cos(np.radians(15))])
"""From slice to slice under a gantry that is tilted by 15 degrees."""


@dataclass(frozen=True)
class Variant:
    """A way to write a volume of values in X×Y×Z."""

    write: Callable[[Path, NDArray[np.int16]], None]
    told: str = ""
    """Part of what is said of it; '' where there is nothing to say."""
    refused: bool = False
    off: float = 0.0
    """By how much values may differ: half of the largest slope."""
    origin: tuple[float, float, float] = (-90.0, -70.0, 15.0)
    more: dict[str, Any] = field(default_factory=dict)
    """Keys: direction, step."""

    def place(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where a voxel lies, LPS in mm."""
        direction = self.more.get("direction", ALONG_AXES)
        step = self.more.get("step", direction[:, 2] * SPACING[2])
        axes = np.column_stack([direction[:, 0] * SPACING[0], direction[:, 1] * SPACING[1], step])
        return np.array(self.origin) + index @ axes.T


def _series(**how: Any) -> Callable[[Path, NDArray[np.int16]], None]:
    return lambda folder, values: _written(folder, values, **how)


def _written(folder: Path, values: NDArray[np.int16], **how: Any) -> None:
    write_series(folder, values, spacing=SPACING, **how)


def _unsigned(folder: Path, values: NDArray[np.int16]) -> None:
    _written(folder, (values.astype(np.int32) + 1024).astype(np.uint16), intercept=-1024)


def _slope(at: int) -> float:
    return 0.25 + 0.05 * (at % 11)


def _rescaled(folder: Path, values: NDArray[np.int16]) -> None:
    """Each slice has its own slope, as in PET."""
    stored = np.stack([np.rint((values[:, :, at] + 1024) / _slope(at)) for at in range(SLICES)], 2)
    _written(folder, stored.astype(np.uint16), slope=_slope, intercept=-1024)


def _copied(folder: Path, values: NDArray[np.int16]) -> None:
    """The same instances again, under other names."""
    _written(folder, values)
    for file in sorted(folder.iterdir())[:9]:
        shutil.copy(file, folder / f"copy_of_{file.name}")


def _twice(folder: Path, values: NDArray[np.int16], **tags: Any) -> None:
    """Other pixels at the same places, in the same series."""
    _written(folder, values, series="twice")

    def change(image: Any, at: int) -> None:
        image.SOPInstanceUID = uid("again", at)
        for keyword, value in tags.items():
            setattr(image, keyword, value)

    _written(folder, (values + 7).astype(np.int16), series="twice", suffix=".b", change=change)


def _frames(folder: Path, values: NDArray[np.int16]) -> None:
    order = np.random.default_rng(3).permutation(SLICES).tolist()
    write_enhanced(folder / "enhanced.dcm", values, order=order, spacing=SPACING)


def _backwards(image: Any, at: int) -> None:
    image.InstanceNumber = SLICES - at


def _without(keyword: str, where: int | None = None) -> Callable[[Any, int], None]:
    def change(image: Any, at: int) -> None:
        if where is None or at == where:
            del image[keyword]

    return change


def _bad_slope(image: Any, at: int) -> None:
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    if at == 40:
        image._dict[Tag("RescaleSlope")] = RawDataElement(Tag("RescaleSlope"), "DS", 4, b"nan ", 0, False, True)


def _cut(folder: Path, values: NDArray[np.int16]) -> None:
    _written(folder, values, shuffled=False)
    file = folder / "I00033"
    file.write_bytes(file.read_bytes()[:-200])


VARIANTS = {
    "shuffled": Variant(_series()),
    "instance numbers backwards": Variant(_series(change=_backwards)),
    "oblique": Variant(_series(direction=oblique()), more={"direction": oblique()}),
    "tilted by 15°": Variant(_series(step=TILT), told="slices are tilted by 15.0° (gantry tilt)", more={"step": TILT}),
    "signed": Variant(_series(intercept=0)),
    "unsigned, intercept -1024": Variant(_unsigned),
    "rescale per slice": Variant(_rescaled, off=0.38),
    "enhanced, frames shuffled": Variant(_frames),
    "nine slices copied": Variant(_copied, told="9 copies of slices are left out"),
    "two slices missing": Variant(
        _series(skip=(20, 21)), "slices are 2.5 mm apart, but 7.5 mm after 62.50 mm; 2 slices may be missing", True
    ),
    "first slice missing": Variant(_series(skip=(0,)), origin=(-90.0, -70.0, 17.5)),
    "two scans at one place": Variant(_twice, "66 of 132 slices lie at the place of another", True),
    "two acquisitions": Variant(
        lambda folder, values: _twice(folder, values, AcquisitionNumber=2),
        "one of 2 stacks of its series, parted by AcquisitionNumber",
    ),
    "no pixel spacing": Variant(
        _series(change=_without("PixelSpacing")), "a slice without PixelSpacing (0028,0030)", True
    ),
    "a slice without position": Variant(
        _series(change=_without("ImagePositionPatient", 30)), "1 slice may be missing", True
    ),
    "a slope that is no number": Variant(
        _series(change=_bad_slope), "RescaleSlope (0028,1053) is nan, which cannot be", True
    ),
    "a slice cut off": Variant(_cut, "I00033 is truncated: its pixels end too early", True),
}


def resampled(path: Path) -> NDArray[np.int16]:
    """A NIfTI volume as 66 slices."""
    import nibabel

    values = np.asarray(nibabel.load(path).dataobj, np.float32)
    places = np.linspace(0, values.shape[2] - 1, SLICES)
    low = np.minimum(places.astype(int), values.shape[2] - 2)
    share = (places - low).astype(np.float32)
    cut = np.rint(values[:, :, low] * (1 - share) + values[:, :, low + 1] * share)
    return np.maximum(cut, -1024).astype(np.int16)


def main() -> None:
    from typer.testing import CliRunner

    from delineate.artefact.format import Artefact, save
    from delineate.cli.root import app
    from delineate.data.core.input_spec import InputSpec
    from delineate.data.core.manifest import ClassTable
    from micro_method import brightness

    values = resampled(Path(sys.argv[1]))
    runner = CliRunner()
    with TemporaryDirectory() as name:
        base = Path(name)
        spec = InputSpec(size=values.shape[:2], channels="gray")
        from delineate.methods import registry

        registry.BUILT_IN["micro"] = "micro_method:Micro"
        save(base / "model.safetensors", Artefact(brightness(1, 1), spec, ClassTable()))
        for number, (called, variant) in enumerate(VARIANTS.items()):
            folder = base / f"v{number}"
            variant.write(folder, values)
            checked = runner.invoke(app, ["data", "check", str(folder)])
            given = [str(base / "model.safetensors"), str(folder), "--out", str(base / f"out{number}"), "--check"]
            made = runner.invoke(app, ["predict", *given])
            lines = [line for line in checked.output.splitlines() if line.startswith(("error", "warning"))]
            print(f"## {called}\ncheck {checked.exit_code}: {' | '.join(lines)}")
            print(f"predict {made.exit_code}: {made.output}{made.exception or ''}")


if __name__ == "__main__":
    main()

"""A made-up set of CT volumes in nnU-Net's raw layout, as awkward as real ones: three named channels in files of their own, scanned
obliquely, stored in mixed orders of axes, some backwards.

    python benchmarks/ct_set.py FOLDER [--cases 64] [--seed 0]

Values are Hounsfield units. The liver lies on the right, and on the left a spleen that looks the same and is not labeled, so that
a model which confuses left and right cannot do well; a lesion in the liver stands out in the arterial phase most.
`FOLDER/expected.json` tells how each volume is stored. The verbs of the command line run on it as on any other set.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

CHANNELS = ("CT native", "CT arterial", "CT venous")
LABELS = {"background": 0, "liver": 1, "lesion": 2}
# Hounsfield units in each channel.
AIR, FAT, TISSUE, BONE, ORGAN, LESION = (
    (-1000, -1000, -1000),
    (-100, -100, -100),
    (40, 45, 55),
    (700, 710, 720),
    (60, 80, 115),
    (45, 130, 95),
)
NOISE = 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    make_set(arguments.folder, arguments.cases, arguments.seed)


def make_set(folder: Path, cases: int, seed: int = 0) -> None:
    """Write `imagesTr`, `labelsTr`, `dataset.json` and `expected.json`."""
    expected = {}
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        channels, labels, affine = scan(rng)
        axes, flips = tuple(rng.permutation(3).tolist()) if case % 3 == 2 else (0, 1, 2), rng.random(3) < 0.4
        name = f"scan_{case:03d}"
        for number, voxels in enumerate(channels):
            save(folder / f"imagesTr/{name}_{number:04d}.nii.gz", *stored(voxels, affine, axes, flips))
        voxels, grid = stored(labels, affine, axes, flips)
        save(folder / f"labelsTr/{name}.nii.gz", voxels, grid)
        expected[name] = {"axes": axes, "flips": flips.tolist(), "orientation": "".join(nibabel.aff2axcodes(grid))}  # type: ignore[no-untyped-call]
    description = {
        "channel_names": {str(at): name for at, name in enumerate(CHANNELS)},
        "labels": LABELS,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    for name, content in (("dataset", description), ("expected", expected)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))


def scan(rng: np.random.Generator) -> tuple[list[NDArray[np.int16]], NDArray[np.uint8], NDArray[np.float64]]:
    """The voxels of each channel, the labels and the affine, in the order right-left, back-front, feet-head (RAS)."""
    shape = np.array([72, 60, 22]) + rng.integers(-4, 5, 3)
    spacing = np.array([5.0, 5.0, 9.0]) * rng.uniform(0.9, 1.1, 3)
    places = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*places, indexing="ij")
    size = rng.uniform(0.92, 1.08)

    def ball(center: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.bool_]:
        at = [
            (one - middle * size) / (radius * size)
            for one, middle, radius in zip((x, y, z), center, radii, strict=True)
        ]
        return np.asarray(at[0] ** 2 + at[1] ** 2 + at[2] ** 2 < 1)

    tissue = np.zeros(x.shape, np.uint8)  # an index into the list below
    body = (x / (150 * size)) ** 2 + (y / (110 * size)) ** 2 < 1
    tissue[body] = 1
    tissue[(x / (140 * size)) ** 2 + (y / (100 * size)) ** 2 < 1] = 2
    tissue[(x / (16 * size)) ** 2 + ((y + 75 * size) / (18 * size)) ** 2 < 1] = 3
    shift = rng.uniform(-8, 8, 3)
    liver = ball((72 + shift[0], 10 + shift[1], 10 + shift[2]), (52, 62, 62))
    tissue[liver] = 4
    tissue[ball((-72 - shift[0], 10 + shift[1], 10 + shift[2]), (52, 62, 62))] = 4
    lesion = (
        ball((72 + rng.uniform(-18, 18), 10 + rng.uniform(-20, 20), 10 + rng.uniform(-25, 25)), (18, 18, 22)) & liver
    )
    tissue[lesion] = 5
    labels = np.where(lesion, 2, np.where(liver, 1, 0)).astype(np.uint8)
    table = np.array((AIR, FAT, TISSUE, BONE, ORGAN, LESION))
    channels = [
        np.clip(table[tissue, at] + rng.normal(0, NOISE, x.shape), -1024, 3071).astype(np.int16)
        for at in range(len(CHANNELS))
    ]
    affine = np.eye(4)
    affine[:3, :3] = turn(*rng.uniform(-18, 18, 3)) @ np.diag(spacing)
    affine[:3, 3] = rng.uniform(-80, 80, 3) - affine[:3, :3] @ ((shape - 1) / 2)
    return channels, labels, affine


def turn(*degrees: float) -> NDArray[np.float64]:
    """A rotation about x, then y, then z."""
    whole = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = [other for other in range(3) if other != axis]
        one = np.eye(3)
        one[first, first] = one[second, second] = np.cos(angle)
        one[first, second], one[second, first] = -np.sin(angle), np.sin(angle)
        whole = one @ whole
    return whole


def stored(
    voxels: NDArray[Any], affine: NDArray[np.float64], axes: tuple[int, ...], flips: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The same voxels at the same places, in another order of axes, some of them backwards."""
    affine = affine.copy()
    backwards = [axis for axis in range(3) if flips[axis]]
    for axis in backwards:
        affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
        affine[:3, axis] *= -1
    return np.flip(voxels, tuple(backwards)).transpose(axes), affine[:, [*axes, 3]]


def save(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()

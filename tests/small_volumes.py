"""Made-up volumes as slice files and as NIfTI, small enough for every test."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.data.formats.images import write_mask

SIZE = 48
CLASSES = {"big": 1, "small": 2, "end": 3}


def slice_pixels(patient: int, index: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """A slice of a made-up volume: label 1 in all slices but the first, label 2 in the middle ones, label 3 in the last two."""
    rng = np.random.default_rng([patient, index])
    labels = np.zeros((SIZE, SIZE), np.uint8)
    if index > 0:
        cv2.circle(labels, (16 + patient % 3, 18), 9, 1, -1)
    if 1 < index < depth - 1:
        cv2.circle(labels, (34, 30 + patient % 4), 6, 2, -1)
    if index >= depth - 2:
        cv2.circle(labels, (14, 38), 5, 3, -1)
    levels = np.array([70, 160, 220, 120])[labels]
    image = np.clip(levels + rng.normal(0, 6, labels.shape), 0, 255).astype(np.uint8)
    return image, labels


def write_slices(folder: Path, *, patients: int = 10, depth: int = 7) -> Path:
    """Slices named by patient, frame and position, in patient-wise split lists: the last two patients are for testing, the two
    before for validation."""
    names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for patient in range(patients):
        split = "test" if patient >= patients - 2 else "val" if patient >= patients - 4 else "train"
        for index in range(depth):
            name = f"patient{patient:03d}_frame01_slice_{index:02d}"
            image, labels = slice_pixels(patient, index, depth)
            (folder / "images").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
            write_mask(folder / "masks" / f"{name}.png", labels)
            names[split].append(name)
    for split, listed in names.items():
        (folder / f"{split}.txt").write_text("\n".join(listed) + "\n")
    return folder


def write_volumes(folder: Path, *, patients: int = 6, depth: int = 7, axis: int = 2) -> Path:
    """The same as NIfTI volumes of 16-bit voxels, without lists."""
    nibabel = pytest.importorskip("nibabel")
    affine = np.diag([*np.insert([1.0, 1.0], axis, 5.0), 1.0])
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for patient in range(patients):
        pairs = [slice_pixels(patient, index, depth) for index in range(depth)]
        for name, which, factor in (("images", 0, 13), ("masks", 1, 1)):
            voxels = np.stack([pair[which] for pair in pairs], axis).astype(np.int16) * factor
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / name / f"case_{patient:02d}.nii.gz")
    return folder


def tilt(folder: Path) -> Path:
    """Let all volumes lie oblique, by 15 and 10 degrees."""
    nibabel = pytest.importorskip("nibabel")
    (ca, sa), (cb, sb) = ((np.cos(angle), np.sin(angle)) for angle in np.radians([15, 10]))
    turn = np.eye(4)
    turn[:3, :3] = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]]) @ np.array([[cb, -sb, 0], [sb, cb, 0], [0, 0, 1]])
    for path in folder.glob("*/*.nii.gz"):
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine), path)
    return folder


def reorder(folder: Path, name: str, axes: tuple[int, int, int], flips: tuple[int, ...]) -> None:
    """Store a volume and its labels in another order of axes, with the affine that says so."""
    nibabel = pytest.importorskip("nibabel")
    for path in (folder / "images" / f"{name}.nii.gz", folder / "masks" / f"{name}.nii.gz"):
        image = nibabel.load(path)
        affine, voxels = image.affine.copy(), np.asarray(image.dataobj)
        for axis in flips:
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
        affine = affine[:, [*axes, 3]]
        nibabel.save(nibabel.Nifti1Image(np.flip(voxels, flips).transpose(axes), affine), path)


def as_ct(folder: Path, *, channel: str | None = "CT") -> Path:
    """Give the volumes Hounsfield units: air where nothing is labeled, then 80, 120, 160. `dataset.json` names the channel."""
    nibabel = pytest.importorskip("nibabel")
    for path in sorted((folder / "images").glob("*.nii.gz")):
        labels = nibabel.load(folder / "masks" / path.name)
        marked = np.asarray(labels.dataobj).astype(np.int16)
        noise = np.random.default_rng(len(path.name)).integers(-9, 10, marked.shape, dtype=np.int16)
        voxels = np.where(marked > 0, 40 + 40 * marked, -1000).astype(np.int16) + noise
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16), labels.affine), path)
    if channel is not None:
        (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": channel}}))
    return folder

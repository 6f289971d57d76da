"""Phantoms: made-up endoscopic pictures with their true masks, for demonstrations and tests that must not need real patients.

Each picture is built as a camera would meet it: tissue with folds and vessels, lesions with a soft and uneven rim, things that
only resemble lesions, then light, speckle and lens. Everything comes from (seed, picture number).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.files import write_bytes, write_text
from delineate.data.formats.images import write_mask

__all__ = ["MAX_CLASSES", "Plane", "make_phantom", "write_phantoms"]

Plane = NDArray[Any]
"""float32, size × size (× 3 for color, RGB in [0, 1])."""

MAX_CLASSES = 3
_TINTS = ((1.18, 0.88, 0.80), (0.60, 0.52, 0.55), (1.25, 1.28, 1.05))
"""What each kind of lesion does to the tissue's color: raised and reddish, flat and dark, pale."""
_EMPTY_EVERY = 80


def write_phantoms(folder: Path, *, count: int, size: int, seed: int, classes: int = 1) -> Path:
    """Write `count` phantoms of size × size pixels: `images/`, `masks/` (0/255, or label ids when `classes` > 1) and split lists.

    Returns `folder`. About one in eighty has nothing to find. Raises `ValueError` for fewer than 8 pictures, sizes below 32, or
    other than 1 to 3 foreground classes.
    """
    if count < 8 or size < 32 or not 1 <= classes <= MAX_CLASSES:
        raise ValueError(f"phantoms need count ≥ 8, size ≥ 32 and 1 to {MAX_CLASSES} classes")
    names = [f"phantom_{number:04d}" for number in range(count)]
    for number, name in enumerate(names):
        image, labels = make_phantom(number, size=size, seed=seed, classes=classes)
        _, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        write_bytes(folder / "images" / f"{name}.png", content.tobytes())
        write_mask(folder / "masks" / f"{name}.png", labels * np.uint8(255 if classes == 1 else 1))
    for split, part in _split(names).items():
        write_text(folder / f"{split}.txt", "".join(f"{name}\n" for name in part))
    return folder


def make_phantom(number: int, *, size: int, seed: int, classes: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One phantom: image size×size×3 uint8 RGB, and class indices size×size."""
    rng = np.random.default_rng([seed, number])
    light = rng.uniform(0, 2 * math.pi)
    image = _tissue(rng, size)
    labels = np.zeros((size, size), np.uint8)
    image = _lumen(rng, image)
    for _ in range(rng.integers(0, 3)):
        image = _residue(rng, image)
    if number % _EMPTY_EVERY != 7:
        for kind in range(1, classes + 1):
            if classes == 1 or rng.random() < 0.75:
                for _ in range(1 if rng.random() < 0.75 else 2):
                    image = _lesion(rng, image, labels, kind, light)
    for _ in range(rng.integers(0, 3)):
        image = _bubble(rng, image)
    return _camera(rng, image, light), labels


def _tissue(rng: np.random.Generator, size: int) -> Plane:
    """Mucosa: a pink base, broad folds, fine grain, vessels."""
    base = np.array([0.78, 0.46, 0.38]) * rng.uniform(0.8, 1.1) + rng.uniform(-0.05, 0.05, 3)
    shade = 1 + 0.13 * _clouds(rng, size, 3) + 0.04 * _clouds(rng, size, 10) + 0.02 * _clouds(rng, size, 40)
    folds = np.abs(_clouds(rng, size, 4))
    shade *= 1 - 0.28 * np.exp(-((folds / 0.16) ** 2)) * (_clouds(rng, size, 3) > -0.3)
    image = shade[..., None] * base.astype(np.float32)
    vessels = np.exp(-((_clouds(rng, size, 7) / 0.07) ** 2)) * np.clip(_clouds(rng, size, 4), 0, 1)
    return image * (1 - vessels[..., None] * np.array([0.12, 0.34, 0.30], np.float32) * rng.uniform(0.3, 1))


def _lumen(rng: np.random.Generator, image: Plane) -> Plane:
    """The dark end of the tube, in some pictures."""
    if rng.random() < 0.5:
        return image
    size = len(image)
    center = rng.uniform(-0.05, 1.05, 2) * size
    depth, _ = _blob(rng, size, center, rng.uniform(0.12, 0.3) * size, roughness=0.12)
    return image * (1 - 0.85 / (1 + np.exp((depth - 0.9) * 5)))[..., None]


def _residue(rng: np.random.Generator, image: Plane) -> Plane:
    """Yellowish matter: of a lesion's size, but not to be marked."""
    size = len(image)
    depth, _ = _blob(rng, size, rng.uniform(0.05, 0.95, 2) * size, rng.uniform(0.03, 0.1) * size, roughness=0.35)
    alpha = 0.75 / (1 + np.exp((depth - 1) * 8))
    color = (
        np.array([0.72, 0.6, 0.25], np.float32) * rng.uniform(0.7, 1.1) * (1 + 0.15 * _clouds(rng, size, 30)[..., None])
    )
    return image + (color - image) * alpha[..., None]


def _lesion(rng: np.random.Generator, image: Plane, labels: NDArray[np.uint8], kind: int, light: float) -> Plane:
    """Draw one lesion and mark it. Its strength varies, so that a few are hard to see."""
    size = len(image)
    radius = rng.uniform(0.1, 0.25) * size
    depth, offset = _blob(rng, size, _free_place(rng, labels, radius), radius, roughness=0.16)
    labels[depth <= 1] = kind
    strength = 0.4 if rng.random() < 0.08 else rng.uniform(0.75, 1.15)
    # The rim is sharp on one side and fades on the other.
    facing = offset[0] * math.sin(light) + offset[1] * math.cos(light)
    softness = (0.05 + 0.09 * rng.random()) * (1 + 0.8 * np.tanh(facing * rng.uniform(-1.5, 1.5)))
    alpha = strength / (1 + np.exp(np.clip((depth - 1) / softness, -30, 30)))
    surface = 1 + 0.07 * _clouds(rng, size, 22) + 0.04 * _clouds(rng, size, 60)
    if kind == 1:
        # A dome: bright towards the light, its shadow behind it.
        surface = surface + 0.4 * facing * np.clip(1.3 - depth, 0, 1) + 0.35 * np.clip(1 - depth, 0, 1)
        shadow = np.exp(-(((depth - 1.12) / 0.16) ** 2)) * np.clip(-facing, 0, 1)
        image = image * (1 - 0.5 * strength * shadow)[..., None]
    else:
        surface = surface + 0.12 * np.sin(9 * depth + rng.uniform(0, 6))
    tint = np.array(_TINTS[kind - 1], np.float32) + rng.uniform(-0.06, 0.06, 3).astype(np.float32)
    return image * (1 + alpha[..., None] * (surface[..., None] * tint - 1))


def _free_place(rng: np.random.Generator, labels: NDArray[np.uint8], radius: float) -> Plane:
    """Of a few random places, the one that covers least of what is marked already."""
    size = len(labels)
    rows, columns = np.mgrid[0:size, 0:size]
    places = rng.uniform(0.2, 0.8, (8, 2)) * size
    covered = [(labels[np.hypot(rows - y, columns - x) < 1.1 * radius] > 0).sum() for y, x in places]
    return places[int(np.argmin(covered))]


def _bubble(rng: np.random.Generator, image: Plane) -> Plane:
    """A foam bubble: a thin bright ring with a glint."""
    size = len(image)
    center, radius = rng.uniform(0, 1, 2) * size, rng.uniform(0.015, 0.05) * size
    depth, offset = _blob(rng, size, center, radius, roughness=0.0)
    ring = 0.25 * np.exp(-(((depth - 1) / 0.18) ** 2))
    glint = 0.7 * np.exp(-((np.hypot(offset[0] + 0.4, offset[1] + 0.4) / 0.25) ** 2))
    return image + (ring + glint)[..., None]


def _camera(rng: np.random.Generator, image: Plane, light: float) -> NDArray[np.uint8]:
    """Uneven light, wet glints, vignette, blur, speckle and exposure."""
    size = len(image)
    y, x = _grid(size)
    image = image * (1 + 0.25 * (y * math.sin(light) + x * math.cos(light)))[..., None]
    wet = np.clip(_clouds(rng, size, 9) + 0.8 * _clouds(rng, size, 30) - rng.uniform(3.6, 4.6), 0, 1)
    image = image + cv2.GaussianBlur(np.minimum(3 * wet, 0.8), (0, 0), 0.6 * size / 128)[..., None]
    vignette = 1 / (1 + np.exp((np.hypot(x, y) - rng.uniform(1.15, 1.3)) * 12))
    image = image * (0.05 + 0.95 * vignette)[..., None]
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.3, 0.8) * size / 128)
    image = image * (1 + 0.02 * rng.standard_normal((size, size, 1), np.float32))
    image = image + 0.008 * rng.standard_normal(image.shape, np.float32)
    image = np.clip(image * rng.uniform(0.85, 1.15), 0, 1) ** rng.uniform(0.85, 1.15)
    return np.round(image * 255).astype(np.uint8)


def _blob(
    rng: np.random.Generator, size: int, center: Plane, radius: float, *, roughness: float
) -> tuple[Plane, tuple[Plane, Plane]]:
    """An irregular star-shaped region: depth (0 at the center, 1 on the outline) and the offset (y, x) in radii."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    y, x = (rows - center[0]) / radius, (columns - center[1]) / radius
    turn, stretch = rng.uniform(0, math.pi), 1 + 2.2 * roughness * rng.random()
    along = (x * math.cos(turn) + y * math.sin(turn)) / stretch
    across = (y * math.cos(turn) - x * math.sin(turn)) * stretch
    angle = np.arctan2(across, along)
    outline = np.ones_like(angle)
    for wave in range(2, 8):
        outline += roughness * rng.normal() / wave * np.cos(wave * angle + rng.uniform(0, 2 * math.pi))
    return np.hypot(along, across) / np.maximum(outline, 0.3), (y, x)


def _clouds(rng: np.random.Generator, size: int, cells: int) -> Plane:
    """Smooth noise of mean 0 and standard deviation about 1, with about `cells` cells across the picture."""
    coarse = rng.standard_normal((cells + 3, cells + 3), np.float32)
    scale = size / cells
    matrix = np.array([[scale, 0, -1.5 * scale], [0, scale, -1.5 * scale]])
    return 1.35 * cv2.warpAffine(coarse, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _grid(size: int) -> tuple[Plane, Plane]:
    """y and x from −1 to 1."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return axis[:, None], axis[None, :]


def _split(names: list[str]) -> dict[str, list[str]]:
    """Of every ten pictures, seven are for training, one for validation, two for testing."""
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number, name in enumerate(names):
        parts["val" if number % 10 == 3 else "test" if number % 10 in (2, 6) else "train"].append(name)
    return parts

"""Write masks.npz, instances.npz and probabilities.npz beside this file: arrays, and what the peers say of them.

    python tests/evaluation/metrics/golden/make.py

Needs the libraries of `peers.py`. The arrays are kept as well, so that the numbers outlive changes of random generators. Values
that a library does not define for a pair (it divides by zero) are NaN.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, label

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import peers  # noqa: E402

TOLERANCES = {True: 1.0, False: 1.37}
"""Unit spacing → tolerance. No distance of another spacing is that close to 1.37 that rounding to single precision matters."""


def main() -> None:
    write_masks()
    write_instances()
    write_probabilities()


def write_masks() -> None:
    cases = list(mask_cases(np.random.default_rng(95)))
    values: dict[str, list[float]] = {}
    tolerances = [TOLERANCES[set(spacing) == {1.0}] for *_, spacing in cases]
    for index, ((_, prediction, reference, spacing), tolerance) in enumerate(zip(cases, tolerances, strict=True)):
        for peer in peers.MASK_PEERS:
            for name, value in getattr(peers, peer)(prediction, reference, spacing, tolerance).items():
                values.setdefault(f"{name} {peer}", [np.nan] * len(cases))[index] = value
    np.savez_compressed(
        HERE / "masks.npz",
        names=[name for name, *_ in cases],
        shapes=[fill(mask.shape) for _, mask, *_ in cases],
        spacings=[fill(spacing) for *_, spacing in cases],
        tolerances=tolerances,
        bits=np.packbits(np.concatenate([np.concatenate([a.ravel(), b.ravel()]) for _, a, b, _ in cases])),
        **{f"value {key}": np.array(column) for key, column in values.items()},
    )
    print(len(cases), "pairs of masks,", len(values), "values each")


def fill(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Of three axes, 0 where there are two."""
    return (*numbers, 0)[:3]


def mask_cases(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray, np.ndarray, tuple[float, ...]]]:
    """(name, prediction, reference, spacing): every shape with unit and with anisotropic spacing."""
    for index, (name, prediction, reference) in enumerate(shapes(rng)):
        axes = prediction.ndim
        uneven = tuple(float(size) for size in rng.uniform(0.4, 3.2, axes).round(3))
        for spacing in ((1.0,) * axes, uneven):
            yield f"{index} {name}", prediction, reference, spacing


def shapes(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for axes, size in ((2, 30), (3, 11)):
        for _ in range(16):
            shape = tuple(rng.integers(size // 2, size, axes))
            yield f"blobs {axes}-D", blobs(rng, shape), blobs(rng, shape)
        for density in (0.03, 0.3, 0.9):
            shape = tuple(rng.integers(3, size // 2, axes))
            noise = [rng.random(shape) < density for _ in range(2)]
            for mask in noise:
                mask[tuple(rng.integers(0, shape))] = True
            yield f"noise {density} {axes}-D", noise[0], noise[1]
        shape = (size // 2, size // 3, 5)[:axes]
        corner, far, full = (np.zeros(shape, bool) for _ in range(3))
        corner[(0,) * axes], far[(-1,) * axes], full[...] = True, True, True
        half, frame = full.copy(), full.copy()
        half[shape[0] // 2 :] = False
        frame[(slice(1, -1),) * axes] = False
        board = np.indices(shape).sum(0) % 2 == 0
        yield f"one pixel each {axes}-D", corner, far
        yield f"same pixel {axes}-D", corner, corner
        yield f"full and full {axes}-D", full, full
        yield f"full and one pixel {axes}-D", full, corner
        yield f"half at the border {axes}-D", half, ~half
        yield f"frame and full {axes}-D", frame, full
        yield f"chessboard and half {axes}-D", board, half
        yield f"chessboard and its inverse {axes}-D", board, ~board
        yield f"blob and full {axes}-D", blobs(rng, shape), full
        yield f"blob and corner {axes}-D", blobs(rng, shape), corner
        thin = rng.random((1, 9, 4)[:axes]) < 0.5
        thin.flat[0] = True
        yield f"one row {axes}-D", thin, thin[:, ::-1] | thin


def blobs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth random foreground, touching the border as often as not; never empty."""
    noise = gaussian_filter(rng.standard_normal(shape), rng.uniform(1, 2.5))
    return noise >= np.quantile(noise, rng.uniform(0.4, 0.9))


def write_instances() -> None:
    rng, cases = np.random.default_rng(19), []
    for _ in range(20):
        shape = (24, 30)
        reference = label(blobs(rng, shape))[0]
        moved = np.roll(reference, rng.integers(-2, 3, 2), (0, 1))
        prediction = label((moved > 0) & (rng.random(shape) < rng.selection([0.9, 1])))[0]
        cases.append((prediction, reference))
    values = [peers.instances(*case) for case in cases]
    maps = np.array(cases, np.uint8)
    np.savez_compressed(
        HERE / "instances.npz", maps=maps, **{name: [value[name] for value in values] for name in values[0]}
    )
    print(len(cases), "pairs of instance maps")


def write_probabilities() -> None:
    rng = np.random.default_rng(7)
    logits = rng.standard_normal((10, 4, 8, 9)) * 2
    several = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = (several.cumsum(1) < rng.random((10, 1, 8, 9))).sum(1).clip(0, 3).astype(np.uint8)
    np.savez_compressed(
        HERE / "probabilities.npz",
        several=several,
        classes=classes,
        brier=[peers.brier(p, y) for p, y in zip(several, classes, strict=True)],
        brier_binary=[peers.brier(p[1], (y == 1).astype(int)) for p, y in zip(several, classes, strict=True)],
    )
    print(len(classes), "maps of probabilities")


if __name__ == "__main__":
    main()

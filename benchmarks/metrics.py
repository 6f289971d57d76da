"""Metrics of masks: time beside MONAI's and MedPy's, ways to the nearest boundary, and how libraries disagree on HD95.

    python benchmarks/metrics.py [--rounds N] [--threads N]     times, as ratios in one run
    python benchmarks/metrics.py --routes                       a tree of boundary points or a distance transform?
    python benchmarks/metrics.py --disagreements                HD95 of the same masks by several libraries

MONAI, MedPy and surface-distance take part where they are installed; none is a dependency. Contestants take turns, so that
other work on the machine meets each alike; a ratio is that of the best rounds.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

from delineate.evaluation.metrics import surface
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.registry import resolve
from turns import best_of_turns, print_times

Mask = NDArray[np.bool_]
Spacing = tuple[float, ...]
TOLERANCE = 2.0
CONVENTIONS = {
    "`hd95_max`": surface.hd95_max,
    "`hd95_pooled`": surface.hd95_pooled,
    "`hd95_weighted`": surface.hd95_weighted,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of masks to evaluate with all metrics")
    parser.add_argument("--routes", action="store_true")
    parser.add_argument("--disagreements", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.routes:
        compare_routes(arguments.rounds)
    elif arguments.disagreements:
        print_disagreements()
    else:
        compare_libraries(arguments.rounds, arguments.threads)
        time_many_pairs(arguments.pairs, arguments.threads)


def compare_libraries(rounds: int, threads: int) -> None:
    """HD95, ASSD and NSD of an image pair and of a volume pair. (MedPy has no NSD.)"""
    rng = np.random.default_rng(0)
    pair, volume = organ(rng, (512, 512)), organ(rng, (100, 512, 512))
    for title, (prediction, reference), spacing, turns in (
        ("512×512, spacing 1", pair, (1.0, 1.0), rounds * 3),
        ("100×512×512, spacing 2.5×0.8×0.8", volume, (2.5, 0.8, 0.8), rounds),
    ):
        print(f"HD95 + ASSD + NSD, {title}, {threads} threads")
        contestants = library_contestants(prediction, reference, spacing, threads)
        if prediction.ndim == 3:
            contestants.pop("MedPy", None)  # a minute a round
        contestants["here"] = partial(ours, prediction, reference, spacing)
        best = best_of_turns(contestants, turns)
        print_times(best)
        for name, (wall, cpu) in list(best.items())[:-1]:
            ratios = f"1/{wall / best['here'].wall:.1f}, of processor time 1/{cpu / best['here'].cpu:.1f}"
            print(f"  time here / {name}: {ratios}")


def ours(prediction: Mask, reference: Mask, spacing: Spacing) -> tuple[float, ...]:
    of = Masks.of(prediction, reference, spacing=spacing)
    return surface.hd95_max(of), surface.assd(of), surface.nsd(of, TOLERANCE)


def library_contestants(
    prediction: Mask, reference: Mask, spacing: Spacing, threads: int
) -> dict[str, Callable[[], object]]:
    """The libraries that are installed; conversion of the arrays to tensors is not timed."""
    found: dict[str, Callable[[], object]] = {}
    if find_spec("monai"):
        import torch
        from monai import metrics as monai

        torch.set_num_threads(threads)
        pair = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, reference)]
        how = {"include_background": True, "spacing": spacing}
        found["MONAI"] = lambda: (
            monai.compute_hausdorff_distance(*pair, percentile=95, **how),
            monai.compute_average_surface_distance(*pair, symmetric=True, **how),
            monai.compute_surface_dice(*pair, [TOLERANCE], **how),
        )
    if find_spec("medpy"):
        from medpy.metric import binary as medpy

        found["MedPy"] = lambda: (
            medpy.hd95(prediction, reference, spacing),
            medpy.assd(prediction, reference, spacing),
        )
    return found


def time_many_pairs(count: int, threads: int) -> None:
    """All overlap, size and boundary metrics of `count` pairs of 352×352: 40 different ones, each met anew."""
    rng = np.random.default_rng(1)
    pairs = [organ(rng, (352, 352)) for _ in range(40)]
    metrics = resolve(["overlap", "size", "boundary"])

    def evaluate(index: int) -> list[float]:
        of = Masks.of(*pairs[index % len(pairs)])
        return [metric.value(of) for metric in metrics]

    def on(workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(evaluate, range(count)))

    print(f"{count} pairs of 352×352, {len(metrics)} metrics: {', '.join(metric.name for metric in metrics)}")
    print_times(best_of_turns({"one thread": partial(on, 1), f"{threads} threads": partial(on, threads)}, 1))


def compare_routes(rounds: int) -> None:
    """Time of the distances of n random points to n others, by the share of the pixels that they are."""
    rng = np.random.default_rng(2)
    print("shape            share    points    tree  transform   OpenCV   milliseconds")
    for shape in ((100, 100), (512, 512), (60, 150, 150)):
        for share in (0.003, 0.01, 0.03, 0.1, 0.3):
            one, other = (rng.random(shape) < share for _ in range(2))
            ways: dict[str, Callable[[], object]] = {
                "tree": partial(by_tree, one, other),
                "transform": partial(by_transform, one),
            }
            if one.ndim == 2:
                ways["OpenCV"] = partial(by_opencv, one)
            times = [f"{best.wall * 1000:8.2f}" for best in best_of_turns(ways, rounds).values()]
            print(f"{'×'.join(map(str, shape)):14s} {share:7.1%} {one.sum():9d}{' '.join(times)}")


def by_tree(one: Mask, other: Mask) -> object:
    tree = cKDTree(np.argwhere(one) * 1.0, balanced_tree=False, compact_nodes=False)
    return tree.query(np.argwhere(other) * 1.0)


def by_transform(one: Mask) -> object:
    return distance_transform_edt(~one)


def by_opencv(one: Mask) -> object:
    return cv2.distanceTransform((~one).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def print_disagreements() -> None:
    """HD95 by each convention and library for each shape, and the spread: largest / smallest − 1."""
    libraries = hd95_of_libraries()
    print_row("masks", "spacing", *CONVENTIONS, *libraries, "spread")
    print_row(*["---"] * (3 + len(CONVENTIONS) + len(libraries)))
    for title, prediction, reference, spacing in shapes():
        here = conventions(prediction, reference, spacing)
        values = [*here, *(library(prediction, reference, spacing) for library in libraries.values())]
        print_row(title, sizes(spacing), *(f"{value:.2f}" for value in values), f"{max(here) / min(here) - 1:.0%}")
    print()
    print_row("random organs", "spacing", "pairs", "median spread", "90th percentile", "largest")
    print_row(*["---"] * 6)
    for shape, spacing in SERIES:
        spreads = np.array(list(random_spreads(shape, spacing)))
        quantiles = [f"{value:.0%}" for value in np.quantile(spreads, (0.5, 0.9, 1))]
        print_row(sizes(shape), sizes(spacing), str(spreads.size), *quantiles)


SERIES = (((128, 128), (1, 1)), ((96, 128), (2.0, 0.7)), ((40, 40, 40), (1, 1, 1)), ((24, 64, 64), (5.0, 0.8, 0.8)))


def random_spreads(shape: tuple[int, ...], spacing: Spacing) -> Iterator[float]:
    """largest / smallest − 1 of the conventions, for 100 random pairs less those with an empty mask."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        pair = organ(rng, shape)
        if all(mask.any() for mask in pair):
            values = conventions(*pair, spacing)
            yield max(values) / min(values) - 1


def conventions(prediction: Mask, reference: Mask, spacing: Spacing) -> list[float]:
    of = Masks.of(prediction, reference, spacing=spacing)
    return [convention(of) for convention in CONVENTIONS.values()]


def print_row(*cells: str) -> None:
    print("|", " | ".join(cells), "|")


def sizes(numbers: tuple[float, ...]) -> str:
    return " × ".join(f"{number:g}" for number in numbers)


def hd95_of_libraries() -> dict[str, Callable[[Mask, Mask, Spacing], float]]:
    found: dict[str, Callable[[Mask, Mask, Spacing], float]] = {}
    if find_spec("monai"):
        found["MONAI"] = hd95_of_monai
    if find_spec("medpy"):
        from medpy.metric import binary as medpy

        found["MedPy"] = lambda *masks_and_spacing: float(medpy.hd95(*masks_and_spacing))
    if find_spec("surface_distance"):
        import surface_distance as package

        found["surface-distance"] = lambda prediction, reference, spacing: float(
            package.compute_robust_hausdorff(package.compute_surface_distances(reference, prediction, spacing), 95)
        )
    return found


def hd95_of_monai(prediction: Mask, reference: Mask, spacing: Spacing) -> float:
    import torch
    from monai.metrics import compute_hausdorff_distance

    pair = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, reference)]
    return float(compute_hausdorff_distance(*pair, percentile=95, include_background=True, spacing=spacing))


def shapes() -> Iterator[tuple[str, Mask, Mask, Spacing]]:
    """(title, prediction, reference, spacing)"""
    disc, larger = (ball((256, 256), (128, 128), (radius, radius)) for radius in (60, 62))
    yield "disc, shifted by 8", ball((256, 256), (128, 136), (60, 60)), disc, (1, 1)
    yield "disc, 6 too large", ball((256, 256), (128, 128), (66, 66)), disc, (1, 1)
    yield "disc with a spur", disc | box((256, 256), (124, 180), (133, 210)), disc, (1, 1)
    yield "disc, 2 too large, and an island", larger | ball((256, 256), (40, 220), (4, 4)), disc, (1, 1)
    yield "ellipse without its tip", tipless(), ball((256, 256), (128, 128), (30, 90)), (1, 1)
    yield "ragged outline", *organ(np.random.default_rng(5), (256, 256)), (1, 1)
    yield "ellipse, coarse rows", *shifted_ellipse(), (3.0, 0.6)
    sphere = ball((24, 96, 96), (12, 48, 48), (7, 30, 30))
    yield "organ, a slice too high", ball((24, 96, 96), (13, 48, 50), (7, 30, 30)), sphere, (5.0, 0.8, 0.8)
    yield "organ, two slices short", sphere & (np.arange(24) < 17)[:, None, None], sphere, (5.0, 0.8, 0.8)
    yield "flat organ, swollen", ball((24, 96, 96), (12, 48, 48), (3, 33, 36)), flat(), (5.0, 0.8, 0.8)


def shifted_ellipse() -> tuple[Mask, Mask]:
    return ball((90, 256), (46, 120), (12, 90)), ball((90, 256), (44, 128), (12, 90))


def flat() -> Mask:
    return ball((24, 96, 96), (12, 48, 48), (2, 30, 30))


def tipless() -> Mask:
    return ball((256, 256), (128, 128), (30, 90)) & (np.arange(256) < 200)


def ball(shape: tuple[int, ...], center: tuple[float, ...], radii: tuple[float, ...]) -> Mask:
    away = [((np.arange(n) - c) / r) ** 2 for n, c, r in zip(shape, center, radii, strict=True)]
    distance: NDArray[np.float64] = sum(np.meshgrid(*away, indexing="ij", sparse=True), np.zeros(()))
    return distance <= 1


def box(shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(map(slice, low, high))] = True
    return mask


def organ(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Mask, Mask]:
    """A rounded organ with an uneven surface, and the same seen a little differently."""
    away = [np.linspace(-1, 1, n) ** 2 for n in shape]
    body = 0.2 - sum(np.meshgrid(*away, indexing="ij", sparse=True))
    small = tuple(max(4, n // 8) for n in shape)
    bumps, errors = (grown(gaussian_filter(rng.standard_normal(small), 2), shape) for _ in range(2))
    reference = body + 0.1 * bumps / bumps.std()
    return reference + 0.03 * errors / errors.std() > 0, reference > 0


def grown(field: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Interpolated linearly to a larger shape, axis by axis."""
    for axis, n in enumerate(shape):
        places = np.linspace(0, field.shape[axis] - 1, n)
        low = np.minimum(places.astype(int), field.shape[axis] - 2)
        share = (places - low).reshape([-1 if i == axis else 1 for i in range(field.ndim)])
        field = field.take(low, axis) * (1 - share) + field.take(low + 1, axis) * share
    return field


if __name__ == "__main__":
    main()

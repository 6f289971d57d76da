"""Near duplicates: recall and precision on copies planted into real sets, and the time that the search takes.

    python benchmarks/duplicates.py DIR...

Every fourth picture gets a copy, made in one of seven ways in turn; all are searched at once. A pair that the set itself has
without any copies counts as neither right nor wrong: look at such pairs with `delineate data check DIR --report page.html`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from delineate.data.duplicates import Twins, find_twins, picture_hash
from delineate.data.images import read_image
from delineate.data.layouts import discover

EVERY = 4
Image = Any
Change = Callable[[Image, np.random.Generator], Image]


def resized(image: Image, factor: float) -> Image:
    height, width = (max(8, round(side * factor)) for side in image.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=how)


def recompressed(image: Image, quality: int) -> Image:
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(content, cv2.IMREAD_UNCHANGED)


def cropped(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Without `share` of the height and of the width, from a random corner."""
    height, width = image.shape[:2]
    tall, wide = round(height * (1 - share)), round(width * (1 - share))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    return image[top : top + tall, left : left + wide]


CHANGES: dict[str, Change] = {
    "resized to 50 %": lambda image, rng: resized(image, 0.5),
    "resized to 150 %": lambda image, rng: resized(image, 1.5),
    "JPEG, quality 30": lambda image, rng: recompressed(image, 30),
    "mirrored": lambda image, rng: image[:, ::-1] if rng.random() < 0.5 else image[::-1],
    "cropped by 5 %": lambda image, rng: cropped(image, 0.05, rng),
    "cropped by 5 % on each side": lambda image, rng: trimmed(image),
    "mirrored, cropped by 5 %, 50 %, JPEG 50": lambda image, rng: recompressed(
        resized(cropped(image[:, ::-1], 0.05, rng), 0.5), 50
    ),
}


def trimmed(image: Image) -> Image:
    height, width = (round(side * 0.05) for side in image.shape[:2])
    return image[height : image.shape[0] - height, width : image.shape[1] - width]


def eight_bits(image: Image) -> Image:
    image = image if image.dtype == np.uint8 else (image // 257).astype(np.uint8)
    return np.ascontiguousarray(image[..., :3] if image.ndim == 3 else image)


def measure(folder: Path) -> None:
    manifest = discover(folder)
    names, kinds = [case.id for case in manifest.cases], list(CHANGES)

    def hashes_of(index: int) -> list[tuple[str, Any]]:
        image = read_image(manifest.path(manifest.cases[index].images[0]))
        found = [(names[index], picture_hash(image))]
        if index % EVERY == 0:
            kind = kinds[index // EVERY % len(kinds)]
            copy = CHANGES[kind](eight_bits(image), np.random.default_rng(index))
            found.append((f"{names[index]}/{kind}", picture_hash(np.ascontiguousarray(copy))))
        return found

    with ThreadPoolExecutor(2) as pool:
        hashes = {name: one for each in pool.map(hashes_of, range(len(names))) for name, one in each if one is not None}
    wall, cpu = time.perf_counter(), time.process_time()
    own = find_twins({name: hashes[name] for name in names if name in hashes}, workers=2)
    spent = f"{time.perf_counter() - wall:.1f} s (processor {time.process_time() - cpu:.1f} s)"
    print(f"\n{folder.name}: {len(names)} pictures, {len(own)} pairs of their own, searched in {spent}", flush=True)
    report(hashes, find_twins(hashes, workers=2), own)


def report(hashes: dict[str, Any], twins: list[Twins], own: list[Twins]) -> None:
    source = {name: name.partition("/")[0] for name in hashes}
    known = {frozenset((one.first, one.second)) for one in own}
    planted = Counter(name.partition("/")[2] for name in hashes if "/" in name)
    right, wrong = Counter[str](), 0
    for one in twins:
        ends = frozenset((source[one.first], source[one.second]))
        if len(ends) == 1:
            right[max(one.first, one.second, key=len).partition("/")[2]] += 1
        elif ends not in known and not _joined(ends, known):
            wrong += 1
            print(f"  wrong: {one.first} = {one.second} ({one.similarity:.3f})")
    for kind, number in planted.items():
        print(f"  {kind:42s} {right[kind]:4d} of {number:4d} found")
    total = sum(right.values())
    print(f"  recall {total / sum(planted.values()):.4f}, precision {total / max(1, total + wrong):.4f}", flush=True)


def _joined(ends: frozenset[str], known: set[frozenset[str]]) -> bool:
    """Whether two pictures have a common twin: then each is the other's copy of a copy."""
    first, second = ends
    partners = [{name for pair in known if one in pair for name in pair} for one in (first, second)]
    return bool(partners[0] & partners[1])


if __name__ == "__main__":
    cv2.setNumThreads(0)
    for argument in sys.argv[1:]:
        measure(Path(argument))

"""Near duplicates: recall and precision on copies planted into real sets, and the time that the search takes.

    python benchmarks/duplicates.py [--frame ring|octagon|sector|lettering] DIR...

`--frame` puts all pictures into the same frame first: the black ring of a fundus camera, an endoscope's octagon with its text, an
ultrasound sector with its rulers, or lettering all over the picture.

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

from delineate.data.formats.registry import read_image
from delineate.data.layouts.discover import discover
from delineate.data.splits.near_duplicates import DuplicatePair, find_near_duplicates, picture_hash

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


def ring(image: Image) -> Image:
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = cv2.resize(image[top : top + side, left : left + side], (565, 565), interpolation=cv2.INTER_AREA)
    rows, columns = np.mgrid[:565, :565] - 282
    image[rows**2 + columns**2 > 268**2] = 0
    return image


def octagon(image: Image) -> Image:
    image = cv2.resize(image, (640, 512), interpolation=cv2.INTER_AREA)
    corners = [[110, 0], [530, 0], [639, 110], [639, 402], [530, 511], [110, 511], [0, 402], [0, 110]]
    inside = cv2.fillPoly(np.zeros((512, 640), np.uint8), [np.array(corners)], 1)
    image[inside == 0] = 0
    image = cv2.copyMakeBorder(image, 0, 0, 160, 0, cv2.BORDER_CONSTANT)
    for line, text in enumerate(("Name: X", "Sex: F", "12/03/2011", "10:31:22", "CVP:A3", "Eh:A5")):
        cv2.putText(image, text, (6, 40 + 40 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (230, 230, 230), 1, cv2.LINE_AA)
    return image


def sector(image: Image) -> Image:
    image = cv2.resize(image, (500, 420), interpolation=cv2.INTER_AREA)
    inside = cv2.ellipse(np.zeros((420, 500), np.uint8), (250, -60), (460, 460), 0, 48, 132, 1, -1)
    inside[:30] = 0
    image[inside == 0] = 0
    for tick in range(10):
        cv2.line(image, (488, 40 + 36 * tick), (496, 40 + 36 * tick), (255, 255, 255), 1)
    cv2.putText(image, "TIS 0.4  MI 1.2", (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    return image


def lettering(image: Image) -> Image:
    image = cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA)
    for line in range(9):
        place = (10 + 30 * (line % 3), 40 + 55 * line)
        cv2.putText(
            image, "Patient 12345 Hospital 2011", place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255,) * 3, 2, cv2.LINE_AA
        )
    return image


FRAMES: dict[str, Callable[[Image], Image]] = {
    "ring": ring,
    "octagon": octagon,
    "sector": sector,
    "lettering": lettering,
}


def measure(folder: Path, frame: str) -> None:
    manifest = discover(folder)
    names, kinds = [case.id for case in manifest.cases], list(CHANGES)

    def hashes_of(index: int) -> list[tuple[str, Any]]:
        image = read_image(manifest.path(manifest.cases[index].images[0]))
        if frame:
            image = FRAMES[frame](eight_bits(image))
        found = [(names[index], picture_hash(image))]
        if index % EVERY == 0:
            kind = kinds[index // EVERY % len(kinds)]
            copy = CHANGES[kind](eight_bits(image), np.random.default_rng(index))
            found.append((f"{names[index]}/{kind}", picture_hash(np.ascontiguousarray(copy))))
        return found

    with ThreadPoolExecutor(2) as pool:
        hashes = {name: one for each in pool.map(hashes_of, range(len(names))) for name, one in each if one is not None}
    wall, cpu = time.perf_counter(), time.process_time()
    own = find_near_duplicates({name: hashes[name] for name in names if name in hashes}, workers=2)
    spent = f"{time.perf_counter() - wall:.1f} s (processor {time.process_time() - cpu:.1f} s)"
    print(
        f"\n{folder.name} {frame}: {len(names)} pictures, {len(own)} pairs of their own, searched in {spent}",
        flush=True,
    )
    report(hashes, find_near_duplicates(hashes, workers=2), own)


def report(hashes: dict[str, Any], twins: list[DuplicatePair], own: list[DuplicatePair]) -> None:
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
    arguments = sys.argv[1:]
    frame = arguments[1] if arguments[0] == "--frame" else ""
    for argument in arguments[2 if frame else 0 :]:
        measure(Path(argument), frame)

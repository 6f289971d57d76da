"""Augmented training samples per second: the library's loader against one that decodes every time, in one run.

    python benchmarks/data_path.py [FOLDER]      a folder with images/ and masks/ (Kvasir-SEG is meant); else made-up JPEGs

Both make the same thing: 352×352 JPEG and PNG mask → 256×256 float32 batch with the same augmentation. The decode-every-time
loader is the usual one: `torch.utils.data.DataLoader` with two worker processes, `cv2.imread`, `cv2.resize`, augment.
The two are measured in turns, so that other work on the machine meets both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from delineate.data.augment import apply as transform
from delineate.data.augment import settings as augment
from delineate.data.augment.settings import AugmentSettings
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.cases.phantom import make_phantom
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, Manifest
from delineate.data.loading.loader import Loader
from delineate.data.loading.open_data import open_data

TYPICAL = AugmentSettings(
    flip_horizontal=0.5,
    flip_vertical=0.5,
    warp=0.7,
    rotate=90,
    scale=(0.8, 1.25),
    shift=0.06,
    color=0.8,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.05,
    blur=0.15,
    dropout=0.3,
)
"""What segmentation papers commonly use."""
SIZE = (256, 256)
WORKERS = 2


class DecodeEveryTime(Dataset):
    """Read, resize, augment: the loader of most research repositories."""

    def __init__(self, manifest: Manifest, cases: tuple[Case, ...]) -> None:
        self.files = [(str(manifest.path(case.images[0])), str(manifest.path(case.masks[0]))) for case in cases]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image_file, mask_file = self.files[index]
        colors, gray = cv2.imread(image_file), cv2.imread(mask_file, cv2.IMREAD_GRAYSCALE)
        assert colors is not None
        assert gray is not None
        image = cv2.resize(cv2.cvtColor(colors, cv2.COLOR_BGR2RGB), SIZE, interpolation=cv2.INTER_AREA)
        classes = np.asarray(gray > 127, np.uint8)
        mask = np.asarray(cv2.resize(classes, SIZE, interpolation=cv2.INTER_NEAREST), np.uint8)
        parameters = augment.sample(TYPICAL, np.random.default_rng(), *SIZE)
        image, mask = transform.apply(image, mask, parameters)
        return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1), torch.from_numpy(mask).long()


def ours(loader: Loader, start: int, steps: int) -> float:
    """Samples per second over some steps, up to the tensors that the engine is given."""
    begun, count = time.perf_counter(), 0
    for batch in loader.batches(start, start + steps):
        torch.from_numpy(batch.image).permute(0, 3, 1, 2)
        torch.from_numpy(batch.mask).long()
        count += len(batch.sample_id)
    return count / (time.perf_counter() - begun)


def theirs(loader: DataLoader) -> float:
    """Samples per second over an epoch, without the start of the worker processes."""
    batches = iter(loader)
    next(batches)
    begun, count = time.perf_counter(), 0
    for image, _ in batches:
        count += len(image)
    return count / (time.perf_counter() - begun)


def cpu_milliseconds(cached: Loader, naive: Dataset, batch: int, count: int = 320) -> tuple[float, float]:
    """CPU time per sample of both, each in one process: hardly changed by what else the machine does."""
    torch.set_num_threads(1)  # idle threads that spin would be counted too
    begun = time.process_time()
    ours(cached, 0, count // batch)
    between = time.process_time()
    for _ in zip(range(count // batch), DataLoader(naive, batch, shuffle=True), strict=False):
        pass
    return 1e3 * (between - begun) / count, 1e3 * (time.process_time() - between) / count


def synthetic(folder: Path, count: int = 400) -> Path:
    """JPEG pictures of 352×352 with PNG masks."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for number in range(count):
        image, mask = make_phantom(number, size=352, seed=0)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask * 255)
    return folder


def measure(folder: Path, cache_folder: Path, rounds: int, batch: int) -> None:
    manifest, census = open_data(folder)
    cases = manifest.split("train")
    spec = InputSpec(size=SIZE)
    begun = time.perf_counter()
    cache = open_cache(manifest, census.samples(cases, manifest.labels), spec, Store.at(cache_folder))
    print(f"{len(cases)} training images, sizes {census.sizes.most_common(1)[0][0]}, batch {batch}, {WORKERS} workers")
    print(f"cache built in {time.perf_counter() - begun:.1f} s")
    loader = Loader(cache, spec, TYPICAL, batch_size=batch, seed=0, workers=WORKERS)
    decoding = DecodeEveryTime(manifest, cases)
    naive = DataLoader(decoding, batch, shuffle=True, num_workers=WORKERS, drop_last=True)
    ours(loader, 0, 10)
    turns: list[tuple[float, float]] = []
    plans: tuple[Callable[[], float], Callable[[], float]] = (lambda: ours(loader, 0, 150), lambda: theirs(naive))
    for turn in range(rounds):
        fast, slow = plans[0](), plans[1]()
        turns.append((fast, slow))
        print(
            f"round {turn + 1}: cached {fast:7.0f} samples/s   decode every time {slow:7.0f} samples/s   ratio {fast / slow:.2f}"
        )
    fast, slow = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio = statistics.median(fast / slow for fast, slow in turns)
    print(f"median:  cached {fast:7.0f} samples/s   decode every time {slow:7.0f} samples/s   ratio {ratio:.2f}")
    cached_ms, naive_ms = cpu_milliseconds(loader, decoding, batch)
    ratio = naive_ms / cached_ms
    print(
        f"CPU:     cached {cached_ms:7.2f} ms/sample    decode every time {naive_ms:7.2f} ms/sample    ratio {ratio:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "data").mkdir()
        measure(options.folder or synthetic(work / "data"), work / "cache", options.rounds, options.batch)


if __name__ == "__main__":
    main()

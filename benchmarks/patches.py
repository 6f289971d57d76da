"""Augmented training patches per second (`input.fit=patch`), in turns with whole images shrunk to the same size.

    python benchmarks/patches.py FOLDER [--size 256]      a folder of large images and their masks (CHASE_DB1 is meant)

Both loaders give float32 batches with the same augmentation from the decode-once cache. A patch costs more, as what is turned
into it must be read beyond its outline, from an image that is not small.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from data_path import TYPICAL, WORKERS, ours
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import Fit, InputSpec
from delineate.data.loading.loader import Loader
from delineate.data.loading.open_data import open_data
from delineate.data.loading.patch_loader import make_loader


def measure(folder: Path, cache_folder: Path, size: int, rounds: int, batch: int, steps: int) -> None:
    manifest, census = open_data(folder)
    cases = manifest.split("train")

    def loader(fit: Fit) -> Loader:
        spec = InputSpec(size=(size, size), fit=fit)
        cache = open_cache(manifest, census.samples(cases, manifest.labels), spec, Store.at(cache_folder))
        return make_loader(cache, spec, TYPICAL, batch_size=batch, seed=0, workers=WORKERS)

    loaders = {"patches": loader("patch"), "whole images": loader("stretch")}
    print(f"{len(cases)} training images, sizes {census.sizes.most_common(1)[0][0]} → {size}×{size}, batch {batch}")
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for _ in range(rounds + 1):
        for name, each in loaders.items():
            begun = time.process_time()
            rate = ours(each, 0, steps)
            rates[name].append((rate, 1e3 * (time.process_time() - begun) / (steps * batch)))
    for name, found in rates.items():
        best, thriftiest = max(rate for rate, _ in found[1:]), min(cpu for _, cpu in found[1:])
        print(f"{name:13s} best of {rounds}: {best:7.0f} samples/s   processor {thriftiest:6.3f} ms/sample")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.folder, Path(temporary), options.size, options.rounds, options.batch, options.steps)


if __name__ == "__main__":
    main()

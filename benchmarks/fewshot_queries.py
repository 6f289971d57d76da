"""Many queries after one conditioning: time by the clock and of the processor, and whether memory grows with their number.

    python benchmarks/fewshot_queries.py [--methods NAME ...] [--preset tiny] [--size 256] [--queries 100] [--classes 1]

Each method (random weights, one support image) segments the queries at native size twice: as many as asked for, and a third of
them. Memory is the peak of the process; flat means that the larger number, which runs second, adds little to it.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.fewshot.predictor import KIND, ConditionedPredictor, FewShotPredictor
from delineate.methods import registry

MIB = 2**20


def main() -> None:
    few = [name for name in registry.names() if registry.method_class(name).kind == KIND]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=few)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--classes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{arguments.queries} queries of {arguments.size}², {arguments.classes} class(es), {arguments.threads} threads"
    )
    for name in arguments.methods:
        measure(name, arguments)


def measure(name: str, arguments: argparse.Namespace) -> None:
    """Print one method's line."""
    options = registry.presets(name)[arguments.preset].get("method", {})
    torch.manual_seed(0)
    method = registry.build(name, classes=1, in_channels=1, options=options).eval()
    spec = InputSpec(channels="gray", size=(arguments.size, arguments.size))
    few = FewShotPredictor(Artefact(method, spec, ClassTable()), "cpu")
    image, mask = scene(0, arguments.size, arguments.classes)
    start = time.perf_counter()
    ready = few.condition([image], [mask])
    conditioning = time.perf_counter() - start
    run(ready, max(1, arguments.queries // 3), arguments)
    before = peak()
    wall, cpu = run(ready, arguments.queries, arguments)
    print(
        f"{name:12s} conditioning {conditioning:6.2f} s   queries {wall:7.2f} s   processor {cpu:7.2f} s   "
        f"peak {peak():6.0f} MiB, of it {peak() - before:.0f} by the larger number",
        flush=True,
    )


def run(ready: ConditionedPredictor, queries: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = sum(1 for _ in ready.predict_each(images(queries, arguments)))
    assert found == queries
    return time.perf_counter() - wall, time.process_time() - cpu


def images(queries: int, arguments: argparse.Namespace) -> Iterator[NDArray[Any]]:
    """Queries made one by one, so that they take no memory by themselves."""
    return (scene(seed, arguments.size, arguments.classes)[0] for seed in range(1, queries + 1))


def scene(seed: int, size: int, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noise with a bright square for each class, each in its own gray; class indices."""
    random = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    side = size // (classes + 3)
    for label in range(1, classes + 1):
        top, left = random.integers(0, size - side), (label - 1) * (side + side // 2)
        mask[top : top + side, left : left + side] = label
    gray = 40 + mask.astype(np.float32) * 180 / classes
    return np.clip(gray + random.normal(0, 12, mask.shape), 0, 255).astype(np.uint8), mask


def peak() -> float:
    """Most memory of this process so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


if __name__ == "__main__":
    main()

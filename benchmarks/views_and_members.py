"""What several views of an image and several models cost, against as many single predictions.

    python benchmarks/views_and_members.py [MODEL ...] [--side 352] [--threads 1]

Each MODEL is a `model.safetensors` or a run folder; without any, three U-Nets of the preset `tiny` with random weights. 16 random
images in memory, to classes at their own size; contestants take turns in one process. A ratio is processor time of k views (or
members) over k times that of one model with one view: 1 is as dear as k predictions, below 1 what is done once for all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from delineate.artefact.format import Artefact, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.predictor import Predictor, load
from delineate.methods.testing.examples import randomize_norms, tiny
from turns import best_of_turns

_IMAGES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--side", type=int, default=352, help="of the images, in pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (options.side, options.side, 3), np.uint8) for _ in range(_IMAGES)]
    with tempfile.TemporaryDirectory() as folder:
        models = options.models or [_random_model(Path(folder), seed) for seed in range(3)]
        print_ratios(contestants(models), images, options.rounds)


def contestants(models: Sequence[Path]) -> dict[str, Predictor]:
    """The first model alone, with its views, and with the others."""
    one, *others = models
    found = {"one model, one view": load(one, "cpu")}
    found |= {f"tta={name}": load(one, "cpu", tta=name) for name in ("flips", "flips+rotations")}
    if others:
        found[f"{len(models)} models"] = load(one, "cpu", ensemble=others)
        found[f"{len(models)} models, tta=flips"] = load(one, "cpu", ensemble=others, tta="flips")
    return found


def print_ratios(predictors: dict[str, Predictor], images: Sequence[np.ndarray], rounds: int) -> None:
    """A line each."""
    runs: dict[str, Callable[[], object]] = {
        name: partial(lambda one: [one.predict(image) for image in images], one) for name, one in predictors.items()
    }
    best = best_of_turns(runs, rounds)
    single = next(iter(best.values())).cpu
    for name, predictor in predictors.items():
        passes, cpu = predictor.passes, best[name].cpu
        ratio = cpu / single / passes
        print(
            f"{name:24s} {passes:3d} passes  {1000 * cpu / len(images):8.1f} ms an image  {ratio:.3f} of {passes} × one"
        )


def _random_model(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    path = folder / f"{seed}.safetensors"
    save(path, Artefact(randomize_norms(tiny("unet")).eval(), InputSpec(size=(128, 128)), ClassTable()))
    return path


if __name__ == "__main__":
    main()

"""Volumes: what reading, preparing and writing cost beside the network; training from their cache; opening a large set again.

    python benchmarks/volumes.py [predict] [train] [open] [memory] [--threads 1] [--cases 200]

predict: a CT of 100 slices 512×512, int16, oblique, packed; U-Net `tiny` at 256×256. The share is of the network's time.
train: batches from the cache of volumes against the cache of as many pictures of the same size, taking turns.
open: a set of volumes is opened for the second time (headers, hashes and the labels found before).
memory: the most memory that opening the set, planning its window and building its cache of slices take beyond the program itself,
beside the size of its voxels. Pages of files that the system may drop at any time are not counted.
Everything is made up, in a temporary folder. Processor time says more than the clock where the machine is not idle.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import cv2
import nibabel
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data_path import TYPICAL
from delineate.artefact.format import Artefact
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.loading.loader import Loader
from delineate.data.loading.open_data import open_data
from delineate.engine.input_settings import settle_input
from delineate.engine.intensity_plan import plan_intensity
from delineate.engine.recipe import resolve
from delineate.inference.executors import Serial
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.methods import registry
from turns import best_of_turns, print_times

MANY = (96, 96, 60)
"""Voxels of each volume of the large set."""
CLASSES = ClassTable(names=("background", "organ", "lesion"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of predict, train, open, memory; default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", type=int, default=200)
    arguments = parser.parse_args()
    parts = arguments.parts or ["predict", "train", "open", "memory"]
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if "predict" in parts:
            predict(Path(folder))
        if "train" in parts:
            train(Path(folder))
        if "open" in parts:
            open_again(Path(folder), arguments.cases)
        if "memory" in parts:
            memory(Path(folder), arguments.cases)


def scan(shape: tuple[int, int, int], seed: int = 0) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A body with noise, as compressible as a CT, and labels in it."""
    rng = np.random.default_rng(seed)
    x, y, z = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    distance = np.sqrt(x[:, None, None] ** 2 + (1.2 * y)[None, :, None] ** 2 + (0.3 * z)[None, None, :] ** 2)
    voxels = np.where(distance < 0.8, 40, -1000).astype(np.int16)
    voxels += (rng.standard_normal(shape, np.float32) * 12).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[distance < 0.5] = 1
    labels[distance < 0.2] = 2
    return voxels, labels


def save(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    turn = np.array([[0.99, -0.1, 0], [0.1, 0.99, 0.05], [0, -0.05, 1]]) @ np.diag([-0.7, -0.7, 2.5])
    affine = np.eye(4)
    affine[:3, :3] = turn
    image = nibabel.Nifti1Image(array, affine)  # type: ignore[no-untyped-call]
    image.header.set_qform(affine, 0)  # type: ignore[no-untyped-call]
    nibabel.save(image, path)


class Timed(nn.Module):
    """A network that adds up its processor time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, image: Tensor) -> Any:
        begun = time.process_time()
        result = self.network(image)
        self.seconds += time.process_time() - begun
        return result


def predict(folder: Path) -> None:
    save(folder / "scans/ct.nii.gz", scan((512, 512, 100))[0])
    spec = InputSpec(channels="gray", size=(256, 256), axis=2, intensity="window", window_level=40, window_width=400)
    options = resolve("unet", "tiny", {}, []).method
    method = registry.build("unet", classes=3, in_channels=1, options=options)
    predictor = Predictor(Artefact(method, spec, CLASSES), "cpu")
    timed = predictor.__dict__["network"] = Timed(predictor.network)
    shares = []
    for round_ in range(3):
        timed.seconds, begun = 0.0, time.process_time()
        done = predict_files(predictor, [folder / "scans"], folder / f"masks{round_}", executor=Serial())
        assert [file.error for file in done.files] == [None]
        shares.append((time.process_time() - begun - timed.seconds, timed.seconds))
    rest, network = min(shares)
    print(f"predict: network {network:.2f} s, all else {rest:.2f} s = {100 * rest / network:.0f} % of it", flush=True)


def train(folder: Path) -> None:
    """The same slices, once as volumes and once as pictures."""
    volumes, pictures = folder / "volumes", folder / "pictures"
    for case in range(6):
        voxels, labels = scan((160, 160, 40), case)
        save(volumes / f"images/case{case}.nii.gz", voxels)
        save(volumes / f"masks/case{case}.nii.gz", labels)
        for kind, array in (("images", ((voxels + 1000) / 5).clip(0, 255).astype(np.uint8)), ("masks", labels)):
            (pictures / kind).mkdir(parents=True, exist_ok=True)
            for index in range(array.shape[2]):
                cv2.imwrite(str(pictures / kind / f"case{case}_slice_{index:02d}.png"), array[..., index])
    loaders = {name: loader(folder, path) for name, path in (("pictures", pictures), ("volumes", volumes))}
    steps = 20

    def batches(one: Loader) -> None:
        for _ in one.batches(0, steps):
            pass

    best = best_of_turns({name: partial(batches, one) for name, one in loaders.items()}, 5)
    print("train: batches of 16 augmented samples from the cache, 128×128", flush=True)
    print_times(best)


def loader(folder: Path, data: Path) -> Loader:
    manifest, census = open_data(data, cache_folder=folder / "cache")
    spec = InputSpec(channels="gray", size=(128, 128), axis=census.axis)
    samples = census.samples(manifest.split("train"), manifest.labels)
    cache = open_cache(manifest, samples, spec, Store.at(folder / "cache"), axis=census.axis)
    return Loader(cache, spec, TYPICAL, batch_size=16, seed=0, workers=1)


def many(folder: Path, cases: int) -> Path:
    """A large set; made once."""
    data = folder / "many"
    if not data.exists():
        pair: tuple[NDArray[Any], NDArray[Any]] = scan(MANY)
        for case in range(cases):
            for name, array in zip(("images", "masks"), pair, strict=True):
                save(data / f"{name}/case{case:03d}.nii.gz", np.roll(array, (case // 60, case % 60), (0, 2)))
    return data


def memory(folder: Path, cases: int) -> None:
    data, before = many(folder, cases), own_memory()
    done, most = Event(), [before]

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], own_memory())

    watcher = Thread(target=watch)
    watcher.start()
    manifest, census = open_data(data, cache_folder=folder / "fresh")
    plan = plan_intensity(resolve("unet", "tiny", {}, []), manifest, census, folder / "fresh")
    _, spec = settle_input(plan.apply(resolve("unet", "tiny", {}, ["input.size=96"])), census)
    samples = census.samples(manifest.split("train"), manifest.labels)
    open_cache(manifest, samples, spec, Store.at(folder / "fresh"), axis=census.axis)
    done.set()
    watcher.join()
    voxels = cases * int(np.prod(MANY)) * 2
    print(
        f"memory: {cases} volumes of {voxels / 2**20:.0f} MiB (int16), shown as {spec.volume_numbers} values: at most "
        f"{(most[0] - before) / 2**20:.0f} MiB more than the program itself ({before / 2**20:.0f} MiB)",
        flush=True,
    )


def own_memory() -> int:
    """Bytes that this process holds and no file backs."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def open_again(folder: Path, cases: int) -> None:
    data = many(folder, cases)
    seconds = [clocked(data, folder) for _ in range(3)]
    print(f"open: {cases} volumes first {seconds[0]:.2f} s, again {min(seconds[1:]):.2f} s", flush=True)


def clocked(data: Path, folder: Path) -> float:
    begun = time.perf_counter()
    open_data(data, cache_folder=folder / "cache")
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()

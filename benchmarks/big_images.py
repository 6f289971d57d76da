"""Big images by windows: how far tiles are from the whole, how fast they are, and what they need.

    python benchmarks/big_images.py difference [METHOD ...]     largest and mean difference of probabilities, tiled against whole
    python benchmarks/big_images.py speed [--side 2048]         throughput, as ratios in one run
    python benchmarks/big_images.py memory [--side 20000]       peak memory and time of one prediction from file to file

`difference`: preset `tiny`, random weights whose normalization has seen noise, a smooth random image of 384×384 and tiles of 256
(or the next size that the method takes) that overlap by half. In such a network what is far away is as loud as what is near, which
training mostly changes.

`speed`: all pass a small U-Net. Untiled: images of a tile's size from memory, one batch after another. Tiled: a large image in
memory. Streamed: its file (tiles, deflate) to a mask's file. In memory: the same file decoded, predicted and written as a whole.
They take turns; a ratio is that of the best rounds, per pixel that passes the network.
"""

from __future__ import annotations

import argparse
import resource
import struct
import tempfile
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch

from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import read_image, write_mask
from delineate.inference import streaming
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.methods.testing.examples import randomize_norms, tiny
from turns import best_of_turns, print_times

_TILE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("difference", "speed", "memory"))
    parser.add_argument("methods", nargs="*", help="of `difference`; default: all dense ones")
    parser.add_argument("--side", type=int, help="of the large image, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.what == "difference":
        for name in options.methods or dense_methods():
            print_difference(name)
    elif options.what == "speed":
        compare_speed(options.side or 2048, options.rounds)
    else:
        print_memory(options.side or 20000)


def dense_methods() -> list[str]:
    return [name for name in registry.names() if registry.method_class(name).kind == "dense"]


def print_difference(name: str, side: int = 384) -> None:
    """Of one method, tiles against the whole image."""
    try:
        method = randomize_norms(tiny(name)).eval()
    except Exception as error:
        print(f"{name:16s} not built here: {error}", flush=True)
        return
    step = np.lcm(method.info.divisor, 8)
    tile, side = (int(-(-length // step) * step) for length in (max(_TILE, method.info.min_size), side))
    image = smooth(side, side)
    tiled = model(method, tile).probabilities(image)
    whole = model(method, side).probabilities(image)
    found = np.abs(tiled - whole)
    print(
        f"{name:16s} {side}×{side} in tiles of {tile}: largest {found.max():.4f}, mean {found.mean():.5f}, "
        f"99.9th percentile {np.percentile(found, 99.9):.4f}",
        flush=True,
    )


def compare_speed(side: int, rounds: int, tile: int = 512, batch: int = 2) -> None:
    """Untiled, tiled, streamed and in memory, in turns."""
    streaming.LARGE = 1
    predictor = model(small_unet(), tile)
    image = smooth(side, side)
    tiles = len(predictor.tiling.tiles((side, side)))
    unit = predictor.spec.to_unit(image[:tile, :tile])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_big(folder / "large.tif", side, image)
        prepared = predictor.prepare(image)

        def untiled() -> None:
            for _ in range(0, tiles, batch):
                predictor.working_probabilities([unit] * batch)

        def tiled() -> None:
            predictor.classes_of(prepared, side, side, batch)

        def streamed() -> None:
            predict_files(predictor, [folder / "large.tif"], folder / "out", overwrite=True, batch_size=batch)

        def in_memory() -> None:
            pixels = read_image(folder / "large.tif")
            mask = predictor.classes_of(predictor.prepare(pixels), side, side, batch)
            write_mask(folder / "mask.tif", mask)

        contestants = {"untiled": untiled, "tiled": tiled, "in memory": in_memory, "streamed": streamed}
        print(f"{tiles} tiles of {tile}×{tile} over {side}×{side}, batch {batch}")
        best = best_of_turns(contestants, rounds)
    print_times(best)
    print(f"tiled: {best['untiled'].cpu / best['tiled'].cpu:.2f} of the untiled throughput (processor time)")
    print(f"streamed: {best['streamed'].cpu / best['in memory'].cpu:.2f} of the time in memory (processor time)")


def print_memory(side: int) -> None:
    """One large file, as `predict` does it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_big(folder / "large.tif", side)
        predictor = model(small_unet(), 1024, overlap=0.125)
        before = peak()
        start = time.perf_counter()
        done = predict_files(predictor, [folder / "large.tif"], folder / "out", batch_size=1)
        assert not done.failures, done.failures
        spent = time.perf_counter() - start
    print(f"{side}×{side}: {spent:.0f} s, peak {peak():.0f} MiB of resident memory ({before:.0f} MiB before)")


def small_unet() -> Method:
    options = {
        "encoder": {"name": "mobilenetv3_small_050", "pretrained": False},
        "decoder_channels": [32, 24, 16, 8, 8],
    }
    torch.manual_seed(0)
    return randomize_norms(registry.build("unet", options=options)).eval()


def model(method: Method, tile: int, overlap: float | None = None) -> Predictor:
    spec = InputSpec(size=(tile, tile), fit="patch")
    return Predictor(Artefact(method, spec, ClassTable()), "cpu", overlap=overlap)


def smooth(height: int, width: int) -> np.ndarray:
    """Blobs of three colors, 0 … 255."""
    rough = cv2.GaussianBlur(np.random.default_rng(0).random((height, width, 3), np.float32), (0, 0), 5)
    return (255 * (rough - rough.min()) / np.ptp(rough)).astype(np.uint8)


def write_big(path: Path, side: int, image: np.ndarray | None = None, tile: int = 256) -> None:
    """A BigTIFF in RGB, in tiles packed with deflate, written tile by tile; without an image, of a pattern that repeats."""
    pattern = smooth(2048, 2048) if image is None else image
    offsets, counts = [], []
    with path.open("wb") as stream:
        stream.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        for top in range(0, side, tile):
            for left in range(0, side, tile):
                y, x = (top, left) if image is not None else (top * 7 % 1792, left * 5 % 1792)
                part = np.zeros((tile, tile, 3), np.uint8)
                cut = pattern[y : y + tile, x : x + tile]
                part[: cut.shape[0], : cut.shape[1]] = cut
                packed = zlib.compress(part.tobytes(), 1)
                offsets.append(stream.tell())
                counts.append(len(packed))
                stream.write(packed)
        start = stream.tell()
        single = [(256, 4, side), (257, 4, side), (259, 3, 8), (262, 3, 2), (277, 3, 3), (322, 4, tile), (323, 4, tile)]
        entries = [(tag, kind, 1, struct.pack("<Q", value)) for tag, kind, value in single]
        entries.append((258, 3, 3, struct.pack("<4H", 8, 8, 8, 0)))
        after, body = start + 8 + 20 * (len(entries) + 2) + 8, b""
        for tag, values in ((324, offsets), (325, counts)):
            data = struct.pack(f"<{len(values)}Q", *values)
            entries.append((tag, 16, len(values), data if len(data) == 8 else struct.pack("<Q", after + len(body))))
            body += data if len(data) > 8 else b""
        stream.write(struct.pack("<Q", len(entries)))
        for tag, kind, count, value in sorted(entries):
            stream.write(struct.pack("<HHQ", tag, kind, count) + value)
        stream.write(struct.pack("<Q", 0) + body)
        stream.seek(8)
        stream.write(struct.pack("<Q", start))


def peak() -> float:
    """Of this process, in MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

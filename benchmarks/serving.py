"""What `delineate serve` does under load: nothing accepted is lost, masks are those of `predict`, memory and delays are bounded.

    python benchmarks/serving.py load        200 clients, 2000 mixed requests, 5 % hostile, 10 % that go away, SIGTERM in the middle
    python benchmarks/serving.py speed       throughput against decode + predict + encode in one process

All on this machine's loopback, with an untrained U-Net (preset `tiny`, 128×128), as fast as a trained one. The server has one
core, the clients another, and so has what it is compared with. `load` counts: every request must have an answer, have been given
up by its client, or find no server any more; masks are compared pixel by pixel with those of `predict`, and pixels that differ with
how far their probability is from the threshold. What is on the machine meanwhile is printed with the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from delineate.artefact.format import Artefact, save
from delineate.data.core.geometry import Geometry
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import open_image
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.inference.predictor import load as load_model
from delineate.methods.registry import create
from delineate.methods.testing.examples import randomize_norms

_SIZES = ((128, 128), (256, 256), (300, 220), (352, 352))


@dataclass(frozen=True)
class Sample:
    """A request, and what its answer is compared with."""

    body: bytes
    name: str


@dataclass
class Tally:
    """What became of requests."""

    kinds: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    """Seconds from a request's headers to its 429."""
    health: list[float] = field(default_factory=list)
    answers: list[tuple[bytes, Sample]] = field(default_factory=list)
    """Compared in the end: meanwhile it would keep the clients from measuring."""
    masks: int = 0
    pixels: int = 0
    marked: int = 0
    different: int = 0
    farthest: float = 0.0
    """Probability of a pixel that differs, from the threshold."""
    memory: int = 0
    """Bytes of the server's process, at most."""
    cpu: float = 0.0
    """Seconds that it had a core when it was stopped."""
    before: float = 0.0
    """Likewise when the clients began."""
    half: float = 0.0
    """Seconds from there to the signal."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("load", "speed"))
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--cores", type=int, nargs=2, default=(0, 1), metavar=("SERVER", "CLIENTS"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {options.cores[1]})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_model(folder)
        if options.what == "load":
            print_load(model, folder, options)
        else:
            print_speed(model, folder, options)


def make_model(folder: Path) -> Path:
    """Its threshold is the middle of what it says of an image, so that masks have many edges to compare."""
    torch.manual_seed(0)
    method = create("unet", preset="tiny")
    randomize_norms(method)
    artefact = Artefact(method.eval(), InputSpec(size=(128, 128)), ClassTable())
    pixels = cv2.resize(np.random.default_rng(1).integers(0, 256, (17, 17, 3), np.uint8), (128, 128))
    middle = float(np.median(Predictor(artefact, "cpu").probabilities(pixels)))
    save(folder / "unet.safetensors", replace(artefact, threshold=middle))
    return folder / "unet.safetensors"


def samples(folder: Path, count: int) -> list[Sample]:
    """Pictures of several sizes and formats, and a few small volumes."""
    drawn = np.random.default_rng(0)
    made = []
    for number in range(count):
        height, width = _SIZES[number % len(_SIZES)]
        blocks = drawn.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        pixels = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_CUBIC)
        if number % 10 == 9:
            path = folder / f"{number}.nii.gz"
            grid = Geometry((48, 48, 3), (0.0, 0.0, 0.0), np.eye(3), (1.0, 1.0, 1.0))
            write_volume_image(path, pixels[:48, :48].astype(np.float32), grid)
        else:
            path = folder / f"{number}{('.png', '.png', '.jpg', '.tif')[number % 4]}"
            cv2.imwrite(str(path), pixels)
        made.append(Sample(path.read_bytes(), path.name))
    return made


@contextmanager
def server(model: Path, core: int, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and its port, ready. Its log is beside the model: nobody reads a pipe meanwhile, which would fill up."""
    command = [sys.executable, "-m", "delineate", "serve", f"m={model}", "--port", "0", "--device", "cpu", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    place = model.with_name("log")
    with place.open("wb") as log, subprocess.Popen(command, stderr=log, env=environment) as process:
        os.sched_setaffinity(process.pid, {core})
        while (found := re.search(r"127\.0\.0\.1:(\d+)", place.read_text())) is None:
            assert process.poll() is None, place.read_text()
            time.sleep(0.1)
        port = int(found[1])
        try:
            asyncio.run(_ready(port))
            yield process, port
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(60)


async def _ready(port: int) -> None:
    while (await ask(port, "GET", "/readyz"))[0] != 200:
        await asyncio.sleep(0.1)


async def ask(port: int, method: str, path: str, body: bytes = b"", seconds: float = 120) -> tuple[int, bytes, float]:
    """Status, content, and seconds from the headers to the status; 0: the connection ended without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode())
        begun = time.perf_counter()
        writer.write(body)
        with suppress(ConnectionError):
            await writer.drain()
        return (*await asyncio.wait_for(_answer(reader), seconds), time.perf_counter() - begun)
    except (ConnectionError, asyncio.IncompleteReadError):
        return 0, b"", 0.0
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    line = await reader.readline()
    if not line:
        raise ConnectionResetError
    length = 0
    while header := (await reader.readline()).strip():
        if header.lower().startswith(b"content-length:"):
            length = int(header.split(b":")[1])
    return int(line.split()[1]), await reader.readexactly(length)


# Load


def print_load(model: Path, folder: Path, options: argparse.Namespace) -> None:
    images = samples(folder, 40)
    expected = predicted(model, folder, images)
    threshold = load_model(model, "cpu").threshold
    tally = Tally()
    words = ("--queue", "64", "--memory", "256MiB", "--batch-size", "8", "--max-body", "8MiB", "--grace", "120s")
    with server(model, options.cores[0], *words) as (process, port):
        begun = time.perf_counter()
        asyncio.run(run_load(process, port, images, tally, options))
        seconds = time.perf_counter() - begun
        code = process.wait(120)
    for content, sample in tally.answers:
        compare(content, sample, expected, tally, threshold)
    log = model.with_name("log").read_text()
    last = next((line for line in reversed(log.splitlines()) if "stopped" in line), "no last line")
    load = os.getloadavg()[0]
    print(f"{options.requests} requests by {options.clients} clients in {seconds:.1f} s; the machine's load {load:.1f}")
    print(f"until SIGTERM in {tally.half:.1f} s, of which the server had a core for {tally.cpu - tally.before:.1f} s")
    print(f"outcomes: {dict(sorted(tally.kinds.items()))}")
    print(f"server: exit code {code}; {last.partition('stopped')[2].strip(' :')}")
    print(f"lost: {len(tally.lost)} {tally.lost[:5]}")
    print(f"masks compared: {tally.masks}; foreground in {tally.marked} of {tally.pixels} pixels")
    print(f"pixels that differ: {tally.different}, their probability at most {tally.farthest:.1e} from the threshold")
    print(
        f"health: median {percentile(tally.health, 50):.1f} ms, p99 {percentile(tally.health, 99):.1f} ms of {len(tally.health)}"
    )
    refused = [percentile(tally.refusals, share) for share in (50, 95)]
    print(f"429 behind the headers: median {refused[0]:.1f} ms, p95 {refused[1]:.1f} ms of {len(tally.refusals)}")
    print(f"memory of the server: at most {tally.memory / 1e6:.0f} MB; tracebacks in the log: {log.count('Traceback')}")


def predicted(model: Path, folder: Path, images: list[Sample]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name → mask and probabilities, one image at a time."""
    found, loaded = {}, load_model(model, "cpu")
    out = folder / "out"
    predict_files(loaded, [folder / one.name for one in images], out, probabilities=True, batch_size=1)
    for one in images:
        stem = one.name.partition(".")[0]
        suffix = ".nii.gz" if one.name.endswith(".nii.gz") else ".tif" if one.name.endswith(".tif") else ".png"
        found[one.name] = read(out / f"{stem}{suffix}"), read(out / "probabilities" / f"{stem}{suffix}") / _full(suffix)
    return found


def _full(suffix: str) -> int:
    return 1 if suffix == ".nii.gz" else 65535


def read(path: Path) -> np.ndarray:
    return np.asarray(open_image(path).read())


async def run_load(
    process: subprocess.Popen[bytes],
    port: int,
    images: list[Sample],
    tally: Tally,
    options: argparse.Namespace,
) -> None:
    drawn = random.Random(0)
    waiting: list[tuple[str, Sample]] = []
    for _ in range(options.requests):
        share = drawn.random()
        kind = "hostile" if share < 0.05 else "leaving" if share < 0.15 else "good"
        waiting.append((kind, drawn.choice(images)))
    stop = asyncio.Event()
    watching = [
        asyncio.create_task(watch_health(port, tally, stop)),
        asyncio.create_task(watch_memory(process, tally, stop)),
    ]
    half, ended = len(waiting) // 2, [False]
    tally.before, begun = cpu_seconds(process.pid), time.perf_counter()

    async def client() -> None:
        while waiting:
            if len(waiting) <= half and not ended[0]:
                ended[0] = True
                tally.half = time.perf_counter() - begun
                stop.set()
                process.send_signal(signal.SIGTERM)
            kind, sample = waiting.pop()
            await one_request(port, kind, sample, tally, drawn, ended)

    await asyncio.gather(*(client() for _ in range(options.clients)))
    await asyncio.gather(*watching)


async def one_request(
    port: int, kind: str, sample: Sample, tally: Tally, drawn: random.Random, ended: list[bool]
) -> None:
    for _ in range(20):  # a refused client comes back
        try:
            if kind == "leaving":
                await leave(port, sample, drawn)
                tally.kinds["left by its client"] += 1
                return
            body = hostile(drawn) if kind == "hostile" else sample.body
            status, content, seconds = await ask(port, "POST", "/v1/models/m:segment", body)
        except OSError:
            tally.kinds["no server any more" if ended[0] else "not connected"] += 1
            return
        if status == 0 and ended[0]:
            tally.kinds["no server any more"] += 1  # the server's own count tells whether it had accepted it
            return
        if status != 429:
            break
        tally.refusals.append(seconds)
        tally.kinds["(429)"] += 1
        await asyncio.sleep(_retry_after(content) * (0.5 + drawn.random()))
    tally.kinds[f"{kind}: {status}"] += 1
    fine = {"good": (200, 429, 503), "hostile": (400, 413, 415, 422, 429, 503)}[kind]
    if status not in fine:
        tally.lost.append(f"{kind} {sample.name}: {status}")
    if status == 200:
        tally.answers.append((content, sample))


def _retry_after(content: bytes) -> float:
    return float(json.loads(content)["retry_after"])


async def leave(port: int, sample: Sample, drawn: random.Random) -> None:
    """Send a request, or a part of it, and go."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/models/m:segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sample.body)}\r\n\r\n"
    writer.write(head.encode() + sample.body[: drawn.choice((100, len(sample.body)))])
    with suppress(ConnectionError):
        await writer.drain()
    await asyncio.sleep(0.1 * drawn.random())
    writer.close()


def hostile(drawn: random.Random) -> bytes:
    """Bodies that are to be refused."""
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0\0\0\0\0"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb", bytes(1 << 22))
    return drawn.choice((b"", b"no image", png, png[:20], stream.getvalue(), bytes(9 << 20), drawn.randbytes(5000)))


def compare(
    content: bytes, sample: Sample, expected: dict[str, tuple[np.ndarray, np.ndarray]], tally: Tally, threshold: float
) -> None:
    mask, probabilities = expected[sample.name]
    with tempfile.NamedTemporaryFile(suffix=f".{sample.name.partition('.')[2]}".replace(".jpg", ".png")) as file:
        file.write(content)
        file.flush()
        found = read(Path(file.name))
    differs = found != mask
    tally.masks += 1
    tally.pixels += mask.size
    tally.marked += int((mask > 0).sum())
    if differs.any():
        tally.different += int(differs.sum())
        tally.farthest = max(tally.farthest, float(np.abs(probabilities[differs] - threshold).max()))


async def watch_health(port: int, tally: Tally, stop: asyncio.Event) -> None:
    while not stop.is_set():
        begun = time.perf_counter()
        with suppress(OSError):
            if (await ask(port, "GET", "/healthz"))[0] == 200:
                tally.health.append(time.perf_counter() - begun)
        await asyncio.sleep(0.02)


async def watch_memory(process: subprocess.Popen[bytes], tally: Tally, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(OSError):
            text = Path(f"/proc/{process.pid}/status").read_text()
            tally.memory = max(tally.memory, 1024 * int(text.split("VmRSS:")[1].split()[0]))
            tally.cpu = max(tally.cpu, cpu_seconds(process.pid))
        await asyncio.sleep(0.2)


def percentile(seconds: list[float], share: float) -> float:
    return 1000 * float(np.percentile(seconds, share)) if seconds else float("nan")


# Speed


def print_speed(model: Path, folder: Path, options: argparse.Namespace) -> None:
    """Rates by the clock, and by the time that the process had a core: other programs on the machine change the second far less."""
    images = [one for one in samples(folder, 40) if one.name.endswith(".png")]
    count = options.requests
    alone, through = [], []
    with server(model, options.cores[0], "--batch-size", "8", "--queue", "64") as (process, port):
        asyncio.run(_through(port, images, 50))
        for _ in range(3):
            alone.append(_alone(model, folder, images, count, options.cores[0]))
            begun, used = time.perf_counter(), cpu_seconds(process.pid)
            asyncio.run(_through(port, images, count))
            through.append(Rate(count / (time.perf_counter() - begun), count / (cpu_seconds(process.pid) - used)))
    print(f"the machine's load: {os.getloadavg()[0]:.1f}")
    for name in ("wall", "cpu"):
        ours, theirs = ([getattr(one, name) for one in rates] for rates in (alone, through))
        print(
            f"images a second ({name}): predict {shown(ours)}; served {shown(theirs)}; of the best {max(theirs) / max(ours):.2f}"
        )


@dataclass(frozen=True)
class Rate:
    """Images a second."""

    wall: float
    cpu: float


def shown(rates: list[float]) -> str:
    return ", ".join(f"{rate:.1f}" for rate in rates)


def cpu_seconds(process: int) -> float:
    """That a process has used, all its threads together."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _alone(model: Path, folder: Path, images: list[Sample], count: int, core: int) -> Rate:
    """`predict` in this process, moved to the server's core."""
    links = folder / "many"
    links.mkdir(exist_ok=True)
    for number in range(count):
        (links / f"{number}.png").write_bytes(images[number % len(images)].body)
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        loaded = load_model(model, "cpu")
        loaded.get_ready()
        begun, used = time.perf_counter(), time.process_time()
        predict_files(loaded, [links], folder / "alone", batch_size=8, overwrite=True)
        return Rate(count / (time.perf_counter() - begun), count / (time.process_time() - used))
    finally:
        os.sched_setaffinity(0, mine)


async def _through(port: int, images: list[Sample], count: int) -> None:
    left = iter(range(count))

    async def client() -> None:
        for number in left:
            status, _, _ = await ask(port, "POST", "/v1/models/m:segment", images[number % len(images)].body)
            assert status == 200, status

    await asyncio.gather(*(client() for _ in range(24)))


if __name__ == "__main__":
    main()

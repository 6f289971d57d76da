"""The selective scan against the exact forms that others have, for shapes of vision networks, as ratios in one run.

    python benchmarks/selective_scan.py [--only speed|memory|errors] [--shapes B,K·D,N,L ...] [--rounds N] [--threads N]
                                        [--device cpu|cuda] [--mamba selective_scan_interface.py]

Contestants get the same tensors and take turns, so that other work on the machine meets each alike; a ratio is that of the
best rounds, and the processor time beside it says more where the machine is not idle. Memory: each does one step in a
process of its own; what counts is the peak of resident memory above what there is with the inputs made and a small step
done. (The compiled form is not measured: its compiler needs processes itself.)

- `chunked`, and with inputs that lie time-major as a network's channels-last maps do; on CUDA `triton`;
- `loop`: the definition, a step at a time, over views made once by `unbind` (this project's `sequential`);
- `associative_scan`: PyTorch's operator (generic form), eager and, with --compiled, under `torch.compile`;
- `pscan`: Blelloch's scan with a backward pass of its own, of the package mambapy (`pip install mambapy`; left out if absent);
- `mamba's reference`: `selective_scan_ref` as published, from a copy of the file named by --mamba (needs `einops`). Forward
  only: it indexes whole tensors once a step, so each step's gradient is as large as they are and its backward pass grows with L².

`--only errors`: the largest error relative to the largest value, against float64, over steps Δ; also
for the form that divides by a cumulative product of decays in chunks of 64, which some implementations use.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from delineate.nn.selective_scan import selective_scan
from turns import best_of_turns, print_times

SHAPES = ("1,768,16,1024", "1,768,16,4096", "1,384,1,4096", "4,384,1,4096", "16,64,1,1024", "16,256,4,256")
"""Batch, K·D, N, L: VMamba's early and recent settings on maps of 32² and 64², and small networks at 128² in batches."""
GROUPS = 4
STEPS = (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 5.0)
Scan = Callable[[dict[str, Tensor]], Tensor]
Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("speed", "memory", "errors"))
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--without", nargs="+", default=[], help="names to leave out")
    parser.add_argument("--compiled", action="store_true", help="associative_scan also under torch.compile (minutes)")
    parser.add_argument("--mamba", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [name for name in contestants(options) if name not in options.without]
    for shape in options.shapes if options.only != "errors" else []:
        sizes = [int(x) for x in shape.split(",")]
        print(f"\n{' × '.join(map(str, sizes))} (batch, K·D, N, L), {options.threads} threads, {options.device}")
        if options.only != "memory":
            compare_times(names, sizes, options)
        if options.only != "speed":
            compare_memory(names, sizes, options)
    if options.only in (None, "errors"):
        compare_errors([name for name in names if "time-major" not in name], options)


def contestants(options: argparse.Namespace) -> dict[str, Scan]:
    """The first is what the others are compared with."""
    found: dict[str, Scan] = {}
    if options.device == "cuda":
        found["triton"] = ours("triton")
    found |= {"chunked": ours("chunked"), "chunked, time-major": ours("chunked"), "associative": ours("associative")}
    found |= {"loop": ours("sequential"), "associative_scan": materialized(_associative_scan)}
    if options.compiled:
        found["associative_scan, compiled"] = torch.compile(materialized(_associative_scan))
    try:
        from mambapy.pscan import pscan
    except ImportError:
        print("without mambapy's pscan (pip install mambapy)", file=sys.stderr)
    else:
        found["pscan"] = materialized(pscan)
    if options.mamba is not None:
        found["mamba's reference"] = published(options.mamba)
    if options.device == "cuda":
        del found["chunked"], found["chunked, time-major"]
    return found


def ours(backend: str) -> Scan:
    def run(given: dict[str, Tensor]) -> Tensor:
        u, delta, a, b, c, d = (given[name] for name in ("u", "delta", "A", "B", "C", "D"))
        return selective_scan(u, delta, a, b, c, d, backend=backend, check=False)

    return run


def materialized(scan: Callable[[Tensor, Tensor], Tensor]) -> Scan:
    """A scan h_t = a_t h_{t−1} + b_t over dimension 1 of Batch × L × K·D × N, made into the selective scan."""

    def run(given: dict[str, Tensor]) -> Tensor:
        decay, step_input, readout = _discretize(given)
        y = (scan(decay, step_input) * readout).sum(-1).transpose(1, 2)
        return y + given["D"][:, None] * given["u"]

    return run


def published(path: Path) -> Scan:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "golden"))
    from make_selective_scan import load

    reference = load(path)
    return lambda given: reference(**given)


def _discretize(given: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    width = given["u"].shape[1] // GROUPS
    delta, u = (given[name].transpose(1, 2)[..., None] for name in ("delta", "u"))
    b, c = (given[name].permute(0, 3, 1, 2).repeat_interleave(width, 2) for name in "BC")
    return torch.exp(delta * given["A"]), delta * u * b, c


def _associative_scan(decay: Tensor, step_input: Tensor) -> Tensor:
    from torch._higher_order_ops.associative_scan import associative_scan

    return associative_scan(_join, (decay, step_input), 1, combine_mode="generic")[1]


def _join(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return left[0] * right[0], right[0] * left[1] + right[1]


def _by_division(decay: Tensor, step_input: Tensor, chunk: int = 64) -> Tensor:
    """h_t = P_t (h_0 + Σ_s b_s / P_s) within a chunk, P the product of its decays: what must not be done."""
    state, out = torch.zeros_like(step_input[:, 0]), []
    for a, b in zip(decay.split(chunk, 1), step_input.split(chunk, 1), strict=True):  # type: ignore[no-untyped-call]
        product = a.cumprod(1)
        out.append(product * (state[:, None] + (b / product).cumsum(1)))
        state = out[-1][:, -1]
    return torch.cat(out, 1)


def draw(sizes: Sequence[int], device: str, *, step: float = 0.05, time_major: bool = False) -> dict[str, Tensor]:
    """Inputs with Δ in [step / 2, 3 step / 2] and A = −1 … −N, Mamba's initial values."""
    batch, channels, states, length = sizes
    torch.manual_seed(0)
    given = {
        "u": torch.randn(batch, channels, length),
        "delta": step * (0.5 + torch.rand(batch, channels, length)),
        "A": -torch.arange(1.0, states + 1).repeat(channels, 1),
        "B": torch.randn(batch, GROUPS, states, length),
        "C": torch.randn(batch, GROUPS, states, length),
        "D": torch.ones(channels),
    }
    if time_major:
        given |= {name: given[name].mT.contiguous().mT for name in ("u", "delta")}
    return {name: x.to(device).requires_grad_() for name, x in given.items()}


def forward(scan: Scan, given: dict[str, Tensor], weight: Tensor) -> None:
    with torch.no_grad():
        scan(given)
    _wait(weight)


def train(scan: Scan, given: dict[str, Tensor], weight: Tensor) -> None:
    torch.autograd.grad(scan(given), list(given.values()), weight)
    _wait(weight)


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize()


def bind(step: Callable[..., None], scan: Scan, given: dict[str, Tensor], weight: Tensor) -> Run:
    return lambda: step(scan, given, weight)


def inputs_for(name: str, sizes: Sequence[int], device: str) -> tuple[dict[str, Tensor], Tensor]:
    given = draw(sizes, device, time_major="time-major" in name)
    return given, torch.ones_like(given["u"])  # as y lies: time-major where u does


def compare_times(names: Sequence[str], sizes: Sequence[int], options: argparse.Namespace) -> None:
    scans, plain = contestants(options), inputs_for("", sizes, options.device)
    given = {name: inputs_for(name, sizes, options.device) if "time-major" in name else plain for name in names}
    for what, step in (("forward", forward), ("forward + backward", train)):
        running = [name for name in names if step is forward or name != "mamba's reference"]
        print(what)
        times = best_of_turns({name: bind(step, scans[name], *given[name]) for name in running}, options.rounds)
        print_times(times)
        if options.device == "cuda":
            print_floor(sizes, 3 if step is forward else 8, times["triton"].wall)


def print_floor(sizes: Sequence[int], passes: int, wall: float) -> None:
    """What reading and writing tensors of u's size takes: u, Δ, y; and again with ȳ, ∂u and ∂Δ."""
    batch, channels, _, length = sizes
    x = torch.empty(2**28, device="cuda")
    copy = best_of_turns({"copy": lambda: _wait(torch.empty_like(x).copy_(x))}, 3)["copy"].wall
    floor = passes * batch * channels * length / (2 * x.numel()) * copy
    print(f"memory alone would take {1e3 * floor:.3f} ms: {wall / floor:.1f} times that")


def compare_memory(names: Sequence[str], sizes: Sequence[int], options: argparse.Namespace) -> None:
    print("peak memory of forward + backward, above the inputs")
    first = 0.0
    for name in names:
        if name not in ("mamba's reference", "associative_scan, compiled"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak = pool.apply(peak_of, (name, sizes, options))
            first = first or peak
            print(f"{name:24s} {peak:8.0f} MiB {peak / first:7.1f}×", flush=True)


def peak_of(name: str, sizes: Sequence[int], options: argparse.Namespace) -> float:
    torch.set_num_threads(options.threads)
    scan = contestants(options)[name]
    small = (1, GROUPS, sizes[2], 64)
    train(scan, *inputs_for(name, small, options.device))
    given, weight = inputs_for(name, sizes, options.device)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train(scan, given, weight)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before_mb = _memory("VmRSS")
    train(scan, given, weight)
    return _memory("VmHWM") - before_mb


def _memory(field: str) -> float:
    """MiB, of this process. (Linux.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def compare_errors(names: Sequence[str], options: argparse.Namespace) -> None:
    """y and the largest of all gradients, at L = 1024 and N = 16."""
    scans = contestants(options) | {"division, chunks of 64": materialized(_by_division)}
    print("\nlargest error / largest value, of y and of the worst gradient, against float64 (N = 16, L = 1024)")
    print(f"{'Δ':24s}" + "".join(f"{step:>20g}" for step in STEPS))
    for name in [*names, "division, chunks of 64"]:
        cells = "".join(f"{_errors(name, scans[name], step, options.device):>20s}" for step in STEPS)
        print(f"{name:24s}{cells}", flush=True)


def _errors(name: str, scan: Scan, step: float, device: str) -> str:
    given = draw((1, 8, 16, 1024), device, step=step)
    exact = {name: x.detach().double().requires_grad_() for name, x in given.items()}
    wanted, found = (_results(f, x, name) for f, x in ((ours("sequential"), exact), (scan, given)))
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted, strict=False)]
    return f"{errors[0]:.0e} / {max(errors[1:]):.0e}" if errors[1:] else f"{errors[0]:.0e}"


def _results(scan: Scan, given: dict[str, Tensor], name: str) -> list[Tensor]:
    y: Any = scan(given)
    if name == "mamba's reference":
        return [y.detach()]
    return [y.detach(), *torch.autograd.grad(y.sum(), list(given.values()))]


if __name__ == "__main__":
    main()

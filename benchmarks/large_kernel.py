"""The depthwise convolution with a large kernel against PyTorch's, for each level's shape, as ratios in one run.

    python benchmarks/large_kernel.py [--kernel N] [--rounds N] [--threads N] [--shapes B,C,S ...]

Contestants take turns: `F.conv2d` on planar maps (PyTorch's default layout), `F.conv2d` on channels-last maps, and
`depthwise_conv2d` on maps of either layout; forward alone (prediction), and forward with both gradients (a training step). A
ratio is that of the best rounds; the first contestant is the default layout. The largest differences are printed beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.large_kernel import depthwise_conv2d
from turns import best_of_turns

LEVELS = ("1,64,128", "8,8,128", "8,16,64", "8,32,32", "8,64,16", "1,32,256", "1,64,128", "1,128,64", "1,256,32")
"""Batch, channels, side: the shape to compare at, the four levels of the preset `tiny` at 128² in batches of eight, and those
of `paper` at 256² one by one."""
Convolution = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shapes", nargs="+", default=list(dict.fromkeys(LEVELS)))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"depthwise {arguments.kernel}×{arguments.kernel}, {arguments.threads} threads; × = times as fast as default")
    for shape in arguments.shapes:
        batch, channels, side = map(int, shape.split(","))
        compare(batch, channels, side, arguments.kernel, arguments.rounds)


def compare(batch: int, channels: int, side: int, kernel: int, rounds: int) -> None:
    """Print one shape's times and ratios."""
    torch.manual_seed(0)
    planar = torch.randn(batch, channels, side, side)
    last = planar.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, 1, kernel, kernel) / kernel

    def plain(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, padding=kernel // 2, groups=channels)

    contestants: dict[str, tuple[Convolution, Tensor]] = {
        "default": (plain, planar),
        "channels-last": (plain, last),
        "this": (depthwise_conv2d, last),
        "this, planar input": (depthwise_conv2d, planar),
    }
    print(
        f"{batch}×{channels}×{side}×{side}: largest difference {difference(plain, planar, last, weight):.0e} of the largest value"
    )
    for what, run in (("forward", predict), ("forward + backward", train)):
        times = best_of_turns({name: bind(run, f, x, weight) for name, (f, x) in contestants.items()}, rounds)
        first = times["default"]
        for name, (wall, cpu) in times.items():
            ratios = f"{first.wall / wall:6.1f}×   processor {1e3 * cpu:8.1f} ms {first.cpu / cpu:6.1f}×"
            print(f"  {what:20s}{name:20s}{1e3 * wall:8.1f} ms {ratios}", flush=True)


def bind(
    run: Callable[[Convolution, Tensor, Tensor], object], f: Convolution, x: Tensor, w: Tensor
) -> Callable[[], object]:
    return lambda: run(f, x, w)


@torch.inference_mode()
def predict(convolve: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    return convolve(x, weight)


def train(convolve: Convolution, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The result and both gradients."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = convolve(x, weight)
    y.backward(torch.ones_like(y))  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert weight.grad is not None
    return y.detach(), x.grad, weight.grad


def difference(plain: Convolution, planar: Tensor, last: Tensor, weight: Tensor) -> float:
    """Over the result and both gradients, each relative to its largest value."""
    pairs = zip(train(plain, planar, weight), train(depthwise_conv2d, last, weight), strict=True)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


if __name__ == "__main__":
    main()

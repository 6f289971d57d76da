"""Processor time of each operator of a piece of PyTorch code, in its place: forward and backward.

Processor time and not the clock: on a machine with other work an operator of ten milliseconds is interrupted and one of ten
microseconds is not, which would shift every share. It counts all threads of the process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["KINDS", "Call", "operator_times"]

_BEGINNINGS = {
    "matrix": ("mm", "addmm", "bmm", "baddbmm", "linear", "dot", "mv", "mkldnn_linear"),
    "attention": ("_scaled_dot_product",),
    "normalize": ("native_batch_norm", "native_layer_norm", "native_group_norm", "_fused_rms_norm", "_batch_norm"),
    "sample": (
        "upsample",
        "_upsample",
        "max_pool",
        "avg_pool",
        "adaptive",
        "_adaptive",
        "grid_sampler",
        "gather",
        "scatter",
        "index",
    ),
    "layout": (
        "copy_",
        "_to_copy",
        "clone",
        "cat",
        "stack",
        "constant_pad",
        "reflection_pad",
        "replication_pad",
        "fill_",
        "zero_",
        "zeros",
        "new_zeros",
        "full",
        "ones",
        "roll",
        "flip",
        "repeat",
    ),
    "optimizer": ("_fused_adam", "_foreach"),
}
"""Kind → beginnings of operators' names, in this order. What has "conv" in its name is a convolution, all else element-wise."""
_OWN = ("window_attention.py", "large_kernel.py", "selective_scan")
"""Files and folders of this library's own operators: whatever they call belongs to them."""
_LOSSES = ("objective.py", "losses.py", "segmentation_loss.py", "boundary_loss.py", "ssim.py", "deep_supervision.py")
KINDS = ("convolution", "matrix", "own", *[kind for kind in _BEGINNINGS if kind != "matrix"], "elementwise")


@dataclass(frozen=True)
class Call:
    """One call of an operator. `loss`: it is called, in the forward pass, from a file that computes losses."""

    name: str
    kind: str
    loss: bool
    seconds: float


def operator_times(run: Callable[[], object], rounds: int) -> list[Call]:
    """The operators of `run` in order, each with the shortest time of so many rounds. All rounds must do the same."""
    found = []
    for _ in range(rounds):
        with _Clock() as clock:
            run()
        found.append(clock.calls)
    if any([call.name for call in calls] != [call.name for call in found[0]] for calls in found):
        raise RuntimeError("the operators differ from round to round")
    return [min(same, key=lambda call: call.seconds) for same in zip(*found, strict=True)]


class _Clock(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        start = time.process_time()
        result = operator(*args, **(kwargs or {}))
        seconds = time.process_time() - start
        name = operator.overloadpacket.__name__
        callers = list(_calling_files(sys._getframe()))
        self.calls.append(Call(name, _kind(name, callers), bool(set(callers) & set(_LOSSES)), seconds))
        return result


def _calling_files(frame: FrameType | None) -> Iterator[str]:
    """Names of this library's files from which an operator is called, each with its folder."""
    while frame is not None:
        path = PurePath(frame.f_code.co_filename)
        if "delineate" in path.parts:
            yield from (path.name, path.parent.name)
        frame = frame.f_back


def _kind(name: str, callers: list[str]) -> str:
    if "selective_scan" in name or any(each in _OWN for each in callers):
        return "own"
    if "conv" in name:
        return "convolution"
    return next((kind for kind, beginnings in _BEGINNINGS.items() if name.startswith(beginnings)), "elementwise")

"""`selective_scan`: what callers see. Checks, number types, the gate and the choice of a back-end; the scan itself is theirs."""

# ruff: noqa: N803, N806

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Literal, Protocol, overload

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.common.errors import DeviceError
from delineate.common.names import did_you_mean
from delineate.nn.precision import without_autocast
from delineate.nn.selective_scan import associative, chunked, sequential


class Backend(Protocol):
    """One way to compute the scan. All tensors on one device and of one type, float32 or float64; shapes as in
    `selective_scan`, already checked; any strides. Differentiable once in every tensor."""

    def __call__(
        self,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        delta_bias: Tensor | None,
        softplus: bool,
    ) -> tuple[Tensor, Tensor]:
        """y, Batch × K·D × L; and the state after the last step, Batch × K·D × N."""
        ...


def _triton(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    softplus: bool,
) -> tuple[Tensor, Tensor]:
    """The kernel for GPUs. Imported when it runs, since Triton is not on every machine."""
    from delineate.nn.selective_scan import triton_kernel

    return triton_kernel.scan(u, delta, A, B, C, D, delta_bias, softplus)


BACKENDS: Mapping[str, Backend] = {
    "sequential": sequential.scan,
    "chunked": chunked.scan,
    "associative": associative.scan,
    "export": associative.scan,
    "triton": _triton,
}
"""By name: the definition step by step (the oracle of tests); CPUs; any device, by a tree; graphs that leave Python, which get the
tree too, as it is made of standard operators; GPUs with Triton."""


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    softplus: bool = False,
    z: Tensor | None = None,
    return_last_state: Literal[False] = False,
    backend: str = "auto",
    check: bool = True,
) -> Tensor: ...
@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    softplus: bool = False,
    z: Tensor | None = None,
    return_last_state: Literal[True],
    backend: str = "auto",
    check: bool = True,
) -> tuple[Tensor, Tensor]: ...
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    softplus: bool = False,
    z: Tensor | None = None,
    return_last_state: bool = False,
    backend: str = "auto",
    check: bool = True,
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan Batch × K groups of D channels over L steps; B and C are shared by the channels of a group.

    `u`, `delta`, `z`: Batch × K·D × L; `A`: K·D × N, real and ≤ 0; `B`, `C`: Batch × K × N × L; `D`, `delta_bias`: K·D. Returns
    y, Batch × K·D × L, times SiLU(z) where `z` is given; with `return_last_state` also the state after step L,
    Batch × K·D × N. Differentiable once.

    Computed and returned in float32 whatever the inputs' types and under autocast (float64 where `u` is), since half precision
    loses the small steps of the recurrence and overflows in long ones. `u` and `delta` are read fastest where channels
    are innermost in memory (the transpose of Batch × L × K·D); y may lie so, too.

    `backend`: a name of `BACKENDS`, or "auto". `check=False` leaves out the checks that look at values (they wait for the device).
    Raises `ValueError` for shapes that do not agree, L = 0, steps Δ that are not finite or negative, A > 0, an unknown
    back-end or one that cannot do it; `DeviceError` where Triton is asked for and absent.
    """
    _check_shapes(u, delta, A, B, C, D, delta_bias, z)
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    with without_autocast(u.device.type):
        u, delta, A, B, C = (x.to(dtype) for x in (u, delta, A, B, C))
        D, delta_bias = (None if x is None else x.to(dtype) for x in (D, delta_bias))
        if check and not (torch.compiler.is_compiling() or _tracing() or u.is_meta):
            _check_values(delta, A, delta_bias, softplus)
        y, last = _find(backend, u, A.shape[1])(u, delta, A, B, C, D, delta_bias, softplus)
        if z is not None:
            y = y * F.silu(z.to(dtype))
    return (y, last) if return_last_state else y


def choose(device: str, states: int) -> str:
    """The back-end for a device type and N states per channel (measured: benchmarks/selective_scan.py).

    A graph that leaves Python must hold standard operators only. On a CPU the chunked form is the fastest for every shape tried,
    and needs the least memory. GPUs run the Triton kernel, up to the N that it holds in registers. What is left are
    devices on which starting an operation per step costs most.
    """
    if torch.compiler.is_exporting() or _tracing():
        return "export"
    if device in ("cpu", "meta"):
        return "chunked"
    if device == "cuda":
        from delineate.nn.selective_scan import triton_kernel

        if triton_kernel.available() and states <= triton_kernel.LIMIT_N:
            return "triton"
        _warn_of_slow_scan(
            triton_kernel.why_not() or f"its kernel holds up to N = {triton_kernel.LIMIT_N}, not {states}"
        )
    return "associative"


@functools.cache
def _warn_of_slow_scan(why: str) -> None:
    """Once per reason."""
    warnings.warn(
        f"the selective scan runs without Triton: {why}; expect it to be slow and to need memory", stacklevel=4
    )


def _find(name: str, u: Tensor, states: int) -> Backend:
    """The back-end of that name, or of `choose`."""
    if name == "auto":
        return BACKENDS[choose(u.device.type, states)]
    if name not in BACKENDS:
        raise ValueError(f"unknown back-end '{name}' of the selective scan: {did_you_mean(name, [*BACKENDS, 'auto'])}")
    if name == "triton":
        from delineate.nn.selective_scan import triton_kernel

        if not triton_kernel.available():
            raise DeviceError(
                f"the selective scan cannot run with Triton: {triton_kernel.why_not()}; leave backend='auto'"
            )
        if states > triton_kernel.LIMIT_N:
            raise ValueError(
                f"the Triton scan holds up to N = {triton_kernel.LIMIT_N}, not {states}; leave backend='auto'"
            )
        if u.device.type != "cuda":
            raise DeviceError(
                f"the Triton scan is for CUDA and the tensors are on the {u.device.type}; leave backend='auto'"
            )
    return BACKENDS[name]


def _check_shapes(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    z: Tensor | None,
) -> None:
    if u.ndim != 3 or A.ndim != 2 or B.ndim != 4:
        raise ValueError(
            f"u {_shape(u)} must be Batch × K·D × L, A {_shape(A)} K·D × N and B {_shape(B)} Batch × K × N × L"
        )
    if A.is_complex():
        raise ValueError("A is complex; this scan is for real A (S6), not for the complex A of S4")
    batch, channels, length = u.shape
    groups, states = B.shape[1], A.shape[1]
    if not all((batch, channels, length, groups, states)):
        raise ValueError(f"u {_shape(u)}, A {_shape(A)} and B {_shape(B)} leave nothing to scan: no size may be 0")
    if channels % groups:
        raise ValueError(
            f"the {channels} channels of u {_shape(u)} cannot be divided among the {groups} groups of B {_shape(B)}"
        )
    wanted: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "delta": (delta, (batch, channels, length)),
        "A": (A, (channels, states)),
        "B": (B, (batch, groups, states, length)),
        "C": (C, (batch, groups, states, length)),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
        "z": (z, (batch, channels, length)),
    }
    for name, (x, shape) in wanted.items():
        if x is not None and tuple(x.shape) != shape:
            raise ValueError(
                f"{name} {_shape(x)} does not fit u {_shape(u)} with N = {states} and K = {groups}: it must be {_times(shape)}"
            )


@torch.no_grad()
def _check_values(delta: Tensor, A: Tensor, delta_bias: Tensor | None, softplus: bool) -> None:
    least, most = delta.aminmax()
    if not (least.isfinite() and most.isfinite()):
        raise ValueError("delta holds values that are not finite; look at what computes it")
    if A.max() > 0:
        raise ValueError(f"A holds {A.max():.3g} > 0, with which states grow without bound; use A = −exp(A_log)")
    if softplus:
        return
    if delta_bias is not None:
        least = (delta + delta_bias[:, None]).min()
    if least < 0:
        raise ValueError(f"delta holds a step of {least:.3g} < 0; pass softplus=True, or steps that are not negative")


def _tracing() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _shape(x: Tensor) -> str:
    return f"({_times(x.shape)})"


def _times(shape: torch.Size | tuple[int, ...]) -> str:
    return "×".join(map(str, shape))

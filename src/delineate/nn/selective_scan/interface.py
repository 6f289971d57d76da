"""The public function `selective_scan`: checks, number types, the gate and the choice of a back-end, which does the scan."""

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
from delineate.nn.selective_scan import associative, blocked, chunked, sequential

__all__ = ["BACKENDS", "Backend", "choose_backend", "selective_scan"]


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
    "export": blocked.scan,
    "triton": _triton,
}
"""By name. `sequential`: the definition step by step, the reference of the tests. `chunked`: for CPUs. `associative`: a tree, for
any device. `export`: for graphs that leave Python; few operators, whatever L is. `triton`: GPUs with Triton."""


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
    """The selective scan of state-space models, h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t, y_t = C_t · h_t + D u_t, with h_0 = 0.

    Channels are in K groups of D (the four directions of a 2-D scan, say); B and C are shared by the channels of a group.
    Differentiable once.

    Computed and returned in float32 whatever the inputs' types and also in mixed precision (float64 where `u` is): half precision
    loses the small steps of the recurrence and overflows in long ones. `u` and `delta` are read fastest where channels
    are innermost in memory (the transpose of Batch × L × K·D); y may lie so, too.

    Args:
        u: Input, Batch × K·D × L.
        delta: Steps before bias and softplus, Batch × K·D × L.
        A: K·D × N, real and at most 0.
        B: Batch × K × N × L.
        C: Batch × K × N × L.
        D: Weight of the input in the output, K·D; None: 0.
        delta_bias: Added to `delta`, K·D.
        softplus: Δ = softplus(delta + bias); else Δ = delta + bias, which must not be negative.
        z: Batch × K·D × L; the result is multiplied by SiLU(z).
        return_last_state: Also return the state after step L.
        backend: "auto", or a name of `BACKENDS`.
        check: False leaves out the checks of values, which wait for the GPU.

    Returns:
        y, Batch × K·D × L; with `return_last_state` (y, state Batch × K·D × N).

    Raises:
        ValueError: Shapes do not agree, a size is 0, Δ is negative or not finite, A > 0, or the back-end is unknown or unfit.
        DeviceError: Triton is asked for and cannot run here.

    Example:
        >>> from delineate.nn.selective_scan import selective_scan
        >>> u, delta = torch.rand(2, 8, 100), torch.rand(2, 8, 100)
        >>> A, B, C = -torch.rand(8, 4), torch.rand(2, 1, 4, 100), torch.rand(2, 1, 4, 100)
        >>> selective_scan(u, delta, A, B, C, softplus=True).shape
        torch.Size([2, 8, 100])
    """
    _check_shapes(u, delta, A, B, C, D, delta_bias, z)
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    with without_autocast(u.device.type):
        u, delta, A, B, C = (x.to(dtype) for x in (u, delta, A, B, C))
        D, delta_bias = (None if x is None else x.to(dtype) for x in (D, delta_bias))
        if check and not (torch.compiler.is_compiling() or _tracing() or u.is_meta):
            _check_values(delta, A, delta_bias, softplus)
        scan = _resolve_backend(backend, u, A.shape[1])
        y, last = scan(u, delta, A, B, C, D, delta_bias, softplus)
        if z is not None:
            y = y * F.silu(z.to(dtype))
    return (y, last) if return_last_state else y


def choose_backend(device: str, states: int) -> str:
    """The back-end for a device type and N states per channel (measured: benchmarks/selective_scan.py).

    A graph that leaves Python must hold standard operators only. On a CPU the chunked form is the fastest for every shape tried,
    and needs the least memory. GPUs run the Triton kernel, up to the N that fits its registers. On all other devices the tree
    runs: there it costs most to start an operation for each step.
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


def _resolve_backend(name: str, u: Tensor, states: int) -> Backend:
    """The back-end of that name, or of `choose_backend`."""
    if name == "auto":
        return BACKENDS[choose_backend(u.device.type, states)]
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
    expected: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "delta": (delta, (batch, channels, length)),
        "A": (A, (channels, states)),
        "B": (B, (batch, groups, states, length)),
        "C": (C, (batch, groups, states, length)),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
        "z": (z, (batch, channels, length)),
    }
    for name, (x, shape) in expected.items():
        if x is not None and tuple(x.shape) != shape:
            raise ValueError(
                f"{name} {_shape(x)} does not fit u {_shape(u)} with N = {states} and K = {groups}: it must be {_sizes(shape)}"
            )


@torch.no_grad()
def _check_values(delta: Tensor, A: Tensor, delta_bias: Tensor | None, softplus: bool) -> None:
    smallest, largest = delta.aminmax()
    if not (smallest.isfinite() and largest.isfinite()):
        raise ValueError("delta holds values that are not finite; look at what computes it")
    if A.max() > 0:
        raise ValueError(f"A holds {A.max():.3g} > 0, with which states grow without bound; use A = −exp(A_log)")
    if softplus:
        return
    if delta_bias is not None:
        smallest = (delta + delta_bias[:, None]).min()
    if smallest < 0:
        raise ValueError(
            f"delta holds a step of {smallest:.3g} < 0; pass softplus=True, or steps that are not negative"
        )


def _tracing() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _shape(x: Tensor) -> str:
    return f"({_sizes(x.shape)})"


def _sizes(shape: torch.Size | tuple[int, ...]) -> str:
    return "×".join(map(str, shape))

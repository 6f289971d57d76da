"""The selective scan on CUDA devices by Triton kernels: whether it can run, its operators and their gradients.

`triton_launch` divides the work, `triton_programs` is the device code. Both passes are operators of their own (`torch.library`),
so `torch.compile` takes them as they are.
"""

# ruff: noqa: N803, N806

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from delineate.nn.selective_scan import triton_launch
from delineate.nn.selective_scan.triton_launch import Inputs, Partition

__all__ = ["LIMIT_N", "available", "scan", "why_not"]

LIMIT_N = 64
"""Most states per channel."""


def available() -> bool:
    """Whether `scan` runs here on CUDA tensors."""
    return why_not() is None


def why_not() -> str | None:
    """One line why the kernels cannot run here; None where they can."""
    if not _installed():
        return "Triton is not installed (it comes with PyTorch for CUDA on Linux)"
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    if torch.version.hip is None and torch.cuda.get_device_capability() < (7, 0):
        return "the device's compute capability is below 7.0, which Triton asks for"
    return None


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    softplus: bool,
) -> tuple[Tensor, Tensor]:
    """(y, last state) in float32: batch×K·D×L, a view of time-major memory, and batch×K·D×N. Differentiable once in all tensors.

    u, delta batch×K·D×L; A K·D×N; B, C batch×K×N×L; D, delta_bias K·D or None; N ≤ `LIMIT_N`, sizes at least 1. Any dtype and
    strides; time-major u and delta (`cross_scan` gives such) are not copied. Computed in float32.
    """
    channels, states = A.shape
    if states > LIMIT_N:
        raise ValueError(f"the Triton scan takes at most {LIMIT_N} states, not {states}")
    A = A.float().contiguous()
    D = A.new_zeros(channels) if D is None else D.float().contiguous()
    bias = A.new_zeros(channels) if delta_bias is None else delta_bias.float().contiguous()
    u, delta = (x.float().transpose(1, 2).contiguous() for x in (u, delta))
    B, C = (x.float().permute(0, 3, 1, 2).contiguous() for x in (B, C))
    inputs = u, delta, A, B, C, D, bias
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    y, last, _, _ = torch.ops.delineate.selective_scan_triton(*inputs, softplus, keep)
    return y.transpose(1, 2), last


def _forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    bias: Tensor,
    softplus: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`Inputs` → y alike, the last state; and for the backward pass, with `keep`, states and sums of Δ."""
    return triton_launch.forward(Inputs(u, delta, A, B, C, D, bias), softplus, keep=keep)


def _forward_shapes(u, delta, A, B, C, D, bias, softplus, keep):  # type: ignore[no-untyped-def]
    partition = Partition.of(Inputs(u, delta, A, B, C, D, bias), keep=keep)
    starts = u.new_empty(partition.batch, partition.chunks + 1, partition.states, partition.channels)
    return (
        torch.empty_like(u),
        u.new_empty(partition.batch, *A.shape),
        starts,
        u.new_empty(partition.batch, partition.segments, len(A)),
    )


def _backward(
    dy: Tensor,
    d_last: Tensor,
    starts: Tensor,
    sums: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    bias: Tensor,
    softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients in the inputs, in their order."""
    return triton_launch.backward(Inputs(u, delta, A, B, C, D, bias), starts, sums, dy, d_last, softplus)


def _backward_shapes(dy, d_last, starts, sums, u, delta, A, B, C, D, bias, softplus):  # type: ignore[no-untyped-def]
    return tuple(torch.empty_like(x) for x in (u, delta, A, B, C, D, bias))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.softplus, _ = inputs
    ctx.save_for_backward(*output[2:], *tensors)


def _autograd_backward(ctx: Any, dy: Tensor, d_last: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    given = dy.contiguous(), d_last, *ctx.saved_tensors, ctx.softplus
    return *torch.ops.delineate.selective_scan_triton_backward(*given), None, None


def _register(name: str, run: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    """Make `torch.ops.delineate.<name>`. Not by `torch.library.custom_op`, whose first call imports the compiler."""
    _LIBRARY.define(name + torch.library.infer_schema(run, mutates_args=()))  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"delineate::{name}", shapes, lib=_LIBRARY)


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


_LIBRARY = torch.library.Library("delineate", "FRAGMENT")  # type: ignore[no-untyped-call]
_register("selective_scan_triton", _forward, _forward_shapes)
_register("selective_scan_triton_backward", _backward, _backward_shapes)
torch.library.register_autograd(
    "delineate::selective_scan_triton", _autograd_backward, setup_context=_setup_context, lib=_LIBRARY
)

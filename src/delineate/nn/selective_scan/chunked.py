"""The selective scan on CPUs: step by step in time, on blocks of channels that stay in the processor's cache.

A sequential scan does the fewest operations of all, and a CPU has too few parallel units to gain from more. What
costs time is memory traffic (a state has N times the size of the input) and the start of an operation per step. So:

- everything lies time-major, with channels innermost, and a *block* of channels runs over time in *chunks* of steps whose
  decays and states fit the cache; they are formed, used and overwritten there;
- threads take blocks, not parts of operations;
- the steps of a chunk, h_t ← a_t h_{t−1} + b_t, are one call;
- for the backward pass only the state before each chunk is kept. It forms a chunk's states again, runs the adjoint
  recurrence g_t = C_t ȳ_t + a_{t+1} g_{t+1} from the end, and every gradient is a product of what then lies in the cache:

      ∂C_t = Σ_d ȳ_t h_t        ∂B_t = Σ_d g_t x_t,  x = Δ u     x̄_t = Σ_n g_t B_t
      e_t  = g_t a_t h_{t−1}    ∂A = Σ_t e_t Δ_t                 ∂Δ_t = Σ_n e_t A + u_t x̄_t      ∂u_t = Δ_t x̄_t + D ȳ_t

Beyond its result it needs memory for Δ and for the kept states, at most N / 32 of the size of u. Both passes are operators of
their own (`torch.library`), so `torch.compile` takes them as they are.
"""

# ruff: noqa: N803, N806

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.selective_scan.chunks import (
    Block,
    Gradients,
    Partition,
    Workspace,
    add_gradients,
    sum_of_products,
)
from delineate.nn.selective_scan.threads import run_in_threads

__all__ = ["scan"]


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
    """As `Backend`. The result is time-major in memory (stride 1 along channels), and so are `u` and `delta`
    best: the transpose of a Batch × L × K·D tensor is taken without a copy."""
    u, delta = (x.transpose(1, 2).contiguous() for x in (u, delta))
    y, last, _, _ = torch.ops.delineate.selective_scan(u, delta, A, B, C, D, delta_bias, softplus)
    return y.transpose(1, 2), last


def _forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """u and delta Batch × L × K·D → y alike, the last state; and for the backward pass the states before each chunk, and Δ."""
    partition = Partition(u, B)
    y, steps = torch.empty_like(u), _step_sizes(delta, delta_bias, softplus)
    last, kept = u.new_empty(partition.state), u.new_empty((partition.chunks, *partition.state))
    inputs = [partition.by_step(x) for x in (u, steps, y)]
    shared = [x.permute(3, 2, 0, 1) for x in (B, C)]
    rates = partition.by_group(A.t())

    def run(block: Block) -> None:
        space = Workspace(u, partition.steps, block.states(last).shape, adjoint=False)
        space.state[0].zero_()
        a = block.parameters(rates)
        parts = [torch.split(block.channels(x), partition.steps) for x in inputs]
        parts += [torch.split(block.inputs(x), partition.steps) for x in shared]
        for before, x, step, out, b, c in zip(block.states(kept), *parts, strict=True):
            before.copy_(space.state[0])
            decay, state, _ = space.run(x, step, a, b)
            sum_of_products(state[1:], c, decay, out)
            space.state[0] = state[-1]
        block.states(last).copy_(space.state[0])

    _run_blocks(partition, run)
    if D is not None:
        y.addcmul_(u, D)
    return y, last.flatten(2).permute(1, 2, 0).contiguous(), kept, steps


def _step_sizes(delta: Tensor, bias: Tensor | None, softplus: bool) -> Tensor:
    """Δ of the raw steps, in memory of its own."""
    steps = delta.clone() if bias is None else delta + bias
    return F.softplus(steps) if softplus else steps


def _forward_shapes(u, delta, A, B, C, D, delta_bias, softplus):  # type: ignore[no-untyped-def]
    partition = Partition(u, B)
    last = u.new_empty((u.shape[0], *A.shape))
    return torch.empty_like(u), last, u.new_empty((partition.chunks, *partition.state)), torch.empty_like(u)


def _backward(
    grad_y: Tensor,
    grad_last: Tensor | None,
    u: Tensor,
    delta: Tensor,
    kept: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of u and delta (Batch × L × K·D), A, B, C, D and delta_bias; `delta` is Δ, after bias and softplus."""
    partition = Partition(u, B)
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(u)
    grad_b, grad_c = (torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (B, C))
    sum_a = u.new_zeros(partition.state)
    carried = torch.zeros_like(sum_a)
    if grad_last is not None:
        carried += grad_last.permute(2, 0, 1).view(partition.state)
    inputs = [partition.by_step(x) for x in (u, delta, grad_y, grad_u, grad_delta)]
    shared = [x.permute(3, 2, 0, 1) for x in (B, C, grad_b, grad_c)]
    rates = partition.by_group(A.t())

    def run(block: Block) -> None:
        space = Workspace(u, partition.steps, block.states(sum_a).shape, adjoint=True)
        back = block.states(carried).contiguous()
        a, to_a = block.parameters(rates), block.states(sum_a)
        parts = [torch.split(block.channels(x), partition.steps) for x in inputs]
        parts += [torch.split(block.inputs(x), partition.steps) for x in shared]
        chunks = list(zip(block.states(kept), *parts, strict=True))
        for before, x, step, grad, to_x, to_decay, b, c, to_b, to_c in reversed(chunks):
            space.state[0] = before
            add_gradients(space, (x, step, grad, b, c), a, back, Gradients(to_x, to_decay, to_b, to_c, to_a))

    _run_blocks(partition, run)
    grad_delta.addcmul_(grad_u, u)
    grad_u.mul_(delta)
    grad_d = torch.zeros_like(A[:, 0])
    if D is not None:
        grad_u.addcmul_(grad_y, D)
        grad_d = torch.mul(grad_y, u).sum((0, 1))
    if softplus:  # its derivative is 1 − exp(−Δ)
        grad_delta.mul_(torch.neg(delta).expm1_().neg_())
    grad_a = sum_a.sum(1).flatten(1).t().contiguous()
    return grad_u, grad_delta, grad_a, grad_b, grad_c, grad_d, grad_delta.sum((0, 1))


def _backward_shapes(grad_y, grad_last, u, delta, kept, A, B, C, D, softplus):  # type: ignore[no-untyped-def]
    like = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, u, A, B, C)]
    return (*like, u.new_empty(len(A)), u.new_empty(len(A)))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    u, _, A, B, C, D, delta_bias, ctx.softplus = inputs
    ctx.has_bias = delta_bias is not None
    ctx.save_for_backward(u, output[3], output[2], A, B, C, D)
    ctx.set_materialize_grads(False)


def _autograd_backward(ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    u, delta, kept, A, B, C, D = ctx.saved_tensors
    grad_y = torch.zeros_like(u) if grad_y is None else grad_y.contiguous()
    kept_by_forward = u, delta, kept, A, B, C, D, ctx.softplus
    *grads, grad_d, grad_bias = torch.ops.delineate.selective_scan_backward(grad_y, grad_last, *kept_by_forward)
    return (*grads, None if D is None else grad_d, grad_bias if ctx.has_bias else None, None)


def _run_blocks(partition: Partition, run: Callable[[Block], None]) -> None:
    """`run` on every block."""

    def run_unit(blocks: list[Block]) -> None:
        for block in blocks:
            run(block)

    threads = partition.threads()
    run_in_threads(run_unit, partition.units(threads), threads)


def _register(name: str, run: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    """Make `torch.ops.delineate.<name>`. Not by `torch.library.custom_op`, whose first call imports the compiler (1.3 s)."""
    _LIBRARY.define(name + torch.library.infer_schema(run, mutates_args=()))  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"delineate::{name}", shapes, lib=_LIBRARY)


_LIBRARY = torch.library.Library("delineate", "FRAGMENT")  # type: ignore[no-untyped-call]
_register("selective_scan", _forward, _forward_shapes)
_register("selective_scan_backward", _backward, _backward_shapes)
torch.library.register_autograd(
    "delineate::selective_scan", _autograd_backward, setup_context=_setup_context, lib=_LIBRARY
)

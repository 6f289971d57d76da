"""The selective scan on CPUs: step by step in time, on blocks of channels that stay in the processor's cache.

A sequential scan does the fewest operations of all, and on a CPU, where no lanes stand idle, nothing is gained by a parallel
one; what costs is memory traffic (a state has N times the size of the input) and the start of an operation per step. So:

- everything lies time-major, with channels innermost, and a *block* of channels runs over time in *chunks* of steps whose
  decays and states fit the cache; they are formed, used and overwritten there;
- the steps of a chunk, h_t ← a_t h_{t−1} + b_t, are one call (`_recur`);
- for the backward pass only the state before each chunk is kept. It forms a chunk's states again, runs the adjoint
  recurrence g_t = C_t ȳ_t + a_{t+1} g_{t+1} from the end, and every gradient is a product of what then lies in the cache:

      ∂C_t = Σ_d ȳ_t h_t        ∂B_t = Σ_d g_t Δ_t u_t       x̄_t = Σ_n g_t B_t,  x = Δ u
      e_t  = g_t a_t h_{t−1}    ∂A = Σ_t e_t Δ_t             ∂Δ_t = Σ_n e_t A + u_t x̄_t      ∂u_t = Δ_t x̄_t + D ȳ_t

Beyond its result it needs memory for Δ and for the kept states (N / STEPS of the size of u), not N times u. Both
passes are operators of their own (`torch.library`), so `torch.compile` takes them as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 32
"""Steps of a chunk."""
FORWARD_STATES = 6144
BACKWARD_STATES = 4096
"""Most states of a block; with STEPS of them, the two (three) buffers of the forward (backward) pass fit 1.5 MB (measured)."""


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
    """`Backend` of this module. The result is time-major in memory (stride 1 along channels), and so are `u` and `delta`
    best: the transpose of a Batch × L × K·D tensor is taken without a copy."""
    y, last, _, _ = _forward(
        u.transpose(1, 2).contiguous(), delta.transpose(1, 2).contiguous(), A, B, C, D, delta_bias, softplus
    )
    return y.transpose(1, 2), last


class Block(NamedTuple):
    """A part of the channels: of the batch, of the K groups, and of the D channels of a group."""

    batch: slice
    group: slice
    channel: slice

    def channels(self, x: Tensor) -> Tensor:
        """The block of L × Batch × K × D."""
        return x[:, self.batch, self.group, self.channel]

    def inputs(self, x: Tensor) -> Tensor:
        """The block of L × N × Batch × K (B, C), for every channel alike."""
        return x[:, :, self.batch, self.group, None]

    def parameters(self, x: Tensor) -> Tensor:
        """The block of … × K × D, for every image alike."""
        return x[..., None, self.group, self.channel]

    def states(self, x: Tensor) -> Tensor:
        """The block of … × N × Batch × K × D."""
        return x[..., self.batch, self.group, self.channel]


def blocks(batch: int, groups: int, channels: int, states: int, most: int) -> Iterator[Block]:
    """Blocks of at most `most` states: whole images, else whole groups of one image, else parts of a group."""
    images = max(1, most // (groups * channels * states))
    whole = groups if images * groups * channels * states <= most else max(1, most // (channels * states))
    width = channels if channels * states <= most else max(1, most // states)
    for b in range(0, batch, images):
        for k in range(0, groups, whole):
            for d in range(0, channels, width):
                yield Block(slice(b, b + images), slice(k, k + whole), slice(d, d + width))


class Workspace:
    """The buffers of one block, and the views of their steps, which serve every chunk."""

    def __init__(self, like: Tensor, shape: Sequence[int], adjoint: bool) -> None:
        """`shape`: N × Batch × K × D of the block."""
        self.decay = like.new_empty((STEPS, *shape))
        self.state = like.new_empty((STEPS + 1, *shape))
        """Entry 0 is the state before the chunk."""
        self.input = like.new_empty((STEPS, *shape[1:]))
        self.step_decay, self.step_state = self.decay.unbind(), self.state.unbind()
        if adjoint:
            self.adjoint = like.new_empty((STEPS, *shape))
            self.step_adjoint = self.adjoint.unbind()

    def run(self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A chunk's decays, states (one more than steps) and inputs Δu, from `state[0]`. u, delta T × Batch × K × D."""
        steps = len(u)
        decay, state, x = self.decay[:steps], self.state[: steps + 1], self.input[:steps]
        torch.mul(delta[:, None], A, out=decay).exp_()
        torch.mul(delta, u, out=x)
        torch.mul(x[:, None], B, out=state[1:])
        _recur(self.step_state[1 : steps + 1], self.step_decay[:steps], self.step_state[:steps])
        return decay, state, x

    def run_back(self, decay: Tensor, gradient: Tensor, C: Tensor, carried: Tensor) -> Tensor:
        """The adjoint of a chunk's states; `carried` is what the step after it hands back."""
        steps = len(gradient)
        adjoint, views = self.adjoint[:steps], self.step_adjoint[:steps][::-1]
        torch.mul(gradient[:, None], C, out=adjoint)
        views[0].add_(carried)
        _recur(views[1:], self.step_decay[1:steps][::-1], views[:-1])
        torch.mul(decay[0], adjoint[0], out=carried)
        return adjoint


@torch.library.custom_op("delineate::selective_scan", mutates_args=())
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
    """Time-major u and delta (Batch × L × K·D) → y of their shape; the last state; what the backward pass wants: the states
    before each chunk and Δ."""
    batch, length, _ = u.shape
    groups, states = B.shape[1:3]
    delta = delta.clone() if delta_bias is None else delta + delta_bias
    delta = F.softplus(delta) if softplus else delta
    y = torch.empty_like(u)
    steps_u, steps_delta, steps_y = (_by_step(x, groups) for x in (u, delta, y))
    b, c, a = B.permute(3, 2, 0, 1), C.permute(3, 2, 0, 1), _by_group(A.t(), groups)
    skip = None if D is None else _by_group(D, groups)
    last = u.new_empty((states, batch, groups, steps_u.shape[-1]))
    kept = u.new_empty((-(-length // STEPS), *last.shape))
    with torch.autocast(u.device.type, enabled=False):
        for block in blocks(*last.shape[1:], states, FORWARD_STATES):
            space = Workspace(u, block.states(last).shape, adjoint=False)
            space.state[0].zero_()
            for index, start in enumerate(range(0, length, STEPS)):
                part = slice(start, start + STEPS)
                x, out = block.channels(steps_u[part]), block.channels(steps_y[part])
                block.states(kept)[index] = space.state[0]
                decay, state, _ = space.run(
                    x, block.channels(steps_delta[part]), block.parameters(a), block.inputs(b[part])
                )
                _sum_of_products(state[1:], block.inputs(c[part]), decay, out)
                if skip is not None:
                    out.addcmul_(x, block.parameters(skip))
                space.state[0] = state[-1]
            block.states(last).copy_(space.state[0])
    return y, last.permute(1, 2, 3, 0).reshape(batch, -1, states), kept, delta


@_forward.register_fake
def _(u, delta, A, B, C, D, delta_bias, softplus):  # type: ignore[no-untyped-def]
    batch, length, channels = u.shape
    groups, states = B.shape[1:3]
    kept = u.new_empty((-(-length // STEPS), states, batch, groups, channels // groups))
    return torch.empty_like(u), u.new_empty((batch, channels, states)), kept, torch.empty_like(u)


@torch.library.custom_op("delineate::selective_scan_backward", mutates_args=())
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
    """The gradients of u, delta (time-major), A, B, C, D and delta_bias; `delta` is Δ, after bias and softplus."""
    batch, length, channels = u.shape
    groups, states = B.shape[1:3]
    results = [
        torch.empty_like(u),
        torch.empty_like(u),
        *(torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (B, C)),
    ]
    inputs = [_by_step(x, groups) for x in (u, delta, grad_y, *results[:2])]
    shared = [x.permute(3, 2, 0, 1) for x in (B, C, *results[2:])]
    a = _by_group(A.t(), groups)
    skip = None if D is None else _by_group(D, groups)
    grad_a = u.new_zeros((states, batch, groups, channels // groups))
    carried = torch.zeros_like(grad_a)
    if grad_last is not None:
        carried += grad_last.view(batch, groups, -1, states).permute(3, 0, 1, 2)
    with torch.autocast(u.device.type, enabled=False):
        for block in blocks(*grad_a.shape[1:], states, BACKWARD_STATES):
            space = Workspace(u, block.states(grad_a).shape, adjoint=True)
            back = block.states(carried).contiguous()
            sums, decays = block.states(grad_a), block.parameters(a)
            for index, start in reversed(list(enumerate(range(0, length, STEPS)))):
                part = slice(start, start + STEPS)
                space.state[0] = block.states(kept)[index]
                _chunk_gradients(
                    space,
                    [block.channels(x[part]) for x in inputs],
                    [block.inputs(x[part]) for x in shared],
                    decays,
                    None if skip is None else block.parameters(skip),
                    back,
                    sums,
                )
        grad_u, grad_delta, grad_b, grad_c = results
        if softplus:
            grad_delta *= torch.expm1(-delta).neg_()
        return (
            grad_u,
            grad_delta,
            grad_a.sum(1).view(states, channels).t().contiguous(),
            grad_b,
            grad_c,
            torch.einsum("blc,blc->c", u, grad_y),
            grad_delta.sum((0, 1)),
        )


def _chunk_gradients(
    space: Workspace,
    inputs: Sequence[Tensor],
    shared: Sequence[Tensor],
    A: Tensor,
    D: Tensor | None,
    carried: Tensor,
    grad_a: Tensor,
) -> None:
    """Write one chunk's ∂u and ∂Δ, add to its ∂B, ∂C and to ∂A. `space.state[0]` is the state before the chunk."""
    u, delta, grad_y, grad_u, grad_delta = inputs
    B, C, grad_b, grad_c = shared
    decay, state, x = space.run(u, delta, A, B)
    free = space.adjoint[: len(u)]
    grad_c += torch.mul(state[1:], grad_y[:, None], out=free).sum(-1, keepdim=True)
    adjoint = space.run_back(decay, grad_y, C, carried)
    decay.mul_(state[:-1]).mul_(adjoint)
    free = state[1:]
    grad_b += torch.mul(adjoint, x[:, None], out=free).sum(-1, keepdim=True)
    _sum_of_products(decay, A, free, grad_delta)
    grad_a += torch.mul(decay, delta[:, None], out=decay).sum(0)
    _sum_of_products(adjoint, B, free, x)
    grad_delta.addcmul_(x, u)
    torch.mul(x, delta, out=grad_u)
    if D is not None:
        grad_u.addcmul_(grad_y, D)


@_backward.register_fake
def _(grad_y, grad_last, u, delta, kept, A, B, C, D, softplus):  # type: ignore[no-untyped-def]
    per_channel = u.new_empty(u.shape[-1])
    like = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, u, A, B, C)]
    return (*like, per_channel, torch.empty_like(per_channel))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    u, _, A, B, C, D, delta_bias, ctx.softplus = inputs
    ctx.has_bias = delta_bias is not None
    ctx.save_for_backward(u, output[3], output[2], A, B, C, D)
    ctx.set_materialize_grads(False)


def _hand_back(ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    u, delta, kept, A, B, C, D = ctx.saved_tensors
    grad_y = torch.zeros_like(u) if grad_y is None else grad_y.contiguous()
    *grads, grad_d, grad_bias = _backward(grad_y, grad_last, u, delta, kept, A, B, C, D, ctx.softplus)
    return (*grads, None if D is None else grad_d, grad_bias if ctx.has_bias else None, None)


_forward.register_autograd(_hand_back, setup_context=_keep)


def _by_step(x: Tensor, groups: int) -> Tensor:
    """Batch × L × K·D → L × Batch × K × D, a view."""
    return x.unflatten(2, (groups, -1)).transpose(0, 1)


def _by_group(x: Tensor, groups: int) -> Tensor:
    """… × K·D → … × K × D, channels innermost in memory."""
    return x.contiguous().unflatten(-1, (groups, -1))


def _sum_of_products(a: Tensor, b: Tensor, free: Tensor, out: Tensor) -> None:
    """out = Σ_n a·b over dimension 1; `free` is overwritten (it may be `a`)."""
    if a.shape[1] == 1:
        torch.mul(a[:, 0], b[..., 0, :, :, :], out=out)
    else:
        torch.sum(torch.mul(a, b, out=free), 1, out=out)


Recurrence = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], None]


def _recur(into: Sequence[Tensor], factors: Sequence[Tensor], previous: Sequence[Tensor]) -> None:
    """into[i] += factors[i]·previous[i], one after another: previous[i] is into[i − 1]."""
    if into:
        _recurrence()(into, factors, previous)


@functools.cache
def _recurrence() -> Recurrence:
    """PyTorch's list operation where it goes through its lists in order, as it does on CPUs (0.5 µs a step), else a loop (0.9 µs)."""
    trial = torch.tensor([[0.0], [1.0], [1.0], [1.0]]).unbind()
    torch._foreach_addcmul_(trial[1:], [torch.tensor([2.0])] * 3, trial[:-1])
    return torch._foreach_addcmul_ if [float(x) for x in trial] == [0, 1, 3, 7] else _one_by_one


def _one_by_one(into: Sequence[Tensor], factors: Sequence[Tensor], previous: Sequence[Tensor]) -> None:
    for x, factor, before in zip(into, factors, previous, strict=True):
        x.addcmul_(factor, before)

"""How the chunked scan is cut so that it stays in the cache, and what is done with one chunk there."""

# ruff: noqa: N803, N806

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BUFFER = 2**17
"""Most numbers of a chunk's states; the three buffers of the backward pass then fit 1.5 MB of cache (measured)."""
STEPS = 32
"""Least steps of a chunk: fewer would keep more states, and start more operations per state."""
WIDER = 2
"""How many times larger a block is where several threads work. They meet at Python's lock between operations; fewer and longer
ones gain more (up to a third of the time, measured) than the cache loses."""
WORK_OF_A_THREAD = 2**20
"""Least states × steps of a thread: a millisecond forward."""


class Block(NamedTuple):
    """A part of the channels: of the batch, of the K groups, and of the D channels of a group."""

    batch: slice
    group: slice
    channel: slice

    def channels(self, x: Tensor) -> Tensor:
        """The block of L × Batch × K × D (u, Δ, y), see `Plan.by_step`."""
        return x[:, self.batch, self.group, self.channel]

    def inputs(self, x: Tensor) -> Tensor:
        """The block of L × N × Batch × K (B, C), for every channel alike."""
        return x[:, :, self.batch, self.group, None]

    def parameters(self, x: Tensor) -> Tensor:
        """The block of … × K × D (A, D), for every image alike."""
        return x[..., None, self.group, self.channel]

    def states(self, x: Tensor) -> Tensor:
        """The block of … × Batch × K × D."""
        return x[..., self.batch, self.group, self.channel]


class Plan:
    """A scan cut into blocks of channels that go through time one after another, each in chunks of `steps`."""

    def __init__(self, u: Tensor, B: Tensor) -> None:
        """`u` Batch × L × K·D, `B` Batch × K × N × L. A block is whole images, else whole groups of one image, else a part
        of a group."""
        batch, length, channels = u.shape
        _, groups, states, _ = B.shape
        channels //= groups
        self.size = batch, groups, channels
        most = BUFFER // STEPS
        self.images = min(batch, max(1, most // (groups * channels * states)))
        self.groups = min(groups, max(1, most // (channels * states)))
        self.channels = min(channels, max(1, most // states))
        self.steps = min(length, max(STEPS, BUFFER // (self.images * self.groups * self.channels * states)))
        self.chunks = -(-length // self.steps)
        self.work = batch * groups * channels * states * length
        self.state = states, batch, groups, channels
        """Shape of all channels' states at one step."""

    def units(self, threads: int) -> list[list[Block]]:
        """The blocks, in units that share no gradient and may go their ways; as many as there are `threads`, if that can be.
        The numbers that come out do not depend on it."""
        batch, groups, channels = self.size
        wider = WIDER if threads > 1 else 1
        images = min(wider * self.images, max(1, batch // threads))
        some = min(wider * self.groups, max(1, groups * -(-batch // images) // threads))
        return [
            [
                Block(slice(b, b + images), slice(k, k + some), slice(d, d + self.channels))
                for d in range(0, channels, self.channels)
            ]
            for b in range(0, batch, images)
            for k in range(0, groups, some)
        ]

    def threads(self) -> int:
        """How many are worth their start, of those that PyTorch may use."""
        return min(torch.get_num_threads(), max(1, self.work // WORK_OF_A_THREAD))

    def by_step(self, x: Tensor) -> Tensor:
        """Batch × L × K·D → L × Batch × K × D, a view."""
        batch, length, _ = x.shape
        return x.view(batch, length, *self.size[1:]).transpose(0, 1)

    def by_group(self, x: Tensor) -> Tensor:
        """… × K·D → … × K × D, channels innermost in memory."""
        return x.contiguous().view(*x.shape[:-1], *self.size[1:])


class Workspace:
    """The buffers of one block, and the views of their steps, which serve every chunk."""

    def __init__(self, like: Tensor, steps: int, shape: Sequence[int], *, adjoint: bool) -> None:
        """`shape`: N × Batch × K × D of the block."""
        self.decay = like.new_empty((steps, *shape))
        self.state = like.new_empty((steps + 1, *shape))
        """Entry 0 is the state before the chunk."""
        self.input = like.new_empty((steps, *shape[1:]))
        self.step_decay, self.step_state = self.decay.unbind(), self.state.unbind()
        if adjoint:
            self.adjoint = like.new_empty((steps, *shape))
            self.step_adjoint = self.adjoint.unbind()

    def run(self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A chunk's decays, states (one more than steps) and inputs x = Δu, from `state[0]`. u, delta T × Batch × K × D."""
        steps = len(u)
        decay, state, x = self.decay[:steps], self.state[: steps + 1], self.input[:steps]
        torch.mul(delta[:, None], A, out=decay).exp_()
        torch.mul(delta, u, out=x)
        torch.mul(x[:, None], B, out=state[1:])
        _recur(self.step_state[1 : steps + 1], self.step_decay[:steps], self.step_state[:steps])
        return decay, state, x

    def run_back(self, grad_y: Tensor, C: Tensor, carried: Tensor) -> Tensor:
        """The adjoint of a chunk's states, after `run`. `carried`: what the step after the chunk hands back to it; it is
        overwritten with what the chunk hands back."""
        steps = len(grad_y)
        adjoint, views = self.adjoint[:steps], self.step_adjoint[:steps][::-1]
        torch.mul(grad_y[:, None], C, out=adjoint)
        views[0].add_(carried)
        _recur(views[1:], self.step_decay[1:steps][::-1], views[:-1])
        torch.mul(self.step_decay[0], self.step_adjoint[0], out=carried)
        return adjoint


class Gradients(NamedTuple):
    """Views into the gradients of one block: what a chunk writes (x, decay) or adds to (all others)."""

    x: Tensor
    """Of x = Δu."""
    decay: Tensor
    """Of Δ by way of the decays exp(ΔA)."""
    B: Tensor
    C: Tensor
    A: Tensor


def add_gradients(
    space: Workspace,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    A: Tensor,
    carried: Tensor,
    gradients: Gradients,
) -> None:
    """A chunk's part in the gradients. `inputs`: u, Δ, ȳ, B, C. `space.state[0]` is the state before the chunk."""
    u, delta, grad_y, B, C = inputs
    decay, state, x = space.run(u, delta, A, B)
    free = space.adjoint[: len(u)]
    gradients.C.add_(torch.mul(state[1:], grad_y[:, None], out=free).sum(-1, keepdim=True))
    adjoint = space.run_back(grad_y, C, carried)
    e = decay.mul_(state[:-1]).mul_(adjoint)
    free = state[1:]
    gradients.B.add_(torch.mul(adjoint, x[:, None], out=free).sum(-1, keepdim=True))
    sum_of_products(e, A, free, gradients.decay)
    gradients.A.add_(torch.mul(e, delta[:, None], out=e).sum(0))
    sum_of_products(adjoint, B, free, gradients.x)


def sum_of_products(a: Tensor, b: Tensor, free: Tensor, out: Tensor) -> None:
    """out = Σ_n a·b over dimension 1 of a; `free` is overwritten (it may be `a`)."""
    if a.shape[1] == 1:
        torch.mul(a[:, 0], b[..., 0, :, :, :], out=out)
    else:
        torch.sum(torch.mul(a, b, out=free), 1, out=out)


Views = tuple[Tensor, ...]
Recurrence = Callable[[Views, Views, Views], None]


def _recur(into: Views, factors: Views, previous: Views) -> None:
    """into[i] += factors[i]·previous[i], one after another: previous[i] is into[i − 1]."""
    if into:
        _recurrence(into[0].device.type)(into, factors, previous)


@functools.cache
def _recurrence(device: str) -> Recurrence:
    """On CPUs PyTorch's list operation goes through its lists in order, at 0.5 µs a step; where it does not, a loop (0.9 µs)."""
    if device == "cpu":
        trial = torch.tensor([[0.0], [1.0], [1.0], [1.0]], device="cpu").unbind()
        _all_at_once(trial[1:], (torch.tensor([2.0], device="cpu"),) * 3, trial[:-1])
        if [float(x) for x in trial] == [0, 1, 3, 7]:
            return _all_at_once
    return _one_by_one


def _all_at_once(into: Views, factors: Views, previous: Views) -> None:
    torch._foreach_addcmul_(into, factors, previous)


def _one_by_one(into: Views, factors: Views, previous: Views) -> None:
    for x, factor, before in zip(into, factors, previous, strict=True):
        x.addcmul_(factor, before)

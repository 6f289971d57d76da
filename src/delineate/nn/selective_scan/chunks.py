"""How the chunked scan is divided so that its data stay in the processor's cache, and what is done with one chunk there."""

# ruff: noqa: N803, N806

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "BUFFER",
    "MIN_STEPS",
    "WIDER",
    "WORK_OF_A_THREAD",
    "Block",
    "Gradients",
    "Partition",
    "Workspace",
    "add_gradients",
    "sum_of_products",
]

BUFFER = 2**17
"""Most numbers of a chunk's states; the three buffers of the backward pass then fit 1.5 MB of cache (measured)."""
MIN_STEPS = 32
"""Fewest steps of a chunk: with fewer, more states would be kept, and more operations started per state."""
WIDER = 2
"""How many times larger a block is where several threads work. They wait for Python's lock between operations; fewer and longer
operations gain more (up to a third of the time, measured) than the cache loses."""
WORK_OF_A_THREAD = 2**20
"""Fewest states × steps that are worth a thread: a millisecond forward."""


class Block(NamedTuple):
    """A part of the channels: of the batch, of the K groups, and of the D channels of a group."""

    batch: slice
    group: slice
    channel: slice

    def channels(self, x: Tensor) -> Tensor:
        """The block of L × Batch × K × D (u, Δ, y), see `Partition.by_step`."""
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


class Partition:
    """A scan divided into blocks of channels, each of which goes through time in chunks of `steps`."""

    def __init__(self, u: Tensor, B: Tensor) -> None:
        """`u` Batch × L × K·D, `B` Batch × K × N × L. A block is whole images, else whole groups of one image, else a part
        of a group."""
        batch, length, channels = u.shape
        _, groups, states, _ = B.shape
        channels //= groups
        self.size = batch, groups, channels
        largest = BUFFER // MIN_STEPS
        self.images = min(batch, max(1, largest // (groups * channels * states)))
        self.groups = min(groups, max(1, largest // (channels * states)))
        self.channels = min(channels, max(1, largest // states))
        self.steps = min(length, max(MIN_STEPS, BUFFER // (self.images * self.groups * self.channels * states)))
        self.chunks = -(-length // self.steps)
        self.work = batch * groups * channels * states * length
        self.state = states, batch, groups, channels
        """Shape of all channels' states at one step."""

    def units(self, threads: int) -> list[list[Block]]:
        """Lists of blocks that share no gradient, so that each list can run on a thread of its own: as many as `threads`, where
        the sizes allow it. The result does not depend on the number of threads."""
        batch, groups, channels = self.size
        wider = WIDER if threads > 1 else 1
        images_each = min(wider * self.images, max(1, batch // threads))
        groups_each = min(wider * self.groups, max(1, groups * -(-batch // images_each) // threads))
        units: list[list[Block]] = []
        for first_image in range(0, batch, images_each):
            for first_group in range(0, groups, groups_each):
                image = slice(first_image, first_image + images_each)
                group = slice(first_group, first_group + groups_each)
                starts = range(0, channels, self.channels)
                units.append([Block(image, group, slice(start, start + self.channels)) for start in starts])
        return units

    def threads(self) -> int:
        """How many threads are worth starting, at most those that PyTorch may use."""
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
        """The adjoint of a chunk's states, after `run`. `carried`: the gradient that comes from the step after the chunk; it is
        overwritten with the gradient for the step before the chunk."""
        steps = len(grad_y)
        adjoint, views = self.adjoint[:steps], self.step_adjoint[:steps][::-1]
        torch.mul(grad_y[:, None], C, out=adjoint)
        views[0].add_(carried)
        _recur(views[1:], self.step_decay[1:steps][::-1], views[:-1])
        torch.mul(self.step_decay[0], self.step_adjoint[0], out=carried)
        return adjoint


class Gradients(NamedTuple):
    """_Views into the gradients of one block: what a chunk writes (x, decay) or adds to (all others)."""

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
    buffer = space.adjoint[: len(u)]
    gradients.C.add_(torch.mul(state[1:], grad_y[:, None], out=buffer).sum(-1, keepdim=True))
    adjoint = space.run_back(grad_y, C, carried)
    e = decay.mul_(state[:-1]).mul_(adjoint)
    buffer = state[1:]
    gradients.B.add_(torch.mul(adjoint, x[:, None], out=buffer).sum(-1, keepdim=True))
    sum_of_products(e, A, buffer, gradients.decay)
    gradients.A.add_(torch.mul(e, delta[:, None], out=e).sum(0))
    sum_of_products(adjoint, B, buffer, gradients.x)


def sum_of_products(a: Tensor, b: Tensor, buffer: Tensor, out: Tensor) -> None:
    """out = Σ_n a·b over dimension 1 of a; `buffer` is overwritten (it may be `a`)."""
    if a.shape[1] == 1:
        torch.mul(a[:, 0], b[..., 0, :, :, :], out=out)
    else:
        torch.sum(torch.mul(a, b, out=buffer), 1, out=out)


_Views = tuple[Tensor, ...]
_Recurrence = Callable[[_Views, _Views, _Views], None]


def _recur(into: _Views, factors: _Views, previous: _Views) -> None:
    """into[i] += factors[i]·previous[i], one after another: previous[i] is into[i − 1]."""
    if into:
        _recurrence(into[0].device.type)(into, factors, previous)


@functools.cache
def _recurrence(device: str) -> _Recurrence:
    """On CPUs PyTorch's list operation goes through its lists in order, at 0.5 µs a step. Should that change, a loop (0.9 µs)."""
    if device == "cpu":
        trial = torch.tensor([[0.0], [1.0], [1.0], [1.0]], device="cpu").unbind()
        _foreach_recurrence(trial[1:], (torch.tensor([2.0], device="cpu"),) * 3, trial[:-1])
        if [float(x) for x in trial] == [0, 1, 3, 7]:
            return _foreach_recurrence
    return _loop_recurrence


def _foreach_recurrence(into: _Views, factors: _Views, previous: _Views) -> None:
    torch._foreach_addcmul_(into, factors, previous)


def _loop_recurrence(into: _Views, factors: _Views, previous: _Views) -> None:
    for x, factor, before in zip(into, factors, previous, strict=True):
        x.addcmul_(factor, before)

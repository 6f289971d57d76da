"""How the work of the Triton scan is divided among programs, and the launches of its kernels.

Time is cut into segments, as many as fill the device together with batch, groups and blocks of channels. A recurrence with
products of decays composes over segments without any division: a segment multiplies what enters it by exp(A·ΣΔ) and adds what it
would end with from 0. So there are three launches: all segments from 0 (`forward_carry`), a short walk over their ends
(`combine`), and all segments from their true beginnings (`forward`); one where a single segment does.

Of the states, those before each chunk of `CHUNK` steps are kept. The backward pass computes a chunk's states anew and goes
backwards through them; its segments are joined the same way. Sums over channels and segments are made from parts in a fixed
order: the same inputs give the same bits.
"""

# ruff: noqa: N803, N806

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["CHUNK", "WARPS_PER_PROCESSOR", "Inputs", "Partition", "backward", "forward"]

CHUNK = 32
"""Steps between states that are kept: 1/32 of what all states would take."""
WARPS_PER_PROCESSOR = 16
"""Programs that a multiprocessor should have at least, to hide the latency of memory."""
_NUMBERS_PER_WARP = 256
"""States × channels: 8 registers a lane for each tensor of that shape. Twice as many take nearly all that a lane can have."""
_CHANNELS = (16, 32)
"""Fewest and most of a program. Fewer make more parts of the gradients in B and C; more need more registers or warps."""


class Inputs(NamedTuple):
    """Contiguous float32: u, delta batch×L×K·D; A K·D×N; B, C batch×L×K×N; D, bias K·D."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Partition:
    """How the work is divided among programs."""

    batch: int
    groups: int
    width: int
    states: int
    length: int
    block: int
    """Channels of a program, a power of two."""
    padded: int
    """States of a program, a power of two."""
    chunk: int
    per_segment: int
    """Chunks of a segment; the last may have fewer."""

    @classmethod
    def of(cls, inputs: Inputs, *, keep: bool) -> Partition:
        """`keep`: states are kept for the backward pass; else a segment is one chunk."""
        batch, length, groups, states = inputs.B.shape
        width = inputs.u.shape[2] // groups
        padded = _power_of_two(states)
        fewest, most = _CHANNELS
        block = min(_power_of_two(width), max(fewest, min(most, _NUMBERS_PER_WARP // padded)))
        chunks = -(-length // CHUNK)
        wanted = WARPS_PER_PROCESSOR * _processors(inputs.u.device)
        per_segment = -(-chunks // max(1, min(chunks, wanted // (batch * groups * -(-width // block)))))
        chunk = CHUNK if keep else CHUNK * per_segment
        return cls(batch, groups, width, states, length, block, padded, chunk, per_segment if keep else 1)

    @property
    def chunks(self) -> int:
        return -(-self.length // self.chunk)

    @property
    def segments(self) -> int:
        return -(-self.chunks // self.per_segment)

    @property
    def blocks(self) -> int:
        return -(-self.width // self.block)

    @property
    def channels(self) -> int:
        return self.groups * self.width

    @property
    def programs(self) -> int:
        return self.batch * self.groups * self.blocks * self.segments

    def sizes(self) -> tuple[int, ...]:
        """The whole numbers that most kernels take, in their order."""
        return (
            self.groups,
            self.width,
            self.states,
            self.length,
            self.chunk,
            self.per_segment,
            self.segments,
            self.blocks,
        )

    def tile(self) -> dict[str, int | bool]:
        """What the kernels are compiled for."""
        warps = max(1, self.padded * self.block // _NUMBERS_PER_WARP)
        return {"STATES": self.padded, "BLOCK": self.block, "num_warps": warps, "enable_fp_fusion": True}


def forward(inputs: Inputs, softplus: bool, *, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y time-major, last state, states before each chunk and after the last, ΣΔ of each segment."""
    from delineate.nn.selective_scan import triton_programs as programs

    u, delta, A, B, C, D, bias = inputs
    partition = Partition.of(inputs, keep=keep)
    y = torch.empty_like(u)
    starts = u.new_empty(partition.batch, partition.chunks + 1, partition.states, partition.channels)
    sums = u.new_empty(partition.batch, partition.segments, partition.channels)
    starts[:, 0] = 0
    grid, options = (partition.programs,), {"SOFTPLUS": softplus, **partition.tile()}
    with _on(u.device):
        if partition.segments > 1:
            programs.forward_carry[grid](u, delta, B, A, bias, starts, sums, *partition.sizes(), **options)
            _combine(starts, sums, A, partition, first=0, step=partition.per_segment, sum_first=0, sum_step=1)
        programs.forward[grid](u, delta, B, C, A, D, bias, starts, y, *partition.sizes(), **options)
    # A copy always: results of an operator must not share memory.
    return y, starts[:, -1].mT.clone(memory_format=torch.contiguous_format), starts, sums


def backward(
    inputs: Inputs, starts: Tensor, sums: Tensor, dy: Tensor, d_last: Tensor, softplus: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients in the inputs, in their order."""
    from delineate.nn.selective_scan import triton_programs as programs

    u, delta, A, B, C, D, bias = inputs
    partition = Partition.of(inputs, keep=True)
    du, ddelta = torch.empty_like(u), torch.empty_like(u)
    db, dc = (u.new_empty(partition.blocks, *B.shape) for _ in range(2))
    carries, da = (
        u.new_empty(partition.batch, partition.segments, partition.states, partition.channels) for _ in range(2)
    )
    dd, dbias = torch.empty_like(sums), torch.empty_like(sums)
    scratch = u.new_empty(partition.programs, partition.chunk, partition.padded, partition.block)
    carries[:, -1] = d_last.mT
    grid, options = (partition.programs,), {"SOFTPLUS": softplus, **partition.tile()}
    with _on(u.device):
        if partition.segments > 1:
            programs.backward_carry[grid](delta, C, A, bias, dy, carries, *partition.sizes(), **options)
            end = partition.segments - 1
            _combine(carries, sums, A, partition, first=end, step=-1, sum_first=end, sum_step=-1)
        given = (u, delta, B, C, A, D, bias, starts, carries, scratch, dy)
        found = (du, ddelta, db, dc, da, dd, dbias)
        programs.backward[grid](*given, *found, partition.batch, *partition.sizes(), **options)
    return du, ddelta, da.sum((0, 1)).T.contiguous(), db.sum(0), dc.sum(0), dd.sum((0, 1)), dbias.sum((0, 1))


def _combine(
    values: Tensor,
    sums: Tensor,
    A: Tensor,
    partition: Partition,
    *,
    first: int,
    step: int,
    sum_first: int,
    sum_step: int,
) -> None:
    """Add to each segment's boundary what reaches it through the segments before (step > 0) or after it."""
    from delineate.nn.selective_scan import triton_programs as programs

    grid = (partition.batch * partition.groups * partition.blocks,)
    where = (first, step, values.shape[1], sum_first, sum_step)
    sizes = (partition.groups, partition.width, partition.states, partition.segments, partition.blocks)
    programs.combine[grid](values, sums, A, *where, *sizes, **partition.tile())


def _power_of_two(number: int) -> int:
    """The smallest that is not below."""
    return 1 << (number - 1).bit_length()


def _processors(device: torch.device) -> int:
    """Multiprocessors of a CUDA device; 1 elsewhere (Triton's interpreter)."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Launches go to the tensors' device, whichever is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

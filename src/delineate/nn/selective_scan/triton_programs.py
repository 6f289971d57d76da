"""Device code of the selective scan; `triton_launch` says how the work is divided, and launches it.

    Δ = softplus(δ + bias),   h ← exp(Δ·A) ⊙ h + Δ·u·B,   y = Σ_n C_n h_n + D·u            (Gu & Dao, Mamba, arXiv 2312.00752)

A program holds STATES×BLOCK numbers in registers, the states of a block of channels, and walks along one segment of time. All
arrays are contiguous float32: u, delta, y B×L×K·D; b, c B×L×K×N; a K·D×N; d, bias K·D; starts B×(chunks + 1)×N×K·D, the states
before each chunk and after the last; sums B×segments×K·D, ΣΔ over each segment; carries B×segments×N×K·D, the gradient in the
states at each segment's end.
"""

# mypy: ignore-errors
# ruff: noqa: N803

import triton
import triton.language as tl

__all__ = ["backward", "backward_carry", "combine", "forward", "forward_carry"]


@triton.jit
def forward_carry(
    u, delta, b, a, bias, starts, sums,
    groups, width, states, length, chunk, per_segment, segments, blocks,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Where each segment would end if it began at 0, and ΣΔ over it."""
    batch, group, _, segment, channel, live, state, real, pair = _place(
        groups, width, states, segments, blocks, STATES, BLOCK
    )
    channels = groups * width
    _, last, begin, end = _extent(segment, length, chunk, per_segment)
    rate = tl.load(a + channel[None, :] * states + state[:, None], mask=pair, other=0.0)
    shift = tl.load(bias + channel, mask=live, other=0.0)
    row = batch * length + begin
    u += row * channels + channel
    delta += row * channels + channel
    b += (row * groups + group) * states + state
    h = tl.zeros((STATES, BLOCK), dtype=tl.float32)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for _t in range(begin, end):
        raw = tl.load(delta, mask=live, other=0.0) + shift
        step, h = _advance(h, raw, tl.load(u, mask=live, other=0.0), tl.load(b, mask=real, other=0.0), rate, SOFTPLUS)
        total += step
        u += channels
        delta += channels
        b += groups * states
    slot = batch * (tl.cdiv(length, chunk) + 1) + last
    tl.store(starts + (slot * states + state[:, None]) * channels + channel[None, :], h, mask=pair)
    tl.store(sums + (batch * segments + segment) * channels + channel, total, mask=live)


@triton.jit
def combine(
    values, sums, a, value_first, value_step, value_batch, sum_first, sum_step, groups, width, states, segments, blocks,
    STATES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """values[s] += exp(A·ΣΔ of the one before)·(that one), segment after segment in the direction that the steps say.

    `value_first` and `sum_first` count slots (of N×K·D and of K·D numbers) from the batch's first, `value_batch` slots to a batch.
    """
    batch, _, _, _, channel, live, state, _, pair = _place(groups, width, states, 1, blocks, STATES, BLOCK)
    channels = groups * width
    rate = tl.load(a + channel[None, :] * states + state[:, None], mask=pair, other=0.0)
    values += ((batch * value_batch + value_first) * states + state[:, None]) * channels + channel[None, :]
    sums += (batch * segments + sum_first) * channels + channel
    value = tl.load(values, mask=pair, other=0.0)
    for _s in range(1, segments):
        decay = tl.exp(tl.load(sums, mask=live, other=0.0)[None, :] * rate)
        values += value_step * states * channels
        sums += sum_step * channels
        value = tl.load(values, mask=pair, other=0.0) + decay * value
        tl.store(values, value, mask=pair)


@triton.jit
def forward(
    u, delta, b, c, a, d, bias, starts, y,
    groups, width, states, length, chunk, per_segment, segments, blocks,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y, and the states after every chunk, from the states before each segment."""
    batch, group, _, segment, channel, live, state, real, pair = _place(
        groups, width, states, segments, blocks, STATES, BLOCK
    )
    channels = groups * width
    first, last, begin, _ = _extent(segment, length, chunk, per_segment)
    rate = tl.load(a + channel[None, :] * states + state[:, None], mask=pair, other=0.0)
    shift = tl.load(bias + channel, mask=live, other=0.0)
    skip = tl.load(d + channel, mask=live, other=0.0)
    row = batch * length + begin
    u += row * channels + channel
    delta += row * channels + channel
    y += row * channels + channel
    b += (row * groups + group) * states + state
    c += (row * groups + group) * states + state
    chunks = tl.cdiv(length, chunk)
    starts += (batch * (chunks + 1) + first) * states * channels
    within = state[:, None] * channels + channel[None, :]
    h = tl.load(starts + within, mask=pair, other=0.0)
    for index in range(first, last):
        for _t in range(index * chunk, min((index + 1) * chunk, length)):
            x = tl.load(u, mask=live, other=0.0)
            raw = tl.load(delta, mask=live, other=0.0) + shift
            _step, h = _advance(h, raw, x, tl.load(b, mask=real, other=0.0), rate, SOFTPLUS)
            out = tl.sum(tl.load(c, mask=real, other=0.0)[:, None] * h, axis=0) + skip * x
            tl.store(y, out, mask=live)
            u += channels
            delta += channels
            y += channels
            b += groups * states
            c += groups * states
        starts += states * channels
        # The next segment's first state is there already, and other programs read it.
        if (index + 1 < last) | (last == chunks):
            tl.store(starts + within, h, mask=pair)


@triton.jit
def backward_carry(
    delta, c, a, bias, dy, carries,
    groups, width, states, length, chunk, per_segment, segments, blocks,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient in the states at the end of the segment before, as if nothing came from the segments after."""
    batch, group, _, segment, channel, live, state, real, pair = _place(
        groups, width, states, segments, blocks, STATES, BLOCK
    )
    channels = groups * width
    _, _, begin, end = _extent(segment, length, chunk, per_segment)
    rate = tl.load(a + channel[None, :] * states + state[:, None], mask=pair, other=0.0)
    shift = tl.load(bias + channel, mask=live, other=0.0)
    row = batch * length + end
    delta += row * channels + channel
    dy += row * channels + channel
    c += (row * groups + group) * states + state
    carry = tl.zeros((STATES, BLOCK), dtype=tl.float32)
    for _t in range(begin, end):
        delta -= channels
        dy -= channels
        c -= groups * states
        step = _step_size(tl.load(delta, mask=live, other=0.0) + shift, SOFTPLUS)
        upstream = tl.load(dy, mask=live, other=0.0)
        gradient = carry + tl.load(c, mask=real, other=0.0)[:, None] * upstream[None, :]
        carry = tl.exp(step[None, :] * rate) * gradient
    carries += ((batch * segments + segment - 1) * states + state[:, None]) * channels + channel[None, :]
    if segment > 0:
        tl.store(carries, carry, mask=pair)


@triton.jit
def backward(
    u, delta, b, c, a, d, bias, starts, carries, scratch, dy, du, ddelta, db, dc, da, dd, dbias,
    batches, groups, width, states, length, chunk, per_segment, segments, blocks,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All gradients, chunk by chunk backwards: a chunk's states are computed anew into `scratch`, then read in reverse.

    du, ddelta as u; db, dc blocks×B×L×K×N, da B×segments×N×K·D, dd and dbias B×segments×K·D: parts that are added up later, in
    a fixed order.
    """
    batch, group, block, segment, channel, live, state, real, pair = _place(
        groups, width, states, segments, blocks, STATES, BLOCK
    )
    channels = groups * width
    first, last, _, end = _extent(segment, length, chunk, per_segment)
    rate = tl.load(a + channel[None, :] * states + state[:, None], mask=pair, other=0.0)
    shift = tl.load(bias + channel, mask=live, other=0.0)
    skip = tl.load(d + channel, mask=live, other=0.0)
    row = batch * length + end
    at = row * channels + channel
    u += at
    delta += at
    dy += at
    du += at
    ddelta += at
    at = (row * groups + group) * states + state
    b += at
    c += at
    at += block.to(tl.int64) * batches * length * groups * states
    db += at
    dc += at
    here = (batch * segments + segment) * states * channels
    within = state[:, None] * channels + channel[None, :]
    carry = tl.load(carries + here + within, mask=pair, other=0.0)
    starts += (batch * (tl.cdiv(length, chunk) + 1) + last) * states * channels
    scratch += tl.program_id(0).to(tl.int64) * chunk * (STATES * BLOCK)
    tile = tl.arange(0, STATES)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    d_rate = tl.zeros((STATES, BLOCK), dtype=tl.float32)
    d_shift = tl.zeros((BLOCK,), dtype=tl.float32)
    d_skip = tl.zeros((BLOCK,), dtype=tl.float32)
    for back in range(last - first):
        index = last - 1 - back
        steps = min((index + 1) * chunk, length) - index * chunk
        starts -= states * channels
        h = tl.load(starts + within, mask=pair, other=0.0)
        u -= steps * channels
        delta -= steps * channels
        b -= steps * groups * states
        for _t in range(steps):
            tl.store(scratch + tile, h)
            scratch += STATES * BLOCK
            raw = tl.load(delta, mask=live, other=0.0) + shift
            x = tl.load(u, mask=live, other=0.0)
            _step, h = _advance(h, raw, x, tl.load(b, mask=real, other=0.0), rate, SOFTPLUS)
            u += channels
            delta += channels
            b += groups * states
        tl.debug_barrier()
        for _t in range(steps):
            scratch -= STATES * BLOCK
            u -= channels
            delta -= channels
            dy -= channels
            du -= channels
            ddelta -= channels
            b -= groups * states
            c -= groups * states
            db -= groups * states
            dc -= groups * states
            x = tl.load(u, mask=live, other=0.0)
            raw = tl.load(delta, mask=live, other=0.0) + shift
            upstream = tl.load(dy, mask=live, other=0.0)
            inwards = tl.load(b, mask=real, other=0.0)[:, None]
            outwards = tl.load(c, mask=real, other=0.0)[:, None]
            step = _step_size(raw, SOFTPLUS)
            drive = (step * x)[None, :]
            decay = tl.exp(step[None, :] * rate)
            kept = decay * tl.load(scratch + tile)
            gradient = carry + outwards * upstream[None, :]
            tl.store(dc, tl.sum(upstream[None, :] * (kept + inwards * drive), axis=1), mask=real)
            tl.store(db, tl.sum(gradient * drive, axis=1), mask=real)
            d_drive = tl.sum(gradient * inwards, axis=0)
            d_exponent = gradient * kept
            d_rate += d_exponent * step[None, :]
            d_raw = (d_drive * x + tl.sum(d_exponent * rate, axis=0)) * _slope(raw, SOFTPLUS)
            d_shift += d_raw
            d_skip += upstream * x
            tl.store(du, d_drive * step + skip * upstream, mask=live)
            tl.store(ddelta, d_raw, mask=live)
            carry = decay * gradient
        tl.debug_barrier()
    tl.store(da + here + within, d_rate, mask=pair)
    here = (batch * segments + segment) * channels + channel
    tl.store(dd + here, d_skip, mask=live)
    tl.store(dbias + here, d_shift, mask=live)


@triton.jit
def _place(groups, width, states, segments, blocks, STATES: tl.constexpr, BLOCK: tl.constexpr):
    """Which part is this program's: its batch element, group, block, segment; channels and states, and which of them exist."""
    place = tl.program_id(0)
    segment = place % segments
    place = place // segments
    block = place % blocks
    place = place // blocks
    within = block * BLOCK + tl.arange(0, BLOCK)
    state = tl.arange(0, STATES)
    live, real = within < width, state < states
    group = place % groups
    # 64 bits: all offsets into large arrays are multiples of the batch's index.
    batch = (place // groups).to(tl.int64)
    return batch, group, block, segment, group * width + within, live, state, real, real[:, None] & live[None, :]


@triton.jit
def _extent(segment, length, chunk, per_segment):
    """A segment's chunks and steps: first chunk, the one after its last, first step, the one after its last."""
    first = segment * per_segment
    last = min(first + per_segment, tl.cdiv(length, chunk))
    return first, last, first * chunk, min(last * chunk, length)


@triton.jit
def _advance(h, raw, x, inwards, rate, SOFTPLUS: tl.constexpr):
    """Δ and the states one step later."""
    step = _step_size(raw, SOFTPLUS)
    return step, tl.exp(step[None, :] * rate) * h + inwards[:, None] * (step * x)[None, :]


@triton.jit
def _step_size(raw, SOFTPLUS: tl.constexpr):
    """Δ. Softplus is max(raw, 0) + log(1 + e) with e = exp(−|raw|), and log(1 + e) = 2·artanh(e / (2 + e)) by its series.

    At most 1/3 is put into the series, so that seven terms are exact to float32 for raw of any sign and size.
    """
    if SOFTPLUS:
        e = tl.exp(-tl.abs(raw))
        z = e / (2.0 + e)
        s = z * z
        series = 1.0 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * (1 / 9 + s * (1 / 11 + s * (1 / 13))))))
        return tl.maximum(raw, 0.0) + 2.0 * z * series
    else:
        return raw


@triton.jit
def _slope(raw, SOFTPLUS: tl.constexpr):
    """dΔ/draw."""
    if SOFTPLUS:
        e = tl.exp(-tl.abs(raw))
        return tl.where(raw >= 0, 1.0, e) / (1.0 + e)
    else:
        return tl.full(raw.shape, 1.0, tl.float32)

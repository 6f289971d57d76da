"""The Triton scan against the definition in float64: on a GPU where there is one, else in Triton's interpreter.

The interpreter must be chosen before Triton is imported, so `test_in_the_interpreter` runs this file again in a process of its
own. It takes what the compiler would refuse, so the kernels are also compiled for devices that need not be here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from delineate.nn.selective_scan import sequential, triton_kernel, triton_launch
from delineate.nn.selective_scan.triton_kernel import scan
from delineate.nn.selective_scan.triton_launch import Inputs, Partition

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if triton_kernel.available() else "cpu"
needs_kernels = pytest.mark.skipif(DEVICE == "cpu" and not INTERPRETED, reason="needs a GPU, or Triton's interpreter")
needs_triton = pytest.mark.skipif(not triton_kernel._installed(), reason="Triton is not installed")
KERNELS = ("forward_carry", "combine", "forward", "backward_carry", "backward")
CHOICE = "definition or memory_order or operators"
NUMBERS = {"groups", "width", "states", "length", "chunk", "per_segment", "segments", "blocks", "batches"}
NUMBERS |= {"value_first", "value_step", "value_batch", "sum_first", "sum_step"}


def inputs(batch: int, groups: int, width: int, states: int, length: int, step: float = 0.0) -> list[Tensor]:
    """u, delta, A, B, C, D, delta_bias in float64; delta around `step`."""
    torch.manual_seed(length)
    channels = groups * width
    rate = -torch.arange(1.0, states + 1) * (0.5 + torch.rand(channels, 1))
    shapes = [(batch, channels, length)] * 2, [(batch, groups, states, length)] * 2, [(channels,)] * 2
    (u, delta), (b, c), (d, bias) = ([torch.randn(shape) for shape in pair] for pair in shapes)
    return [x.double().to(DEVICE).requires_grad_() for x in (u, delta + step, rate, b, c, d, bias)]


def assert_equals_the_definition(tensors: list[Tensor | None], softplus: bool) -> None:
    """Both results and every gradient; also the results without gradients, which take another way."""
    given_here = [x for x in tensors if x is not None]
    single = [None if x is None else x.detach().float().requires_grad_() for x in tensors]
    wanted = sequential.scan(*tensors, softplus)
    found = scan(*single, softplus)
    with torch.no_grad():
        plain = scan(*single, softplus)
    upstream = [torch.randn_like(x) for x in wanted]
    gradients = torch.autograd.grad(wanted, given_here, upstream)
    ours = torch.autograd.grad(found, [x for x in single if x is not None], [x.float() for x in upstream])
    for a, b in zip((*found, *plain, *ours), (*wanted, *wanted, *gradients), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=2e-6 * max(1.0, b.abs().max().item()))


@needs_kernels
@pytest.mark.parametrize(
    ("shape", "programs"),
    [
        pytest.param((1, 1, 3, 1, 1), 16, id="one step, one state"),
        pytest.param((1, 4, 3, 5, 6), 1, id="four groups, one segment"),
        pytest.param((1, 1, 33, 16, 5), 16, id="more channels than a block"),
        pytest.param((1, 2, 2, 2, 13), 6, id="segments of two chunks, the last cut short"),
    ],
)
def test_equals_the_definition(shape, programs, monkeypatch):
    monkeypatch.setattr(triton_launch, "CHUNK", 4)
    monkeypatch.setattr(triton_launch, "WARPS_PER_PROCESSOR", programs)
    assert_equals_the_definition(inputs(*shape), softplus=True)


@needs_kernels
@pytest.mark.parametrize("step", [-9.0, 5.0])
def test_equals_the_definition_for_the_smallest_and_largest_steps(step, monkeypatch):
    """Δ from 1e-4 to 5 and more, in segments whose decay underflows to 0."""
    monkeypatch.setattr(triton_launch, "CHUNK", 3)
    assert_equals_the_definition(inputs(1, 1, 2, 16, 7, step), softplus=True)


@needs_kernels
def test_equals_the_definition_without_softplus_skip_and_bias():
    u, delta, rate, b, c, _, _ = inputs(1, 1, 3, 3, 6)
    steps = delta.detach().abs().requires_grad_()
    assert_equals_the_definition([u, steps, rate, b, c, None, None], softplus=False)


@needs_kernels
def test_memory_order_and_bits():
    """y is time-major; the same inputs in another memory order give the same bits."""
    tensors = [x.detach().float() for x in inputs(1, 2, 3, 4, 5)]
    y, last = scan(*tensors, True)
    assert y.transpose(1, 2).is_contiguous()
    tensors[:2] = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors[:2])
    again = scan(*tensors, True)
    assert y.equal(again[0])
    assert last.equal(again[1])


@needs_kernels
def test_operators_keep_what_the_compiler_asks_of_them():
    """Shapes without computing, no shared memory among results, registered gradients."""
    u, delta, rate, b, c, d, bias = (x.detach().float() for x in inputs(1, 1, 2, 1, 3))
    u, delta = (x.mT.contiguous().requires_grad_() for x in (u, delta))
    b, c = (x.permute(0, 3, 1, 2).contiguous() for x in (b, c))
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    tensors = u, delta, rate, b, c, d, bias
    torch.library.opcheck(torch.ops.delineate.selective_scan_triton, (*tensors, True, True), test_utils=checks)
    _, _, starts, sums = torch.ops.delineate.selective_scan_triton(*tensors, True, True)
    given = (
        u.detach(),
        torch.ones(1, 2, 1, device=DEVICE),
        starts.detach(),
        sums.detach(),
        *(x.detach() for x in tensors),
    )
    operator = torch.ops.delineate.selective_scan_triton_backward
    torch.library.opcheck(operator, (*given, True), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("states", [1, 16, 64])
def test_equals_the_definition_at_size(states):
    assert_equals_the_definition(inputs(2, 4, 100, states, 1000, -3.0), softplus=True)


@needs_triton
@pytest.mark.skipif(INTERPRETED or DEVICE == "cuda", reason="this process runs the kernels itself")
def test_in_the_interpreter():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-n0",
        "-p",
        "no:cacheprovider",
        str(Path(__file__)),
        "-k",
        CHOICE,
    ]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="needs the compiler")
@pytest.mark.parametrize(("capability", "states", "width"), [(90, 16, 96), (80, 1, 8)])
def test_compiles_for_devices_that_are_not_here(capability, states, width, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as build

    from delineate.nn.selective_scan import triton_programs

    options = partition(1, 4, width, states, 256).tile()
    constants = {"SOFTPLUS": True, "STATES": options.pop("STATES"), "BLOCK": options.pop("BLOCK")}
    for name in KERNELS:
        kernel = getattr(triton_programs, name)
        kinds = {x: "i32" if x in NUMBERS else "constexpr" if x in constants else "*fp32" for x in kernel.arg_names}
        source = ASTSource(kernel, kinds, {x: value for x, value in constants.items() if x in kinds})
        assert build(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"]


def partition(batch: int, groups: int, width: int, states: int, length: int, *, keep: bool = True) -> Partition:
    u, b = torch.empty(batch, length, groups * width, device="meta"), torch.empty(batch, length, groups, states)
    return Partition.of(Inputs(u, u, u, b, b, u, u), keep=keep)


@settings(max_examples=50, deadline=None)
@given(
    batch=st.integers(1, 5),
    width=st.integers(1, 200),
    states=st.integers(1, triton_kernel.LIMIT_N),
    length=st.integers(1, 5000),
    keep=st.booleans(),
)
def test_a_plan_covers_everything_once(batch, width, states, length, keep):
    found = partition(batch, 4, width, states, length, keep=keep)
    assert (found.chunks - 1) * found.chunk < length <= found.chunks * found.chunk
    assert (found.segments - 1) * found.per_segment < found.chunks <= found.segments * found.per_segment
    assert (found.blocks - 1) * found.block < width <= found.blocks * found.block
    assert states <= found.padded < 2 * states
    if not keep:
        assert found.chunks == found.segments == partition(batch, 4, width, states, length).segments


def test_why_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(triton_kernel, "_installed", lambda: True)
    assert triton_kernel.why_not() == "PyTorch sees no CUDA device"
    monkeypatch.setattr(triton_kernel, "_installed", lambda: False)
    assert "not installed" in (triton_kernel.why_not() or "")
    assert not triton_kernel.available()


def test_too_many_states_are_refused():
    with pytest.raises(ValueError, match="at most 64 states, not 65"):
        scan(*inputs(1, 1, 1, 65, 2), True)


def test_the_package_needs_no_triton():
    """`None` among the modules is what Python has for "cannot be imported"."""
    code = """
import sys
sys.modules["triton"] = None
import torch
from delineate.nn.selective_scan import selective_scan, triton_kernel
selective_scan(*(torch.ones(1, 1, 2),) * 2, -torch.ones(1, 3), *(torch.ones(1, 1, 3, 2),) * 2)
assert "not installed" in triton_kernel.why_not()
"""
    subprocess.run([sys.executable, "-c", code], check=True)

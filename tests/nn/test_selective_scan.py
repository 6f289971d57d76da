"""Every form of the selective scan is its definition: against Mamba's reference (golden/make_selective_scan.py says how the
arrays were made), against float64, over lengths, numbers of states and sizes of steps, with all gradients."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from delineate.nn.selective_scan import BACKENDS, chunks, selective_scan
from delineate.nn.selective_scan.threads import run_in_threads

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "selective_scan.npz")
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")
ON_CPU = ("sequential", "chunked", "associative")
FAST = ("chunked", "associative")


def draw(batch: int, groups: int, width: int, states: int, length: int, dtype=torch.float64) -> dict[str, Tensor]:
    """Seeded inputs for raw steps (softplus and bias)."""
    generator = torch.Generator().manual_seed(length + states)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    channels = groups * width
    return {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length),
        "A": -normal(channels, states).exp(),
        "B": normal(batch, groups, states, length),
        "C": normal(batch, groups, states, length),
        "D": normal(channels),
        "delta_bias": normal(channels) - 2,
    }


def everything(inputs: dict[str, Tensor], backend: str, **more) -> list[Tensor]:
    """y, the last state, and the gradients of both in every input."""
    inputs = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    y, last = selective_scan(**inputs, softplus=True, return_last_state=True, backend=backend, **more)
    weights = (torch.linspace(-1, 2, x.numel(), dtype=x.dtype).view(x.shape) for x in (y, last))
    torch.autograd.backward((y, last), tuple(weights))
    return [y.detach(), last.detach(), *(x.grad for x in inputs.values())]


def error(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, of the largest value."""
    assert found.shape == wanted.shape
    return float((found - wanted).detach().abs().max() / wanted.abs().max().clamp(min=1e-30))


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("case", ["four groups", "one state", "sixteen states", "bare"])
def test_equal_to_mambas_reference(case: str, backend: str) -> None:
    arrays = {name.split("/", 1)[1]: torch.from_numpy(x) for name, x in GOLDEN.items() if name.startswith(case)}
    inputs = {name[3:]: x.requires_grad_() for name, x in arrays.items() if name.startswith("in/")}
    softplus = "delta_bias" in inputs
    y, last = selective_scan(**inputs, softplus=softplus, return_last_state=True, backend=backend)
    ((y * arrays["weight/out"]).sum() + (last * arrays["weight/last"]).sum()).backward()
    assert error(y, arrays["out"]) < 1e-6
    assert error(last, arrays["last"]) < 1e-6
    for name, x in inputs.items():
        assert x.grad is not None
        assert error(x.grad, arrays[f"grad/{name}"]) < 1e-5, name


@pytest.mark.parametrize("states", [1, 16])
@pytest.mark.parametrize("length", [1, 7, 64, 196, 1000, 3136, 4096])
def test_every_length_and_number_of_states(length: int, states: int) -> None:
    inputs = draw(1, 2, 2, states, length)
    wanted = everything(inputs, "sequential")
    for backend in FAST:
        found = everything({name: x.float() for name, x in inputs.items()}, backend)
        assert max(map(error, found, wanted)) < 1e-5, backend


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("step", [1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 5.0])
def test_steps_of_any_size(step: float, backend: str) -> None:
    """Where forms that divide by a product of decays overflow."""
    inputs = draw(1, 2, 2, 16, 1024)
    inputs["A"] = -torch.arange(1.0, 17, dtype=torch.float64).expand(4, 16)
    inputs["delta"] = step * (0.5 + torch.rand(1, 4, 1024, dtype=torch.float64))
    del inputs["delta_bias"]
    wanted, found = (
        selective_scan(**{name: x.to(dtype) for name, x in inputs.items()}, backend=form)
        for dtype, form in ((torch.float64, "sequential"), (torch.float32, backend))
    )
    assert found.isfinite().all()
    assert error(found, wanted) < 1e-5


@pytest.mark.parametrize("buffer", [12, 24, 60, 10_000])
@pytest.mark.parametrize("length", [1, 7])
def test_gradients_in_float64_however_it_is_cut(length: int, buffer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of parts of a group, of groups, of images, and of all; chunks that end within and at the end."""
    monkeypatch.setattr(chunks, "MIN_STEPS", 2)
    monkeypatch.setattr(chunks, "BUFFER", buffer)
    inputs = draw(2, 2, 3, 2, length)
    assert max(map(error, everything(inputs, "chunked"), everything(inputs, "sequential"))) < 1e-13


def test_blocks_cover_every_channel_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MIN_STEPS", 2)
    for buffer in (2, 12, 24, 60, 100, 10_000):
        monkeypatch.setattr(chunks, "BUFFER", buffer)
        partition = chunks.Partition(torch.empty(3, 9, 10), torch.empty(3, 2, 4, 9))
        seen = torch.zeros(partition.size)
        for threads in (1, 2, 3, 100):
            seen.zero_()
            units = partition.units(threads)
            wider = 1 if threads == 1 else chunks.WIDER
            for block in itertools.chain(*units):
                seen[block] += 1
                assert seen[block].numel() * 4 <= wider * max(4, buffer // 2)
            assert (seen == 1).all()
            assert len(units) >= min(threads, 6)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("length", "states"), [(1, 1), (5, 2), (6, 1)])
def test_gradcheck(backend: str, length: int, states: int) -> None:
    inputs = [x.requires_grad_() for x in draw(2, 2, 1, states, length).values()]

    def run(*x: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(NAMES, x, strict=True))
        return selective_scan(**named, softplus=True, return_last_state=True, backend=backend)

    assert torch.autograd.gradcheck(run, inputs)


def test_the_list_operation_of_pytorch_goes_in_order() -> None:
    """Should this fail, the scan is right all the same, by a loop, but slower for few channels."""
    assert chunks._recurrence("cpu") is chunks._foreach_recurrence
    assert chunks._recurrence("cuda") is chunks._loop_recurrence


def test_the_loop_in_its_place_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw(2, 2, 3, 2, 70, torch.float32)
    wanted = everything(inputs, "chunked")
    monkeypatch.setattr(chunks, "_recurrence", lambda _: chunks._loop_recurrence)
    assert all(map(torch.equal, everything(inputs, "chunked"), wanted))


@pytest.mark.parametrize("only", NAMES)
def test_each_gradient_alone(only: str) -> None:
    inputs = draw(1, 2, 2, 3, 9)
    wanted = everything(inputs, "sequential")[2 + NAMES.index(only)]
    x = inputs[only] = inputs[only].requires_grad_()
    y, last = selective_scan(**inputs, softplus=True, return_last_state=True)
    weights = (torch.linspace(-1, 2, x.numel(), dtype=x.dtype).view(x.shape) for x in (y, last))
    torch.autograd.backward((y, last), tuple(weights))
    torch.testing.assert_close(x.grad, wanted)


@pytest.mark.parametrize("which", [0, 1])
def test_gradient_of_one_result_alone(which: int) -> None:
    grads = []
    for backend in ("chunked", "sequential"):
        inputs = {name: x.requires_grad_() for name, x in draw(1, 2, 2, 3, 9).items()}
        selective_scan(**inputs, softplus=True, return_last_state=True, backend=backend)[which].sum().backward()
        grads.append([torch.zeros_like(x) if x.grad is None else x.grad for x in inputs.values()])
    for found, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("backend", ON_CPU)
def test_the_gate_multiplies_what_the_scan_gives(backend: str) -> None:
    inputs = draw(2, 2, 3, 2, 11)
    z = torch.randn(2, 6, 11, dtype=torch.float64)
    plain = selective_scan(**inputs, softplus=True, backend=backend)
    torch.testing.assert_close(
        selective_scan(**inputs, softplus=True, z=z, backend=backend), plain * z * torch.sigmoid(z)
    )


@pytest.mark.parametrize("backend", ON_CPU)
def test_strides_do_not_matter(backend: str) -> None:
    inputs = draw(2, 2, 3, 2, 40, torch.float32)
    wanted = everything(inputs, backend)
    last_first = {name: x.transpose(-1, 0).contiguous().transpose(-1, 0) for name, x in inputs.items()}
    time_major = inputs | {name: inputs[name].mT.contiguous().mT for name in ("u", "delta")}
    for other in (last_first, time_major):
        for found, known in zip(everything(other, backend), wanted, strict=True):
            torch.testing.assert_close(found, known)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(backend: str, dtype: torch.dtype) -> None:
    inputs = draw(2, 2, 3, 2, 40, dtype)
    y = selective_scan(**inputs, softplus=True, backend=backend)
    assert y.dtype == torch.float32
    torch.testing.assert_close(
        y, selective_scan(**{name: x.float() for name, x in inputs.items()}, softplus=True, backend=backend)
    )


@pytest.mark.parametrize("backend", ON_CPU)
def test_autocast_changes_nothing(backend: str) -> None:
    inputs = draw(2, 2, 3, 16, 40, torch.float32)
    wanted = everything(inputs, backend)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(map(torch.equal, everything(inputs, backend), wanted))


def test_the_same_bits_every_time() -> None:
    inputs = draw(2, 2, 3, 4, 300, torch.float32)
    assert all(map(torch.equal, everything(inputs, "auto"), everything(inputs, "chunked")))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_threads_change_nothing(mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MIN_STEPS", 2)
    monkeypatch.setattr(chunks, "BUFFER", 60)
    monkeypatch.setattr(chunks, "WORK_OF_A_THREAD", 1)
    inputs = draw(3, 2, 3, 4, 31, torch.float32)
    found = []
    for threads in (1, 4):
        torch.set_num_threads(threads)
        try:
            with mode():
                found.append([selective_scan(**inputs, softplus=True)])
                if mode is torch.enable_grad:
                    found[-1] += everything(inputs, "chunked")
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)
    assert all(map(torch.equal, *found))


def test_an_error_in_a_thread_is_heard() -> None:
    def work(unit: int) -> None:
        if unit == 2:
            raise RuntimeError("unit 2")

    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="unit 2"):
            run_in_threads(work, range(4), 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_inputs_are_left_as_they_were() -> None:
    inputs = draw(2, 2, 3, 2, 40)
    before = {name: x.clone() for name, x in inputs.items()}
    for backend in ON_CPU:
        everything(inputs, backend)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_states() -> None:
    inputs = {name: x.requires_grad_() for name, x in draw(1, 2, 128, 16, 512, torch.float32).items()}
    kept: dict[int, int] = {}

    def count(x: Tensor) -> Tensor:
        kept[x.data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        selective_scan(**inputs, softplus=True)
    size = inputs["u"].untyped_storage().nbytes()
    assert sum(kept.values()) < 3.5 * size  # u time-major, Δ, and a state per chunk; all states would be 16


def test_shapes_alone() -> None:
    inputs = {name: x.to("meta") for name, x in draw(2, 2, 3, 2, 40, torch.float32).items()}
    y, last = selective_scan(**inputs, softplus=True, return_last_state=True)
    assert y.shape == (2, 6, 40)
    assert last.shape == (2, 6, 2)


def test_the_contract_of_back_ends() -> None:
    inputs = draw(2, 2, 3, 2, 40, torch.float32)
    for name in (*ON_CPU, "export"):
        y, last = BACKENDS[name](*inputs.values(), True)
        assert (y.shape, last.shape) == ((2, 6, 40), (2, 6, 2)), name

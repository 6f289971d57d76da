"""The selective scan in compiled and exported graphs, how its form is chosen, and what it says of wrong inputs."""

# ruff: noqa: N803, N806

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from delineate.common.errors import DeviceError
from delineate.nn.selective_scan import interface, selective_scan

B, K, D, N, L = 2, 2, 3, 2, 37


class Scan(nn.Module):
    """The public function with all it takes."""

    def forward(self, u, delta, A, B, C, D, bias, z):
        return selective_scan(u, delta, A, B, C, D, delta_bias=bias, softplus=True, z=z)


def inputs(length: int = L) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    sizes = (B, K * D, length), (K * D, N), (B, K, N, length), (K * D,)
    by_step, rates, shared, channel = (lambda size=size: torch.randn(size) for size in sizes)
    return by_step(), by_step(), -rates().abs(), shared(), shared(), channel(), channel(), by_step()


def named(**changes) -> dict[str, Tensor]:
    u, delta, A, B, C, D, bias, z = inputs()
    return {"u": u, "delta": delta.abs(), "A": A, "B": B, "C": C, "D": D, "delta_bias": bias.abs(), "z": z} | changes


def test_compiles_in_one_graph_with_gradients() -> None:
    module, arguments = Scan(), inputs()
    results = []
    for run in (module, torch.compile(module, fullgraph=True, backend="aot_eager")):
        leaves = [x.clone().requires_grad_() for x in arguments]
        y = run(*leaves)
        y.sin().sum().backward()
        results.append([y.detach(), *(x.grad for x in leaves)])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain)


def test_operator_keeps_the_rules_of_operators() -> None:
    u, delta, *others, _ = inputs()
    leaves = [x.mT.contiguous().requires_grad_() for x in (u, delta)] + [x.requires_grad_() for x in others]
    torch.library.opcheck(torch.ops.delineate.selective_scan.default, (*leaves, True))


@pytest.mark.parametrize("strict", [False, True])
def test_exports_as_standard_operators(strict: bool) -> None:
    module, arguments = Scan(), inputs()
    program = torch.export.export(module, arguments, strict=strict)
    assert not any("delineate" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(*arguments), module(*arguments), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(TorchVersion(torch.__version__) < "2.15", reason="PyTorch 2.10 exports it for one batch size only")
def test_exports_with_any_batch() -> None:
    module, arguments = Scan(), inputs()
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = [{0: batch} if x.ndim > 2 else None for x in arguments]
    program = torch.export.export(module, arguments, dynamic_shapes=shapes)
    longer = tuple(torch.cat([x, x, x]) if x.ndim > 2 else x for x in arguments)
    torch.testing.assert_close(program.module()(*longer), module(*longer), atol=1e-5, rtol=1e-5)


def test_goes_to_onnx(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    import onnxruntime

    module, arguments = Scan(), inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, arguments, dynamo=True, verbose=False).save(tmp_path / "scan.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "scan.onnx")
    given = {x.name: value.numpy() for x, value in zip(session.get_inputs(), arguments, strict=True)}
    torch.testing.assert_close(torch.from_numpy(session.run(None, given)[0]), module(*arguments), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_traces() -> None:
    module, arguments = Scan(), inputs()
    traced = torch.jit.trace(module, arguments, check_trace=False)
    torch.testing.assert_close(traced(*arguments), module(*arguments), atol=1e-5, rtol=1e-5)


def test_cpus_scan_in_chunks_and_strange_devices_by_a_tree() -> None:
    assert interface.choose_backend("cpu", 16) == interface.choose_backend("meta", 1) == "chunked"
    assert interface.choose_backend("mps", 16) == "associative"


@pytest.mark.parametrize("available", [False, True])
def test_cuda_without_a_fitting_kernel_warns_once(available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = pytest.importorskip("delineate.nn.selective_scan.triton_kernel")
    monkeypatch.setattr(kernel, "available", lambda: available)
    monkeypatch.setattr(kernel, "why_not", lambda: None if available else "Triton is not installed")
    interface._warn_of_slow_scan.cache_clear()
    states = kernel.LIMIT_N + 1
    with pytest.warns(
        UserWarning, match=f"up to N = {kernel.LIMIT_N}, not" if available else "Triton is not installed"
    ):
        assert interface.choose_backend("cuda", states) == "associative"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert interface.choose_backend("cuda", states) == "associative"
    if available:
        assert interface.choose_backend("cuda", kernel.LIMIT_N) == "triton"


def test_triton_by_name_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = pytest.importorskip("delineate.nn.selective_scan.triton_kernel")
    monkeypatch.setattr(kernel, "available", lambda: False)
    monkeypatch.setattr(kernel, "why_not", lambda: "Triton is not installed (how to get it)")
    with pytest.raises(DeviceError, match=r"Triton is not installed \(how to get it\); leave backend='auto'"):
        selective_scan(**named(), backend="triton")


def test_triton_by_name_beyond_its_limit_or_off_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = pytest.importorskip("delineate.nn.selective_scan.triton_kernel")
    monkeypatch.setattr(kernel, "available", lambda: True)
    with pytest.raises(DeviceError, match="tensors are on the cpu"):
        selective_scan(**named(), backend="triton")
    monkeypatch.setattr(kernel, "LIMIT_N", 1)
    with pytest.raises(ValueError, match="holds up to N = 1, not 2"):
        selective_scan(**named(), backend="triton")


WRONG = {
    "u": (torch.randn(B, L), r"u \(2×37\) must be Batch × K·D × L"),
    "delta": (torch.rand(B, K * D, L + 1), r"delta \(2×6×38\) does not fit u \(2×6×37\).*must be 2×6×37"),
    "A": (torch.randn(K * D + 1, N), r"A \(7×2\) does not fit u \(2×6×37\).*must be 6×2"),
    "B": (
        torch.randn(B, 4, N, L),
        r"the 6 channels of u \(2×6×37\) cannot be divided among the 4 groups of B \(2×4×2×37\)",
    ),
    "C": (torch.randn(B, K, N + 1, L), r"C \(2×2×3×37\) does not fit u"),
    "D": (torch.randn(K), r"D \(2\) does not fit u"),
    "delta_bias": (torch.randn(K), r"delta_bias \(2\) does not fit u"),
    "z": (torch.randn(B, 1, L), r"z \(2×1×37\) does not fit u"),
}


@pytest.mark.parametrize("name", WRONG)
def test_shapes_that_do_not_agree(name: str) -> None:
    value, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        selective_scan(**named(**{name: value}), check=False)


def test_nothing_to_scan() -> None:
    with pytest.raises(ValueError, match=r"u \(2×6×0\).*leave nothing to scan"):
        selective_scan(torch.rand(2, 6, 0), torch.rand(2, 6, 0), -torch.rand(6, 2), *torch.rand(2, 2, 2, 2, 0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_steps_that_are_not_finite(bad: float) -> None:
    given = named()
    given["delta"][1, 2, 3] = bad
    with pytest.raises(ValueError, match="delta holds values that are not finite"):
        selective_scan(**given, softplus=True)
    selective_scan(**given, softplus=True, check=False)


def test_growing_states_negative_steps_and_complex_rates() -> None:
    with pytest.raises(
        ValueError, match=r"A holds .* > 0, with which states grow without bound; use A = −exp\(A_log\)"
    ):
        selective_scan(**named(A=torch.rand(K * D, N) + 0.1))
    with pytest.raises(ValueError, match=r"delta holds a step of -.* < 0; pass softplus=True"):
        selective_scan(**named(delta_bias=torch.full((K * D,), -9.0)))
    selective_scan(**named(delta_bias=torch.full((K * D,), -9.0)), softplus=True)
    with pytest.raises(ValueError, match="A is complex"):
        selective_scan(**named(A=torch.randn(K * D, N, dtype=torch.complex64)))


def test_a_name_that_is_no_back_end() -> None:
    with pytest.raises(ValueError, match="unknown back-end 'chunky' of the selective scan: did you mean 'chunked'"):
        selective_scan(**named(), backend="chunky")

"""What would be silently wrong in an exported graph is not written in networks: exporters take a branch, or a number made of sizes,
from the one size that they trace, and ONNX rounds a negated division the other way.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "delineate"
ROOMS = ("nn", "methods")
ELSEWHERE = {
    "nn/views": "views are of training",
    "nn/selective_scan/chunked.py": "CPU kernels, never in a graph",
    "nn/selective_scan/chunks.py": "CPU kernels, never in a graph",
    "nn/selective_scan/triton_launch.py": "GPU kernels, never in a graph",
    "nn/selective_scan/triton_programs.py": "GPU kernels, never in a graph",
    "nn/boundary_loss.py": "a loss",
    "nn/ssim.py": "a loss",
    "methods/testing": "checks",
    "methods/resenc/planner.py": "plans a recipe",
    "methods/mfel/reconstruction.py": "trains alone, `deploy` drops it",
}
KNOWN = {
    "nn/encoders/encoder.py:check_size": "reads numbers of a recipe",
    "nn/scsa.py:_convolve": "numbers of weights",
    "methods/mslkseg/network.py:_prepare": "refuses what is too small",
    "methods/mfel/network.py:_prepare": "refuses what is too small",
    "methods/ipsl/interaction.py:confident": "few-shot graphs see images of one size",
    "nn/joined_conv.py:_sum_over_rows": "never in a graph",
    "nn/large_kernel.py:_kernel_gradient": "a gradient",
    "nn/window_attention.py:_image_groups": "never in a graph",
    "nn/window_attention.py:_row_blocks": "never in a graph",
}
SIZES = {"height", "width", "shape", "size_of"}


def negated(node: ast.AST) -> bool:
    """−(−h // r)."""
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.BinOp)
        and isinstance(node.operand.op, ast.FloorDiv)
        and isinstance(node.operand.left, ast.UnaryOp)
    )


def returns_early(node: ast.AST) -> bool:
    """`if height % step == 0: return image`, unless it asks whether a graph is exported (or the function, what is `known`)."""
    if not isinstance(node, ast.If) or not isinstance(node.body[-1], ast.Return):
        return False
    names = {one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in ast.walk(node.test)}
    divides = any(isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mod) for one in ast.walk(node.test))
    return divides and bool(names & SIZES) and not names & {"is_exporting", "known"}


def counts_sizes(node: ast.AST) -> bool:
    """`min(7, *x.shape[-2:])`, `int(share * width)`."""
    if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ("min", "max", "int", "round"):
        return False
    inside = [one for argument in node.args for one in ast.walk(argument)]
    return bool({getattr(one, "attr", getattr(one, "id", "")) for one in inside} & SIZES)


TRAPS = {"a negated division": negated, "an early return": returns_early, "a number made of sizes": counts_sizes}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """All but constructors, whose widths are of channels."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name != "__init__")


def found_in(text: str, place: str) -> list[str]:
    result = []
    for function in functions(ast.parse(text)):
        asks = any(isinstance(one, ast.Name) and one.id == "known" for one in ast.walk(function))
        for node in ast.walk(function):
            names = [name for name, trap in TRAPS.items() if trap(node) and (not asks or trap is negated)]
            result += [f"{place}:{function.name}: {name}, line {node.lineno}" for name in names]  # type: ignore[attr-defined]
    return result


def test_networks_have_no_trap() -> None:
    found = []
    for path in sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not any(place.startswith(left_out) for left_out in ELSEWHERE):
            found += [one for one in found_in(path.read_text(), place) if one.rpartition(": ")[0] not in KNOWN]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("rows = -(-height // step)", "a negated division"),
        ("if height % step == 0 and width % step == 0:\n        return image", "an early return"),
        ("if torch.compiler.is_exporting() and height % step:\n        return image", None),
        ("window = min(7, *x.shape[-2:])", "a number made of sizes"),
        ("kept = int(share * width)", "a number made of sizes"),
        ("rows = (height + step - 1) // step", None),
        ("window = 7 if not known(height) else min(7, height)", None),
    ],
)
def test_each_trap_is_found(code: str, name: str | None) -> None:
    found = found_in(f"def forward(x, image, height, width, step, share):\n    {code}\n", "here")
    assert found == ([] if name is None else [f"here:forward: {name}, line 2"])


def test_the_exceptions_are_there() -> None:
    for place in (*ELSEWHERE, *(one.partition(":")[0] for one in KNOWN)):
        assert (PACKAGE / place).exists()

"""How `selective_scan.npz` was made: what Mamba's reference scan answers, with gradients, for chosen shapes and seeded numbers.

    python tests/golden/make_selective_scan.py selective_scan_interface.py

selective_scan_interface.py is `mamba_ssm/ops/selective_scan_interface.py` of github.com/state-spaces/mamba (Apache-2.0, commit
e9594ce), of which `selective_scan_ref` is run as it is, outside this project; it needs `einops`. Per case the file holds
every input, the output, the last state, and the gradients of Σ out·w + Σ last·v in every input, with w and v beside them.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

CASES = {
    "four groups": (2, 4, 12, 3, 37, "D delta_bias z"),
    "one state": (1, 2, 6, 1, 70, "D delta_bias"),
    "sixteen states": (2, 1, 4, 16, 21, "D"),
    "bare": (1, 1, 3, 2, 1, ""),
}
"""Batch, groups, channels, states, length, and which of the optional inputs; softplus where there is a bias."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    reference = load(parser.parse_args().source)
    arrays: dict[str, np.ndarray] = {}
    for index, (case, sizes) in enumerate(CASES.items()):
        torch.manual_seed(index)
        inputs = draw(*sizes)
        out, last = reference(**inputs, delta_softplus="delta_bias" in inputs, return_last_state=True)
        weights = {"weight/out": torch.randn_like(out), "weight/last": torch.randn_like(last)}
        ((out * weights["weight/out"]).sum() + (last * weights["weight/last"]).sum()).backward()
        results: dict[str, Any] = {"out": out, "last": last, **weights} | {
            f"grad/{name}": x.grad for name, x in inputs.items()
        }
        named = {f"in/{name}": x for name, x in inputs.items()} | results
        arrays |= {f"{case}/{name}": x.detach().numpy() for name, x in named.items()}
    np.savez_compressed(Path(__file__).with_name("selective_scan.npz"), **arrays)  # type: ignore[arg-type]


def draw(batch: int, groups: int, channels: int, states: int, length: int, extra: str) -> dict[str, Tensor]:
    """Inputs by their names in the reference. Raw steps of any sign where a bias and softplus follow, else steps ≥ 0."""
    delta = torch.randn(batch, channels, length)
    inputs = {
        "u": torch.randn(batch, channels, length),
        "delta": delta if "delta_bias" in extra else delta.abs(),
        "A": -torch.rand(channels, states) * 4,
        "B": torch.randn(batch, groups, states, length),
        "C": torch.randn(batch, groups, states, length),
        "D": torch.randn(channels),
        "delta_bias": torch.randn(channels),
        "z": torch.randn(batch, channels, length),
    }
    return {name: x.requires_grad_() for name, x in inputs.items() if wanted(name, extra)}


def wanted(name: str, extra: str) -> bool:
    return name in ("u", "delta", "A", "B", "C") or name in extra.split()


def load(path: Path) -> Callable[..., Any]:
    """The function alone, since the file around it imports CUDA extensions."""
    from einops import rearrange, repeat

    tree = ast.parse(path.read_text())
    tree.body = [x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == "selective_scan_ref"]
    names = {"torch": torch, "F": F, "rearrange": rearrange, "repeat": repeat}
    exec(compile(tree, str(path), "exec"), names)
    return names["selective_scan_ref"]


if __name__ == "__main__":
    main()

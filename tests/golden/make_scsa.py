"""How `scsa.npz` was made: what SCSA's released modules answer, for chosen inputs and seeded weights.

    python tests/golden/make_scsa.py SCSA.py

SCSA.py is `mmpretrain/models/attentions/SCSA.py` of github.com/HZAI-ZJNU/SCSA (Apache-2.0, commit 8c46866), which is run as it
is, outside this project; it needs `einops`, and of `mmengine` only the name of a base class, which is supplied here. Norms
get weights away from 1 and 0, so that an exchange of two would show. Per case the file holds the input, every parameter
under its released name, and what comes out of the spatial half and of the whole.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

CASES = {"single": (16, 1, 7, (15, 14)), "heads": (16, 4, 7, (16, 9)), "small": (8, 2, 3, (5, 4))}
"""Channels, heads, window, size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    released = load(parser.parse_args().source)
    arrays: dict[str, np.ndarray] = {}
    for index, (case, (channels, heads, window, size)) in enumerate(CASES.items()):
        torch.manual_seed(index)
        module = released.SCSA(channels, heads, window_size=window).eval()
        for name, parameter in module.named_parameters():
            if name.startswith("norm"):
                nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.5)
        x = torch.randn(2, channels, *size)
        arrays |= {f"{case}/{name}": value.clone().numpy() for name, value in module.state_dict().items()}
        arrays |= {f"{case}/input": x.numpy(), f"{case}/output": forward(module, x)}
        # Values of zeros make every channel's gate ½, which leaves twice the spatial half.
        nn.init.zeros_(module.v.weight)
        arrays[f"{case}/spatial"] = 2 * forward(module, x)
    np.savez_compressed(Path(__file__).with_name("scsa.npz"), **arrays)  # type: ignore[arg-type]


@torch.no_grad()
def forward(module: nn.Module, x: torch.Tensor) -> np.ndarray:
    return module(x).numpy()


def load(path: Path) -> ModuleType:
    """The released file as a module, with `nn.Module` in the place of mmengine's base class."""
    engine, model = ModuleType("mmengine"), ModuleType("mmengine.model")
    model.BaseModule = nn.Module  # type: ignore[attr-defined]
    sys.modules |= {"mmengine": engine, "mmengine.model": model}
    spec = importlib.util.spec_from_file_location("released_scsa", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()

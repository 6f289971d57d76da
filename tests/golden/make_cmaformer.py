"""How `cmaformer.npz` was made: what the released network, made narrow, answers for seeded weights.

    python tests/golden/make_cmaformer.py CMAformer.py

CMAformer.py is `net/CMAformer.py` of github.com/lzeeorno/Lagrange-Duality-and-CMAformer (MIT, the file itself Apache-2.0, commit
f6c79b4), which is run outside this project; its imports of packages that the network does not use are left out. Three things are
changed in its text: the widths and the number of layers, so that the file stays small, and the sides of the maps, which are
written as widths and are right for images of 512×512 alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

WIDTHS = [2, 16, 4, 16, 6, 16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    network = released(parser.parse_args().source.read_text(encoding="utf-8"))
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            nn.init.normal_(part.weight, 1, 0.3)
            nn.init.normal_(part.running_mean, 0, 0.3)
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        answer = network.eval()(image)
    unused = ("patch_position_embedding1.", "Encoder.", "Decoder.")
    state = {name: value for name, value in network.state_dict().items() if not name.startswith(unused)}
    weights = {name: value for name, value in state.items() if "num_batches" not in name}
    # One array for all weights, in the order of their names: many small ones would make the file ten times as large.
    np.savez_compressed(
        Path(__file__).with_name("cmaformer.npz"),
        names=np.array(list(weights)),
        weights=torch.cat([value.flatten() for value in weights.values()]).numpy(),
        image=image.numpy(),
        answer=answer.numpy(),
    )


def released(text: str) -> nn.Module:
    """The network of four classes."""
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("from dataset", "from net", "from axial", "from einops"))
    ]
    text = "\n".join(lines)
    for old, new in {
        "[16, 32, 64, 128, 256, 512]": str(WIDTHS),
        "_layer = 3": "_layer = 1",
        "num_patch//self.filters[4], num_patch//self.filters[4]": "int(num_patch**0.5), int(num_patch**0.5)",
        "num_patch //self.filters[2], num_patch //self.filters[2]": "int(num_patch**0.5), int(num_patch**0.5)",
        "num_patch//self.filters[0], num_patch//self.filters[0]": "int(num_patch**0.5), int(num_patch**0.5)",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    space: dict[str, Any] = {"lits_num_classes": 4, "synapse_num_classes": 4}
    exec(text, space)
    network: nn.Module = space["CMAformer"](SimpleNamespace(dataset="Synapse"))
    return network


if __name__ == "__main__":
    main()

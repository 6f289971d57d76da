"""How `alpnet.npz` was made: what the released ALPNet answers, for chosen features and masks.

    python tests/golden/make_alpnet.py MODELS

MODELS is the folder `models` of github.com/cheng-01037/Self-supervised-Fewshot-Medical-Image-Segmentation (MIT, commit a3029d8);
its `alpmodule.py` and `grid_proto_fewshot.py` are run as they are, outside this project, on the CPU. In the encoder's place
stands an average over 8×8 pixels, so that the features are chosen here. Per case the file holds features of support and query,
the support's mask, the two scores at every fifth pixel, and in training the alignment loss.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE, CHANNELS, SIDE = 8, 6, 16
GRID, WINDOW = 4, 2
SAMPLE = np.s_[..., 3::5, 3::5]
"""Pixels whose scores are kept, to keep the file small."""
CASES = {
    "inference": (1, 48, False),
    "small": (1, 12, False),
    "shots": (3, 48, False),
    "training": (1, 48, True),
    "training-small": (1, 12, True),
    "training-shots": (2, 48, True),
}
"""Shots, radius of the foreground in pixels, training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    released = load(parser.parse_args().models)
    arrays: dict[str, np.ndarray] = {}
    for index, (case, (shots, radius, training)) in enumerate(CASES.items()):
        torch.manual_seed(index)
        support, query, mask = episode(shots, radius)
        config = {"align": True, "which_model": "dlfcn_res101", "use_coco_init": False, "cls_name": "grid_proto"}
        config |= {"proto_grid_size": GRID, "feature_hw": [SIDE, SIDE]}
        network = released.FewShotSeg(cfg=config).train(training)
        found, alignment, _, _ = network(
            [[picture(x[None]) for x in support]],
            [[(x == 1).float()[None] for x in mask]],
            [[(x == 0).float()[None] for x in mask]],
            [picture(query)],
            isval=not training,
            val_wsize=None if training else WINDOW,
        )
        arrays |= {
            f"{case}/support": support.numpy(),
            f"{case}/query": query.numpy(),
            f"{case}/scores": array(found)[SAMPLE],
        }
        arrays[f"{case}/mask"] = mask.to(torch.uint8).numpy()
        if training:
            arrays[f"{case}/alignment"] = array(alignment)
    np.savez_compressed(Path(__file__).with_name("alpnet.npz"), **arrays)  # type: ignore[arg-type]


def episode(shots: int, radius: float) -> tuple[Tensor, Tensor, Tensor]:
    """Features of support and query, in which the foreground leans one way; the support's masks, with a strip of 255."""
    size = SIDE * STRIDE
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    lean = 2 * torch.randn(2, CHANNELS, 1, 1)
    masks, maps = [], []
    for _ in range(shots + 1):
        y, x = (size / 2 + 8 * torch.randn(2)).tolist()
        mask = ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).long()
        share = F.avg_pool2d(mask[None].float(), STRIDE)
        maps.append(0.5 * torch.randn(CHANNELS, SIDE, SIDE) + lean[1] * share + lean[0] * (1 - share))
        mask[:, : STRIDE // 2] = 255
        masks.append(mask)
    return torch.stack(maps[:-1]), maps[-1][None], torch.stack(masks[:-1])


def picture(features: Tensor) -> Tensor:
    return features.repeat_interleave(STRIDE, 2).repeat_interleave(STRIDE, 3)


def array(x: Tensor) -> np.ndarray:
    return x.detach().numpy()


class Average(nn.Module):
    def __init__(self, *_: object) -> None:
        super().__init__()

    def forward(self, image: Tensor, low_level: bool) -> Tensor:
        return F.avg_pool2d(image, STRIDE)


def load(models: Path) -> ModuleType:
    """The released network, with an average for its encoder; what it imports for debugging alone is supplied empty."""
    package, backbone = ModuleType("released_alpnet"), ModuleType("released_alpnet.backbone")
    encoders, plots = ModuleType("released_alpnet.backbone.torchvision_backbones"), ModuleType("matplotlib.pyplot")
    package.__path__, backbone.__path__ = [str(models)], []
    encoders.TVDeeplabRes101Encoder = Average  # type: ignore[attr-defined]
    sys.modules |= {module.__name__: module for module in (package, backbone, encoders, plots)}
    sys.modules.setdefault("matplotlib", ModuleType("matplotlib"))
    # A constant is moved to the GPU by name; there is none here.
    torch.Tensor.cuda = lambda self: self  # type: ignore[method-assign, assignment, misc]
    return importlib.import_module("released_alpnet.grid_proto_fewshot")


if __name__ == "__main__":
    main()

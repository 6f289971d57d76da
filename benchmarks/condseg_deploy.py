"""ConDSeg for inference: `deploy()` against the literal network, one 3×256×256 image, as ratios in one run.

    python benchmarks/condseg_deploy.py [--rounds N] [--threads N] [--model MODEL --images FOLDER]

The literal network (tests/oracles) is the paper word for word: NCHW, eager, float32, all heads, unfold → softmax → fold. All
contestants have the same weights and take turns, so that other work on the machine meets each alike; a ratio is that of
the best rounds. With a trained ConDSeg and a folder of images, the masks of bfloat16 are also compared with float32's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from delineate.artefact.format import load
from delineate.data.formats.registry import read_image
from delineate.methods import registry
from delineate.methods.condseg.authors_checkpoint import fill
from delineate.methods.condseg.network import ConDSeg
from oracle import oracle
from turns import best_of_turns, print_times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--model", type=Path, help="a trained ConDSeg, for the agreement of bfloat16")
    parser.add_argument("--images", type=Path, help="images for --model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    compare_speed(arguments.size, arguments.rounds)
    if arguments.model and arguments.images:
        compare_masks(arguments.model, arguments.images)


@torch.inference_mode()
def compare_speed(size: int, rounds: int) -> None:
    literal, lean = networks()
    half = networks()[1].to(torch.bfloat16)
    image = torch.rand(1, 3, size, size)
    difference = float((lean(image).sigmoid() - literal(image)[0].sigmoid()).abs().max())
    contestants = {
        "literal float32": lambda: literal(image),
        "deploy float32": lambda: lean(image),
        "deploy bfloat16": lambda: half(image.bfloat16()),
    }
    print_times(best_of_turns(contestants, rounds))
    print(f"largest difference of probabilities, float32: {difference:.1e}")


def networks() -> tuple[nn.Module, nn.Module]:
    """The literal network and the deployed one with the same weights; BatchNorm has seen some noise."""
    torch.manual_seed(0)
    literal = oracle("condseg_literal").LiteralConDSeg()
    literal.train()
    with torch.no_grad():
        for _ in range(2):
            literal(torch.rand(2, 3, 64, 64))
    literal.eval()
    ours = registry.build("condseg", options={"normalize": "none"})
    assert isinstance(ours, ConDSeg)
    fill(ours, literal.state_dict(), first_stage=False)
    return literal, ours.deploy()


@torch.inference_mode()
def compare_masks(model: Path, folder: Path) -> None:
    """Dice between the masks of bfloat16 and float32 over all images, at the model's working size."""
    artefact = load(model)
    lean, half = artefact.method.deploy(), artefact.method.deploy().to(torch.bfloat16)
    both = total = 0
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    for path in paths:
        pixels = artefact.spec.to_unit(artefact.spec.working_pixels(read_image(path)))
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        a, b = _mask(lean(image)), _mask(half(image.bfloat16()))
        both += 2 * int((a & b).sum())
        total += int(a.sum() + b.sum())
    print(f"Dice of bfloat16 masks against float32's, {len(paths)} images pooled: {both / max(1, total):.4f}")


def _mask(logits: Tensor) -> Tensor:
    return logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1) > 0


if __name__ == "__main__":
    main()

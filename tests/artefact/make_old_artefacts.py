"""Makes the artefacts of today's format in `data/`, which every later version must load and predict the same with.

Run once per format and method, `python tests/artefact/make_old_artefacts.py METHOD`, and commit what it writes; a file that
is committed is never made again. Weights are random, rounded to 1/16 so that they pack well; nothing was trained.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.artefact.format import FORMAT, Artefact, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.predictor import Predictor
from delineate.methods import registry

DATA = Path(__file__).parent / "data"
OPTIONS = {
    "unet": {"encoder": {"name": "test_resnet"}, "decoder_channels": [8, 4]},
    "condseg": {"encoder": {"name": "test_efficientnet"}, "width": 8, "heads": 2},
}
CLASSES = {"unet": ("background", "left", "right"), "condseg": ("background", "polyp")}


def picture() -> NDArray[np.uint8]:
    """The image that the golden output belongs to, 37×50×3."""
    y, x = np.mgrid[:37, :50]
    return np.stack([(7 * x + 3 * y) % 256, (x * y) % 256, (5 * y) % 256], axis=-1).astype(np.uint8)


def main(name: str) -> None:
    target = DATA / f"{name}-format{FORMAT}.safetensors"
    if target.exists():
        raise SystemExit(f"{target} is there already: an old artefact stays as it is")
    generator = torch.Generator().manual_seed(0)
    classes = ClassTable(names=CLASSES[name])
    method = registry.build(name, classes=classes.outputs, options=OPTIONS[name]).eval()
    with torch.no_grad():
        for key, value in method.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator)
                spread = (
                    noise.abs() + 0.5 if key.endswith("running_var") else noise * min(1.0, 2 * _fan_in(value) ** -0.5)
                )
                value.copy_((spread * 16).round() / 16)
    artefact = Artefact(method, InputSpec(size=(64, 64), fit="letterbox"), classes, threshold=0.3, temperature=2.0)
    DATA.mkdir(exist_ok=True)
    save(target, artefact)
    np.save(target.with_suffix(".npy"), Predictor(artefact, "cpu").probabilities(picture()))


def _fan_in(value: torch.Tensor) -> int:
    return max(1, value[0].numel()) if value.ndim > 1 else 4


if __name__ == "__main__":
    main(sys.argv[1])

"""A trained model as one module, from the image as its file has it to probabilities and mask at the image's own size."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from delineate.common.errors import ArtefactError
from delineate.data.core.input_spec import InputSpec
from delineate.inference.export.contract import Numbers
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.export.resize import out_of_frame
from delineate.inference.predictor import Predictor
from delineate.nn.output import Output

__all__ = ["NetworkGraph", "WholeGraph", "channel_names", "decided", "numbers_of"]


class WholeGraph(nn.Module):
    """Preprocessing, network, temperature, the way back to the image's own size, and the decision: what `Predictor.predict` does.

    Not inside: the removal of components and filling of holes (`Predictor.postprocess`), which the header tells of.
    """

    def __init__(self, predictor: Predictor, *, half: bool = False) -> None:
        """`predictor`: of the model, on the CPU; `half`: the network alone is in half precision. Raises `ArtefactError` for a model
        whose images are cut into tiles."""
        super().__init__()
        spec = predictor.spec
        if spec.fit == "patch":
            raise ArtefactError("a model of patches sees tiles of an image: `export.tiles` has its graph")
        self.preprocess = Preprocess(spec, numbers_of(spec), spec.spacing)
        self.network = copy.deepcopy(predictor.network).half() if half else predictor.network
        self.dtype = torch.float16 if half else torch.float32
        self.divisor = predictor.artefact.divisor
        self.threshold = predictor.threshold
        self.output = predictor.method.output

    def forward(self, image: Tensor, spacing: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """B×H×W×C numbers, and mm where the model needs them → float32 B×K×H×W probabilities, uint8 B×H×W class indices."""
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        place = self.preprocess.place(pixels, spacing)
        logits = self.network(self.preprocess.placed(pixels, place).to(self.dtype)).float() / self.divisor
        working = self.output.probabilities(logits)
        native = out_of_frame(working, place, (image.shape[1], image.shape[2]))
        return native, decided(native, self.output, self.threshold)


class NetworkGraph(nn.Module):
    """The network alone: B×C×H×W in [0, 1] → logits B×K×H×W, before the temperature."""

    def __init__(self, predictor: Predictor, *, half: bool = False) -> None:
        """As `WholeGraph`; inputs and outputs are in single precision in any case."""
        super().__init__()
        self.network = copy.deepcopy(predictor.network).half() if half else predictor.network
        self.dtype = torch.float16 if half else torch.float32

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image.to(self.dtype)).float()


def decided(probabilities: Tensor, output: Output, threshold: float) -> Tensor:
    """B×K×H×W → uint8 B×H×W, as `Output.class_map`."""
    if not output.independent:
        return probabilities.argmax(1).to(torch.uint8)
    found = torch.zeros_like(probabilities[:, 0], dtype=torch.uint8)
    for channel, index in output.painted:
        found = torch.where(probabilities[:, channel] >= threshold, torch.full_like(found, index), found)
    return found


def numbers_of(spec: InputSpec) -> Numbers:
    """What images come as. Of volumes, slices are bytes unless their rule needs the values of the file."""
    if spec.axis is not None:
        return "uint8" if spec.volume_numbers == "bytes" else "float32"
    kinds: dict[int, Numbers] = {8: "uint8", 16: "uint16", 32: "float32"}
    return kinds[spec.source_bits]


def channel_names(spec: InputSpec) -> tuple[str, ...]:
    """What the channels of an image are. Pictures of a model that sees gray come in color too: the graph turns them gray."""
    if not isinstance(spec.channels, str):
        one: tuple[str, ...] = spec.channels
    else:
        one = ("red", "green", "blue") if spec.axis is None else ("value",)
    if spec.planes == 1:
        return one
    return tuple(f"{name} {offset:+d}" for offset in range(-spec.neighbors, spec.neighbors + 1) for name in one)

"""A few-shot model as modules that can be exported: a support image as the network is shown it, the support → a state, and an
image with the states of the classes → probabilities and mask at the image's own size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from delineate.data.core.manifest import IGNORE
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.export.graph import numbers_of
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.export.resize import labels_into_frame, out_of_frame, scalar

__all__ = ["ConditionGraph", "ForwardGraph", "ShotGraph"]


class ShotGraph(nn.Module):
    """One support image with its mask, as their files have them → as the network is shown them."""

    def __init__(self, model: FewShotPredictor) -> None:
        super().__init__()
        self.preprocess = Preprocess(model.spec, numbers_of(model.spec))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """1×H×W×C numbers and uint8 1×H×W → float32 1×C×h×w, int64 1×h×w. A mask that does not show the class is ignored as a
        whole: a class is conditioned on the images that show it."""
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        place = self.preprocess.place(pixels)
        labels = mask.long()
        labels = torch.where((labels == 1).any(), labels, torch.full_like(labels, IGNORE))
        return self.preprocess.placed(pixels, place), labels_into_frame(labels, place, IGNORE)


class ConditionGraph(nn.Module):
    """The support of one class → its state."""

    def __init__(self, model: FewShotPredictor) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Float32 K×C×h×w and int64 K×h×w → the state's tensors, of one episode."""
        return tuple(self.network.condition(image[None], mask[None]).values())


class ForwardGraph(nn.Module):
    """What `ConditionedPredictor.predict` does: preprocessing, the network for each class, the merging of the classes, the way back
    to the image's own size, and the decision."""

    def __init__(self, model: FewShotPredictor, names: tuple[str, ...]) -> None:
        """`names`: of the state's tensors, in the order in which they will be given."""
        super().__init__()
        self.preprocess = Preprocess(model.spec, numbers_of(model.spec))
        self.network, self.names = model.network, names
        self.temperature, self.threshold = model.artefact.temperature, model.artefact.threshold

    def forward(self, image: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        """B×H×W×C numbers and the state's tensors N×… → float32 B×N×H×W probabilities of the classes, uint8 B×H×W: 0 and the
        classes from 1."""
        images, classes = image.shape[0], state[0].shape[0]
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        place = self.preprocess.place(pixels)
        shown = self.preprocess.placed(pixels, place)
        # Each image with each class: what methods promise is a state for each image.
        shown = shown[:, None].expand(-1, classes, -1, -1, -1).flatten(0, 1)
        states = {
            name: one[None].expand(images, *one.shape).flatten(0, 1)
            for name, one in zip(self.names, state, strict=True)
        }
        logits = self.network(shown, states).view(images, classes, *shown.shape[-2:]).float() / self.temperature
        working = torch.cat((torch.zeros_like(logits[:, :1]), logits), 1).softmax(1)
        native = out_of_frame(working, place, (image.shape[1], image.shape[2]))
        likeliest, found = native.argmax(1).to(torch.uint8), (native[:, 1] >= self.threshold).to(torch.uint8)
        return native[:, 1:], torch.where(scalar(classes, logits) == 1, found, likeliest)

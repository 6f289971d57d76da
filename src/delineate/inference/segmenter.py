"""What a prediction needs of a model: the same whether it runs in torch (`predictor`) or as an exported graph (`exported_model`).

Whatever reads images, plans and writes masks knows a model by this alone, and so needs neither torch nor a runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.calibration import CalibrationRecord, ExpectedDice
from delineate.artefact.postprocessing import Postprocessing
from delineate.artefact.training_images import TrainingImages
from delineate.data.core.input_spec import InputSpec, Pixels, PixelSpacing
from delineate.data.core.known import KnownPictures, Role
from delineate.data.core.manifest import ClassTable

__all__ = ["Facts", "ImageEncoder", "Prepared", "Probabilities", "Segmenter"]

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Facts:
    """What is known of an image besides its pixels."""

    height: int
    """In pixels, as is the width."""
    width: int
    remark: str | None = None
    """How it differs in kind from the images that the model was trained on."""
    spacing: PixelSpacing | None = None
    """Of its pixels in mm; None where it is not known."""
    seen: Role | None = None
    """What it was to the model, if it was in its data set."""
    statistics: NDArray[np.float64] | None = None
    """What it looks like (`inference.outside`); None: it is not compared with the training images."""
    features: NDArray[np.float64] | None = None
    """What the encoder makes of it; None: it was not asked."""


@dataclass(frozen=True)
class Prepared:
    """An image on its way to the network."""

    input: NDArray[Any]
    """h×w×C at the working size: float32 in [0, 1]; or, where tiles will be cut from it, in the image's own type; or, for an
    exported graph, as its file has it."""
    facts: Facts


class ImageEncoder(Protocol):
    """The encoder of a network (`inference.encoder_features`)."""

    def of_images(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """B images h×w×C of one size, float32 in [0, 1] → B×D."""


class Segmenter(Protocol):
    """A trained model that segments images."""

    @property
    def title(self) -> str:
        """The method's name, for people."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the model comes from, as its header says."""

    @property
    def source(self) -> Path | None:
        """The file that it was read from; of an ensemble that of its first member."""

    @property
    def sources(self) -> Sequence[Path]:
        """The files of all members of an ensemble."""

    @property
    def model_sha256(self) -> str | None:
        """Of the file, or over those of all members; None of a model that was not read from a file."""

    @property
    def tta(self) -> str:
        """Test-time augmentation (`inference.tta`)."""

    @property
    def notes(self) -> Sequence[str]:
        """What whoever reads the masks should know of how they were made."""

    @property
    def spec(self) -> InputSpec:
        """What is done to an image before the network sees it."""

    @property
    def classes(self) -> ClassTable:
        """Names of the classes that masks hold the indices of."""

    @property
    def known(self) -> KnownPictures:
        """The pictures that the model was made from."""

    @property
    def training_images(self) -> TrainingImages | None:
        """The summary of the training images, of an ensemble that of its first member; None: the model does not tell."""

    @property
    def encoder(self) -> ImageEncoder | None:
        """What tells the features of images; None: the model does not."""

    @property
    def postprocessing(self) -> Postprocessing | None:
        """What is done to whole masks; None: nothing."""

    @property
    def calibration(self) -> CalibrationRecord | None:
        """What was found of the model's probabilities; None: nothing, or there are several models."""

    @property
    def expected_dice(self) -> ExpectedDice | None:
        """What tells the Dice of its masks (`inference.expected_dice`); None: nobody knows it."""

    @property
    def usual_batch(self) -> int:
        """Images, or tiles of one image, in one forward pass where nobody says how many."""

    @property
    def one_by_one(self) -> bool:
        """Whether `outputs` takes one image at a time."""

    @property
    def spread(self) -> bool:
        """Whether `outputs` have one more plane: the mean entropy of members and views (`inference.doubt`)."""

    @property
    def own_size(self) -> bool:
        """Whether probabilities of `outputs` have the image's own size; else that of the network's input, with its padding."""

    @property
    def pictures_only(self) -> bool:
        """Whether volumes are refused."""

    def get_ready(self) -> None:
        """Do now what the first image would wait for."""

    def prepare(self, pixels: Pixels, spacing: PixelSpacing | None = None) -> NDArray[Any]:
        """What `Prepared.input` holds. Raises `DataError` for an image that the model does not take."""

    def outputs(self, prepared: Sequence[Prepared], batch: int, maps: bool) -> Iterator[NDArray[Any]]:
        """Of each image its probabilities K×h×w; or, where no maps are wanted, perhaps its class indices H×W at its own size."""

    def to_native(
        self, working: Probabilities, height: int, width: int, spacing: PixelSpacing | None = None
    ) -> Probabilities:
        """Probabilities K×h×w of `outputs` → H×W×K at the image's own size."""

    def to_classes(
        self, working: Probabilities, height: int, width: int, spacing: PixelSpacing | None = None
    ) -> NDArray[np.uint8]:
        """The same → class indices H×W."""

    def decide(self, planes: Iterable[Probabilities]) -> NDArray[np.uint8]:
        """Class indices of probabilities at the image's own size, of each channel in turn."""

    def postprocess(self, indices: NDArray[np.uint8], voxel_volume: float | None = None) -> NDArray[np.uint8]:
        """The whole mask of a picture H×W or a volume X×Y×Z, as `postprocessing` says."""

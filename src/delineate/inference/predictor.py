"""Prediction with a trained model: image → probabilities → mask, at the image's own size.

Probabilities are first resized to the image's own size and thresholded there, as the scores require. A model that was trained on
patches is moved over the image as a sliding window (`inference.sliding_window`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from delineate.artefact.calibration import CalibrationRecord, ExpectedDice
from delineate.artefact.format import Artefact
from delineate.common.errors import NotFiniteError
from delineate.data.core.input_spec import InputSpec, Pixels, PixelSpacing
from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import ClassTable
from delineate.inference.device import Precision, arithmetic, as_batch, checked_precision, resolve_device
from delineate.inference.encoder_features import EncoderFeatures
from delineate.inference.ensemble import Ensemble
from delineate.inference.image_input import as_pixels, remark
from delineate.inference.native_size import native_plane
from delineate.inference.postprocess import applied
from delineate.inference.segmenter import Prepared, Probabilities
from delineate.inference.tiling import ArrayTiles, TileSource, Tiling, blended_rows
from delineate.inference.tta import Tta, views_of
from delineate.inference.usable import check_usable
from delineate.methods.contract import Method
from delineate.nn.output import Output

__all__ = ["BATCH_SIZE", "Predictor", "load"]

BATCH_SIZE = {"cpu": 4, "cuda": 16, "mps": 8}
"""Images, or tiles of one image, in one forward pass, by kind of device."""


class Predictor:
    """A trained model that segments images. `delineate.load` returns one.

    Nothing is kept from one image to the next. Several threads can share a predictor, but read `network` once before they start:
    otherwise each of them makes a copy. Use a device from one thread only, and let other threads decode, prepare and write.

    Example:
        >>> model = delineate.load("runs/first")
        >>> image = np.zeros((48, 64, 3), np.uint8)
        >>> model.predict(image).shape
        (48, 64)
        >>> model.probabilities(image).shape
        (48, 64, 1)
        >>> model.classes.names
        ('background', 'polyp')
    """

    kind: ClassVar[str] = "dense"
    """Kind of method that this class predicts with (`Method.kind`)."""
    own_size = False  # `outputs` have the size of the network's input, not the image's own
    pictures_only = False  # volumes are segmented, and what is odd about them is told

    def __init__(
        self,
        artefact: Artefact,
        device: str = "auto",
        precision: Precision = "32",
        source: Path | None = None,
        postprocess: bool = True,
        tile: int | None = None,
        overlap: float | None = None,
        *,
        ensemble: Ensemble | None = None,
        tta: Tta = "none",
    ) -> None:
        """
        Args:
            artefact: The trained method with its input specification and classes.
            device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
            precision: `32`, or mixed precision: `bf16` or `16` (autocast). Probabilities are float32 in any case.
            source: The file that the artefact was read from. It is named beside the predictions.
            postprocess: Whether masks are post-processed as the model says. Probabilities never are.
            tile: Of a model trained on patches, the side of the sliding window's tiles in pixels. None: as in training.
            overlap: Of such a model, the share of a tile's side by which tiles overlap, 0 … 0.9. None: 0.5.
            ensemble: The models that predict together, `artefact` the first of them. None: it is alone.
            tta: Test-time augmentation: forms of the image whose probabilities are averaged (`inference.tta`).

        Raises:
            ArtefactError: The model cannot predict: it is only partly trained, or of another kind.
            DataError: A test-time augmentation that the model's input does not allow.
            DeviceError: This machine does not have the device or the precision.
            RecipeError: `tile` or `overlap` for a model that sees whole images, or a side that its method does not take.
        """
        self.artefact = artefact
        self.ensemble = ensemble or Ensemble((artefact,), () if source is None else (source,))
        for one in self.ensemble.members:
            check_usable(one, self.kind)
        self.tiling = [Tiling.of(one, tile, overlap) for one in self.ensemble.members][-1]
        self.tta, self.views, self.spread = tta, views_of(tta, self.tiling.size), self.ensemble.spread
        self.source, self.sources = source, self.ensemble.files
        self.provenance, self.training_images = self.ensemble.provenance, self.ensemble.training_images
        self.device = resolve_device(device)
        self.precision = checked_precision(precision, self.device)
        self.postprocessing = self.ensemble.postprocessing if postprocess else None
        self.asked_threshold: float | None = None  # instead of the model's own

    @property
    def threshold(self) -> float:
        """From which probability on a pixel is foreground, or in a region. Not used where several classes compete."""
        chosen = None if self.postprocessing is None else self.postprocessing.threshold
        own = self.artefact.threshold if chosen is None else chosen
        return own if self.asked_threshold is None else self.asked_threshold

    @property
    def method(self) -> Method:
        """The trained method: the module with all its heads, on the CPU."""
        return self.artefact.method

    @property
    def calibration(self) -> CalibrationRecord | None:
        """What `delineate calibrate` has found of the model's probabilities; of several models nothing, since each has its own."""
        return self.artefact.calibration if self.ensemble.alone else None

    @property
    def expected_dice(self) -> ExpectedDice | None:
        """What tells the Dice of masks. It was fitted on masks of this model alone, made as it says: of others it is None."""
        own = self.tta == "none" and self.asked_threshold is None and self.tiling == Tiling.of(self.artefact)
        known = self.calibration
        return known.expected_dice if known and own and self.postprocessing == self.artefact.postprocessing else None

    @property
    def spec(self) -> InputSpec:
        """What is done to an image before the network sees it. Of members with windows of their own: with one that holds all."""
        return self.ensemble.spec

    @property
    def classes(self) -> ClassTable:
        """Those that `predict` returns the indices of."""
        return self.artefact.classes

    @property
    def _output(self) -> Output:
        return self.artefact.method.output

    @property
    def title(self) -> str:
        """Whose masks these are, for tables: the method, or those of an ensemble, and the test-time augmentation."""
        return self.ensemble.title if self.tta == "none" else f"{self.ensemble.title}, {self.tta}"

    @property
    def model_sha256(self) -> str | None:
        """Of the file, or over those of all members."""
        return self.ensemble.sha256

    @property
    def passes(self) -> int:
        """Forward passes of an image, or of a tile."""
        return len(self.ensemble.members) * len(self.views)

    @property
    def notes(self) -> list[str]:
        """What whoever reads the masks should know of how they are made."""
        return self.ensemble.notes(self.title, self.tta, len(self.views))

    @property
    def known(self) -> KnownPictures:
        """The pictures that the model was trained, validated or tested on; empty if the model does not record them."""
        return self.ensemble.known

    @cached_property
    def network(self) -> nn.Module:
        """The method's deployed form on the device, which prediction runs. Made once, at first use: a copy of the weights."""
        return self._deployed(self.method)

    @cached_property
    def _networks(self) -> tuple[nn.Module, ...]:
        return (self.network, *(self._deployed(one.method) for one in self.ensemble.members[1:]))

    def _deployed(self, method: Method) -> nn.Module:
        return method.deploy().eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def usual_batch(self) -> int:
        """Images, or tiles of one image, in one forward pass where nobody says how many."""
        return BATCH_SIZE[self.device.type]

    @property
    def one_by_one(self) -> bool:
        """Whether a forward pass sees tiles of one image, not several images."""
        return self.spec.fit == "patch"

    @cached_property
    def encoder(self) -> EncoderFeatures | None:
        """What tells the features of images, of an ensemble those of its first member; None: its method does not. A copy of it."""
        return EncoderFeatures.of(self.method, self.device, self.precision)

    def get_ready(self) -> None:
        """Build `network` now, so that this does not count as the time of the first images."""
        _ = self._networks

    def predict(self, image: Any, spacing: PixelSpacing | None = None) -> NDArray[np.uint8]:
        """Segment one image.

        Args:
            image: An array H×W, H×W×3 or H×W×4 (RGB order), a Pillow image, or a path. Arrays are uint8 or uint16, or any
                numbers unless the model's intensity rule is `range`. For a model with named channels: H×W×channels in the order of
                `spec.channels`, or a dictionary with one image H×W for each channel name.
            spacing: Of its pixels in mm, from row to row and from column to column; a model with `spec.spacing` needs it.

        Returns:
            Class indices uint8 H×W at the image's own size, post-processed if the model says so (`postprocess`). With one
            foreground class: 0 and 1.

        Raises:
            DataError: The image cannot be read, or is of a kind that the model does not take.
            DeviceError: The memory of the device does not suffice.
            NotFiniteError: The network's output holds NaN or infinity.
        """
        pixels = self._read(image, spacing)
        prepared = self.prepare(pixels, spacing)
        return self.postprocess(self.classes_of(prepared, *pixels.shape[:2], spacing=spacing))

    def postprocess(self, indices: NDArray[np.uint8], voxel_volume: float | None = None) -> NDArray[np.uint8]:
        """Take components away and fill holes, as the model's post-processing says (`delineate calibrate`).

        What was chosen on whole volumes is done to whole volumes only, and what was chosen on pictures to pictures: a slice does
        not tell which parts belong together.

        Args:
            indices: Class indices H×W of a picture, or X×Y×Z of a volume whose slices were segmented.
            voxel_volume: Of a volume, in mm³.

        Returns:
            The mask; as it was given where there is nothing to do.
        """
        return applied(self.postprocessing, indices, self.classes, voxel_volume)

    def probabilities(self, image: Any, spacing: PixelSpacing | None = None) -> Probabilities:
        """Probabilities of one image.

        Args:
            image: As for `predict`.
            spacing: As for `predict`.

        Returns:
            Float32 H×W×K in [0, 1] at the image's own size. K is 1 (the foreground) with one foreground class. Otherwise K is the
            number of classes, and the background is the first; or the number of regions (`classes.regions`) where a model has some.

        Raises:
            DataError: As `predict`.
            DeviceError: As `predict`.
            NotFiniteError: As `predict`.
        """
        pixels = self._read(image, spacing)
        height, width = pixels.shape[:2]
        working = self.probabilities_of(self.prepare(pixels, spacing))
        return self.to_native(working[: self.classes.outputs], height, width, spacing)

    def prepare(self, pixels: Pixels, spacing: PixelSpacing | None = None) -> NDArray[Any]:
        """Bring pixels to the form that the network takes: the first step of `predict`.

        Args:
            pixels: H×W or H×W×C at the image's own size.
            spacing: As for `predict`.

        Returns:
            h×w×C at the working size: float32 in [0, 1]. With `fit=patch`, the image at its own resolution times `scale`, or at the
            model's spacing, in its own number type: tiles are cut from it later.

        Raises:
            DataError: The image is of a kind that the model does not take, or its spacing is not known and matters.
        """
        working = self.spec.working_pixels(pixels, spacing)
        return working if self.spec.fit == "patch" else self.spec.to_unit(working)

    def probabilities_of(self, prepared: NDArray[Any], batch: int | None = None) -> Probabilities:
        """Run the network on one prepared image.

        Args:
            prepared: What `prepare` returned.
            batch: Tiles in one forward pass, with `fit=patch`. None: `BATCH_SIZE` of the device.

        Returns:
            Float32 K×h×w at the working size.

        Raises:
            DeviceError: As `predict`.
            NotFiniteError: As `predict`.
        """
        if self.spec.fit != "patch":
            return self.working_probabilities([prepared])[0]
        result = np.empty((self.ensemble.planes, *prepared.shape[:2]), np.float32)
        for rows, values in self._rows(prepared, batch):
            result[:, rows] = values
        return result

    def classes_of(
        self,
        prepared: NDArray[Any],
        height: int,
        width: int,
        batch: int | None = None,
        *,
        spacing: PixelSpacing | None = None,
    ) -> NDArray[np.uint8]:
        """Segment one prepared image.

        With `fit=patch`, classes are decided row by row of tiles, so that memory suffices for very large images. This is not
        possible where the image was resampled (`spec.scale`, `spec.spacing`), since the probabilities of the whole image are
        resized then.

        Args:
            prepared: What `prepare` returned.
            height: Of the image itself, in pixels.
            width: Of the image itself, in pixels.
            batch: As for `probabilities_of`.
            spacing: As for `predict`.

        Returns:
            Class indices uint8 H×W at the image's own size.

        Raises:
            DeviceError: As `predict`.
            NotFiniteError: As `predict`.
        """
        if self.spec.fit != "patch" or prepared.shape[:2] != (height, width):
            return self.to_classes(self.probabilities_of(prepared, batch), height, width, spacing)
        result = np.empty((height, width), np.uint8)
        for rows, values in self._rows(prepared, batch):
            result[rows] = self._output.class_map(values, self.threshold)
        return result

    @torch.inference_mode()
    def working_probabilities(self, inputs: Sequence[NDArray[np.float32]]) -> Probabilities:
        """Run the network on a batch.

        Args:
            inputs: B prepared images or tiles h×w×C, float32 in [0, 1].

        Returns:
            Float32 B×K×h×w at the working size: the mean over members and views, summed on the device.

        Raises:
            DeviceError: The memory of the device does not suffice.
            NotFiniteError: The network's output holds NaN or infinity. Unnoticed, infinity would look like a sure probability and
                NaN like background. The check costs a pass over the logits and one more small transfer from the device.
        """
        with arithmetic(self.device, self.precision, len(inputs), self.spec.size):
            image = as_batch(inputs, self.device)
            found, finite = self.ensemble.probabilities(image, self._networks, self.views, self._output)
            result = found.cpu().numpy()
        if not finite:
            how = "use --precision 32" if self.precision != "32" else "the model is of no use for it; train again"
            raise NotFiniteError(f"the network's output is not finite (NaN or infinite); {how}")
        return result

    def outputs(self, prepared: Sequence[Prepared], batch: int, maps: bool) -> Iterator[NDArray[Any]]:
        """Run the network on prepared images, as `inference.segmenter.Segmenter` says.

        Args:
            prepared: Images, at most `batch`; with `fit=patch`, any number, which are done one by one.
            batch: Tiles in one forward pass, with `fit=patch`.
            maps: Whether probabilities are wanted of tiled images, too. If not, their classes are decided row by row.

        Yields:
            Of each image probabilities K×h×w at the working size; of a tiled one class indices H×W where no maps are wanted.

        Raises:
            DeviceError: As `predict`.
            NotFiniteError: As `predict`.
        """
        if not self.one_by_one:
            yield from self.working_probabilities([one.input for one in prepared])
            return
        for one in prepared:
            facts = one.facts
            if maps:
                yield self.probabilities_of(one.input, batch)
            else:
                yield self.classes_of(one.input, facts.height, facts.width, batch, spacing=facts.spacing)

    def to_native(
        self, working: Probabilities, height: int, width: int, spacing: PixelSpacing | None = None
    ) -> Probabilities:
        """Resize probabilities to the image's own size, without the padding of `fit=letterbox`.

        Args:
            working: K×h×w of one image at the working size.
            height: Of the image itself, in pixels.
            width: Of the image itself, in pixels.
            spacing: As for `predict`.

        Returns:
            Float32 H×W×K.
        """
        planes = [native_plane(plane, self.spec, height, width, spacing) for plane in working]
        return np.stack(planes, axis=-1)

    def to_classes(
        self, working: Probabilities, height: int, width: int, spacing: PixelSpacing | None = None
    ) -> NDArray[np.uint8]:
        """Resize probabilities to the image's own size and decide the class of each pixel there.

        With one foreground class: 1 where the probability is at least the model's threshold. With several: the most probable one;
        the lower index wins a tie. With regions: those whose probability is at least the threshold are painted one upon the other,
        the outer ones first. Holds two planes of the image's size at a time, however many classes there are.

        Args:
            working: K×h×w of one image at the working size.
            height: Of the image itself, in pixels.
            width: Of the image itself, in pixels.
            spacing: As for `predict`.

        Returns:
            Class indices uint8 H×W.
        """
        planes = (native_plane(plane, self.spec, height, width, spacing) for plane in working)
        return self.decide(planes)

    def decide(self, planes: Iterable[Probabilities]) -> NDArray[np.uint8]:
        """Decide classes as `to_classes` does.

        Args:
            planes: Probabilities of each channel in turn, all of one shape. The first is overwritten.

        Returns:
            Class indices uint8 of that shape.
        """
        return self._output.class_map(planes, self.threshold)

    def rows_of(self, source: TileSource, batch: int | None = None) -> Iterator[tuple[slice, Probabilities]]:
        """Run the network on the tiles of an image, with `fit=patch`.

        Args:
            source: What the tiles are cut from.
            batch: As for `probabilities_of`.

        Yields:
            Rows of the image and their probabilities float32 K×r×W, from the top: those that no later tile adds to.

        Raises:
            DeviceError: As `predict`.
            NotFiniteError: As `predict`.
        """
        nothing = np.pad(self._output.background(), (0, int(self.spread)))
        size = batch or BATCH_SIZE[self.device.type]
        return blended_rows(source, self.tiling, self.working_probabilities, size, nothing)

    def _rows(self, working: Pixels, batch: int | None) -> Iterator[tuple[slice, Probabilities]]:
        return self.rows_of(ArrayTiles(working, self.spec, self.tiling.size, self.spec.limits(working)), batch)

    def _read(self, image: Any, spacing: PixelSpacing | None) -> Pixels:
        pixels = as_pixels(image, self.spec.intensity, self.spec.channels, self.spec.planes)
        if said := remark(pixels, self.spec, spacing):
            warnings.warn(said, stacklevel=3)
        return pixels


def load(
    path: Path | str,
    device: str = "auto",
    precision: Precision = "32",
    *,
    postprocess: bool = True,
    tile: int | None = None,
    overlap: float | None = None,
    ensemble: Sequence[Path | str] = (),
    tta: Tta = "none",
    spread: bool = False,
) -> Predictor:
    """Read a dense method's model.

    Args:
        path: The model file, or a run folder; or a folder of run folders, whose models predict together.
        device: As for `Predictor`.
        precision: As for `Predictor`.
        postprocess: As for `Predictor`.
        tile: As for `Predictor`.
        overlap: As for `Predictor`.
        ensemble: Further members, likewise.
        tta: As for `Predictor`.
        spread: Whether outputs tell how far they disagree.

    Returns:
        A predictor.

    Raises:
        ArtefactError: A file is not a model of a dense method that can predict; members that do not agree on input or classes.
        DataError: As `Predictor`.
        DeviceError: This machine does not have the device or the precision.
        RecipeError: As for `Predictor`.
    """
    all_ = Ensemble.open(path, ensemble, spread=spread, views=tta != "none")
    return Predictor(
        all_.members[0], device, precision, all_.files[0], postprocess, tile, overlap, ensemble=all_, tta=tta
    )

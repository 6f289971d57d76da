"""An exported ONNX file that segments images: as `predictor.Predictor`, but run by onnxruntime, so that no torch is needed.

The graph holds what comes before and after the network (docs/exported-files.md). What it leaves out is done here: the
post-processing of masks, and a threshold other than its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.calibration import CalibrationRecord, ExpectedDice
from delineate.artefact.header import parse_header
from delineate.artefact.onnx_metadata import read_metadata
from delineate.artefact.training_images import TrainingImages
from delineate.common.errors import ArtefactError, DataError, DelineateError, NotFiniteError
from delineate.common.files import sha256
from delineate.data.core.deciding import class_map, painted
from delineate.data.core.input_spec import InputSpec, Pixels, PixelSpacing
from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import ClassTable
from delineate.inference.export.contract import HEADER, MASK, PROBABILITIES, read_facts
from delineate.inference.export.graph_input import graph_feed, graph_image
from delineate.inference.image_input import as_pixels, remark
from delineate.inference.postprocess import applied
from delineate.inference.segmenter import Prepared, Probabilities

__all__ = ["ExportedModel"]

_NO_ROOM = ("failed to allocate", "bad_alloc", "bad allocation")
"""Of the runtime's messages where memory does not suffice; it has no kind of error for it."""
_TOO_NEW = ("opset", "IR version", "ir_version")
"""Of those where it is older than the file."""
_HALF = "is one of the two files of a few-shot model, which segments by examples; {} (docs/exported-files.md)"
_NOT_WHOLE = {
    "network": "holds the network alone, without what comes before and after it; export it without --graph network",
    "condition": _HALF.format("give its state to the forward file by onnxruntime, or use `delineate fewshot predict`"),
    "forward": _HALF.format("give it the condition file's state by onnxruntime, or use `delineate fewshot predict`"),
}
"""Why a file does not segment an image by itself, and what to do."""


class ExportedModel:
    """A model that `delineate export` wrote. `delineate_runtime.load` returns one, and `delineate.load` of an `.onnx` file.

    Several threads can share it. Nothing is kept from one image to the next.

    Example:
        ```python
        model = delineate_runtime.load("polyps.onnx")
        mask = model.predict("image.png")  # class indices H×W; an array or a Pillow image works as well
        model.probabilities("image.png").shape  # H×W×K
        model.classes.names  # ('background', 'polyp')
        ```
    """

    def __init__(
        self, path: Path | str, *, threads: int | None = None, threshold: float | None = None, postprocess: bool = True
    ) -> None:
        """
        Args:
            path: The file.
            threads: Of the network. None: as many as the machine has cores.
            threshold: From which probability on a pixel is foreground, or in a region. None: the model's own.
            postprocess: Whether masks are post-processed as the model says. Probabilities never are.

        Raises:
            ArtefactError: The file is not one of `delineate export`, of a newer format, a network alone, or the installed
                onnxruntime cannot run it.
            DelineateError: onnxruntime is missing, or a threshold is given to a model whose classes compete.
        """
        self.source = Path(path)
        if not self.source.is_file():
            raise ArtefactError(f"model {path} does not exist; give an .onnx file that `delineate export` wrote")
        metadata = read_metadata(self.source)
        self.facts = read_facts(metadata, self.source)
        self.header = parse_header(metadata[HEADER], self.source)
        if self.facts.graph != "whole":
            raise ArtefactError(f"{path} {_NOT_WHOLE[self.facts.graph]}")
        self.postprocessing = self.header.postprocessing if postprocess else None
        self.known = KnownPictures.read(self.header.provenance.get("pictures"))
        self.training_images = TrainingImages.read(self.header.provenance)
        self.threshold = self._threshold(threshold)
        self._session = _session(self.source, threads, self.facts.opset)

    @property
    def title(self) -> str:
        """Whose masks these are, for tables: the method's name."""
        return str(self.provenance.get("untrained") or self.header.method)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the model comes from, as its header says."""
        return self.header.provenance

    @property
    def calibration(self) -> CalibrationRecord | None:
        """What `delineate calibrate` has found of the model's probabilities; its temperatures are inside the graph."""
        return self.header.calibration

    @property
    def expected_dice(self) -> ExpectedDice | None:
        """What tells the Dice of masks, where these are made as the model says."""
        as_found = self.postprocessing == self.header.postprocessing and self.threshold == self._threshold(None)
        return self.calibration.expected_dice if self.calibration is not None and as_found else None

    @property
    def sources(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.source,)

    @cached_property
    def model_sha256(self) -> str:
        """Of the file."""
        return sha256(self.source)

    @property
    def tta(self) -> str:
        """There is no test-time augmentation."""
        return "none"

    @property
    def encoder(self) -> None:
        """The graph does not tell what its encoder makes of images."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Of how masks are made there is nothing to tell."""
        return ()

    @property
    def spec(self) -> InputSpec:
        """What the graph does to an image before the network sees it."""
        return self.header.input

    @property
    def classes(self) -> ClassTable:
        """Names of the classes that `predict` returns the indices of."""
        return self.header.table

    @property
    def usual_batch(self) -> int:
        """Images in one run of the graph."""
        return 1

    @property
    def one_by_one(self) -> bool:
        """Whether `outputs` takes one image at a time: images come as large as they are."""
        return True

    def get_ready(self) -> None:
        """Nothing: the graph is read at once, so that what is wrong with it is told at once."""

    @property
    def spread(self) -> bool:
        """Whether `outputs` tell how members and views differ: one model with one view differs from nobody."""
        return False

    @property
    def own_size(self) -> bool:
        """Whether `outputs` have the image's own size: the graph brings them to it."""
        return True

    @property
    def pictures_only(self) -> bool:
        """Whether volumes are refused: a graph of pictures knows no slices."""
        return self.facts.source == "pictures"

    def predict(self, image: Any, spacing: PixelSpacing | None = None) -> NDArray[np.uint8]:
        """Segment one image.

        Args:
            image: An array H×W, H×W×3 or H×W×4 (RGB order), a Pillow image, or a path. Of a model of slices: a slice, in the
                numbers that docs/exported-files.md names. For a model with named channels: H×W×channels in their order, or a
                dictionary with one image H×W for each channel name.
            spacing: Of its pixels in mm, from row to row and from column to column, where the model needs it.

        Returns:
            Class indices uint8 H×W at the image's own size, post-processed if the model says so. With one foreground class:
            0 and 1.

        Raises:
            DataError: The image cannot be read, or is of a kind that the model does not take.
            NotFiniteError: The network's output holds NaN or infinity.
        """
        return self.postprocess(self._mask(*self._run(self.prepare(self._read(image, spacing), spacing), spacing)))

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
            NotFiniteError: As `predict`.
        """
        found, _ = self._run(self.prepare(self._read(image, spacing), spacing), spacing)
        return np.ascontiguousarray(np.moveaxis(found, 0, -1))

    def prepare(self, pixels: Pixels, spacing: PixelSpacing | None = None) -> NDArray[Any]:
        """Pixels as the graph takes them, H×W×C.

        Args:
            pixels: H×W or H×W×C.
            spacing: As for `predict`.

        Returns:
            H×W×C in the file's number type.

        Raises:
            DataError: The image is of a kind that the model does not take.
        """
        found: NDArray[Any] = graph_image(pixels, self.facts)[0]
        return found

    def outputs(self, prepared: Sequence[Prepared], batch: int, maps: bool) -> Iterator[NDArray[Any]]:
        """Run the graph, as `inference.segmenter.Segmenter` says.

        Args:
            prepared: Images, which are done one by one.
            batch: Not used.
            maps: Whether probabilities are wanted.

        Yields:
            Of each image probabilities K×H×W, or class indices H×W where no maps are wanted; both at its own size.

        Raises:
            NotFiniteError: As `predict`.
        """
        for one in prepared:
            found, mask = self._run(one.input, one.facts.spacing)
            yield found if maps else self._mask(found, mask)

    def to_native(
        self, working: Probabilities, height: int, width: int, spacing: PixelSpacing | None = None
    ) -> Probabilities:
        """Bring what `outputs` gave to the form that `probabilities` has; it has the image's own size already.

        Args:
            working: K×H×W of one image.
            height: Not used.
            width: Not used.
            spacing: Not used.

        Returns:
            Float32 H×W×K.
        """
        return np.moveaxis(working, 0, -1)

    def to_classes(
        self, working: Probabilities, height: int, width: int, spacing: PixelSpacing | None = None
    ) -> NDArray[np.uint8]:
        """Decide the class of each pixel, as `decide` does.

        Args:
            working: K×H×W of one image.
            height: Not used.
            width: Not used.
            spacing: Not used.

        Returns:
            Class indices uint8 H×W.
        """
        return self.decide(plane.copy() for plane in working)

    def decide(self, planes: Iterable[Probabilities]) -> NDArray[np.uint8]:
        """Decide classes: by the threshold, or the most probable one.

        Args:
            planes: Probabilities of each channel in turn, all of one shape. The first is overwritten.

        Returns:
            Class indices uint8 of that shape.
        """
        return class_map(planes, painted(self.classes.outputs, self.classes.regions), self.threshold)

    def postprocess(self, indices: NDArray[np.uint8], voxel_volume: float | None = None) -> NDArray[np.uint8]:
        """Take components away and fill holes, as the model's post-processing says (`delineate calibrate`).

        Args:
            indices: Class indices H×W of a picture, or X×Y×Z of a whole volume.
            voxel_volume: Of a volume, in mm³.

        Returns:
            The mask; as it was given where there is nothing to do.

        Raises:
            DataError: Sizes are in mm³, and `voxel_volume` is not known.
        """
        return applied(self.postprocessing, indices, self.classes, voxel_volume)

    def _threshold(self, given: float | None) -> float:
        if given is None:
            chosen = None if self.postprocessing is None else self.postprocessing.threshold
            return self.header.threshold if chosen is None else chosen
        if self.facts.threshold is None:
            raise DelineateError(
                f"{self.source} has no threshold: its classes compete, and the most probable one wins; leave out --threshold"
            )
        if not 0 <= given <= 1:
            raise DelineateError(f"--threshold {given:g}: probabilities lie between 0 and 1")
        return given

    def _read(self, image: Any, spacing: PixelSpacing | None) -> Pixels:
        pixels = as_pixels(image, self.spec.intensity, self.spec.channels, self.spec.planes)
        if said := remark(pixels, self.spec, spacing):
            warnings.warn(said, stacklevel=3)
        return pixels

    def _run(self, prepared: NDArray[Any], spacing: PixelSpacing | None) -> tuple[Probabilities, NDArray[np.uint8]]:
        """Probabilities K×H×W and class indices H×W as the graph decides them."""
        feed = graph_feed(prepared, spacing, self.facts)
        try:
            found, mask = self._session.run([PROBABILITIES, MASK], feed)
        except Exception as error:  # it has a kind for each cause, none of them public
            text = _first_line(error)
            if any(words in str(error).lower() for words in _NO_ROOM):
                raise MemoryError(text) from error
            raise DataError(
                f"the graph does not run on an image of {' × '.join(map(str, prepared.shape))}: {text}"
            ) from error
        if not np.isfinite(found).all():
            raise NotFiniteError("the network's output is not finite (NaN or infinite); the model is of no use for it")
        return found[0], mask[0]

    def _mask(self, found: Probabilities, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The graph's own mask, where it was made by the threshold that is wanted."""
        return mask if self.facts.threshold in (None, self.threshold) else self.to_classes(found, *mask.shape)


def _session(path: Path, threads: int | None, opset: int) -> Any:
    """An onnxruntime session on the CPU. Raises `ArtefactError` where the installed runtime cannot open the file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DelineateError("running an exported model needs onnxruntime: pip install onnxruntime") from error
    if threads is not None and threads < 1:
        raise DelineateError(f"--threads {threads}: give 1 or more")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # its own lines say nothing to users
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        text, version = _first_line(error), onnxruntime.__version__
        if any(words in str(error) for words in _TOO_NEW):
            raise ArtefactError(
                f"{path} is written for opset {opset} of ONNX, which onnxruntime {version} does not know: "
                "pip install --upgrade onnxruntime"
            ) from error
        raise ArtefactError(f"onnxruntime {version} cannot open {path}: {text}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

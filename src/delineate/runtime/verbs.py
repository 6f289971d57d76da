"""What one can do with an exported model: load it, let it loose on files, ask what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.requests.predict import ExportedPredictOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.inference.exported_model import ExportedModel
    from delineate.inference.model_info import ModelInfo
    from delineate.inference.results import PredictionResult

__all__ = ["info", "load", "predict"]


def load(
    path: Path | str, *, threads: int | None = None, threshold: float | None = None, postprocess: bool = True
) -> ExportedModel:
    """Load an exported model.

    Args:
        path: An `.onnx` file that `delineate export` wrote.
        threads: Of the network. None: as many as the machine has cores.
        threshold: From which probability on a pixel is foreground, or in a region. None: the model's own.
        postprocess: Whether masks are post-processed as the model says (components, holes).

    Returns:
        The model: `.predict(image)` gives class indices H×W, `.probabilities(image)` float32 H×W×K.

    Raises:
        ArtefactError: The file is no exported model, of a newer format, or the installed onnxruntime cannot run it.

    Example:
        ```python
        model = delineate_runtime.load("polyps.onnx")
        mask = model.predict("image.png")
        ```
    """
    from delineate.inference.exported_model import ExportedModel

    return ExportedModel(path, threads=threads, threshold=threshold, postprocess=postprocess)


@takes(ExportedPredictOptions)
def predict(
    model: Path | str,
    inputs: Sequence[Path | str],
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[ExportedPredictOptions],
) -> PredictionResult:
    """Segment images and volumes with an exported model. Write one mask per image, at its own size, and tables to `out`.

    Args:
        model: An `.onnx` file that `delineate export` wrote.
        inputs: Image files, folders of images, or patterns such as "scans/*.png".
        progress: Called with (images done, images in total).

    Returns:
        The images that were segmented; in `failures`, those that could not be read.

    Raises:
        DelineateError: The model, the inputs or `out` cannot be used. Nothing has been written.

    Example:
        ```python
        result = delineate_runtime.predict("polyps.onnx", ["images/"], out="masks")
        print(len(result.files), len(result.failures))
        ```
    """
    from delineate.inference.calibrated import check_calibrated
    from delineate.inference.channel_inputs import find_for
    from delineate.inference.prediction import predict_inputs

    loaded = load(model, threads=options["threads"], threshold=options["threshold"], postprocess=options["postprocess"])
    if options["calibrated"]:
        check_calibrated([(loaded.source, loaded.calibration)])
    return predict_inputs(
        loaded,
        find_for(loaded.spec.channels, inputs, options["names"]),
        options["out"],
        names=options["names"],
        overlay=options["overlay"],
        probabilities=options["probabilities"],
        uncertainty=options["uncertainty"],
        review=options["review"],
        drift=options["drift"],
        overwrite=options["overwrite"],
        max_pixels=options["max_pixels"],
        axis=options["axis"],
        format=options["format"],
        seg_type=options["seg_type"],
        codes=options["codes"],
        check=options["check"],
        progress=progress,
    )


def info(model: Path | str) -> ModelInfo:
    """What an exported model says of itself. Its graph is not loaded.

    Args:
        model: An `.onnx` file that `delineate export` wrote.

    Returns:
        Classes, input, training data, scores with intervals, licenses.

    Raises:
        ArtefactError: The file is no exported model, or of a newer format.

    Example:
        ```python
        print(delineate_runtime.info("polyps.onnx").classes)
        ```
    """
    from delineate.inference.model_info import read_info

    return read_info(model)

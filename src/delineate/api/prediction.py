"""A trained model: loaded, calibrated, or let loose on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from delineate.api.arguments import several
from delineate.common.errors import DelineateError, DeviceError
from delineate.requests.calibrate import CalibrateOptions
from delineate.requests.drift import DriftOptions
from delineate.requests.predict import FewshotPredictOptions, MaskOptions, PredictOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.artefact.training_images import TrainingImages
    from delineate.data.layouts.source import DataSource
    from delineate.engine.calibrate import Calibration
    from delineate.inference.exported_model import ExportedModel
    from delineate.inference.results import PredictionResult
    from delineate.inference.segmenter import Segmenter

__all__ = ["calibrate", "drift", "fewshot_predict", "load", "predict"]

_EXPORTED = ".onnx"


def load(
    path: Path | str,
    device: str = "auto",
    precision: str = "32",
    *,
    postprocess: bool = True,
    tile: int | None = None,
    overlap: float | None = None,
    ensemble: Sequence[Path | str] = (),
    tta: str = "none",
) -> Any:
    """Load a trained model for prediction.

    Args:
        path: A `model.safetensors`, a run folder that holds one, or an exported `.onnx` file; or a folder of run folders, whose
            models predict together.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `32`, or mixed precision: `bf16` or `16`.
        postprocess: Whether masks are post-processed as the model says (`delineate calibrate`).
        tile: Of a dense model trained on patches, the side of the sliding window's tiles in pixels. None: as in training.
        overlap: Of such a model, the share of a tile's side by which tiles overlap, 0 … 0.9. None: 0.5.
        ensemble: Further models of dense methods; probabilities are averaged.
        tta: Test-time augmentation of a dense method: `none`, `flips` (4 passes) or `flips+rotations` (8 passes).

    Returns:
        For a dense method an `inference.predictor.Predictor` (`.predict(image)`), for an exported file an
        `inference.exported_model.ExportedModel` with the same `.predict(image)`. For a few-shot method a
        `fewshot.predictor.FewShotPredictor` (`.segment_like(support_images, support_masks, query)`).

    Raises:
        ArtefactError: The file is not a model, or the model cannot predict; members of an ensemble that do not agree.
        DelineateError: An option that means nothing to a model of this kind.
        DataError: A test-time augmentation that the model's input does not allow.
        DeviceError: This machine does not have the device or the precision.

    Example:
        >>> model = delineate.load("runs/first")
        >>> mask = model.predict(np.zeros((48, 64, 3), np.uint8))  # a path or a Pillow image works as well
        >>> mask.shape, mask.dtype
        ((48, 64), dtype('uint8'))
    """
    if Path(path).suffix.lower() == _EXPORTED:
        others = {"tile": tile, "overlap": overlap, "ensemble": ensemble, "tta": tta}
        return _exported(path, device=device, precision=precision, postprocess=postprocess, **others)
    from delineate.inference.ensemble import Ensemble
    from delineate.inference.predictor import Predictor

    models = Ensemble.open(path, ensemble)
    first, source = models.members[0], models.files[0]
    if not models.alone or tta != "none" or first.method.kind == "dense":
        given: dict[str, Any] = {"tile": tile, "overlap": overlap, "ensemble": models, "tta": tta}
        return Predictor(first, device, precision, source, postprocess, **given)  # type: ignore[arg-type]
    from delineate.fewshot.predictor import FewShotPredictor

    for name, value in {"tile": tile, "overlap": overlap}.items():
        if value is not None:
            raise DelineateError(
                f"{name} is for dense models that were trained on patches; {path} segments by examples"
            )
    return FewShotPredictor(first, device, precision, source)  # type: ignore[arg-type]


@takes(CalibrateOptions)
def calibrate(
    run: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[CalibrateOptions],
) -> Calibration:
    """Calibrate a run's model on its validation cases, and store what is found in the model.

    First temperatures, which probabilities are made with: one for all channels where it lowers the negative log-likelihood of
    held-out cases by more than its standard error, one for each channel where it lowers it further by more than twice that,
    neither where it raises the Brier score. Then
    the post-processing of masks: the threshold (of models with one foreground class, or with regions), and for each class or
    region all components or the largest, none below a size, holes filled; a step is adopted only where it raises the mean Dice of
    the validation cases by more than 0.001 and by more than its standard error. Then, from 20 groups on, a regression that tells
    the Dice of a mask by how sure the model is of it, if it is better than the mean. No training or test case is looked at.
    Weights stay as they are. The run gets `calibration.json` and a page, `calibration.html`.

    Args:
        run: The folder of a finished run.
        progress: Called with (cases seen, in total); each case is seen twice, or three times where the threshold changes.

    Returns:
        What was chosen, and the figures before and after.

    Raises:
        DelineateError: The run has no such model, fewer than five validation cases with masks, or data that are gone. The model is
            then as it was.

    Example:
        ```python
        found = delineate.calibrate("runs/first")  # then `delineate.predict("runs/first", …)` applies it
        print(found.words)
        delineate.calibrate("runs/first", remove=True)
        ```
    """
    from delineate.engine.calibrate import calibrate_run, remove_calibration

    if options["remove"]:
        return remove_calibration(Path(run))
    from delineate.report.pages.calibration import write_calibration_page

    found = calibrate_run(
        Path(run),
        device=options["device"],
        batch_size=options["batch_size"],
        max_pixels=options["max_pixels"],
        progress=progress,
    )
    write_calibration_page(found.run)
    return found


@takes(DriftOptions)
def drift(run: Path | str, **options: Unpack[DriftOptions]) -> TrainingImages:
    """Measure the images that a run's model was trained on, and store a summary in it: `predict` compares others with it.

    A run does this at its end; for runs of earlier versions it is done here. Weights stay as they are.

    Args:
        run: The folder of a finished run.

    Returns:
        The summary.

    Raises:
        DelineateError: The run has no such model, or data that are gone. The model is then as it was.

    Example:
        ```python
        print(delineate.drift("runs/first").words)
        result = delineate.predict("runs/first", ["scans/"], out="masks")
        print([file.name for file in result.outside], result.series)
        ```
    """
    from delineate.engine.describe_run import describe_run

    return describe_run(Path(run), device=options["device"], max_pixels=options["max_pixels"])


@takes(PredictOptions)
def predict(
    model: Path | str,
    inputs: Sequence[Path | str | DataSource],
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[PredictOptions],
) -> PredictionResult:
    """Segment images and volumes with a trained model. Write one mask per image, at its own size, and tables to `out`.

    Args:
        model: A `model.safetensors`, a run folder, or an exported `.onnx` file; or a folder of run folders, such as one method's
            in a benchmark, whose models predict together.
        inputs: Image files, folders of images, or patterns such as "scans/*.png". With `split`: datasets.
        progress: Called with (images done, images in total).

    Returns:
        The images that were segmented; in `failures`, those that could not be read.

    Raises:
        DelineateError: The model, the inputs or `out` cannot be used. Nothing has been written.

    Example:
        >>> result = delineate.predict("runs/first", ["polyps/images"], out="predicted", overwrite=True)
        >>> len(result.files), len(result.failures)
        (8, 0)
    """
    from delineate.inference.files import predict_files

    return predict_files(
        _dense(model, options),
        several(inputs),
        options["out"],
        split=options["split"],
        names=options["names"],
        mpp=options["mpp"],
        background=options["background"],
        drift=options["drift"],
        progress=progress,
        **_written(options),
    )


@takes(FewshotPredictOptions)
def fewshot_predict(
    model: Path | str,
    queries: Sequence[Path | str],
    *,
    support: Path | str | DataSource | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[FewshotPredictOptions],
) -> PredictionResult:
    """Segment images by a few annotated examples. Write one mask per query, at its own size, and tables to `out`.

    Args:
        model: The `model.safetensors` of a few-shot method, or its run folder; or a method that was not trained, such as
            "alpnet@tiny:untrained", whose recipe `settings` change: for pretrained encoders.
        queries: Image files, folders, or patterns.
        support: A folder of annotated images, in any layout that training reads. Otherwise give `support_images` and
            `support_masks`.
        progress: Called with (images done, images in total).

    Returns:
        The same as `predict`.

    Raises:
        DelineateError: The model, the support, the queries or `out` cannot be used.

    Example:
        ```python
        delineate.fewshot_predict("runs/alpnet", ["scans/"], support="examples/", out="masks")
        delineate.fewshot_predict(
            "runs/alpnet", ["b.png"], support_images=["a.png"], support_masks=["a_mask.png"], out="masks"
        )
        ```
    """
    from delineate.data.layouts.source import as_source
    from delineate.fewshot.given_support import given_support
    from delineate.fewshot.untrained import check_few_shot, check_settings, open_model
    from delineate.inference.files import predict_files

    queries = several(queries)
    if not queries:
        raise DelineateError("there is no query: give --query with image files, folders or patterns like 'scans/*.png'")
    check_settings(str(model), options["settings"])
    check_few_shot(str(model))
    folder = None if support is None else as_source(support)
    images, masks = ([Path(path) for path in options[name]] for name in ("support_images", "support_masks"))
    given = given_support(folder, images, masks, options["labels"])
    predictor = open_model(
        str(model),
        given.census,
        settings=options["settings"],
        device=options["device"],
        precision=options["precision"],
    )
    shown = given.for_model(predictor.spec)
    result = predict_files(
        predictor.condition_on(shown), queries, options["out"], progress=progress, **_written(options)
    )
    shown.save(Path(options["out"]))
    return result


def _dense(model: Path | str, options: PredictOptions) -> Segmenter:
    """The model of a run, or an exported one."""
    from delineate.inference.calibrated import check_calibrated

    kept = ("device", "precision", "postprocess", "tile", "overlap", "ensemble", "tta")
    asked: dict[str, Any] = {name: value for name, value in options.items() if name in kept}
    if Path(model).suffix.lower() == _EXPORTED:
        exported = _exported(model, **asked)
        if options["calibrated"]:
            check_calibrated([(exported.source, exported.calibration)])
        return exported
    from delineate.inference.predictor import load as load_dense

    found = load_dense(model, **asked, spread=options["uncertainty"] or options["review"] is not None)
    if options["calibrated"]:
        members = found.ensemble.members
        check_calibrated([(file, one.calibration) for file, one in zip(found.sources, members, strict=True)])
    return found


def _exported(path: Path | str, *, device: str, precision: str, postprocess: bool, **others: Any) -> ExportedModel:
    """Raises `DelineateError` for what an exported file cannot be told: it is what it was exported as, and is run on the CPU."""
    from delineate.inference.exported_model import ExportedModel

    if device not in ("auto", "cpu"):
        raise DeviceError(f"{path} is run by onnxruntime on the CPU, not on {device}: leave out --device")
    if precision != "32":
        raise DelineateError(f"{path} has the precision that it was exported with: leave out --precision")
    for name, value in others.items():
        if value not in (None, "none", (), []):
            raise DelineateError(f"--{name} is for models that are no exported files, and {path} is one: leave it out")
    return ExportedModel(path, postprocess=postprocess)


def _written(options: MaskOptions) -> dict[str, Any]:
    """Those options that say how masks are written."""
    names = (
        "overlay",
        "probabilities",
        "uncertainty",
        "review",
        "overwrite",
        "batch_size",
        "max_pixels",
        "axis",
        "format",
        "seg_type",
        "codes",
        "check",
    )
    return {name: value for name, value in options.items() if name in names}

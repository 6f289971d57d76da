"""Predicting many image files into a folder: decode, forward in batches, encode, side by side and with bounded memory.

At most a few images of native size are held at a time (one per worker), however many files there are: between the stages
travel only inputs and probabilities at the working size. Where that is the image's own (`patch`), images are taken one by one, and
class indices travel instead of probabilities.

Output folder: `NAME.png` (binary 0/255, else class indices), `overlays/NAME.png`, `probabilities/[CLASS/]NAME.png` (16 bits:
65535 is probability 1), `summary.csv` and `predictions.json` (which model made the masks; `evaluate` reads it).
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.csv_text import csv_text
from delineate.common.errors import DataError, NotFiniteError
from delineate.common.files import output_folder, sha256, write_bytes, write_text
from delineate.common.paths import too_long
from delineate.data.core.known import Role
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.images import read_image, write_mask
from delineate.data.layouts.source import DataSource, as_source
from delineate.evaluation.predictions import PredictedFile, PredictionList
from delineate.inference import ownership
from delineate.inference.beside import References
from delineate.inference.earlier import remove_earlier
from delineate.inference.inputs import SplitChoice, Task, plan_inputs, plan_split
from delineate.inference.overlay import draw, palette
from delineate.inference.predictor import BATCH, Predictor, remark

SUMMARY = "summary.csv"
WORKERS = 2
"""Threads that decode, and as many that encode: the forward pass has the rest of the machine."""

_UNSAFE = re.compile(r"[^\w-]+")
"""Characters of class names that do not belong into a folder's name."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


@dataclass(frozen=True)
class FileResult:
    """What became of one image. Sizes in pixels."""

    image: Path
    name: str
    height: int = 0
    width: int = 0
    percent: tuple[float, ...] = ()
    """Share of the image in percent, per foreground class."""
    milliseconds: float = 0.0
    """Decoding, its part of the batch's forward pass, and encoding."""
    remark: str | None = None
    """How the image differs in kind from those the model was trained on."""
    seen: Role | None = None
    """What the image was to the model, if it was in its data set."""
    error: str | None = None
    """Why there is no mask."""
    written: PredictedFile | None = None
    """The files that were written of it, as the list names them."""


@dataclass(frozen=True)
class PredictionResult:
    """What `predict_files` did."""

    folder: Path
    classes: tuple[str, ...]
    """Foreground class names, in the order of `FileResult.percent`."""
    files: tuple[FileResult, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    """What the caller should know of the inputs: masks that were left out, whose splits were taken."""

    @property
    def failures(self) -> tuple[FileResult, ...]:
        """The images that have no mask."""
        return tuple(file for file in self.files if file.error is not None)

    @property
    def remarks(self) -> Counter[str]:
        """Remark → number of images."""
        return Counter(file.remark for file in self.files if file.remark is not None)


@dataclass(frozen=True)
class _Prepared:
    """An image on its way to the network, at the working size."""

    result: FileResult
    input: NDArray[Any]


_Output = NDArray[Any]
"""What the network made of an image: K×h×w at the working size, or H×W class indices at its own."""


def predict_files(
    predictor: Predictor,
    inputs: Iterable[Path | str | DataSource],
    out: Path | str,
    *,
    split: SplitChoice | None = None,
    overlay: bool = False,
    probabilities: bool = False,
    overwrite: bool = False,
    batch_size: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
) -> PredictionResult:
    """Predict every image of `inputs` (files, folders, patterns) into the folder `out`.

    With `split`, the inputs are data sets (folders, manifests, sources) and only that split's images are predicted; overlays then
    show the references, too (dashed).

    A file that cannot be read is in the result's `failures`, the others are done. Raises `DataError`, before anything is
    written: an input without images, outputs that clash, outputs that exist (unless `overwrite`) or are inputs;
    `DeviceError` when memory does not suffice; `DelineateError` when `out` cannot be written.
    """
    start = time.perf_counter()
    folder = Path(out)
    given = list(inputs)
    references = References()
    if split is not None:
        sources = [as_source(data) for data in given]
        planned = plan_split(sources, split, predictor.source)
        references = References.of(sources, predictor.classes) if overlay else references
    else:
        planned = plan_inputs(data.path if isinstance(data, DataSource) else data for data in given)
    job = _Job(predictor, planned.tasks, folder, overlay, probabilities, max_pixels, references)
    job.check_targets(overwrite, planned.folders)
    output_folder(folder)
    _ = predictor.network  # made here, so that it does not count as the first images' time
    remove_earlier(folder, job.inputs)
    ownership.begin(folder, [f"{task.name}.png" for task in job.tasks])
    files = []
    for result in job.run(batch_size or BATCH[predictor.device.type]):
        files.append(result)
        if progress is not None:
            progress(len(files), len(job.tasks))
    notes = (*planned.notes, *references.notes)
    done = PredictionResult(folder, predictor.classes.names[1:], tuple(files), time.perf_counter() - start, notes)
    _write_lists(done, predictor)
    ownership.finish(folder)
    return done


@dataclass(frozen=True)
class _Job:
    predictor: Predictor
    tasks: Sequence[Task]
    folder: Path
    overlay: bool
    probabilities: bool
    max_pixels: int
    references: References
    """What overlays show beside the predictions."""

    @property
    def tiled(self) -> bool:
        """Whether a forward pass sees tiles of one image, not several images."""
        return self.predictor.spec.fit == "patch"

    def mask(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def overlay_file(self, name: str) -> Path:
        return self.folder / "overlays" / f"{name}.png"

    def probability_files(self, name: str) -> list[Path]:
        """One per output channel."""
        base = self.folder / "probabilities"
        names = self.predictor.classes.names
        if len(names) == 2:
            return [base / f"{name}.png"]
        folders = [f"{index}_{_UNSAFE.sub('_', text)}" for index, text in enumerate(names)]
        return [base / each / f"{name}.png" for each in folders]

    @property
    def inputs(self) -> set[Path]:
        """The images, links resolved."""
        return {task.image.resolve() for task in self.tasks}

    def targets(self, task: Task) -> list[Path]:
        """All files that an image gives."""
        overlays = [self.overlay_file(task.name)] if self.overlay else []
        return [self.mask(task.name), *overlays, *(self.probability_files(task.name) if self.probabilities else [])]

    def check_targets(self, overwrite: bool, data_folders: Iterable[Path]) -> None:
        owners: dict[Path, Path] = {}
        masks: dict[Path, str] = {}
        inputs = self.inputs
        for task in self.tasks:
            for target in self.targets(task):
                if target in owners:
                    raise DataError(f"{owners[target]} and {task.image} would both be written to {target}; rename one")
                if target.resolve() in inputs:
                    raise DataError(f"the mask of {task.image} would replace the image {target}; give another --out")
                if too_long(target.name):
                    raise DataError(f"the name of {task.image} is too long for {target.suffix} files; shorten it")
                owners[target], masks[target] = task.image, f"{task.name}.png"
        ownership.check_places(owners, data_folders)
        ownership.check_existing(self.folder, masks, [self.folder / SUMMARY], overwrite)

    def run(self, batch_size: int) -> Iterator[FileResult]:
        """Results in the order of the tasks."""
        with ThreadPoolExecutor(WORKERS) as readers, ThreadPoolExecutor(WORKERS) as writers:
            try:
                images = 1 if self.tiled else batch_size
                prepared = _ahead(readers, self.prepare, self.tasks, depth=images + WORKERS)
                pending: deque[Future[FileResult]] = deque()
                for batch in _batches(prepared, images):
                    pending.extend(self.submit(writers, batch, batch_size))
                    while len(pending) > images:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                readers.shutdown(wait=False, cancel_futures=True)
                writers.shutdown(wait=False, cancel_futures=True)

    def prepare(self, task: Task) -> _Prepared | FileResult:
        start = time.perf_counter()
        try:
            image = read_image(task.image, max_pixels=self.max_pixels)
            ready = self.predictor.prepare(image)
        except DataError as error:
            return FileResult(task.image, task.name, error=str(error))
        except (MemoryError, cv2.error) as error:
            return _too_large(FileResult(task.image, task.name), error)
        height, width = image.shape[:2]
        said = remark(image, self.predictor.spec)
        result = FileResult(
            task.image,
            task.name,
            height,
            width,
            milliseconds=_ms(start),
            remark=said,
            seen=self.predictor.known.role_of(image),
        )
        return _Prepared(result, ready)

    def submit(
        self, writers: ThreadPoolExecutor, batch: Sequence[_Prepared | FileResult], batch_size: int
    ) -> Iterator[Future[FileResult]]:
        """The forward pass of one batch; its masks are written in the background."""
        start = time.perf_counter()
        inputs = [item for item in batch if isinstance(item, _Prepared)]
        try:
            outputs = iter(self.forward(inputs, batch_size) if inputs else ())
        except NotFiniteError:
            batch, made = self.one_by_one(batch, batch_size)
            inputs, outputs = [item for item in batch if isinstance(item, _Prepared)], iter(made)
        except (MemoryError, cv2.error) as error:
            if not self.tiled:
                raise
            batch, outputs = [_too_large(item.result, error) for item in inputs], iter(())
        share = _ms(start) / max(1, len(inputs))
        for item in batch:
            if isinstance(item, _Prepared):
                yield writers.submit(self.write, item.result, next(outputs), share)
            else:
                yield writers.submit(lambda failed: failed, item)

    def one_by_one(
        self, batch: Sequence[_Prepared | FileResult], batch_size: int
    ) -> tuple[list[_Prepared | FileResult], list[_Output]]:
        """A batch in which some output was not finite: those images fail, the others are done."""
        items: list[_Prepared | FileResult] = []
        outputs: list[_Output] = []
        for item in batch:
            if isinstance(item, _Prepared):
                try:
                    outputs.extend(self.forward([item], batch_size))
                except NotFiniteError as error:
                    items.append(replace(item.result, error=f"{item.result.image}: {error}"))
                    continue
            items.append(item)
        return items, outputs

    def forward(self, inputs: Sequence[_Prepared], batch_size: int) -> Iterable[_Output]:
        predictor = self.predictor
        if not self.tiled:
            return predictor.working_probabilities([item.input for item in inputs])
        if self.probabilities:
            return [predictor.probabilities_of(item.input, batch_size) for item in inputs]
        return [predictor.classes_of(item.input, item.result.height, item.result.width, batch_size) for item in inputs]

    def write(self, result: FileResult, output: _Output, forward_ms: float) -> FileResult:
        start = time.perf_counter()
        try:
            done = self.write_outputs(result, output)
        except (MemoryError, cv2.error) as error:
            return _too_large(result, error)
        return replace(done, milliseconds=result.milliseconds + forward_ms + _ms(start))

    def write_outputs(self, result: FileResult, output: _Output) -> FileResult:
        """Write all files of one image; the result with the percentages of its foreground classes and with what was written."""
        classes = output if output.ndim == 2 else self.predictor.to_classes(output, result.height, result.width)
        counts = np.bincount(classes.ravel(), minlength=len(self.predictor.classes.names))
        table = self.predictor.classes
        values = np.array(mask_values(table), np.uint8)[classes]
        write_mask(self.mask(result.name), values, names_of(table, mask_values(table)), palette(table))
        if self.overlay:
            image = read_image(result.image, max_pixels=self.max_pixels)
            reference = self.references.mask(result.name, classes.shape)
            drawn = draw(image, classes, reference, classes=self.predictor.classes)
            write_png(self.overlay_file(result.name), drawn)
        if self.probabilities:
            for path, plane in zip(self.probability_files(result.name), output, strict=True):
                native = self.predictor.to_native(plane[None], result.height, result.width)[..., 0]
                write_png(path, np.rint(native * 65535).astype(np.uint16))
        percent = tuple((100 * counts[1:] / classes.size).tolist())
        return replace(result, percent=percent, written=self.written(result))

    def written(self, result: FileResult) -> PredictedFile:
        """What the list says of the files of one image, read back from the disk's cache."""
        mask = self.mask(result.name)
        maps = self.probability_files(result.name) if self.probabilities else []
        overlays = [self.overlay_file(result.name)] if self.overlay else []
        return PredictedFile(
            mask=self.relative(mask),
            image=result.image.as_posix(),
            seen=result.seen,
            mask_sha256=sha256(mask),
            maps={self.relative(path): sha256(path) for path in maps},
            overlays={self.relative(path): sha256(path) for path in overlays},
        )

    def relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def mask_values(classes: ClassTable) -> tuple[int, ...]:
    """The value of each class in the masks that are written: 0 and 255 for one foreground class, else class indices."""
    return (0, 255) if len(classes.names) == 2 else tuple(range(len(classes.names)))


def names_of(classes: ClassTable, values: Sequence[int]) -> str:
    """What stands in a mask's metadata: "0=background, 255=lesion"."""
    return ", ".join(f"{value}={name}" for value, name in zip(values, classes.names, strict=True))


def _too_large(result: FileResult, error: Exception) -> FileResult:
    text = f"{result.image} does not fit into memory ({str(error).splitlines()[0] if str(error) else 'no details'})"
    return replace(result, error=text)


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write grey H×W or RGB H×W×3, uint8 or uint16, as PNG, atomically."""
    _, content = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_bytes(path, content.tobytes())


def _write_lists(done: PredictionResult, predictor: Predictor) -> None:
    lines = []
    shares = [f"{name} %" for name in done.classes]
    for file in done.files:
        mask = "" if file.error else f"{file.name}.png"
        values = [f"{value:.4f}" for value in file.percent] or [""] * len(done.classes)
        lines.append(
            [file.image, mask, file.width, file.height, *values, f"{file.milliseconds:.1f}", file.remark, file.error]
        )
    head = ["image", "mask", "width", "height", *shares, "ms", "remark", "error"]
    write_text(done.folder / SUMMARY, csv_text(head, lines))
    PredictionList(
        method=predictor.method.info.name,
        model=None if predictor.source is None else str(predictor.source),
        model_sha256=None if predictor.source is None else sha256(predictor.source),
        seed=predictor.artefact.provenance.get("seed"),
        training=predictor.artefact.provenance.get("training"),
        class_names=predictor.classes.names,
        values=mask_values(predictor.classes),
        labels=predictor.classes.labels,
        knows_pictures=bool(predictor.known.roles),
        files=tuple(file.written for file in done.files if file.written is not None),
    ).save(done.folder)


_In = TypeVar("_In")
_Out = TypeVar("_Out")


def _ahead(pool: ThreadPoolExecutor, job: Callable[[_In], _Out], items: Iterable[_In], depth: int) -> Iterator[_Out]:
    """The job's results in order, `depth` of them computed ahead of the consumer."""
    pending: deque[Future[_Out]] = deque()
    for item in items:
        pending.append(pool.submit(job, item))
        if len(pending) > depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batches(items: Iterable[_Out], size: int) -> Iterator[list[_Out]]:
    batch: list[_Out] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _ms(start: float) -> float:
    return 1000 * (time.perf_counter() - start)

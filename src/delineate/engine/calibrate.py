"""`calibrate`: a finished run's model gets the post-processing that its validation cases ask for.

Only validation cases are looked at. The model file is replaced as a whole, so that a run whose calibration is stopped has the model
that it had. Its weights stay bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact import format as artefact_format
from delineate.artefact.format import Artefact
from delineate.artefact.postprocessing import ChosenOn, Postprocessing
from delineate.common.errors import ArtefactError, DataError, NotFiniteError
from delineate.common.files import write_text
from delineate.common.folder_lock import hold_folder
from delineate.common.versions import version
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.cases.volumes import opened, volume_image, volume_mask
from delineate.data.core.findings import count
from delineate.data.core.geometry import Geometry
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.core.stacks import stack_names, tell_slices
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.registry import read_mask
from delineate.engine.postprocessing_search import (
    MARGIN,
    CaseMask,
    Trial,
    levels_of,
    search,
    thresholds_around,
)
from delineate.engine.run_folder import RunFolder
from delineate.engine.volume_scores import axes_average, slice_outputs
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.results.scoring import content_hash, joint_hash
from delineate.inference.model_card import model_card
from delineate.inference.model_info import read_info
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Failure, Output, Worker
from delineate.inference.segmenter import Prepared
from delineate.inference.write import volume_mask_name

__all__ = ["FEWEST_CASES", "Calibration", "calibrate_run", "remove_postprocessing", "rewrite_card"]

FEWEST_CASES: Final = 5
"""Validation cases with masks; what a few more would change is no basis for a rule."""
_HEADING = "## Post-processing"
"""Of the card's section."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration has found, or left.

    Example:
        ```python
        found = delineate.calibrate("runs/liver")
        print(found.words, found.before, found.after)
        ```
    """

    run: Path
    postprocessing: Postprocessing | None
    """What the model says now; None: nothing."""
    cases: int = 0
    """Validation cases that it was chosen on."""
    before: dict[str, float] | None = None
    """Class or region → mean Dice over them (column `all`) of the network alone; None where nothing was measured."""
    after: dict[str, float] | None = None
    trials: tuple[Trial, ...] = ()
    predicted: bool = True
    """Whether the cases were predicted anew; else the masks that the run keeps were taken."""
    remark: str | None = None
    """What its owner should know of how masks were taken."""

    @property
    def words(self) -> str:
        """The post-processing in a line."""
        return "none" if self.postprocessing is None else self.postprocessing.words


def calibrate_run(
    path: Path,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Choose the post-processing of a run's model on its validation cases, and store it in the model.

    An earlier one is replaced; it has no influence.

    Args:
        path: A finished run's folder.
        device: As for `Predictor`.
        batch_size: Images in one forward pass; None: as suits the device.
        max_pixels: Larger pictures are refused.
        progress: Called with (cases done, cases in all) where they are predicted.

    Returns:
        What was chosen, with the Dice before and after.

    Raises:
        ArtefactError: No run with a model that segments by itself.
        DataError: Fewer than `FEWEST_CASES` validation cases with masks; data that are gone, or have changed; a case that the
            model was trained on.
        DelineateError: Another process writes to the folder, or it cannot be written.
    """
    folder, artefact = _opened(path)
    with hold_folder(folder.path):
        predictor = Predictor(artefact, device, source=folder.model, postprocess=False)
        manifest = Manifest.load(folder.manifest)
        if manifest.classes.names != predictor.classes.names:
            raise DataError(
                f"{folder.manifest} has other classes than {folder.model}; it is not the manifest of that run"
            )
        cases = [case for case in manifest.split("val") if case.masks]
        _check_number(folder, len(cases))
        source = _Source(predictor, manifest, folder, batch_size, max_pixels)
        kept = None if source.thresholded else source.kept_masks(cases)
        made = (
            kept
            if kept is not None
            else [source.predicted(case, at, len(cases), progress) for at, case in enumerate(cases)]
        )
        scored = [(case.id, one) for case, one in zip(cases, made, strict=True) if (one.reference != IGNORE).any()]
        _check_number(folder, len(scored))
        found = search([one for _, one in scored], predictor.classes, source.thresholds, artefact.threshold)
        chosen, remark = None, None if source.volumes else _of_slices([case.id for case in cases])
        if found.rules or found.threshold is not None:
            on = ChosenOn(
                cases=len(scored),
                references_sha256=joint_hash({name: content_hash(one.reference) for name, one in scored}),
                margin=MARGIN,
                before=found.before,
                after=found.after,
                date=date.today().isoformat(),
                version=version(),
            )
            chosen = Postprocessing(
                dimensions=3 if source.volumes else 2,
                unit="mm" if source.millimeters else "px",
                threshold=found.threshold,
                rules=found.rules,
                chosen_on=on,
            )
        _store(folder, artefact, chosen)
    return Calibration(folder.path, chosen, len(scored), found.before, found.after, found.trials, kept is None, remark)


def remove_postprocessing(path: Path) -> Calibration:
    """Take the post-processing out of a run's model; one that has none stays as it is. Raises as `calibrate_run`."""
    folder, artefact = _opened(path)
    with hold_folder(folder.path):
        _store(folder, artefact, None)
    return Calibration(folder.path, None)


def _opened(path: Path) -> tuple[RunFolder, Artefact]:
    if path.is_file():
        raise ArtefactError(
            f"{path} is a model file; give its run folder: post-processing is chosen on the run's validation cases"
        )
    folder = RunFolder(path)
    if path.is_dir() and not folder.manifest.is_file():
        raise ArtefactError(f"{path} is no run folder: it holds no {folder.manifest.name}")
    artefact = artefact_format.load(path)
    if artefact.method.kind != "dense":
        raise ArtefactError(
            f"{path}: '{artefact.method.info.name}' is a few-shot method, whose classes are those of the examples it is given; "
            "only models that segment by themselves have a post-processing"
        )
    return folder, artefact


def _of_slices(names: Sequence[str]) -> str | None:
    """A remark where pictures are named as slices of volumes: `predict` sees each by itself, so that components are in 2-D."""
    stacks = len(stack_names(names)) if tell_slices(names) else len(names)
    if stacks == len(names):
        return None
    return (
        f"the {len(names)} validation pictures are slices of {count(stacks, 'volume')} by their names, but each is a case of its "
        "own, here and in predict: components and holes are those of a slice, in 2-D, and so is the Dice; for whole volumes "
        "in 3-D, train on volumes (NIfTI, MetaImage, NRRD)"
    )


def _check_number(folder: RunFolder, number: int) -> None:
    if number < FEWEST_CASES:
        raise DataError(
            f"{folder.path} has {count(number, 'validation case')} with masks; post-processing is chosen on {FEWEST_CASES} or "
            "more, since on fewer it would fit their chance; train with a larger validation split"
        )


class _Source:
    """Where the masks of validation cases come from."""

    def __init__(
        self, predictor: Predictor, manifest: Manifest, folder: RunFolder, batch_size: int | None, max_pixels: int
    ) -> None:
        self._predictor, self._manifest, self._folder, self._max_pixels = predictor, manifest, folder, max_pixels
        self._axis = predictor.spec.axis
        self.thresholded = predictor.artefact.method.output.independent
        self.thresholds = thresholds_around(predictor.artefact.threshold) if self.thresholded else None
        self._worker = Worker(predictor, batch_size or 0, maps=self.thresholded or predictor.spec.all_axes)
        self._pixels = SamplePixels(manifest, self._axis, max_pixels, spec=predictor.spec)

    @property
    def volumes(self) -> bool:
        return self._axis is not None

    @cached_property
    def millimeters(self) -> bool:
        """Whether sizes are in mm³: cases are volumes, and all of them tell the size of their voxels."""
        return self.volumes and all(case.spacing for case in self._manifest.split("val") if case.masks)

    def predicted(self, case: Case, at: int, number: int, progress: Callable[[int, int], None] | None) -> CaseMask:
        """Run the network on a case."""
        reference = self._reference(case)
        if self._predictor.spec.all_axes:
            values = self._averaged(case)
        else:
            parts = [self._values(output) for output in self._outputs(case)]
            # Slices become a volume; with a threshold the axis of the channels lies before it.
            values = parts[0] if self._axis is None else np.stack(parts, axis=self._axis - 3)
        if progress is not None:
            progress(at + 1, number)
        return CaseMask(reference, values, self._pixel_size(case))

    def kept_masks(self, cases: Sequence[Case]) -> list[CaseMask] | None:
        """The masks of the run's own validation; None where they are not all there, or are not those that were scored."""
        try:
            scores = ScoresFile.read(self._folder.validation)
        except DataError:
            return None
        known = {(row.case, row.name): row.scores.get("dice") for row in scores.rows}
        found = []
        for case in cases:
            reference, mask = self._reference(case), self._kept(case)
            if mask is None or mask.shape != reference.shape or mask.max() >= len(self._predictor.classes.names):
                return None
            if (reference != IGNORE).any():
                for row in score_case(case.id, mask, reference, self._predictor.classes):
                    before = known.get((case.id, row.name))
                    if before is None or not np.isclose(before, row.scores["dice"], atol=1e-5, equal_nan=True):
                        return None
            found.append(CaseMask(reference, mask.astype(np.uint8), self._pixel_size(case)))
        return found

    def _kept(self, case: Case) -> NDArray[np.uint8] | None:
        image = opened([self._manifest.path(case.images[0])]) if self.volumes else None
        name = f"{case.id}.png" if image is None else volume_mask_name(case.id, image)
        path = self._folder.validation / "masks" / name
        if not path.is_file():
            return None
        try:
            raw = read_mask(path)
            return raw if image is None else image.turn.apply(raw)
        except DataError:
            return None

    def _reference(self, case: Case) -> NDArray[np.uint8]:
        if self.volumes:
            return volume_mask(self._manifest, case)
        mask = self._pixels.mask(Sample(case))
        assert mask is not None, "unlabeled cases were left out"
        return mask

    def _pixel_size(self, case: Case) -> float:
        if not self.millimeters:
            return 1.0
        return self._grid(case).voxel_volume

    def _grid(self, case: Case) -> Geometry:
        """Of a volume, in the canonical order."""
        return opened([self._manifest.path(case.images[0])]).geometry

    def _outputs(self, case: Case) -> Iterator[Output]:
        if self._axis is not None:
            image = volume_image(self._manifest, case, self._predictor.spec.volume_numbers)
            yield from slice_outputs(self._worker, case.id, image, self._axis, self._grid(case).millimeters)
            return
        ready = self._worker.prepare(self._pixels.image(Sample(case)), case.pixel_spacing)
        if isinstance(ready, Failure):
            raise DataError(ready.line(f"validation case {case.id}"))
        self._refuse_training(case, ready)
        output = self._worker.forward([ready])[0]
        if isinstance(output, Failure):
            raise NotFiniteError(f"validation case {case.id}: {output.detail}")
        yield output

    def _averaged(self, case: Case) -> NDArray[np.uint8]:
        """As `_values`, of a volume by a model that averages over axes."""
        image = volume_image(self._manifest, case, self._predictor.spec.volume_numbers)
        average = axes_average(self._worker, case.id, image, self._grid(case).millimeters, self._folder.validation)
        if self.thresholds is None:
            return average.classes(self._predictor)
        channels = range(self._predictor.classes.outputs)
        return np.stack([levels_of(average.probabilities(channel), self.thresholds) for channel in channels])

    def _refuse_training(self, case: Case, ready: Prepared) -> None:
        if ready.facts.seen in ("train", "test"):
            kind = "training" if ready.facts.seen == "train" else "test"
            raise DataError(
                f"validation case {case.id} is a {kind} picture of this model: {self._folder.manifest} is not the manifest that "
                "it was trained with"
            )

    def _values(self, output: Output) -> NDArray[np.uint8]:
        """Class indices; of a model with a threshold the levels of its probabilities, channels first."""
        if self.thresholds is None:
            return self._worker.classes(output)
        return np.stack([levels_of(plane, self.thresholds) for plane in self._worker.planes(output)])


def _store(folder: RunFolder, artefact: Artefact, chosen: Postprocessing | None) -> None:
    """The model first: it is what predicts. The card and the summary only tell of it."""
    if artefact.postprocessing != chosen:
        artefact_format.save(folder.model, replace(artefact, postprocessing=chosen))
    if folder.card.is_file():
        kept = folder.card.read_text(encoding="utf-8").partition(f"\n{_HEADING}\n")[0]
        write_text(folder.card, kept if chosen is None else f"{kept}\n{_section(chosen)}")
    folder.update_summary(postprocessing=None if chosen is None else chosen.words)


def rewrite_card(folder: RunFolder) -> None:
    """Make a run's card of what its model says now; what a calibration has added stays."""
    if folder.card.is_file():
        _, heading, section = folder.card.read_text(encoding="utf-8").partition(f"\n{_HEADING}\n")
        write_text(folder.card, model_card(read_info(folder.model)) + heading + section)


def _section(chosen: Postprocessing) -> str:
    on = chosen.chosen_on
    assert on is not None, "it was just chosen"
    lines = [
        _HEADING,
        "",
        f"Masks are post-processed: {chosen.words}. Probability maps are not. `delineate predict --no-postprocess` leaves it out, "
        "`delineate calibrate RUN --remove` takes it out of the model.",
        "",
        f"Chosen on the {count(on.cases, 'validation case')} by mean Dice (column `all`), {on.date}; a step had to gain more than "
        f"{on.margin:g} and than the standard error of its gain. The figures are of these very cases and therefore optimistic; "
        "those above are of the network alone.",
        "",
        "| class or region | Dice before | Dice after |",
        "|---|---|---|",
        *(f"| {name} | {before:.4f} | {on.after[name]:.4f} |" for name, before in on.before.items()),
        "",
    ]
    return "\n".join(lines)

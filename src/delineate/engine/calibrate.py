"""`calibrate`: what the probabilities and masks of a run's model are worth on its validation cases, and what makes them better.

First temperatures, by the likelihood of pixels; then, with these, threshold and post-processing, by Dice; then the regression that
tells what Dice a mask will have. Only validation cases are looked at. The model file is replaced as a whole, so that a run whose
calibration is stopped has the model that it had. Its weights stay bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from delineate.artefact import format as artefact_format
from delineate.artefact.calibration import CalibrationRecord
from delineate.artefact.format import Artefact
from delineate.artefact.postprocessing import ChosenOn, Postprocessing
from delineate.common.errors import ArtefactError, DataError
from delineate.common.files import write_json, write_text
from delineate.common.folder_lock import hold_folder
from delineate.common.versions import version
from delineate.data.core.findings import count
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.core.stacks import stack_names, tell_slices
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.engine.calibration.dice_regression import FittedDice, fit_expected_dice
from delineate.engine.calibration.logit_samples import LogitSample, pixels_of_each
from delineate.engine.calibration.temperatures import FEWEST_GROUPS, Found, find_temperatures
from delineate.engine.calibration.validation_masks import ValidationMasks
from delineate.engine.postprocessing_search import MARGIN, Choice, Trial, search
from delineate.engine.run_folder import RunFolder
from delineate.evaluation.results.scoring import content_hash, joint_hash
from delineate.inference.doubt import DoubtSums
from delineate.inference.model_card import model_card
from delineate.inference.model_info import read_info

__all__ = [
    "FEWEST_CASES",
    "Calibration",
    "TemperatureStep",
    "calibrate_run",
    "open_run",
    "remove_calibration",
    "rewrite_card",
]

FEWEST_CASES: Final = 5
"""Validation cases with masks; what a few more would change is no basis for a rule."""
_LOOKED_AT = "calibration looks at the run's validation cases"
_NOT_FEW_SHOT = (
    "whose classes are those of the examples it is given; only models that segment by themselves are calibrated"
)
_Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TemperatureStep:
    """One step of the search for temperatures."""

    what: str
    """"temperature", or "one for each channel"."""
    found: str
    gain: float
    """By how much it lowers the negative log-likelihood of held-out cases."""
    error: float
    """Its standard error over groups."""
    adopted: bool


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
    record: CalibrationRecord | None = None
    """What the model says of its probabilities now, with figures; None: nothing."""
    steps: tuple[TemperatureStep, ...] = ()
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
    progress: _Progress | None = None,
) -> Calibration:
    """Calibrate a run's model on its validation cases, and store what is found in the model.

    What an earlier calibration found is replaced; it has no influence.

    Args:
        path: A finished run's folder.
        device: As for `Predictor`.
        batch_size: Images in one forward pass; None: as suits the device.
        max_pixels: Larger pictures are refused.
        progress: Called with (cases done, cases in all). Each case is seen twice or three times, and counts as often.

    Returns:
        What was chosen, with figures before and after.

    Raises:
        ArtefactError: No run with a model that segments by itself.
        DataError: Fewer than `FEWEST_CASES` validation cases with masks; data that are gone, or have changed; a case that the
            model was trained on.
        DelineateError: Another process writes to the folder, or it cannot be written.
    """
    folder, artefact = open_run(path, _LOOKED_AT, _NOT_FEW_SHOT)
    with hold_folder(folder.path):
        manifest = Manifest.load(folder.manifest)
        manifest.check_root(folder.manifest)
        if manifest.classes.names != artefact.classes.names:
            raise DataError(
                f"{folder.manifest} has other classes than {folder.model}; it is not the manifest of that run"
            )
        cases = [case for case in manifest.split("val") if case.masks]
        _check_number(folder, len(cases))
        work = _Work(folder, manifest, device, batch_size, max_pixels, progress)
        bare = replace(artefact, postprocessing=None, calibration=None)
        samples = work.each(work.masks(bare).sampled, cases, pixels_of_each(len(cases)))
        kept = [(case, sample) for case, sample in zip(cases, samples, strict=True) if sample is not None]
        temperatures, remarks = _temperatures(kept, bare)
        # What the reader is told of is added at the end; what the masks need is known now.
        record = _record(kept, temperatures, remarks)
        tempered = replace(bare, calibration=record)
        masks = work.masks(tempered)
        made = work.each(masks.predicted, cases)
        scored = [(case, *one) for case, one in zip(cases, made, strict=True) if (one[0].reference != IGNORE).any()]
        _check_number(folder, len(scored))
        found = search([mask for _, mask, _ in scored], bare.classes, masks.thresholds, bare.threshold)
        digest = joint_hash({case.id: content_hash(mask.reference) for case, mask, _ in scored})
        chosen = _postprocessing(found, masks, len(scored), digest)
        doubts = [sums for _, _, sums in scored]
        if found.threshold is not None:  # the masks have changed, and with them how sure the model is of them
            done = replace(tempered, postprocessing=chosen)
            doubts = work.each(work.masks(done).doubt, [case for case, _, _ in scored])
        groups = [_group(case) for case, _, _ in scored]
        expected = _expected(doubts, found, groups)
        record = record.model_copy(
            update={
                "expected_dice": expected.model,
                "remarks": (*record.remarks, *([] if expected.remark is None else [expected.remark])),
                "references_sha256": digest,
            }
        )
        _store(folder, artefact, chosen, record)
        _write_report(folder, record, temperatures, expected, found, groups)
    remark = None if masks.volumes else _of_slices([case.id for case in cases])
    steps = () if temperatures is None else tuple(TemperatureStep(*step) for step in temperatures.steps)
    return Calibration(folder.path, chosen, len(scored), found.before, found.after, found.trials, record, steps, remark)


def remove_calibration(path: Path) -> Calibration:
    """Take all that `calibrate_run` stores out of a run's model; one that has nothing stays as it is. Raises as `calibrate_run`."""
    folder, artefact = open_run(path, _LOOKED_AT, _NOT_FEW_SHOT)
    had = [artefact.calibration, artefact.postprocessing, *(file for file in folder.calibration_files if file.exists())]
    if not any(had):
        return Calibration(folder.path, None, remark="the model has no calibration: nothing was removed")
    with hold_folder(folder.path):
        _store(folder, artefact, None, None)
        for file in folder.calibration_files:
            file.unlink(missing_ok=True)
    return Calibration(
        folder.path, None, remark="the model's temperatures, post-processing and expected Dice were removed"
    )


@dataclass
class _Work:
    """Passes over the validation cases."""

    folder: RunFolder
    manifest: Manifest
    device: str
    batch_size: int | None
    max_pixels: int
    progress: _Progress | None
    done: int = 0

    def masks(self, artefact: Artefact) -> ValidationMasks:
        return ValidationMasks(
            artefact,
            self.manifest,
            self.folder,
            device=self.device,
            batch_size=self.batch_size,
            max_pixels=self.max_pixels,
        )

    def each(self, step: Callable[..., Any], cases: Sequence[Case], *further: Any) -> list[Any]:
        """What a step makes of each case."""
        found = []
        for case in cases:
            found.append(step(case, *further))
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, max(2 * len(cases), -(-self.done // len(cases)) * len(cases)))
        return found


def open_run(path: Path, looked_at: str, not_few_shot: str) -> tuple[RunFolder, Artefact]:
    """A finished run whose model segments by itself.

    Args:
        path: The run's folder.
        looked_at: Why a file will not do, for the error: what of the run is looked at.
        not_few_shot: Why a few-shot method will not do, likewise.

    Returns:
        The folder and its model.

    Raises:
        ArtefactError: No run, or one of a few-shot method.
    """
    if path.is_file():
        raise ArtefactError(f"{path} is a file; give the model's run folder: {looked_at}")
    folder = RunFolder(path)
    if path.is_dir() and not folder.manifest.is_file():
        raise ArtefactError(f"{path} is no run folder: it holds no {folder.manifest.name}")
    artefact = artefact_format.load(path)
    if artefact.method.kind != "dense":
        raise ArtefactError(f"{path}: '{artefact.method.info.name}' is a few-shot method, {not_few_shot}")
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
            f"{folder.path} has {count(number, 'validation case')} with masks; calibration needs {FEWEST_CASES} or more, since "
            "on fewer it would fit their chance; train with a larger validation split"
        )


def _group(case: Case) -> str:
    return case.group or case.id


def _temperatures(kept: Sequence[tuple[Case, LogitSample]], bare: Artefact) -> tuple[Found | None, list[str]]:
    """What was found, and why there is nothing."""
    groups = [_group(case) for case, _ in kept]
    number = len(set(groups))
    if number < FEWEST_GROUPS:
        return None, [
            f"no temperature: validation has {count(number, 'group')}, and {FEWEST_GROUPS} are needed to tell whether one helps"
        ]
    found = find_temperatures([sample for _, sample in kept], groups, bare.temperature)
    none = "no temperature makes the probabilities of held-out cases better by more than chance: they stay as they are"
    return found, [] if found.temperatures else [none]


def _record(kept: Sequence[tuple[Case, LogitSample]], found: Found | None, remarks: Sequence[str]) -> CalibrationRecord:
    return CalibrationRecord(
        temperatures=() if found is None else found.temperatures,
        figures=None if found is None else found.figures,
        remarks=tuple(remarks),
        cases=max(1, len(kept)),
        groups=max(1, len({_group(case) for case, _ in kept})),
        folds=0 if found is None else found.folds,
        pixels=sum(len(sample.logits) for _, sample in kept),
        references_sha256="",
        date=date.today().isoformat(),
        version=version(),
    )


def _postprocessing(found: Choice, masks: ValidationMasks, cases: int, digest: str) -> Postprocessing | None:
    if not found.rules and found.threshold is None:
        return None
    on = ChosenOn(
        cases=cases,
        references_sha256=digest,
        margin=MARGIN,
        before=found.before,
        after=found.after,
        date=date.today().isoformat(),
        version=version(),
    )
    return Postprocessing(
        dimensions=3 if masks.volumes else 2,
        unit="mm" if masks.millimeters else "px",
        threshold=found.threshold,
        rules=found.rules,
        chosen_on=on,
    )


def _expected(doubts: Sequence[DoubtSums | None], found: Choice, groups: Sequence[str]) -> FittedDice:
    known = [sums for sums in doubts if sums is not None]
    if len(known) < len(doubts):
        return FittedDice(None, "no expected Dice: of a model that averages over three axes it is not measured")
    return fit_expected_dice(known, found.scores, groups)


def _store(
    folder: RunFolder, artefact: Artefact, chosen: Postprocessing | None, record: CalibrationRecord | None
) -> None:
    """The model first: it is what predicts. The card and the summary only tell of it."""
    if (artefact.postprocessing, artefact.calibration) != (chosen, record):
        artefact_format.save(folder.model, replace(artefact, postprocessing=chosen, calibration=record))
    rewrite_card(folder)
    folder.update_summary(
        postprocessing=None if chosen is None else chosen.words,
        temperatures=None if record is None else list(record.temperatures),
    )


def _write_report(
    folder: RunFolder,
    record: CalibrationRecord,
    temperatures: Found | None,
    expected: FittedDice,
    found: Choice,
    groups: Sequence[str],
) -> None:
    """All of it as plain numbers, for whoever makes a page of it."""
    content = {
        "record": record.model_dump(mode="json"),
        "steps": [] if temperatures is None else [asdict(TemperatureStep(*step)) for step in temperatures.steps],
        "reliability": None
        if temperatures is None
        else {"before": asdict(temperatures.before), "after": asdict(temperatures.after)},
        "expected_dice": {
            "crossed": expected.crossed,
            "dice": expected.scores,
            "confidence": expected.confidence,
            "groups": [groups.index(one) for one in groups],  # their names may be those of patients
        },
        "dice": {"before": found.before, "after": found.after},
        "trials": [asdict(trial) for trial in found.trials],
    }
    write_json(folder.calibration_files[0], content)


def rewrite_card(folder: RunFolder) -> None:
    """Make a run's card of what its model says now."""
    if not folder.card.is_file():
        return
    info = read_info(folder.model)
    chosen = info.header.postprocessing
    section = [] if chosen is None or chosen.chosen_on is None else [_postprocessing_section(chosen, chosen.chosen_on)]
    write_text(folder.card, "\n".join([model_card(info), *section]))


def _postprocessing_section(chosen: Postprocessing, on: ChosenOn) -> str:
    lines = [
        "## Post-processing",
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

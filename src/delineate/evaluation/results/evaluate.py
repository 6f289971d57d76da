"""A folder of predictions against the references: pairs by name, scores, and what is written of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import output_folder, write_text
from delineate.common.names import listed
from delineate.common.output_checks import check_results_folder
from delineate.data.core.findings import count
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.core.regions import parse_regions
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.splits.run_splits import run_manifest
from delineate.evaluation.inputs.certainty import certainty
from delineate.evaluation.inputs.changed_predictions import lists_no_maps, prediction_notes
from delineate.evaluation.inputs.dicom_masks import labels_matched, mask_notes
from delineate.evaluation.inputs.grids import grid_notes
from delineate.evaluation.inputs.held_out_cases import held_out_ids, mask_hashes
from delineate.evaluation.inputs.instance_maps import pair_instances
from delineate.evaluation.inputs.joined_masks import joined_masks
from delineate.evaluation.inputs.numbered_cases import of_dicom
from delineate.evaluation.inputs.orientation import orientation_notes
from delineate.evaluation.inputs.pairing import pair
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.inputs.prediction_values import prediction_rule
from delineate.evaluation.inputs.predictions import mask_files
from delineate.evaluation.inputs.probability_maps import (
    ProbabilityMaps,
    find_probabilities,
    listed_probabilities,
    unlisted_maps,
)
from delineate.evaluation.inputs.raters import open_raters, raters_of_cases
from delineate.evaluation.inputs.references import References, SplitChoice, open_references
from delineate.evaluation.inputs.scoring_units import ScoringUnit, make_units
from delineate.evaluation.inputs.subgroups import Subgroups, read_subgroups
from delineate.evaluation.inputs.test_access_log import Access, Accesses, note_access
from delineate.evaluation.inputs.training_cases import SeenCases, seen_by_model, training_notes
from delineate.evaluation.metrics import registry
from delineate.evaluation.metrics.metric_selection import MetricSelection, check_millimeters, select_metrics
from delineate.evaluation.results import further_tables
from delineate.evaluation.results.case_scores import Row
from delineate.evaluation.results.protocols import NATIVE, PaperProtocol, ProtocolScores, find_protocol
from delineate.evaluation.results.scores_file import Origin, write_scores
from delineate.evaluation.results.scoring import Roles, ScoredUnit, ScoringJob, joint_hash, length_unit
from delineate.evaluation.results.summary import Of, Summary, summarize

__all__ = ["Evaluation", "EvaluationOptions", "evaluate_folders"]

_INSTANCE_FOLDER = "instances"
"""Where a data set keeps its instance maps."""


@dataclass(frozen=True)
class Evaluation:
    """What `delineate.evaluate` returns: the scores of a set of predictions."""

    rows: tuple[Row, ...]
    summary: Summary
    split: SplitChoice
    origin: Origin
    test_accesses: int = 0
    """How often these test cases have been opened with this model (or these predictions, where none is known), this time included;
    0 when there are none among the cases."""
    test_accesses_in_all: int = 0
    """The same with any model."""
    raters: Mapping[Roles, Summary] = field(default_factory=dict)
    """(kind, whose mask, against whose) → its table; empty with one rater."""
    protocol: ProtocolScores | None = None
    """What a paper's protocol makes of the predictions; None: native."""
    references: Manifest | None = None
    """Where the references lie and how their values are read."""
    unscored: tuple[str, ...] = ()
    """Cases whose reference has ignored pixels alone: they are not scored."""
    predictions_read: str | None = None
    """How the values of another tool's masks were read; None for masks that `predict` listed."""
    confusion: NDArray[np.int64] | None = None
    """Pixels of all cases by class of the reference (row) and the prediction (column); None of instance maps."""
    by_class: Summary | None = None
    """Where regions are scored: the same masks class by class, without distances."""
    notes: tuple[str, ...] = ()
    """What a reader must know of these predictions before the figures, a sentence each."""

    def headline(self, score: str = "dice") -> float:
        """The one number to quote of this evaluation.

        Args:
            score: Name of a metric, as in `scores.csv`.

        Returns:
            The mean over cases and classes in the metric's quoted column (`Summary.headline`); NaN where no case could be scored.
            For a paper's protocol that pools all pixels, its one value.

        Raises:
            KeyError: The metric was not computed.
        """
        if self.protocol is not None and not self.summary.metrics:
            return self.protocol.macro[score]
        return self.summary.headline(score)


@dataclass(frozen=True)
class EvaluationOptions:
    """What may be asked for beside predictions and references."""

    split: SplitChoice | None = None
    """Of a data set; default: test where there is one, else all."""
    metrics: Sequence[str] = registry.DEFAULT
    """Names and families (`evaluation.metrics.registry`), one by one or with commas; none: the default. Those of instances take
    both folders as instance maps. `hd95_pooled@mm` and `nsd@2mm` ask for millimeters: an error where the spacing is not known."""
    spacing: Sequence[float] | None = None
    """Size of a pixel in mm, as (row, column) or (slice, row, column); None: what the files know, else lengths are in pixels."""
    stack: str | None = None
    """A rule by which slices are put together to volumes (`data.core.stacks`)."""
    group_by: str | None = None
    """A rule by which cases belong together (`data.core.grouping`); None: as the data set knows."""
    raters: Sequence[Path] = ()
    """Folders of further raters' masks of the same cases."""
    subgroups: Path | None = None
    """A table of the cases' attributes (`evaluation.inputs.subgroups`)."""
    protocol: str = NATIVE
    """native, or a paper's (`evaluation.results.protocols`), which has its own metrics."""
    classes: ClassTable | None = None
    """Names of all classes, where neither predictions nor references tell."""
    regions: str = "auto"
    """Nested regions to score instead of classes (`data.core.regions.parse_regions`); auto: those that the references name, else
    those that the model has learned; none: classes."""
    progress: Callable[[int, int], None] | None = None
    """Called with (cases scored, cases in all)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", listed(self.metrics) or registry.DEFAULT)


@dataclass(frozen=True)
class _Opened:
    """All that is known before the first mask is compared."""

    found: References
    units: list[ScoringUnit]
    grouping: str
    subgroups: Subgroups | None
    job: ScoringJob
    notes: tuple[str, ...] = ()
    training: dict[str, Any] | None = None
    """How the model was trained, as the predictions tell."""
    certainty: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What the model has told of each unit."""

    def without_unscored(self, scored: Sequence[ScoredUnit]) -> tuple[_Opened, tuple[str, ...]]:
        """The same with those units alone that were scored, and the names of the others."""
        names = {one.unit for one in scored}
        kept = [unit for unit in self.units if unit.name in names]
        return replace(self, units=kept), tuple(unit.name for unit in self.units if unit.name not in names)


def evaluate_folders(
    predictions: Path,
    references: Path | DataSource,
    options: EvaluationOptions | None = None,
    *,
    out: Path | None = None,
) -> Evaluation:
    """Score a folder of predicted masks against references.

    Names are matched without their suffix. A reference in which all pixels are ignored is not scored.

    Args:
        predictions: Folder of masks, as `predict` or another tool wrote them.
        references: A folder of masks (a name may end in `_mask`, `_mask_1` or `_segmentation`), a dataset, or its manifest.json.
        options: Split, metrics, spacing, raters and so on.
        out: Folder for `scores.csv` and `scores.json`. None: nothing is written.

    Returns:
        Scores of each case, the table of means, and what a reader must know of them.

    Raises:
        DataError: A prediction without reference or the reverse; sizes or geometries that differ; values that are no class or
            could be several; no reference with valid pixels; an unknown metric; a rule, a table or a spacing that does not fit;
            options that mean nothing together.

    Example:
        ```python
        evaluation = evaluate_folders(Path("masks"), Path("polyps"), EvaluationOptions(split="test"), out=Path("scores"))
        evaluation.headline("dice")
        ```
    """
    options, source = options or EvaluationOptions(), as_source(references)
    paper_protocol, selection = find_protocol(options.protocol), select_metrics(options.metrics)
    _refuse_mixtures(options, paper_protocol, selection)
    listed = PredictionList.find(predictions)
    listed = listed and listed.followed(predictions)
    opened = _open(predictions, source, listed, options, paper_protocol, selection)
    if out is not None:
        manifest = opened.found.manifest
        masks = {manifest.path(mask).parent for case in opened.found.cases for mask in case.masks}
        check_results_folder(out, "scores.json", [predictions, source.path, *masks])
    job, scores = opened.job, None
    if paper_protocol is None:
        scored, entries = job.run(opened.units, options.spacing), selection.entries
    else:
        scored, scores = job.run_protocol(opened.units, paper_protocol)
        entries = further_tables.protocol_entries(paper_protocol) if scored[0].rows[0].scores else ()
    opened, unscored = opened.without_unscored(scored)
    rows = tuple(row for each in scored for row in each.rows)
    panel = further_tables.gather(scored)
    if out is not None:
        output_folder(out)
    seen = seen_by_model(predictions, listed, opened.units)
    test_accesses = _note_access(predictions, source.path, out, listed, opened, seen)
    evaluation = Evaluation(
        rows,
        summarize(rows, entries, "classes" if paper_protocol is not None else _scored(opened.found.manifest)),
        opened.found.split,
        _origin(predictions, listed, opened, scored, scores),
        test_accesses=test_accesses.own,
        test_accesses_in_all=test_accesses.total,
        raters={roles: summarize(members, selection.masks) for roles, members in panel.items()},
        protocol=scores,
        references=opened.found.manifest,
        unscored=unscored,
        predictions_read=None if job.predicted is None or listed is not None else job.predicted.reason,
        confusion=_confusion(scored),
        by_class=further_tables.by_class(scored),
        notes=(
            *training_notes(seen, len(opened.units)),
            *test_accesses.remarks,
            *orientation_notes(opened.found.manifest, opened.units, predictions, listed),
            *grid_notes(opened.found.manifest, opened.units),
            *opened.notes,
        ),
    )
    if out is not None:
        _write(out, evaluation, opened, panel, source.path)
    return evaluation


def _confusion(scored: Sequence[ScoredUnit]) -> NDArray[np.int64] | None:
    known = [one.confusion for one in scored if one.confusion is not None]
    return np.sum(known, axis=0) if known else None


def _note_access(
    predictions: Path,
    references: Path,
    out: Path | None,
    listed: PredictionList | None,
    opened: _Opened,
    seen: SeenCases,
) -> Accesses:
    """Note that test cases were opened, if any of the scored ones is known to be one: by its split, by the lists beside a folder of
    masks, or by the model's own data."""
    cases = [case for unit in opened.units for _, case in unit.members]
    manifest = opened.found.manifest
    tested = held_out_ids(manifest, cases)
    theirs = set(seen.get("test", ()))
    units = [unit for unit in opened.units if unit.name in theirs or tested & {case.id for _, case in unit.members}]
    if not units:
        return Accesses()
    own = [case for unit in units for _, case in unit.members if unit.name in theirs or case.id in tested]
    opening = Access(
        references,
        len(units),
        mask_hashes(manifest, own),
        predictions,
        None if listed is None or listed.model is None else Path(listed.model),
        None if listed is None else listed.model_sha256,
        () if listed is None else [(Path(one.model), one.sha256) for one in listed.members],
        private=of_dicom(
            [path for unit in units for path, _ in unit.members], own, manifest, run_manifest(_model(listed))
        ),
    )
    return note_access(opening, out)


def _write(
    out: Path, evaluation: Evaluation, opened: _Opened, panel: Mapping[Roles, Sequence[Row]], references: Path
) -> None:
    extra: dict[str, Any] = {
        "references": str(references.absolute()),
        "test_accesses": evaluation.test_accesses,
        "test_accesses_in_all": evaluation.test_accesses_in_all,
        "unscored": list(evaluation.unscored),
        "notes": list(evaluation.notes),
    }
    if evaluation.confusion is not None:
        names = list(opened.found.manifest.classes.names)
        extra["confusion"] = {"classes": names, "pixels": evaluation.confusion.tolist()}
    if evaluation.by_class is not None:
        extra |= further_tables.regions_json(opened.found.manifest.classes, evaluation.by_class)
    if opened.job.predicted is not None:
        extra["labels"] = opened.found.manifest.labels.model_dump(mode="json")
        extra["predictions_read"] = opened.job.predicted.reason
    if opened.training is not None:
        extra["training"] = opened.training
    extra.update({name: dict(told) for name, told in opened.certainty.items() if told})
    if opened.job.raters is not None:
        write_text(out / further_tables.RATERS_CSV, further_tables.raters_csv(panel))
        extra["raters"] = further_tables.raters_json(opened.job.raters, evaluation.raters)
    else:
        (out / further_tables.RATERS_CSV).unlink(missing_ok=True)
    (out / further_tables.EPISODES_CSV).unlink(missing_ok=True)  # of an evaluation that was here before
    if opened.subgroups is not None:
        extra["subgroups"] = further_tables.subgroups_json(
            opened.subgroups, evaluation.rows, evaluation.summary.metrics
        )
    if evaluation.protocol is not None:
        extra["protocol_scores"] = evaluation.protocol.to_json()
    write_scores(out, evaluation.rows, evaluation.summary, evaluation.origin, extra)


def _refuse_mixtures(
    options: EvaluationOptions, paper_protocol: PaperProtocol | None, selection: MetricSelection
) -> None:
    """Raise `DataError` for options that mean nothing together."""
    if paper_protocol is not None:
        what = f"protocol {paper_protocol.name} has its own metrics, in pixels and against one reference"
        given = {
            "--metrics": tuple(options.metrics) != registry.DEFAULT,
            "--spacing": options.spacing is not None,
            "more raters": bool(options.raters),
        }
    elif selection.instances:
        what = "instance maps are scored case by case against one reference"
        given = {
            "--stack": options.stack is not None,
            "more raters": bool(options.raters),
            "ece and brier": bool(selection.probabilities),
        }
    else:
        return
    wrong = [name for name, there in given.items() if there]
    if wrong:
        raise DataError(f"{what}; leave out {' and '.join(wrong)}")


def _open(
    predictions: Path,
    source: DataSource,
    listed: PredictionList | None,
    options: EvaluationOptions,
    paper_protocol: PaperProtocol | None,
    selection: MetricSelection,
) -> _Opened:
    predicted: LabelRule | None = None
    paired_notes: list[str] = []
    if selection.instances:
        found, pairs = _instance_pairs(predictions, source, options.split)
    else:
        known = options.classes or (listed.classes if listed is not None else None)
        found = open_references(source, options.split, known, run=run_manifest(_model(listed)))
        found = _with_regions(found, options.regions)
        files = mask_files(predictions, listed)
        files = joined_masks(files, source.telling_codes) if listed is None else files
        images = {} if listed is None else {predictions / file.mask: file.image for file in listed.files}
        pairs, paired_notes = pair(predictions, files, found, source.path, images)
        if listed is None:
            pairs, label_notes = labels_matched(pairs, found.manifest.table, source.telling_codes)
            paired_notes += label_notes
        paired_notes += mask_notes(pairs, found.manifest)
        predicted = prediction_rule(
            [path for path, _ in pairs], listed, found.manifest.classes, found.manifest.labels, said=found.named
        )
    notes = [] if listed is None or selection.instances else prediction_notes(predictions, listed)
    notes += paired_notes
    units, grouping = make_units(pairs, stack=options.stack, group_by=options.group_by or source.group_by)
    names = [unit.name for unit in units]
    check_millimeters(options.metrics, [] if options.spacing else [unit.name for unit in units if unit.spacing is None])
    table = read_subgroups(options.subgroups, names) if options.subgroups is not None else None
    maps = None
    if selection.probabilities or (paper_protocol is not None and paper_protocol.reads_probabilities):
        maps = _probabilities(predictions, found, pairs, listed, needed=bool(selection.probabilities))
    panel = open_raters(source, options.raters, found) if options.raters else None
    if panel is None and paper_protocol is None and not selection.instances and found.manifest.layout != "masks":
        panel = raters_of_cases(found)
    training = listed.training if listed is not None else None
    job = ScoringJob(found.manifest, selection, maps, panel, predicted, options.progress)
    return _Opened(found, units, grouping, table, job, tuple(notes), training, certainty(predictions, units, listed))


def _scored(manifest: Manifest) -> Of:
    return "regions" if manifest.classes.regions else "classes"


def _with_regions(found: References, wanted: str) -> References:
    """The references with the regions that are wanted. Raises `DataError`."""
    if wanted == "auto":
        return found
    try:
        classes = found.manifest.classes.with_regions({} if wanted == "none" else parse_regions(wanted))
    except ValueError as error:
        raise DataError(f"--regions: {error}") from error
    return replace(found, manifest=found.manifest.model_copy(update={"classes": classes}))


def _model(listed: PredictionList | None) -> Path | None:
    return None if listed is None or listed.model is None else Path(listed.model)


def _instance_pairs(
    predictions: Path, source: DataSource, split: SplitChoice | None
) -> tuple[References, list[tuple[Path, Case]]]:
    """Predicted and reference instance maps: two folders of maps, or predictions and a data set with a folder `instances`."""
    inner = source.path / _INSTANCE_FOLDER
    found = open_references(source, split, None) if inner.is_dir() else None
    folder = source.path if found is None else inner
    cases = pair_instances(predictions, folder, None if found is None else [case.id for case in found.cases])
    known = {} if found is None else {case.id: case for case in found.cases}
    made = {name: (known.get(name) or Case(id=name, images=())) for name in cases}
    pairs = [
        (prediction, made[name].model_copy(update={"masks": (str(reference.resolve()),), "hashes": {}}))
        for name, (prediction, reference) in cases.items()
    ]
    if found is None:
        found = References(further_tables.instance_manifest(folder), tuple(case for _, case in pairs), "all")
    return found, pairs


def _probabilities(
    predictions: Path,
    found: References,
    pairs: Sequence[tuple[Path, Case]],
    listed: PredictionList | None,
    *,
    needed: bool,
) -> ProbabilityMaps | None:
    """The maps of the listed model, else those that lie about; None where there are none and they are not `needed`."""
    classes = found.manifest.classes
    if listed is not None:
        classes = classes.model_copy(update={"regions": listed.regions})
    if listed is None or lists_no_maps(listed):
        maps = find_probabilities(predictions, classes)
    else:
        maps = listed_probabilities(predictions, classes, listed, pairs)
    if maps is None and needed:
        stale = unlisted_maps(predictions, listed) if listed is not None else []
        others = f" of these predictions ({count(len(stale), 'file')} there are not of this model)" if stale else ""
        raise DataError(
            f"{predictions} has no probability maps{others}; predict with --probabilities, or leave out ece and brier"
        )
    if maps is not None:
        maps.need([case.id for case in found.cases])
    return maps


def _origin(
    predictions: Path,
    listed: PredictionList | None,
    opened: _Opened,
    scored: Sequence[ScoredUnit],
    scores: ProtocolScores | None,
) -> Origin:
    origin = Origin(
        split=opened.found.split,
        level="volume" if scored[0].axes == 3 else "image",
        length=length_unit(opened.units, scored),
        grouping=opened.grouping,
        references_sha256=joint_hash(
            {unit.name: one.reference for unit, one in zip(opened.units, scored, strict=True)}
        ),
        predictions=str(predictions),
    )
    if scores is not None:
        origin = replace(origin, protocol=scores.protocol.name, protocol_words=scores.label)
    if listed is not None:
        origin = replace(origin, method=listed.method, seed=listed.seed, model_sha256=listed.model_sha256)
    return origin

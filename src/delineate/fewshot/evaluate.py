"""Frozen episodes → scores: each query volume is one case, its Dice is of the voxels of all its scored slices together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from delineate.common.csv_text import csv_text
from delineate.common.errors import DataError, NotFiniteError
from delineate.common.files import output_folder, write_text
from delineate.common.names import listed
from delineate.data.core.known import Role
from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.data.core.samples import Sample, SliceStack
from delineate.data.core.stacks import Stack, assemble
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.loading.samples import SampleSet
from delineate.evaluation.inputs.test_access_log import Access, Accesses, note_access
from delineate.evaluation.inputs.training_cases import SeenCases, training_notes
from delineate.evaluation.metrics.metric import Metric
from delineate.evaluation.metrics.metric_selection import check_millimeters, select_metrics
from delineate.evaluation.results.case_scores import Row, score_case
from delineate.evaluation.results.evaluate import Evaluation
from delineate.evaluation.results.further_tables import EPISODES_CSV, RATERS_CSV
from delineate.evaluation.results.scores_file import Origin, write_scores
from delineate.evaluation.results.summary import summarize
from delineate.fewshot.baselines import ConditionedModel
from delineate.fewshot.episode_file import Chunk, Episode, EpisodeFile
from delineate.fewshot.evaluated_models import EvaluatedModel
from delineate.fewshot.support import Support

__all__ = ["METRICS", "EpisodeTest", "Labels", "Progress", "ScoredEpisode", "evaluate_episodes", "write_episodes"]

METRICS = ("dice", "iou", "precision", "recall")
"""From counts of voxels alone: cheap for volumes."""
Labels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Called with (episodes done, episodes in all)."""


@dataclass(frozen=True)
class ScoredEpisode:
    """One episode with its row of scores."""

    episode: Episode
    row: Row
    reference: str
    """SHA-256 of the reference."""
    fullest: int
    """Index in the volume of the scored slice with most of the class; of equals, the one with most of the prediction."""


@dataclass
class EpisodeTest:
    """One model and the episodes that it is tested on."""

    candidate: EvaluatedModel
    data: SampleSet
    episodes: EpisodeFile
    batch_size: int | None = None
    _stacks: dict[str, SliceStack] = field(init=False)
    _conditioned: dict[tuple[Any, ...], ConditionedModel] = field(init=False, default_factory=dict)
    """Of the class and drawing at hand."""

    def __post_init__(self) -> None:
        if self.candidate.numbers != "bytes":
            self.data = self.data.with_numbers(self.candidate.numbers)
        self._stacks = {stack.volume: stack for stack in self.data.stacks}

    @property
    def flat(self) -> bool:
        """Whether cases are images, not volumes."""
        queries = {episode.query for episode in self.episodes.episodes}
        return self.episodes.protocol == "any2d" or all(len(self._stacks[name].slices) == 1 for name in queries)

    def stack(self, episode: Episode) -> SliceStack:
        """The query's volume."""
        return self._stacks[episode.query]

    def case(self, episode: Episode) -> str:
        """The name of the case in tables; with several drawings, each asks for the same volumes under names of its own."""
        stack = self.stack(episode)
        name = stack.slices[episode.scored[0]].name if self.episodes.protocol == "any2d" else stack.volume
        return f"{name} draw {episode.draw + 1}" if self.episodes.draws > 1 else name

    def support(self, episode: Episode, chunk: Chunk) -> Support:
        """The slices that serve a chunk, with masks of the class alone. Raises `DataError` as reading does."""
        shown = [episode.support[at] for at in chunk.support]
        slices = [self._stacks[one.volume].slices[one.slice] for one in shown]
        return Support(
            tuple(self.data.image(one) for one in slices),
            tuple(_of_class(self.data.mask(one), episode.label) for one in slices),
            ClassTable(names=("background", self.episodes.class_names[episode.label])),
        )

    def conditioned(self, episode: Episode, chunk: Chunk) -> ConditionedModel:
        """What has seen the chunk's support; made once for all queries of a class and drawing."""
        about = (episode.draw, episode.label)
        if any(key[:2] != about for key in self._conditioned):
            self._conditioned.clear()
        key = (*about, *(episode.support[at] for at in chunk.support))
        if key not in self._conditioned:
            self._conditioned[key] = self.candidate.condition(self.support(episode, chunk))
        return self._conditioned[key]

    def reference(self, episode: Episode, index: int) -> Labels:
        """What is to be found in a slice of the query's volume: 1 where the class is, 255 where ignored."""
        return _of_class(self.data.mask(self.stack(episode).slices[index]), episode.label)

    def segment(self, episode: Episode) -> tuple[Labels, Labels]:
        """Prediction and reference of the scored slices, D×H×W: 0, 1 and in the reference 255."""
        slices = self.stack(episode).slices
        found: dict[int, Labels] = {}
        for chunk in episode.chunks:
            images = (self.data.image(slices[index]) for index in chunk.slices)
            masks = self.conditioned(episode, chunk).predict_each(images, self.batch_size)
            try:
                found.update(zip(chunk.slices, masks, strict=True))
            except NotFiniteError as error:
                raise NotFiniteError(f"{episode.query}: {error}") from error
        references = [self.reference(episode, index) for index in episode.scored]
        volume = Stack(episode.query, tuple(slices[index].name for index in episode.scored))
        return assemble(volume, [found[index] for index in episode.scored]), assemble(volume, references)

    def score(self, metrics: Sequence[Metric], progress: Progress | None = None) -> list[ScoredEpisode]:
        """All episodes that have something to score, in the file's order. Raises `DataError` when none has."""
        scored = []
        for done, episode in enumerate(self.episodes.episodes, start=1):
            if (one := self._score(episode, metrics)) is not None:
                scored.append(one)
            if progress is not None:
                progress(done, len(self.episodes.episodes))
        if not scored:
            raise DataError("all queries have only ignored pixels (255) in their references; freeze other episodes")
        return scored

    def _score(self, episode: Episode, metrics: Sequence[Metric]) -> ScoredEpisode | None:
        prediction, reference = self.segment(episode)
        if (reference == IGNORE).all():
            return None
        digest = hashlib.sha256(f"{reference.shape}".encode() + np.ascontiguousarray(reference).tobytes()).hexdigest()
        area = (reference == 1).sum((1, 2)) + 1e-6 * prediction.sum((1, 2))
        fullest = episode.scored[int(area.argmax())]
        if self.flat:
            prediction, reference = prediction[0], reference[0]
        stack, label = self.stack(episode), episode.label
        spacing = _spacing(stack)
        (row,) = score_case(
            self.case(episode),
            prediction,
            reference,
            ClassTable(names=("background", self.episodes.class_names[label])),
            metrics=metrics,
            spacing=None if spacing is None else spacing[-reference.ndim :],
            group=stack.group,
        )
        return ScoredEpisode(episode, replace(row, label=self.episodes.labels.index(label) + 1), digest, fullest)


def evaluate_episodes(
    job: EpisodeTest, *, metrics: Sequence[str] = METRICS, progress: Progress | None = None
) -> tuple[Evaluation, list[ScoredEpisode]]:
    """Score a candidate on frozen episodes → the table, and each episode's row.

    Raises `DataError`: unreadable slices, a support that shows too little at the working size, metrics that are not of masks.
    """
    metrics = listed(metrics) or METRICS
    choice = select_metrics(metrics)
    if choice.instances or choice.probabilities:
        raise DataError(
            "few-shot episodes are scored by metrics of masks; leave out those of instances and probabilities"
        )
    bare = [job.case(one) for one in job.episodes.episodes if not _spacing(job.stack(one))]
    check_millimeters(metrics, bare)
    scored = job.score(choice.masks, progress)
    rows = _table(scored, job)
    summary = summarize(rows, choice.masks)
    done = {(one.episode.draw, one.episode.query, one.episode.label) for one in scored}
    lost = [job.case(one) for one in job.episodes.episodes if (one.draw, one.query, one.label) not in done]
    origin = _origin(job, scored)
    return Evaluation(tuple(rows), summary, job.episodes.split, origin, unscored=tuple(dict.fromkeys(lost))), scored


def write_episodes(
    out: Path,
    job: EpisodeTest,
    evaluation: Evaluation,
    scored: Sequence[ScoredEpisode],
    pictures: Sequence[dict[str, Any]],
    data: Path,
) -> Evaluation:
    """Write `scores.csv`, `scores.json` and `episodes.csv`, and note the opening of a test split; the evaluation with their number.

    `pictures`: what the page shows, as `fewshot.episode_images` lists it.
    """
    output_folder(out)
    test_accesses = _note_access(job, data, out, len({row.case for row in evaluation.rows}))
    said = (*training_notes(_seen(job), len({row.case for row in evaluation.rows})), *test_accesses.remarks)
    (out / RATERS_CSV).unlink(missing_ok=True)  # of an evaluation that was here before
    write_text(out / EPISODES_CSV, _episodes_csv(job, scored))
    about = {
        "candidate": job.candidate.name,
        "training": job.candidate.words,
        "settings": {name: job.candidate.setting(name) for name in job.episodes.classes.names[1:]},
        "episodes": {
            key: getattr(job.episodes, key)
            for key in ("digest", "protocol", "words", "shots", "seed", "draws", "support_split")
        },
        "pictures": list(pictures),
    }
    write_scores(
        out,
        evaluation.rows,
        evaluation.summary,
        evaluation.origin,
        {
            "test_accesses": test_accesses.own,
            "test_accesses_in_all": test_accesses.total,
            "notes": list(said),
            "references": str(data),
            "unscored": list(evaluation.unscored),
            "fewshot": about,
            "training": job.candidate.provenance.get("training"),
        },
    )
    return replace(evaluation, test_accesses=test_accesses.own, test_accesses_in_all=test_accesses.total, notes=said)


def _note_access(job: EpisodeTest, data: Path, out: Path, cases: int) -> Accesses:
    """Note that test cases were asked for, if they are such of the data set or of the model's own."""
    asked = {one.case.id: one.case for one in _asked(job)}
    tested = [case for case in asked.values() if case.split == "test" or job.candidate.role_of(case) == "test"]
    if not tested:
        return Accesses()
    hashes = [case.hashes.get(case.masks[0], "") for case in tested if case.masks]
    source = job.candidate.source
    private = any(DicomAddress.parse(image) is not None for case in tested for image in case.images)
    return note_access(Access(data, cases, hashes, None, source, job.candidate.sha256, private=private), out)


def _seen(job: EpisodeTest) -> SeenCases:
    """The cases that are asked for, by what they were to the model; new ones are left out."""
    found: SeenCases = {}
    for episode in job.episodes.episodes:
        slices = job.stack(episode).slices
        roles = {job.candidate.role_of(slices[index].case) for index in episode.scored}
        role = next((role for role in get_args(Role) if role in roles), None)
        if role is not None and job.case(episode) not in found.setdefault(role, []):
            found[role].append(job.case(episode))
    return found


def _asked(job: EpisodeTest) -> list[Sample]:
    """The slices that are asked about."""
    return [job.stack(one).slices[index] for one in job.episodes.episodes for index in one.scored]


def _table(scored: Sequence[ScoredEpisode], job: EpisodeTest) -> list[Row]:
    """A row for each case and class; where a class was not asked for in a case, a row that counts nowhere."""
    found = {(one.row.case, one.row.label): one.row for one in scored}
    groups = {row.case: row.group for row in found.values()}
    names = job.episodes.classes.names
    return [
        found.get((case, label)) or _not_asked(case, label, names[label], group, next(iter(found.values())))
        for case, group in sorted(groups.items())
        for label in range(1, len(names))
    ]


def _not_asked(case: str, label: int, name: str, group: str, like: Row) -> Row:
    return replace(
        like,
        case=case,
        label=label,
        name=name,
        group=group,
        outcome="both_empty",
        scores=dict.fromkeys(like.scores, float("nan")),
        **dict.fromkeys(("tp", "fp", "fn", "tn"), 0),
        diagonal=0.0,
    )


def _origin(job: EpisodeTest, scored: Sequence[ScoredEpisode]) -> Origin:
    episodes, level = job.episodes, "image" if job.flat else "volume"
    grouped = any(stack.slices[0].case.group for stack in map(job.stack, episodes.episodes))
    grouping = "groups of the data set" if grouped else f"each {level} is its own group"
    if job.flat and not grouped and len({one.row.group for one in scored}) < len({one.row.case for one in scored}):
        grouping = "slices of a volume are one group"
    spaced = all(_spacing(job.stack(episode)) for episode in episodes.episodes)
    lines = sorted(f"{one.row.case} {one.row.label} {one.reference}" for one in scored)
    draws = f", {episodes.draws} draws" if episodes.draws > 1 else ""
    return Origin(
        protocol_words=f"few-shot protocol {episodes.protocol}, {episodes.shots}-shot{draws} ({episodes.words}; episodes "
        f"{episodes.digest})",
        split=episodes.split,
        level=level,
        length="mm" if spaced else "px" if job.flat else "voxel",
        grouping=grouping,
        references_sha256=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        method=job.candidate.method,
        seed=job.candidate.seed,
        model_sha256=job.candidate.sha256,
    )


def _episodes_csv(job: EpisodeTest, scored: Sequence[ScoredEpisode]) -> str:
    lines = []
    for one in scored:
        shown = " ".join(f"{each.volume}#{each.slice}" for each in one.episode.support)
        slices = " ".join(map(str, one.episode.scored))
        about = (job.episodes.protocol, one.episode.draw + 1, one.row.name, job.candidate.setting(one.row.name))
        lines.append([*about, one.row.case, shown, slices, f"{one.row.scores['dice']:.6f}"])
    return csv_text(["protocol", "draw", "class", "setting", "case", "support", "scored slices", "dice"], lines)


def _spacing(stack: SliceStack) -> tuple[float, ...] | None:
    """Of slice, row and column, in mm; None where the files do not tell all three."""
    known = stack.slices[0].case.spacing
    return known if known is not None and len(known) == 3 else None


def _of_class(mask: Labels, label: int) -> Labels:
    """Class indices → 1 where the class is, 255 where ignored."""
    return np.where(mask == IGNORE, IGNORE, mask == label).astype(np.uint8)

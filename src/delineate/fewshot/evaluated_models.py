"""What can be evaluated on episodes: a trained model, a baseline without training, or a method before its training.

Names: a run folder or model file; `copy-support-mask`, `nearest-color`; `METHOD@PRESET:untrained`, such as
`alpnet@tiny:untrained`. The difference between a trained model and the untrained method is what training brought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.common.untrained_name import UNTRAINED
from delineate.data.cases.census import Census
from delineate.data.core.intensity import VolumeNumbers
from delineate.data.core.known import DIGITS, KnownPictures, Role
from delineate.data.core.manifest import Case, ClassTable
from delineate.data.loading.samples import SampleSet
from delineate.fewshot.baselines import BASELINES, ConditionedModel
from delineate.fewshot.class_identity import ClassIdentity, identity
from delineate.fewshot.class_names import first_version_name
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.support import Support
from delineate.fewshot.untrained import check_few_shot, check_settings, open_model
from delineate.inference.device import Precision

__all__ = ["EvaluatedModel", "check_model", "check_unseen", "open_evaluated_model"]


@dataclass(frozen=True)
class EvaluatedModel:
    """Something that segments a query as a support shows."""

    name: str
    """As the user wrote it."""
    method: str
    """For tables."""
    condition: Callable[[Support], ConditionedModel]
    seed: int | None = None
    source: Path | None = None
    """The model's file."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """The artefact's; empty for a baseline."""
    tested: Mapping[str, ClassIdentity] = field(default_factory=dict)
    """Name of a tested class → what it is; empty where only names are known."""
    numbers: VolumeNumbers = "bytes"
    """What it is shown slices of volumes as (`InputSpec.volume_numbers`)."""

    @property
    def sha256(self) -> str | None:
        return None if self.source is None else sha256(self.source)

    @cached_property
    def _known(self) -> KnownPictures:
        return KnownPictures.read(self.provenance.get("pictures"))

    def role_of(self, case: Case) -> Role | None:
        """What a case's picture or volume was to the model in training; None for a new one."""
        return self._known.roles.get((case.pixels or "")[:DIGITS])

    @property
    def excluded(self) -> tuple[str, ...] | None:
        """Names of the classes whose slices training left out; None: it was not trained, so it has seen none."""
        if self.source is None or "untrained" in self.provenance:
            return None
        return tuple(self._episodes.get("exclude", ()))

    @property
    def words(self) -> str:
        """What it has seen in training, in one line."""
        if self.excluded is None:
            return "not trained: no class was seen"
        how = self._episodes.get("kind", "unknown")
        if not self.excluded:
            return f"trained on episodes of kind {how}, no class left out"
        return f"trained on episodes of kind {how}, slices with {self.rule} of {', '.join(self.excluded)} left out"

    @property
    def rule(self) -> str:
        """Slices with `any` of the excluded classes were left out, or only those with `all` of them, which hides little."""
        return "all" if self._episodes.get("exclude_rule") == "legacy_all" else "any"

    @property
    def _episodes(self) -> dict[str, Any]:
        """What the artefact says of the episodes it was trained on (`recipe.EpisodesSection`)."""
        found: dict[str, Any] = self.provenance.get("episodes") or {}
        return found

    def on(self, data: SampleSet, episodes: EpisodeFile) -> EvaluatedModel:
        """The same, about to be tested on the classes of these episodes."""
        names = episodes.classes.names[1:]
        return replace(
            self,
            tested={name: identity(data.manifest, label) for name, label in zip(names, episodes.labels, strict=True)},
        )

    def setting(self, name: str) -> str:
        """The field's setting that a class is tested in: 2 where training has seen no slice of it, else 1.

        Data and class are known by their content: a class of other data is not the one that was left out, whatever its name.
        Models of earlier versions tell the names alone.
        """
        if self.excluded is None:
            return "2"
        if self.rule != "any":
            return "1"
        if name in self.tested and self._episodes.get("data_sha256"):
            return "2" if self._left_out(self.tested[name]) else "1"
        return "2" if {name, first_version_name(name)} & set(self.excluded) else "1"

    @property
    def other_data(self) -> bool:
        """Whether it was trained on other data than it is tested on, as far as their content tells."""
        trained = self._episodes.get("data_sha256")
        return bool(trained and self.tested) and all(one.data != trained for one in self.tested.values())

    def _left_out(self, tested: ClassIdentity) -> bool:
        same_data = tested.data == self._episodes["data_sha256"]
        return same_data and tested.values in self._episodes.get("exclude_values", ())


def check_model(name: str, settings: Sequence[str] = ()) -> None:
    """Raise `DelineateError` for a name that stands for nothing, and settings that cannot be: at once, before data are read."""
    if name not in BASELINES and not name.endswith(UNTRAINED) and not Path(name).exists():
        known = f"a model file, a run folder, {', '.join(BASELINES)} or METHOD@PRESET{UNTRAINED}"
        raise DataError(f"there is no model '{name}'; give {known}")
    check_settings(name, settings)
    if name not in BASELINES:
        check_few_shot(name)


def open_evaluated_model(
    name: str,
    census: Census,
    *,
    settings: Sequence[str] = (),
    device: str = "auto",
    precision: Precision = "32",
    seed: int = 0,
) -> EvaluatedModel:
    """Find what a name stands for (see above).

    `census`: of the data, for the input of an untrained method; `settings`: of its recipe; `seed`: of its random weights. Raises
    `DelineateError` as `check_model`, and for a model that cannot be read or does not fit the data.
    """
    check_model(name, settings)
    if name in BASELINES:
        return EvaluatedModel(name, name, BASELINES[name])
    model = open_model(name, census, settings=settings, device=device, precision=precision, seed=seed)
    artefact = model.artefact
    return EvaluatedModel(
        name,
        artefact.title,
        model.condition_on,
        artefact.provenance.get("seed"),
        model.source,
        artefact.provenance,
        numbers=model.spec.volume_numbers,
    )


def check_unseen(candidate: EvaluatedModel, classes: ClassTable) -> None:
    """Setting 2: raise `DataError` if training saw slices of a class that is tested."""
    seen = [name for name in classes.names[1:] if candidate.setting(name) != "2"]
    if seen and candidate.other_data:
        raise DataError(
            f"setting 2 asks for classes that training has not seen, but {candidate.name} was trained on other data: whether its "
            f"slices show {', '.join(seen)} is not known; report setting 1"
        )
    if seen:
        raise DataError(
            f"setting 2 asks for classes that training has not seen, but {candidate.name} saw {', '.join(seen)} "
            f"({candidate.words}); train with --exclude-classes, test fewer --classes, or report setting 1"
        )

"""Volumes as support: of each, three slices for every class that its labels show, as the protocol `chunk3` shows them.

They lie at 1/6, 1/2 and 5/6 of the class's extent, across the model's own axis, with the values that the model is shown of volumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.cases.census import Census, inspect
from delineate.data.cases.pixels import fitted
from delineate.data.cases.volumes import as_numbers, is_volume, opened, volume_mask
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import plane_of
from delineate.data.formats.registry import reads_volume
from delineate.fewshot.protocol import support_slices
from delineate.fewshot.support import Support

__all__ = ["SupportVolumes", "volumes_given", "volumes_of_folder"]


@dataclass(frozen=True)
class SupportVolumes:
    """Annotated volumes, their labels read and counted. Their voxels are read for a model (`for_model`)."""

    manifest: Manifest
    census: Census

    @classmethod
    def of(cls, manifest: Manifest) -> SupportVolumes:
        """From a manifest whose labeled cases are volumes.

        Raises `DataError`: pictures among them, no labels, files that do not fit together.
        """
        cases = tuple(case for case in manifest.cases if case.masks)
        if not all(is_volume(manifest, case) for case in cases):
            raise DataError("a support is of volumes or of pictures, not of both; give one kind")
        if not cases:
            raise DataError(f"{manifest.root} holds no volume with labels; a support needs one at least")
        return cls(*inspect(manifest.model_copy(update={"cases": cases})))

    def for_model(self, spec: InputSpec) -> Support:
        """The slices that a model is shown.

        Args:
            spec: Of the model. Its axis, its channels and its intensity rule say how volumes are cut and read.

        Returns:
            The support, its slices in the order of the cases.

        Raises:
            DataError: Files that cannot be read, other channels than the model's, or labels that are empty.
        """
        axis = self.census.axis if spec.axis is None else spec.axis
        assert axis is not None, "all cases are volumes"
        images, masks, files, planes = [], [], [], []
        told: set[bool] = set()
        for case in self.manifest.cases:
            paths = [self.manifest.path(file) for file in case.images]
            volume = opened(paths, self.manifest.channels)
            voxels = as_numbers(Canonical(fitted(volume.stored, spec)), spec.volume_numbers)
            told.add(volume.geometry.tells == "place")
            labels = volume_mask(self.manifest, case)
            marked = [set(plane_of(labels, axis, at).ravel().tolist()) for at in range(labels.shape[axis])]
            for at in _chosen(marked, len(self.manifest.classes.names)):
                images.append(plane_of(voxels, axis, at))
                masks.append(plane_of(labels, axis, at))
                files.append((paths[0], self.manifest.path(case.masks[0])))
                planes.append(volume.turn.stored_slice(axis, at, labels.shape[axis])[1])
        if not images:
            raise DataError(
                f"no class is labeled in the support volumes of {self.manifest.root}; mark what is to be found"
            )
        placed = told.pop() if len(told) == 1 else None
        return Support(tuple(images), tuple(masks), self.manifest.table, tuple(files), tuple(planes), placed)


def volumes_of_folder(manifest: Manifest) -> SupportVolumes | None:
    """The support of a data set; None where it has pictures alone. Raises as `SupportVolumes.of`."""
    labeled = [case for case in manifest.cases if case.masks]
    return SupportVolumes.of(manifest) if any(is_volume(manifest, case) for case in labeled) else None


def volumes_given(
    images: Sequence[Path], masks: Sequence[Path], described: ClassTable | None = None
) -> SupportVolumes | None:
    """The support of files; None where they are pictures. `described`: what label values mean. Raises as `SupportVolumes.of`."""
    if not any(map(reads_volume, (*images, *masks))):
        return None
    cases = tuple(
        Case(id=f"support_{at}", images=(str(image.absolute()),), masks=(str(mask.absolute()),))
        for at, (image, mask) in enumerate(zip(images, masks, strict=True), 1)
    )
    manifest = Manifest(
        root=str(images[0].absolute().parent),
        layout="support",
        split_origin="none",
        classes=described or ClassTable(),
        labels=(described.labels if described is not None else None) or LabelRule(threshold=128),
        cases=cases,
    )
    return SupportVolumes.of(manifest)


def _chosen(marked: Sequence[set[int]], classes: int) -> list[int]:
    """Three slices of each class's extent, each once; where they coincide, fewer."""
    found: set[int] = set()
    for label in range(1, classes):
        holding = [at for at, seen in enumerate(marked) if label in seen]
        found.update(support_slices(holding, "chunk3") if holding else ())
    return sorted(found)

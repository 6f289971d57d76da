"""Validation cases as calibration sees them: their references, what the network makes of them, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError, NotFiniteError
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.cases.volumes import opened, volume_image, volume_mask
from delineate.data.core.geometry import Geometry, pixel_spacing
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.formats.contract import slab_of
from delineate.engine.calibration.logit_samples import LogitSample, View, chosen, sampled
from delineate.engine.postprocessing_search import CaseMask, levels_of, thresholds_around
from delineate.engine.run_folder import RunFolder
from delineate.engine.volume_scores import axes_average, slice_outputs
from delineate.inference.doubt import DoubtSums
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Failure, Output, Worker
from delineate.inference.segmenter import Prepared

__all__ = ["ValidationMasks"]


class ValidationMasks:
    """Runs a model on the validation cases of its run."""

    def __init__(
        self,
        artefact: Artefact,
        manifest: Manifest,
        folder: RunFolder,
        *,
        device: str,
        batch_size: int | None,
        max_pixels: int,
    ) -> None:
        """The device, batch size and limit are as for `calibrate_run`; a threshold of the artefact's post-processing is used for
        how sure the model is, and nothing else of it."""
        self._predictor = Predictor(artefact, device, source=folder.model)
        self._manifest, self._folder = manifest, folder
        self._axis = artefact.spec.axis
        independent = artefact.method.output.independent
        self.thresholds = thresholds_around(artefact.threshold) if independent else None
        """Those that are tried; None where classes compete."""
        all_axes = artefact.spec.all_axes
        self._worker = Worker(self._predictor, batch_size or 0, maps=independent or all_axes, doubt=not all_axes)
        self._pixels = SamplePixels(manifest, self._axis, max_pixels, spec=artefact.spec)

    @property
    def volumes(self) -> bool:
        """Whether cases are volumes."""
        return self._axis is not None

    @cached_property
    def millimeters(self) -> bool:
        """Whether sizes are in mm³: cases are volumes, and all of them tell the size of their voxels."""
        return self.volumes and all(case.spacing for case in self._manifest.split("val") if case.masks)

    def sampled(self, case: Case, pixels: int) -> LogitSample | None:
        """Logits of some pixels beside their classes. Raises as `predicted`."""
        return sampled(self._worker, self._predictor, case.id, list(self._views(case)), pixels)

    def predicted(self, case: Case) -> tuple[CaseMask, DoubtSums | None]:
        """Run the network on a case.

        Raises:
            DataError: Files that are damaged or have changed, or a case that the model was trained or tested on.
            NotFiniteError: An output that is not finite.
        """
        reference = self._reference(case)
        if self._predictor.spec.all_axes:
            return CaseMask(reference, self._averaged(case), self._pixel_size(case)), None
        parts: list[NDArray[np.uint8]] = []
        sums: DoubtSums | None = None
        for output in self._outputs(case):
            parts.append(self._values(output))
            sums = _added(sums, output)
        # Slices become a volume; with a threshold the axis of the channels lies before it.
        values = parts[0] if self._axis is None else np.stack(parts, axis=self._axis - 3)
        return CaseMask(reference, values, self._pixel_size(case)), sums

    def doubt(self, case: Case) -> DoubtSums | None:
        """How sure the model is of a case, alone; None of a model that averages over axes. Raises as `predicted`."""
        sums: DoubtSums | None = None
        for output in () if self._predictor.spec.all_axes else self._outputs(case):
            sums = _added(sums, output)
        return sums

    def _views(self, case: Case) -> Iterator[View]:
        if self._axis is None:
            yield self._pixels.image(Sample(case)), self._reference(case), case.pixel_spacing
            return
        spec = self._predictor.spec
        image, mask = volume_image(self._manifest, case, spec.volume_numbers), self._reference(case)
        known = self._grid(case).millimeters
        for axis in range(3) if spec.all_axes else (self._axis,):
            for index in chosen(case.id, image.shape[axis]):
                spacing = None if known is None else pixel_spacing(known, axis)
                yield slab_of(image, axis, index, spec.neighbors), np.take(mask, index, axis), spacing

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


def _added(sums: DoubtSums | None, output: Output) -> DoubtSums | None:
    """With what was summed over one more slice."""
    return output.doubt if sums is None or output.doubt is None else sums + output.doubt

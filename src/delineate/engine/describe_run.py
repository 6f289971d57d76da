"""`drift`: the model of a finished run learns what its training images look like (`engine.training_images`).

For runs of versions that did not note it. Weights and all else in the model stay bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from delineate.artefact import format as artefact_format
from delineate.artefact.training_images import ENTRY, TrainingImages
from delineate.common.errors import DataError
from delineate.common.folder_lock import hold_folder
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.findings import some
from delineate.data.core.input_spec import Pixels
from delineate.data.core.samples import Sample
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.loading.open_data import open_data
from delineate.engine.calibrate import open_run, rewrite_card
from delineate.engine.recipe import Recipe
from delineate.engine.training_images import Shown, summarize
from delineate.inference.device import resolve_device
from delineate.inference.encoder_features import EncoderFeatures

__all__ = ["describe_run"]


def describe_run(path: Path, *, device: str = "auto", max_pixels: int = DEFAULT_MAX_PIXELS) -> TrainingImages:
    """Measure the training and validation images of a run, and store the summary in its model.

    Args:
        path: A finished run's folder.
        device: Of the encoder, as for `Predictor`.
        max_pixels: Larger pictures are refused.

    Returns:
        The summary.

    Raises:
        ArtefactError: No run with a model of a dense method.
        DataError: Data that are gone, or have changed; a single training image.
        DelineateError: Another process writes to the folder, or it cannot be written.
    """
    folder, artefact = open_run(
        path,
        "the images are those that it was trained on",
        "which is shown examples of the images at hand; only models that segment by themselves are compared with their training "
        "images",
    )
    with hold_folder(folder.path):
        recipe, spec = Recipe.load(folder.recipe), artefact.spec
        manifest, census = open_data(
            folder.manifest, axis=recipe.data.axis, max_pixels=max_pixels, validation=recipe.engine.select_by != "last"
        )
        if census.large:
            raise DataError(
                f"{path} was trained on windows of large pictures ({some(census.large, 3)}), which are not described"
            )
        pixels = SamplePixels(manifest, census.axis, max_pixels, spec=spec)

        def shown(samples: list[Sample]) -> Shown:
            def working(at: int) -> Pixels:
                return spec.working_pixels(pixels.image(samples[at]), samples[at].spacing)

            return Shown(samples, working)

        training = list(census.samples(manifest.split("train"), manifest.labels))
        if recipe.data.slices != "all":
            training = [one for one in training if one.has_foreground or not one.labeled]
        held_out = list(census.samples(manifest.split("val"), manifest.labels))
        encoder = EncoderFeatures.of(artefact.method, resolve_device(device))
        found = summarize(shown(training), shown(held_out), spec, encoder)
        if found is None:
            raise DataError(
                f"{path} was trained on a single image: there is nothing that others could be compared with"
            )
        provenance = artefact.provenance | {ENTRY: found.model_dump(mode="json")}
        artefact_format.save(folder.model, replace(artefact, provenance=provenance))
        rewrite_card(folder)
    return found

"""What is said of the images of a prediction beside the model's training images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from delineate.artefact.training_images import FEWEST_HELD_OUT
from delineate.data.core.findings import count
from delineate.inference.results import FileResult
from delineate.inference.segmenter import Segmenter
from delineate.inference.series_drift import SeriesDrift, compare_series

__all__ = ["DriftChoice", "drift_notes", "series_of"]

DriftChoice = Literal["auto", "on", "encoder", "off"]


def series_of(model: Segmenter, files: Sequence[FileResult]) -> SeriesDrift | None:
    """How all images together lie to the training images; None where that was not measured.

    Args:
        model: That predicted them.
        files: Of the prediction.

    Returns:
        The result of the test.
    """
    cases = [file.drift for file in files if file.drift is not None]
    if model.training_images is None or not cases:
        return None
    return compare_series(model.training_images, cases, pictures=model.spec.axis is None)


def drift_notes(
    model: Segmenter, files: Sequence[FileResult], series: SeriesDrift | None, choice: DriftChoice
) -> list[str]:
    """Lines about all images: how many lie outside, whether the series does, and what could not be compared.

    Args:
        model: As for `series_of`.
        files: Likewise.
        series: Its result.
        choice: With "on" and "encoder" it is told also where nothing was compared, and where all is well.

    Returns:
        The lines.
    """
    training = model.training_images
    cases = [file.drift for file in files if file.drift is not None]
    lines, asked = [], choice in ("on", "encoder")
    if asked and not cases:
        lines.append(_why_not(model))
    elif choice == "encoder" and not any(one.encoder for one in cases):
        lines.append("the encoder's features are not known of this model or its training images: compared without them")
    if training is not None and (far := sum(one.outside for one in cases)):
        held = f"of images like the {training.held_out_words} at most {100 * training.rate:g} % are"
        lines.append(f"outside of the training images: {far} of {count(len(cases), 'image')}; {held}")
    if series is not None and (asked or series.reason is not None):
        lines.append(series.words)
    return lines


def _why_not(model: Segmenter) -> str:
    training = model.training_images
    if training is None:
        return "the model has no summary of its training images, so nothing is compared with them; `delineate drift RUN` makes one"
    if training.threshold is None:
        held = f"{training.held_out_words}, {FEWEST_HELD_OUT} are needed"
        return f"the model's summary of its training images has no threshold ({held}), so nothing is compared with them"
    return "no image was compared with the training images: pictures that are read by windows are not"

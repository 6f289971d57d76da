"""The page of a list of suggestions: each image with the model's mask, and where the model doubts it.

It names cases alone: files and groups are in the list, since those of DICOM images often tell who the patient is.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.findings import count
from delineate.data.core.samples import Sample
from delineate.inference.contact_sheet import turned
from delineate.inference.overlay import draw, to_display
from delineate.inference.predictor import Predictor
from delineate.report.html.document import notice, page, pictures, section, write_page
from delineate.report.html.elements import Html, element, facts, fold, join, number, table
from delineate.report.html.images import drawn, figure_of
from delineate.studies.suggest.measure import BAND, doubt_map
from delineate.studies.suggest.suggest import Suggested, Suggestion

__all__ = ["write_suggestions_page"]

_SHOWN = 48
"""Images in pictures; a list may be longer."""
_SHORTER, _LONGEST = 240, 320
_BLEND = 0.6
"""Share of the doubt's color over the image."""
_BY = {"doubt": "by doubt", "coverage": "by coverage", "both": "by doubt and coverage", "random": "at random"}


def write_suggestions_page(suggested: Suggested) -> Path:
    """Write the page beside the list and return its path. Predicts the suggested images once more."""
    result = suggested.result
    suggestions = [row for row in result.rows if row.rank is not None]
    document = page(
        f"Label these {count(len(suggestions), 'image')} next" if len(suggestions) > 1 else "Label this image next",
        "suggestions",
        element("p", _lead(suggested), class_="lead"),
        notice(suggested.notes, "What the choice rests on"),
        section("The images", _gallery(suggested, suggestions), lead=_reading(suggested)),
        section("The list", _table(suggestions)),
        section("How it was chosen", _settings(suggested)),
    )
    return write_page(result.page, document)


def _lead(suggested: Suggested) -> str:
    there = len(suggested.found.pool.candidates.manifest.cases)
    title = suggested.found.predictor.method.info.title
    return (
        f"{count(len(suggested.measures), 'image')} of {there} that may be labeled, chosen {_BY[suggested.request.by]} with a "
        f"trained {title}. Whether such a choice is worth more than a random one differs between data sets and models."
    )


def _reading(suggested: Suggested) -> str:
    return (
        "Left: contours of the model’s mask. Right: the entropy of its probabilities, from blue (sure) to yellow (as unsure as can "
        f"be). Of volumes, the slice with most entropy.{_more(suggested)}"
    )


def _more(suggested: Suggested) -> str:
    return f" The first {_SHOWN} of {len(suggested.measures)} are shown." if len(suggested.measures) > _SHOWN else ""


def _gallery(suggested: Suggested, suggestions: list[Suggestion]) -> Html:
    images = suggested.found.pool.candidates
    pixels = SamplePixels(
        images.manifest, images.census.axis, suggested.request.max_pixels, spec=suggested.found.predictor.spec
    )
    figures = []
    for row, measure in zip(suggestions[:_SHOWN], suggested.measures, strict=False):
        left, right = _pictures(suggested.found.predictor, pixels, measure.telling)
        both = np.concatenate([left, np.full((left.shape[0], 6, 3), 255, np.uint8), right], 1)
        said = f"{row.case}: the image with the predicted contours, and its doubt map"
        figures.append(
            figure_of(
                drawn(both, said, longest=2 * _LONGEST),
                element("b", f"{row.rank}. {row.case}"),
                f"doubt {number(row.doubt)}",
            )
        )
    return pictures(figures, wide=True)


def _pictures(
    predictor: Predictor, pixels: SamplePixels, sample: Sample
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """RGB pixels of one size: contours of the mask on the image, and the doubt over it."""
    image, view = pixels.image(sample), pixels.view(sample)
    spacing = sample.spacing or sample.case.pixel_spacing
    height, width = image.shape[:2]
    prepared = predictor.prepare(image, spacing)
    working = predictor.probabilities_of(prepared)
    mask = predictor.to_classes(working, height, width, spacing)
    native = np.moveaxis(predictor.to_native(working, height, width, spacing), -1, 0)
    levels = np.clip(255 * doubt_map(native, predictor.method.output), 0, 255).round().astype(np.uint8)
    if sample.plane is not None:
        view, mask, levels = turned(view), turned(mask), turned(levels)
    contours = draw(view, mask, None, predictor.classes, shorter=_SHORTER)
    heat = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    shown = cv2.addWeighted(heat, _BLEND, to_display(view), 1 - _BLEND, 0)
    size = (contours.shape[1], contours.shape[0])
    return contours, np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _table(suggestions: list[Suggestion]) -> Html:
    head = ["Rank", "Case", "Doubt", "Distance", "Why"]
    rows = [[row.rank, row.case, number(row.doubt), number(row.distance), row.why] for row in suggestions]
    return fold("All suggestions", table(head, rows, numeric_from=len(head)), open_=len(rows) <= _SHOWN)


def _settings(suggested: Suggested) -> Html:
    request = suggested.request
    over = {
        "foreground": f"pixels whose probability of foreground is at least {BAND:g}",
        "mean": "all pixels",
    }[request.doubt]
    space = {
        "encoder": "mean of the encoder’s coarsest feature map",
        "pooled": "input and probability map, each pooled to 4×4",
    }[suggested.found.features]
    return join(
        facts(
            {
                "Chosen by": request.by,
                "Doubt": f"{request.doubt}: mean entropy over {over}, as a share of the largest possible",
                "Features": f"{suggested.found.features}: {space}; Euclidean distance",
                "Labeled images taken for covered": sum(
                    len(one.manifest.cases) for one in suggested.found.pool.covered
                ),
                "At most per patient": request.per_group or "as few as suffice",
                "Seed": request.seed,
            }
        ),
        element("p", f"The same list as a table: {suggested.result.file.name}.", class_="note"),
    )

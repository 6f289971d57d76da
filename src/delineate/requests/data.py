"""What is said of a data set on the command line; Python's users give a `DataSource`."""

from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import MaxPixels

__all__ = ["ConvertOptions", "DataOptions", "FolderOptions", "LabeledOptions", "PoolOptions", "ReadOptions"]

# No `from __future__ import annotations` in requests: `Required` is not recognized in annotations that are text.

_PANEL = "Data"

_GroupBy = Annotated[
    str | None,
    Option(
        help="Which cases belong to one patient: a regular expression on names, a CSV (case,group), or none.",
        metavar="RULE",
        shown="from folders and names",
        panel=_PANEL,
    ),
]


class FolderOptions(TypedDict, total=False):
    """Which folders hold what."""

    images: Annotated[
        str | None,
        Option(
            help="Images, if DATA has several folders of them: a folder inside DATA, a path, or a pattern.",
            metavar="FOLDER",
            panel=_PANEL,
        ),
    ]
    masks: Annotated[
        str | None,
        Option(
            help="Masks, likewise; or annotation files (COCO, YOLO …), or DICOM SEG and RTSTRUCT; or name=FOLDER for each class.",
            metavar="FOLDER",
            panel=_PANEL,
        ),
    ]
    unmarked: Annotated[
        Literal["background", "unlabeled"] | None,
        Option(
            help="For annotation files: whether images without any annotation are background or unlabeled.",
            shown="as the format defines it",
            panel=_PANEL,
        ),
    ]


class PoolOptions(FolderOptions, total=False):
    """The same, and who belongs together: of images whose masks are not read."""

    group_by: _GroupBy


class LabeledOptions(FolderOptions, total=False):
    """The same, and what the masks hold."""

    labels: Annotated[
        str | None,
        Option(
            help="What mask values mean: 0=background,255=lesion, or a labels.yaml.",
            metavar="TABLE",
            shown="read from the masks",
            panel=_PANEL,
        ),
    ]
    codes: Annotated[
        Path | str | None,
        Option(
            help="What the classes are in codes: JSON or YAML, dcmqi's form too. Tells segments of DICOM masks by their codes, and "
            "goes into models.",
            metavar="FILE",
            shown="classes by their labels",
            panel=_PANEL,
        ),
    ]


class DataOptions(LabeledOptions, total=False):
    """The fields of `DataSource` but its path."""

    group_by: _GroupBy
    join: Annotated[
        Literal["near", "exact", "none"],
        Option(
            help="Keep copies of an image in one split: near duplicates and equal images, equal images only, or none.",
            default="near",
            panel=_PANEL,
        ),
    ]


class ConvertOptions(TypedDict, total=False):
    """Of `data convert`."""

    to: Required[
        Annotated[
            Literal["folders", "nnunet", "coco"],
            Option(help="Output format: plain folders, nnU-Net raw data, or COCO JSON."),
        ]
    ]
    out: Required[Annotated[Path | str, Option(help="New folder outside the data.", metavar="FOLDER")]]
    instances: Annotated[
        Literal["object", "class"],
        Option(help="COCO: one annotation for each connected region, or for each class of an image.", default="object"),
    ]
    max_pixels: MaxPixels


class ReadOptions(TypedDict, total=False):
    """How images are read, of verbs that look at data alone."""

    max_pixels: MaxPixels

"""What is said of a data set on the command line; Python's users give a `DataSource`."""

from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import MaxPixels

__all__ = ["ConvertOptions", "DataOptions", "FolderOptions", "LabeledOptions", "ReadOptions"]

# No `from __future__ import annotations` in requests: `Required` is not recognized in annotations that are text.

_PANEL = "Data"


class FolderOptions(TypedDict, total=False):
    """Which folders hold what."""

    images: Annotated[
        str | None,
        Option(
            help="The images, where DATA leaves it open: a folder in it, a path, a pattern.",
            metavar="FOLDER",
            panel=_PANEL,
        ),
    ]
    masks: Annotated[
        str | None,
        Option(
            help="The masks, likewise; or files of outlines; or name=FOLDER for each class.",
            metavar="FOLDER",
            panel=_PANEL,
        ),
    ]
    unmarked: Annotated[
        Literal["background", "unlabeled"] | None,
        Option(
            help="With files of outlines: images on which nothing is marked are all background, or unlabeled.",
            shown="as such files mean it",
            panel=_PANEL,
        ),
    ]


class LabeledOptions(FolderOptions, total=False):
    """The same, and what the masks hold."""

    labels: Annotated[
        str | None,
        Option(
            help="What mask values mean: 0=background,255=lesion, or a labels.yaml.",
            metavar="TABLE",
            shown="from the masks",
            panel=_PANEL,
        ),
    ]


class DataOptions(LabeledOptions, total=False):
    """The fields of `DataSource` but its path."""

    group_by: Annotated[
        str | None,
        Option(
            help="What belongs together: a regular expression on the names, a CSV (case,group), or none.",
            metavar="RULE",
            shown="what folders and names tell",
            panel=_PANEL,
        ),
    ]
    join: Annotated[
        Literal["near", "exact", "none"],
        Option(
            help="Copies of a picture that stay in one split: near ones too, equal ones, or none.",
            default="near",
            panel=_PANEL,
        ),
    ]


class ConvertOptions(TypedDict, total=False):
    """Of `data convert`."""

    to: Required[
        Annotated[
            Literal["folders", "nnunet", "coco"],
            Option(help="The form: plain folders, nnU-Net's raw data, or COCO's JSON."),
        ]
    ]
    out: Required[Annotated[Path | str, Option(help="New folder, outside of the data.", metavar="FOLDER")]]
    instances: Annotated[
        Literal["object", "class"],
        Option(
            help="Of COCO: an annotation for each connected region, or for each class of an image.", default="object"
        ),
    ]
    max_pixels: MaxPixels


class ReadOptions(TypedDict, total=False):
    """How images are read, of verbs that look at data alone."""

    max_pixels: MaxPixels

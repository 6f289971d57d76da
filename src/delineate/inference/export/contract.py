"""What an exported ONNX file promises: names, shapes and number types of its inputs and outputs, and what its metadata say.

docs/exported-files.md explains it for people. Whatever reads such files, with torch or without, takes names from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from delineate.common.errors import ArtefactError
from delineate.common.versions import DISTRIBUTION

__all__ = [
    "FACTS",
    "FORMAT",
    "HEADER",
    "IMAGE",
    "LOGITS",
    "LONGEST_NETWORK_SIDE",
    "LONGEST_SIDE",
    "MASK",
    "MOST_CLASSES",
    "MOST_IMAGES",
    "MOST_SHOTS",
    "PROBABILITIES",
    "SPACING",
    "STATE",
    "SUPPORT_IMAGE",
    "SUPPORT_MASK",
    "SUPPORT_SIZE",
    "ExportFacts",
    "GraphKind",
    "Numbers",
    "Precision",
    "StateTensor",
    "read_facts",
]

FORMAT = 1
"""Of this promise; a reader refuses files of a newer one."""

IMAGE = "image"
"""Input: batch×height×width×channels in the image's own numbers; of a network alone float32 batch×channels×height×width."""
SPACING = "spacing"
"""Input, only where the model sees pixels of one size in mm: float64, 2 numbers: mm from row to row and from column to column."""
PROBABILITIES = "probabilities"
"""Output: float32 batch×outputs×height×width in [0, 1], at the image's own size."""
MASK = "mask"
"""Output: uint8 batch×height×width, class indices at the image's own size."""
LOGITS = "logits"
"""Output of a network alone: float32 batch×outputs×height×width."""

SUPPORT_IMAGE = "support_image"
"""Input of `condition`: shots×height×width×channels in the images' own numbers; smaller images lie at the upper left."""
SUPPORT_MASK = "support_mask"
"""Input of `condition`: uint8 shots×height×width, 1 = the class, 0 = all else, 255 = ignored."""
SUPPORT_SIZE = "support_size"
"""Input of `condition`: int64 shots×2, height and width of each image; what lies beyond them is not read."""
STATE = "state."
"""How the names of what `condition` gives and `forward` takes begin."""

HEADER = "delineate"
"""Key of the metadata: the model's header, the same JSON text as in its `model.safetensors`."""
FACTS = "delineate.export"
"""Key of the metadata: `ExportFacts` as JSON."""

LONGEST_SIDE = 32_768
"""Of images that a whole graph takes, in pixels."""
LONGEST_NETWORK_SIDE = 4096
"""Of images that a network alone takes, where it takes several sizes."""
MOST_IMAGES = 1024
"""In one batch; all are of one size."""
MOST_SHOTS = 256
"""Images that `condition` is shown of a class."""
MOST_CLASSES = 254
"""That `forward` tells apart."""

Numbers = Literal["uint8", "uint16", "float32"]
"""Type of the input `image`."""
GraphKind = Literal["whole", "network", "condition", "forward"]
Precision = Literal["fp32", "fp16", "int8"]
_Length = Annotated[int, Field(ge=1)]


class StateTensor(BaseModel):
    """One tensor of what `condition` gives and `forward` takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of output and input, `state.…`."""
    type: Literal["float32", "bool", "int64"]
    shape: tuple[int | str, ...]
    """Lengths; names where they are free. The first is `classes`: of `condition` it is 1, of `forward` any number."""


class ExportFacts(BaseModel):
    """What the file's metadata say beside the model's own header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    graph: GraphKind = "whole"
    """`whole`: from the image as its file has it to probabilities and mask at its own size. `network`: the network alone. Of
    methods that segment by examples, `condition`: images with masks of a class to a state; `forward`: an image and the states of
    the classes to probabilities and mask."""
    precision: Precision = "fp32"
    """Of the network's weights and arithmetic. What comes before and after it is always in single precision."""
    opset: Annotated[int, Field(ge=1)]
    """Of ONNX."""
    numbers: Numbers
    """Type of `image`. Of pictures: the depth that the model was trained on. Slices of volumes come as `header.input` says."""
    own_values: bool = False
    """Whether the model reads the values of the image's file (intensity rule `window`), which nothing may scale."""
    channels: tuple[str, ...] = Field(min_length=1)
    """What the channels of `image` are, in order: red, green, blue; the names of the model's channels; or "value" (of slices)."""
    source: Literal["pictures", "slices"] = "pictures"
    """`slices`: of volumes, cut across the axis `header.input.axis`, with gray values scaled by their volume."""
    batch: tuple[_Length, _Length]
    """Fewest and most images at once; of `condition` the shots of a class."""
    height: tuple[_Length, _Length]
    """Least and greatest of `image`, in pixels."""
    width: tuple[_Length, _Length]
    multiple: _Length = 1
    """Height and width are multiples of it."""
    spacing: bool = False
    """Whether there is an input `spacing`."""
    tile: tuple[_Length, _Length] | None = None
    """Of models of patches: height and width of the tiles that the graph moves over the image; None: it sees the whole image."""
    overlap: float | None = None
    """Share of a tile's side by which the next one overlaps it, or a little more; they are blended by Gaussian weights."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """By which `mask` was made of `probabilities`; None: classes compete, the most probable wins."""
    state: tuple[StateTensor, ...] = ()
    """Of `condition` and `forward`: what the one gives and the other takes, in order."""
    nodes: Annotated[int, Field(ge=1)]
    """Of the graph, with those of its inner graphs."""
    model_sha256: str
    """Of the `model.safetensors` that the file was made of."""
    versions: dict[str, str]
    """Of what made it: delineate, torch, onnx, onnxscript."""


def read_facts(metadata: Mapping[str, str], path: Path) -> ExportFacts:
    """From a file's metadata (`artefact.onnx_metadata`). Raises `ArtefactError` for a file that is not ours, damaged, or of a newer
    format."""
    if FACTS not in metadata or HEADER not in metadata:
        raise ArtefactError(f"{path} is an ONNX file without Delineate's metadata; make one with `delineate export`")
    try:
        found = json.loads(metadata[FACTS])["format"]
        if isinstance(found, int) and found > FORMAT:
            raise ArtefactError(
                f"{path} has export format {found}, this version reads up to {FORMAT}; update {DISTRIBUTION}"
            )
        return ExportFacts.model_validate_json(metadata[FACTS])
    except (ValidationError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtefactError(f"{path} has damaged metadata ({FACTS}); export it again") from error

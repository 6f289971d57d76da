"""What a client may ask of a segmentation: the query of the address."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["JobQuery", "SegmentQuery", "WriteQuery"]


class SegmentQuery(BaseModel):
    """How to segment, and what to answer with."""

    model_config = ConfigDict(extra="forbid")

    output: Annotated[
        Literal[
            "auto", "png", "tiff", "nifti", "mha", "nrrd", "dicom-seg", "rtstruct", "json", "npz", "raw", "view", "zip"
        ],
        Field(
            description="Format of the answer. auto: PNG (TIFF of TIFF) of pictures, the volume's own format on its own grid, a "
            "segmentation of DICOM. json: facts, and of a picture its mask in COCO's run lengths. npz: the mask as class indices, "
            "and maps if asked for. raw: probabilities float32, little-endian, planes × height × width as X-Shape says; of "
            "pictures. view: a zip of arrays of 8 bits for viewers, of any format. zip: all files, with facts in result.json.",
        ),
    ] = "auto"
    probabilities: Annotated[
        bool,
        Field(description="Also maps of the probabilities (65535 is 1); the answer is a zip then, if not json or npz."),
    ] = False
    uncertainty: Annotated[
        bool, Field(description="Also a map of the entropy (65535: all equally probable), and how sure the model is.")
    ] = False
    threshold: Annotated[
        float | None,
        Field(ge=0, le=1, description="Probability from which on a pixel is foreground; else the model's own."),
    ] = None
    tta: Annotated[
        Literal["none", "flips", "flips+rotations"] | None,
        Field(description="Test-time augmentation: 4 or 8 passes, averaged; else the model's own, mostly none."),
    ] = None
    axis: Annotated[
        Literal["axial", "coronal", "sagittal", "auto", "all"] | None,
        Field(description="Of volumes, across which slices are taken; else as in training."),
    ] = None
    spacing: Annotated[
        str | None,
        Field(
            pattern=r"^\s*[0-9]+(\.[0-9]+)?\s*(,\s*[0-9]+(\.[0-9]+)?\s*)?$",
            max_length=40,
            description="Of a picture's pixels in mm, row,column or one number, where the model needs it.",
        ),
    ] = None

    @field_validator("spacing")
    @classmethod
    def _is_a_distance(cls, given: str | None) -> str | None:
        if given is not None and not all(float(number) > 0 for number in given.split(",")):
            raise ValueError("give numbers above 0, in mm")
        return given

    @property
    def pixel_spacing(self) -> tuple[float, float] | None:
        """In mm, from row to row and from column to column."""
        if self.spacing is None:
            return None
        numbers = [float(number) for number in self.spacing.split(",")]
        return numbers[0], numbers[-1]


class JobQuery(SegmentQuery):
    """The same of a job."""

    model: Annotated[str, Field(description="Name of a model of this server.")]


class WriteQuery(BaseModel):
    """How to write a mask."""

    model_config = ConfigDict(extra="forbid")

    output: Annotated[
        Literal["auto", "png", "tiff", "nifti", "mha", "nrrd", "dicom-seg", "rtstruct"],
        Field(description="Format of the file, as in a segmentation."),
    ] = "auto"

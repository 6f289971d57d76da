"""Options of `predict`, and of `fewshot predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import Arithmetic, BatchSize, Compute, MaxPixels, Part, UntrainedSettings

__all__ = ["ExportedPredictOptions", "FewshotPredictOptions", "MaskOptions", "PredictOptions", "WrittenOptions"]

_Names = Annotated[
    Literal["numbered", "keep"],
    Option(
        help="Masks of DICOM images: numbered (case_0001), since names of files and folders often tell who the patient is, or "
        "named as those.",
        default="numbered",
    ),
]
_Calibrated = Annotated[
    bool,
    Option(
        help="Refuse a model that `calibrate` has not seen: its probabilities may not mean what they say. Temperatures of a model "
        "are used in any case.",
        default=False,
    ),
]
_Postprocess = Annotated[
    bool,
    Option(
        help="Post-process masks as the model says (`calibrate` chooses it); probability maps stay as they are.",
        python="Post-process masks as the model says (`calibrate` chooses it). Probability maps stay as they are.",
        default=True,
        flag="--postprocess/--no-postprocess",
    ),
]


class WrittenOptions(TypedDict, total=False):
    """How masks are written."""

    out: Required[Annotated[Path | str, Option(help="Output folder for the masks.")]]
    overlay: Annotated[
        bool,
        Option(
            help="Also write the images with contours to overlays/ (for a volume, a few slices); with --split, also the "
            "reference contours (dashed).",
            python="Also write the images with contours to overlays/ (for a volume, a few slices); with `split`, also the "
            "reference contours (dashed).",
            default=False,
        ),
    ]
    probabilities: Annotated[
        bool, Option(help="Also write 16-bit probability maps (65535 = 1) to probabilities/.", default=False)
    ]
    uncertainty: Annotated[
        bool,
        Option(
            help="Also write 16-bit maps of the entropy of the probabilities (65535 = all equally probable) to uncertainty/, and "
            "how sure the model is of each mask to summary.csv.",
            default=False,
        ),
    ]
    review: Annotated[
        Path | str | None,
        Option(
            help="Also write this CSV file: the images in the order in which a person should look at their masks, the least sure "
            "first, with the reason.",
            metavar="FILE",
        ),
    ]
    overwrite: Annotated[
        bool,
        Option(
            help="Replace earlier predictions in --out.",
            python="Replace earlier predictions in `out`.",
            default=False,
        ),
    ]
    max_pixels: MaxPixels
    format: Annotated[
        Literal["auto", "png", "tiff", "nifti", "mha", "nrrd", "dicom-seg", "rtstruct", "geojson", "ome-zarr"],
        Option(
            help="Format of masks and probability maps. auto: TIFF for TIFF, PNG for other pictures; a volume's own format, on its "
            "own grid; a segmentation (dicom-seg) for DICOM. geojson: as auto, and outlines for QuPath beside the masks; "
            "ome-zarr: as auto, and OME-Zarr labels beside them.",
            default="auto",
        ),
    ]
    seg_type: Annotated[
        Literal["binary", "labelmap"],
        Option(
            help="Of DICOM segmentations: binary, which all viewers read, or labelmap, far smaller, which few read yet.",
            default="binary",
        ),
    ]
    codes: Annotated[
        Path | str | None,
        Option(
            help="For DICOM results: a JSON or YAML file that says in codes what each class is; dcmqi's JSON is read, too.",
            metavar="FILE",
            shown="those of the model's training, else SNOMED CT by the classes' names",
        ),
    ]
    check: Annotated[
        bool,
        Option(
            help="Read each mask again by another library and compare it voxel by voxel; one that differs has failed.",
            default=False,
        ),
    ]
    axis: Annotated[
        str | int | None,
        Option(
            help="Volumes: the slices to take: axial (2, feet to head), coronal (1, back to front), sagittal (0, right to left), "
            "auto, or all: the average over all three axes, of a model trained so.",
            metavar="AXIS",
            shown="that of training, else the axis with the largest spacing",
        ),
    ]


class MaskOptions(WrittenOptions, total=False):
    """How masks are made and written, whatever makes them."""

    device: Compute
    precision: Arithmetic
    batch_size: BatchSize


class PredictOptions(MaskOptions, total=False):
    """Of `predict`."""

    ensemble: Annotated[
        Sequence[Path | str],
        Option(
            help="Another model (or a folder of runs) that predicts together with MODEL: probabilities are averaged; repeatable.",
            python="Further models, or folders of runs, that predict together with the first: probabilities are averaged.",
            default=(),
            metavar="MODEL",
        ),
    ]
    tta: Annotated[
        Literal["none", "flips", "flips+rotations"],
        Option(
            help="Test-time augmentation: average over the image and its mirrored forms (4 passes), or also those turned by a "
            "quarter (8 passes).",
            default="none",
        ),
    ]
    split: Annotated[
        Part | None,
        Option(
            help="INPUT is a dataset, a table or a manifest.json; predict this split of it. If the data define no splits, those "
            "of the training run are used.",
            python="The inputs are datasets, tables or manifests; predict this split of them. If the data define no splits, those "
            "of the training run are used.",
            shown=False,
        ),
    ]
    names: _Names
    postprocess: _Postprocess
    calibrated: _Calibrated
    drift: Annotated[
        Literal["auto", "on", "encoder", "off"],
        Option(
            help="Say which images, and whether all of them together, lie outside of the model's training images: auto, if the "
            "model knows these; on, and say also where it does not, or where all is well; encoder, with the "
            "features of its encoder too, which tell other contents, for one more pass through it; off.",
            default="auto",
        ),
    ]
    tile: Annotated[
        int | None,
        Option(
            help="Models trained on patches: side of the tiles of the sliding window, in pixels.",
            least=1,
            most=16384,
            shown="the size of the training patches",
        ),
    ]
    overlap: Annotated[
        float | None,
        Option(
            help="Models trained on patches: share of a tile's side by which tiles overlap, 0 to 0.9.",
            least=0,
            most=0.9,
            shown="0.5",
        ),
    ]
    mpp: Annotated[
        float | None,
        Option(
            help="Micrometers per pixel at which pictures are seen and masks written; of a pyramid, the level that is fine enough "
            "is read. For files that tell how large their pixels are, and models trained on patches.",
            shown="as they are, or as the model says",
        ),
    ]
    background: Annotated[
        Literal["auto", "skip", "keep"],
        Option(
            help="Tiles of empty glass: skip them, of slides alone (auto), or keep them.",
            default="auto",
        ),
    ]


class ExportedPredictOptions(WrittenOptions, total=False):
    """Of `predict` in the runtime for exported models."""

    overlay: Annotated[
        bool,
        Option(
            help="Also write the images with contours to overlays/ (for a volume, a few slices).",
            default=False,
        ),
    ]
    names: _Names
    postprocess: _Postprocess
    calibrated: _Calibrated
    drift: Annotated[
        Literal["auto", "on", "off"],
        Option(
            help="Say which images, and whether all of them together, lie outside of the model's training images: auto, if the "
            "model knows these; on, and say also where it does not, or where all is well; off.",
            default="auto",
        ),
    ]
    threshold: Annotated[
        float | None,
        Option(
            help="The probability from which a pixel is foreground (or in a region).",
            least=0,
            most=1,
            shown="the model's own",
        ),
    ]
    threads: Annotated[int | None, Option(help="Threads of the network.", least=1, shown="one for each core")]


class FewshotPredictOptions(MaskOptions, total=False):
    """Of `fewshot predict`: the examples that are files, and the recipe of a method that was not trained."""

    overlay: Annotated[
        bool,
        Option(
            help="Also write the images with contours to overlays/ (for a volume, a few slices).",
            default=False,
        ),
    ]
    support_images: Annotated[
        Sequence[Path | str],
        Option(
            help="Support image; repeat for more shots.",
            python="Support images.",
            default=(),
            flag="--support-image",
            metavar="IMG",
        ),
    ]
    support_masks: Annotated[
        Sequence[Path | str],
        Option(
            help="Mask of a support image; as many as images, in the same order.",
            python="Masks of the support images, in the same order.",
            default=(),
            flag="--support-mask",
            metavar="MASK",
        ),
    ]
    labels: Annotated[
        str | None,
        Option(
            help="What mask values mean: 0=background,255=lesion, or a labels.yaml.",
            metavar="TABLE",
            shown="read from the masks",
        ),
    ]
    settings: UntrainedSettings

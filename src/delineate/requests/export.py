"""Options of `export`."""

from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import Overwrite

__all__ = ["ExportOptions"]


class ExportOptions(TypedDict, total=False):
    """Of `export`."""

    format: Annotated[
        Literal["onnx", "html", "hub", "container"],
        Option(
            help="onnx: one file with preprocessing, network and the way back to the image's own size; html: a page that runs "
            "such a file in the browser and sends nothing anywhere; hub: a folder of model, "
            "card and configuration, with such a file in onnx/; container: a folder that Docker builds a Grand-Challenge "
            "algorithm from.",
            default="onnx",
        ),
    ]
    out: Required[
        Annotated[
            Path | str,
            Option(
                help="The file to write, NAME.onnx, with NAME.parity.json beside it, or NAME.html. Of a few-shot model two are "
                "written: NAME.condition.onnx and NAME.forward.onnx. Of hub and container: a new folder."
            ),
        ]
    ]
    graph: Annotated[
        Literal["whole", "network"],
        Option(
            help="whole: from the image as its file has it to probabilities and mask at its own size; network: the network alone, "
            "from channels in [0, 1] to logits.",
            default="whole",
        ),
    ]
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        Option(
            help="Of the network's weights and arithmetic: fp16 for GPUs and browsers, int8 for CPUs; int8 needs --calibration.",
            python="Of the network's weights and arithmetic: fp16 for GPUs and browsers, int8 for CPUs. int8 needs `calibration`.",
            default="fp32",
        ),
    ]
    data: Annotated[
        Path | str | None,
        Option(
            help="Images to compare the file with predict on: a dataset, of which the validation cases are taken.",
            metavar="DATA",
            shown="the validation cases of the model's run, else noise",
        ),
    ]
    opset: Annotated[
        int,
        Option(
            help="Version of ONNX's operators, 18 to 23: older ones for older runtimes.",
            default=20,
        ),
    ]
    cases: Annotated[
        int,
        Option(
            help="Images to compare the file with predict on.",
            default=8,
            least=1,
        ),
    ]
    calibration: Annotated[
        Path | str | None,
        Option(
            help="For int8: a dataset with masks. Its training images give the ranges of 8 bits, its validation images the loss.",
            metavar="DATA",
            shown=False,
        ),
    ]
    calibration_method: Annotated[
        Literal["minmax", "entropy", "percentile"],
        Option(
            help="For int8: how far ranges reach. minmax: all values of the calibration images; percentile: all but the outermost "
            "0.001 %; entropy: what loses least information. The last two take minutes and memory.",
            default="minmax",
        ),
    ]
    force: Annotated[
        bool,
        Option(help="Keep a file of int8 that loses more than 0.01 of Dice on the validation images.", default=False),
    ]
    license: Annotated[
        str | None,
        Option(
            help="html, hub, container: the license of the model's weights, for the card: a hub's name, as apache-2.0, or words.",
            metavar="TERMS",
            shown="not stated",
        ),
    ]
    overwrite: Overwrite

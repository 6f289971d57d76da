"""Options of `weights add`."""

from collections.abc import Sequence
from typing import Annotated, Required, TypedDict

from delineate.requests.option import Option

__all__ = ["AddWeightsOptions"]

# No `from __future__ import annotations` in requests: `Required` is not recognized in annotations that are text.


class AddWeightsOptions(TypedDict, total=False):
    """Of `weights add`."""

    encoder: Required[
        Annotated[
            str,
            Option(help="timm's name of the network, with its tag where the weights are timm's (resnet50.a1_in1k)."),
        ]
    ]
    license: Required[
        Annotated[str, Option(help="Under which terms the weights may be used: a name, such as apache-2.0, or words.")]
    ]
    name: Annotated[
        str | None, Option(help="What the weights are called in the store.", shown="the file's name without its ending")
    ]
    mean: Annotated[
        str | Sequence[float] | None,
        Option(
            help="Mean of each channel (RGB) of images in [0, 1], as the weights expect it: 0.485,0.456,0.406.",
            metavar="R,G,B",
            shown="as a config.json beside the file says, else what is usual for such weights",
        ),
    ]
    std: Annotated[
        str | Sequence[float] | None, Option(help="Standard deviation, likewise.", metavar="R,G,B", shown="likewise")
    ]

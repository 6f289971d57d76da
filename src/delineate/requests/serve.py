"""Options of `serve`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import Arithmetic, BatchSize, Compute

__all__ = ["ServeOptions"]


class ServeOptions(TypedDict, total=False):
    """Of `serve`."""

    host: Annotated[
        str,
        Option(
            help="Address to listen at. Others than this machine's own need --keys or --insecure.",
            python="Address to listen at. Others than this machine's own need `keys` or `insecure`.",
            default="127.0.0.1",
        ),
    ]
    port: Annotated[int, Option(help="Port to listen at; 0: a free one.", default=8000, least=0, most=65535)]
    keys: Annotated[
        Path | str | None,
        Option(
            help="File with the keys of those who may use the server, made by `delineate serve-keys`.", metavar="FILE"
        ),
    ]
    insecure: Annotated[
        bool, Option(help="Let others than this machine in without keys.", default=False, flag="--insecure")
    ]
    allow_host: Annotated[
        Sequence[str],
        Option(
            help="A name that the server may be called by, in addresses; repeatable. This machine's own names are known.",
            python="Names that the server may be called by, in addresses. This machine's own names are known.",
            default=(),
            metavar="NAME",
        ),
    ]
    device: Compute
    precision: Arithmetic
    batch_size: BatchSize
    queue: Annotated[
        int,
        Option(
            help="Requests of a model that are accepted and not answered; further ones get 429.", default=64, least=1
        ),
    ]
    memory: Annotated[
        str | int,
        Option(
            help="Memory for the images of a model's requests; what is beyond gets 429.", default="2GiB", metavar="SIZE"
        ),
    ]
    max_body: Annotated[str | int, Option(help="Largest body of a request.", default="512MiB", metavar="SIZE")]
    max_pixels: Annotated[
        int,
        Option(
            help="Refuse images, or slices, with more megapixels than this.",
            python="Refuse images, or slices, with more pixels than this.",
            default=100_000_000,
            flag="--max-megapixels",
            least=0.0001,
            factor=1e6,
        ),
    ]
    max_slices: Annotated[
        int, Option(help="Refuse volumes with more slices, and archives with more files.", default=4096, least=1)
    ]
    timeout: Annotated[
        str | float,
        Option(help="Time within which a request is answered; jobs have no limit.", default="60s", metavar="TIME"),
    ]
    keep: Annotated[
        str | float,
        Option(
            help="How long results of jobs, and examples that nobody uses, are kept.", default="15m", metavar="TIME"
        ),
    ]
    grace: Annotated[
        str | float,
        Option(help="Time for what was accepted when the server is asked to stop.", default="60s", metavar="TIME"),
    ]
    workers: Annotated[int, Option(help="Threads that decode and encode.", default=4, least=1)]
    collect: Annotated[
        Path | str | None,
        Option(
            help="Keep corrections that are sent, in this folder, as data sets to train on.",
            metavar="DIR",
            shown="nothing is kept",
        ),
    ]
    samples: Annotated[
        Path | str | None,
        Option(
            help="Folder with images that the page offers to try the models on; everyone who may use the server sees them.",
            metavar="DIR",
            shown="none",
        ),
    ]
    pacs: Annotated[
        str | None,
        Option(
            help="Root of a DICOMweb service, such as http://127.0.0.1:8042/dicom-web: series are fetched from it, and their "
            "segmentations stored.",
            metavar="URL",
            shown="none",
        ),
    ]
    scratch: Annotated[
        Path | str | None,
        Option(
            help="Folder for uploads while they are worked on.",
            metavar="DIR",
            shown="in memory (/dev/shm), where there is such a file system",
        ),
    ]

"""A folder that Docker builds a Grand-Challenge algorithm from: this version's code, the model, pinned packages, an entry point.

The code is copied, so that the image runs the very version that made the folder, and needs no index to have it. Building it needs
Docker and the network; nothing here does.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from delineate.artefact.header import MODEL_FILE, locate
from delineate.common.errors import ArtefactError, DelineateError
from delineate.common.files import new_folder, write_json, write_text
from delineate.inference.export.grand_challenge import SOCKETS
from delineate.inference.model_card import model_card
from delineate.inference.model_info import ModelInfo, read_info

__all__ = ["ContainerResult", "check_folder", "export_container"]

_PACKAGE = Path(__file__).parents[2]
"""The folder of this package's code."""
_LEFT_OUT = {"lightning", "rich", "typer"}
"""Packages that training and the command line need, and one case does not."""
_FURTHER = ("SimpleITK", "tifffile", "imagecodecs")
"""What reads .mha and .tif."""
_DOCKERFILE = """\
FROM python:{python}-slim
RUN groupadd --system user && useradd --system --no-log-init --create-home --gid user user
WORKDIR /opt/app
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt
COPY delineate delineate
COPY model model
COPY {sockets} .
ENV PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER user
ENTRYPOINT ["python", "-m", "delineate.inference.export.grand_challenge", "--model", "/opt/app/model"]
"""
_README = """

## Container

For the Grand-Challenge platform: one case per job, the image in `/input/images/SLUG/`, the mask (class indices, on the image's own
grid) in `/output/images/SLUG/`.

`{sockets}` says which socket is read (`null`: the only image) and which is written. Set both to the slugs of your algorithm.

```bash
docker build --tag {tag} .
docker run --rm --network none --read-only --tmpfs /tmp \\
    --volume "$PWD/test/input":/input:ro --volume "$PWD/test/output":/output {tag}
docker save {tag} | gzip > {tag}.tar.gz
```

A `model.safetensors` in `/opt/ml/model` is used instead of the one in the image.
"""


@dataclass(frozen=True)
class ContainerResult:
    """A folder that a container is built from."""

    folder: Path
    files: tuple[str, ...]
    """What lies in it, at the top."""

    @property
    def lines(self) -> list[str]:
        """For people."""
        return [f"{self.folder}: {', '.join(self.files)}", f"build it there: docker build --tag {_tag(self.folder)} ."]


def export_container(model: Path, out: Path, *, license: str | None = None) -> ContainerResult:
    """Write the folder `out`, which must be absent or empty.

    Raises `DelineateError` for a few-shot model, one of several named channels, and a folder that holds something already.
    Nothing is then written.
    """
    check_folder(out)
    info = read_info(model)
    _check_model(info)
    with new_folder(out) as folder:
        (folder / "model").mkdir()
        shutil.copyfile(locate(model), folder / "model" / MODEL_FILE)
        shutil.copytree(_PACKAGE, folder / "delineate", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        write_text(folder / "requirements.txt", "".join(f"{line}\n" for line in _requirements()))
        write_json(folder / SOCKETS, {"input": None, "output": "segmentation"})
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        write_text(folder / "Dockerfile", _DOCKERFILE.format(python=python, sockets=SOCKETS))
        write_text(folder / ".dockerignore", "test\nREADME.md\n")
        about = _README.format(sockets=SOCKETS, tag=_tag(out))
        write_text(folder / "README.md", model_card(info, license=license).rstrip() + about)
    return ContainerResult(out, tuple(sorted(path.name for path in out.iterdir())))


def check_folder(out: Path) -> None:
    """Raise `DelineateError` for a target that is no new or empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DelineateError(f"--out {out} is there already; give the name of a new folder")


def _check_model(info: ModelInfo) -> None:
    if not info.header.complete:
        raise ArtefactError(
            "this is only a part of a model (an early stage), which cannot predict; finish its training"
        )
    if info.fewshot:
        raise ArtefactError(
            f"'{info.method}' is a few-shot model, which needs annotated examples; a job of the platform has none"
        )
    if info.header.input.named:
        raise ArtefactError(
            f"the model takes the channels {info.header.input.kind} from files of their own, and a container reads one image"
        )


def _requirements() -> list[str]:
    """Packages as they are installed here; of builds for one device (2.10.0+cpu), the plain version."""
    try:
        wanted = [
            re.split(r"[\s<>=!~;\[(]", line)[0] for line in requires("delineate-seg") or () if "extra ==" not in line
        ]
    except PackageNotFoundError as error:
        raise DelineateError(
            "a container needs the list of packages of delineate-seg, which is not installed"
        ) from error
    names = [name for name in wanted if name not in _LEFT_OUT]
    found = []
    for name in [*names, *_FURTHER]:
        try:
            found.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            if name in names or name == "SimpleITK":
                found.append(name)
    return found


def _tag(folder: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "segmentation"

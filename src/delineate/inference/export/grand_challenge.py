"""One case of a Grand-Challenge algorithm: what a container runs that `delineate export --format container` has made.

    /input/inputs.json                        sockets of this case; not in older jobs
    /input/images/SLUG/UUID.mha | .tif        the image
    /output/images/SLUG/UUID.mha | .tif       the mask, class indices on the image's own grid

A job has one case, no network, a user without rights, and may write to /tmp and /output alone. The model is in /opt/ml/model
where one was uploaded there, else in the image. Contract: grand-challenge.org, documentation of algorithms, 2025.

    python -m delineate.inference.export.grand_challenge --input /input --output /output --model model/
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delineate.artefact.header import MODEL_FILE
from delineate.common.errors import DataError, DelineateError
from delineate.common.files import atomic_path, read_json
from delineate.common.terminal import make_printable, one_line
from delineate.data.core.findings import some

__all__ = ["INPUTS", "SOCKETS", "UPLOADED", "main", "run_case"]

INPUTS = "inputs.json"
SOCKETS = "sockets.json"
"""Beside the model's folder: which socket is read, and which is written."""
UPLOADED = Path("/opt/ml/model")
"""Where a model lies that was uploaded apart from the container."""
_SUFFIXES = (".mha", ".tif", ".tiff", ".nii.gz", ".nii", ".png", ".jpg", ".jpeg")


def run_case(
    source: Path, target: Path, model: Path, sockets: dict[str, Any] | None = None, device: str = "auto"
) -> Path:
    """Segment the one image below `source` and write its mask below `target`.

    Args:
        source: Folder of the job's inputs.
        target: Folder of its outputs.
        model: A model file or a folder with one.
        sockets: `input`: slug of the image, None: the only one; `output`: slug of the mask.
        device: As for `predict`.

    Returns:
        The mask's file.

    Raises:
        DelineateError: There is not exactly one image, the model cannot be used, or the image cannot be segmented. Nothing is
            then below `target`.
    """
    from delineate.data.formats.registry import file_stem, image_suffix, read_mask, reads_volume, write_mask
    from delineate.inference.files import predict_files
    from delineate.inference.predictor import load

    sockets = sockets or {}
    image = _image(source, sockets.get("input"))
    predictor = load(model, device)
    volume = reads_volume(image)
    stack = volume and bool(image_suffix(image))
    with tempfile.TemporaryDirectory() as scratch:
        kind: Any = "tiff" if stack or not volume else "mha"
        result = predict_files(predictor, [image], scratch, format=kind)
        for line in [*result.notes, *(file.remark for file in result.files if file.remark)]:
            print(f"note: {one_line(line)}", file=sys.stderr)
        if result.failures:
            raise DataError(result.failures[0].error or f"{image} cannot be segmented")
        written = result.files[0].written
        assert written is not None  # it did not fail
        mask = Path(scratch) / written.mask
        place = target / "images" / str(sockets.get("output") or "segmentation") / f"{file_stem(image)}{mask.suffix}"
        with atomic_path(place) as temporary:
            if volume or len(predictor.classes.names) > 2:
                temporary.write_bytes(mask.read_bytes())
            else:  # a picture's mask is 0 and 255, and the platform counts class indices
                write_mask(temporary, (read_mask(mask) > 0).astype("uint8"))
    return place


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one case as the command line says; one line and 2 for what is wrong."""
    parser = argparse.ArgumentParser(description="Segment one case of a Grand-Challenge job.")
    parser.add_argument("--input", type=Path, default=Path("/input"))
    parser.add_argument("--output", type=Path, default=Path("/output"))
    parser.add_argument("--model", type=Path, required=True, help="folder of the model; sockets.json may lie beside it")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args(arguments)
    make_printable()
    try:
        model = UPLOADED if (UPLOADED / MODEL_FILE).is_file() else given.model
        print(run_case(given.input, given.output, model, _sockets(given.model.parent / SOCKETS), given.device))
    except DelineateError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return 0


def _image(source: Path, slug: str | None) -> Path:
    """The job's one image."""
    folders = _folders(source)
    if slug is not None:
        if slug not in folders:
            raise DataError(f"{source} has no image of the socket '{slug}'; it has {some(list(folders)) or 'none'}")
        folders = {slug: folders[slug]}
    if len(folders) != 1:
        cure = f"say in {SOCKETS} which is read" if folders else "an image lies in images/SLUG/"
        raise DataError(f"{source} has {len(folders)} image sockets ({some(list(folders)) or 'none'}), not one; {cure}")
    ((name, folder),) = folders.items()
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    images = [path for path in files if path.name.lower().endswith(_SUFFIXES) and not path.name.startswith(".")]
    if len(images) != 1:
        raise DataError(f"the socket '{name}' has {len(images)} images in {folder}, and a job has one (.mha or .tif)")
    return images[0]


def _folders(source: Path) -> dict[str, Path]:
    """Slug → folder of each image socket: as `inputs.json` lists them, else the folders in `images/`."""
    listed = source / INPUTS
    if not listed.is_file():
        images = source / "images"
        return {path.name: path for path in sorted(images.iterdir()) if path.is_dir()} if images.is_dir() else {}
    found = {}
    content = _json(listed)
    if not isinstance(content, list):
        raise DataError(f"{listed} is no list of sockets")
    for entry in content:
        socket = (entry.get("socket") or entry.get("interface")) if isinstance(entry, dict) else None
        if not isinstance(socket, dict) or not isinstance(socket.get("slug"), str):
            raise DataError(f"{listed} has an entry without a socket and its slug")
        place = str(socket.get("relative_path", ""))
        if place.startswith("images/"):
            if ".." in Path(place).parts:
                raise DataError(f"{listed}: the place of '{socket['slug']}' lies outside of the inputs")
            found[socket["slug"]] = source / place
    return found


def _sockets(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = _json(path)
    known = isinstance(content, dict) and content.keys() <= {"input", "output"}
    if not known or any(not (value is None or _is_slug(value)) for value in content.values()):
        raise DataError(f'{path} is not {{"input": SLUG or null, "output": SLUG}}')
    return dict(content)


def _is_slug(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and all(letter.isalnum() or letter in "-_" for letter in value)


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from error


if __name__ == "__main__":
    raise SystemExit(main())

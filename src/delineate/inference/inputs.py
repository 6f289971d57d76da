"""What to predict: files, folders, glob patterns or a split of a data set → images, each with the name of its outputs."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.case import Split
from delineate.data.findings import some
from delineate.data.images import IMAGE_SUFFIXES
from delineate.data.planes import Address, picture_name
from delineate.data.source import DataSource, as_source
from delineate.data.tree import image_files


@dataclass(frozen=True)
class Task:
    """One image to predict. `name`: of its outputs, relative to the output folder, without suffix, in POSIX form."""

    image: Path
    name: str


def expand(inputs: Iterable[Path | str]) -> list[Path]:
    """Image files in the order of the inputs, each once: a file as it is, a folder's images (not those of its sub-folders), a
    glob pattern's images (`**` for sub-folders).

    Raises `DataError` for an input that does not exist or gives no image.
    """
    found = [path for given in inputs for path in _expand(str(given))]
    if not found:
        raise DataError("nothing to predict: give files, folders or patterns")
    return list({os.path.realpath(path): path for path in reversed(found)}.values())[::-1]


def of_split(data: Path | DataSource, split: Split) -> list[Path]:
    """The images of one split of a data set's folder, or of a run's manifest.json (which also knows splits that were drawn).

    Raises `DataError` when there are none.
    """
    source = as_source(data)
    manifest = source.manifest()
    images = [manifest.path(case.images[0]) for case in manifest.split(split)]
    if not images:
        known = sorted({case.split for case in manifest.cases if case.split})
        said = f"its splits are: {', '.join(known)}" if known else "it names none; give the manifest.json of a run"
        raise DataError(f"{source.path} has no images in split '{split}'; {said}")
    return images


def folders_of(data: Iterable[DataSource]) -> set[Path]:
    """The folders that the images and masks of data sets lie in."""
    manifests = [source.manifest() for source in data]
    return {
        manifest.path(file).parent
        for manifest in manifests
        for case in manifest.cases
        for file in case.images + case.masks
    }


def name_outputs(images: Sequence[Path]) -> list[Task]:
    """Stems as names where all differ; else the path from the images' common folder. Raises `DataError` when those clash too."""
    stems = Counter(map(picture_name, images))
    if max(stems.values()) == 1:
        return [Task(image, picture_name(image)) for image in images]
    absolute = [Path(os.path.abspath(image)) for image in images]  # noqa: PTH100 - links stay what they are called
    common = Path(os.path.commonpath([path.parent for path in absolute]))
    tasks = [
        Task(image, path.relative_to(common).with_name(picture_name(image)).as_posix())
        for image, path in zip(images, absolute, strict=True)
    ]
    counts = Counter(task.name for task in tasks)
    for name, count in counts.items():
        if count > 1:
            same = [str(task.image) for task in tasks if task.name == name]
            raise DataError(
                f"{' and '.join(same)} would both be predicted as {name}.png; predict them into different folders"
            )
    return tasks


def _expand(given: str) -> list[Path]:
    path = Path(given)
    if path.is_dir():
        return _of_folder(path)
    if path.exists() or Address.parse(path) is not None:
        return [path]
    if glob.has_magic(given):
        matches = [Path(match) for match in sorted(glob.glob(given, recursive=True))]  # noqa: PTH207 - absolute patterns
        images = [match for match in matches if match.is_file() and match.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            what = f", only {some([match.name for match in matches], 3)}" if matches else ""
            raise DataError(f"pattern '{given}' matches no images{what}; check the folder and the suffix")
        return images
    raise DataError(f"input {given} does not exist; give image files, folders or patterns like 'scans/*.png'")


def _of_folder(folder: Path) -> list[Path]:
    images = image_files(folder)
    if images:
        return images
    inner = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and image_files(path)]
    if inner:
        raise DataError(
            f"folder {folder} itself holds no images, its sub-folders do ({some(inner, 3)}); give one of these, or the pattern "
            f"'{folder}/**/*'"
        )
    seen = sorted(path.name for path in folder.iterdir())
    raise DataError(f"folder {folder} holds no images ({f'found {some(seen, 3)}' if seen else 'it is empty'})")

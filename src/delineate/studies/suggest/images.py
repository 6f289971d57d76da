"""The images of a data set, or of a folder of images alone, listed and read once. No mask is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.file_names import usable_names
from delineate.data.cases.census import Census, examine
from delineate.data.cases.volumes import is_volume
from delineate.data.core.findings import count, raise_errors, some
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.opencv_threads import single_threaded_opencv
from delineate.data.layouts.groups import with_groups
from delineate.data.layouts.source import DataSource
from delineate.data.splits.label_share import bared
from delineate.data.splits.near_duplicates import PictureHash, picture_hash
from delineate.inference.channel_inputs import check_channels, find_channel_inputs
from delineate.inference.inputs import Input, Inputs, find_inputs

__all__ = ["ImageSet", "in_model_order", "list_images", "read_images"]

_LAYOUT = "images"
"""Of a folder of images alone."""


@dataclass(frozen=True)
class ImageSet:
    """Images that were read once, without masks."""

    manifest: Manifest
    """With digests of the pixels."""
    census: Census
    hashes: Mapping[str, PictureHash]
    """Of pictures; volumes and pictures without structure have none."""

    def of(self, ids: Collection[str]) -> ImageSet:
        """Some of them."""
        cases = tuple(case for case in self.manifest.cases if case.id in ids)
        hashes = {name: one for name, one in self.hashes.items() if name in ids}
        return ImageSet(self.manifest.model_copy(update={"cases": cases}), self.census.of(cases), hashes)


def list_images(source: DataSource, spec: InputSpec) -> tuple[Manifest, list[str]]:
    """The images of a data set, or of a folder without masks; and what its owner should know. Nothing is decoded.

    Raises `DataError`: there are none; their channels are not those of the model.
    """
    notes: list[str] = []
    try:
        manifest = source.manifest()
    except DataError as why:
        found = _images_alone(source, spec)
        if found is None:
            if source.path.is_dir() and not any(path.is_file() for path in source.path.rglob("*")):
                raise DataError(f"the pool {source.path} has no images; give a folder that has some") from why
            raise why
        manifest = source.grouped(_as_manifest(source.path, found))
        notes = list(found.notes)
    manifest.check_root(source.path)
    return in_model_order(manifest, spec, source.path), notes


def in_model_order(manifest: Manifest, spec: InputSpec, path: Path) -> Manifest:
    """The manifest with the channels in the model's order. Raises `DataError` for other channels. `path`: for messages."""
    wanted = spec.channels
    if not manifest.channels:
        if isinstance(wanted, str):
            return manifest
        raise DataError(
            f"{path}: the model takes the channels {', '.join(wanted)}, each from a file of its own, and these images have one file"
        )
    first = manifest.cases[0]
    files = tuple(zip(manifest.channels, (manifest.path(file) for file in first.images), strict=True))
    check_channels([Input(files[0][1], first.id, files)], wanted)
    order = [manifest.channels.index(name) for name in wanted]
    cases = tuple(case.model_copy(update={"images": tuple(case.images[at] for at in order)}) for case in manifest.cases)
    return manifest.model_copy(update={"channels": tuple(wanted), "cases": cases})


def read_images(
    manifest: Manifest, spec: InputSpec, max_pixels: int, progress: Callable[[int], None]
) -> tuple[ImageSet, list[str]]:
    """Decode every picture once: digests, sizes, perceptual hashes. Those that cannot be read are left out, which a note says.

    `progress`: called with the number of images read. Raises `DataError` for faults of the whole set.
    """
    hashes: dict[str, PictureHash] = {}
    pictures = {case.id for case in manifest.cases if not is_volume(manifest, case)}

    def look(name: str, image: Pixels) -> None:
        if name in pictures and (found := picture_hash(image)) is not None:
            hashes[name] = found

    plain = manifest.model_copy(update={"cases": tuple(bared(case) for case in manifest.cases)})
    watch = look if pictures else None  # volumes are not decoded then
    with single_threaded_opencv():
        result = examine(
            plain, max_pixels=max_pixels, progress=lambda done, _: progress(done), watch=watch, axis=spec.axis
        )
    faults = [finding for finding in result.findings if finding.severity == "error"]
    lost = len(plain.cases) - len(result.manifest.cases)
    if len(faults) > lost:
        raise_errors(faults)
    said = f"{count(lost, 'image')} left out that cannot be read: {some([fault.text for fault in faults], 2)}"
    return ImageSet(result.manifest, result.census, hashes), [said] if lost else []


def _images_alone(source: DataSource, spec: InputSpec) -> Inputs | None:
    """What `predict` finds in a folder; None where that is nothing."""
    if not source.path.is_dir() or source.images or source.masks:
        return None
    with suppress(DataError):
        if isinstance(spec.channels, str):
            return find_inputs([source.path])
        return find_channel_inputs([source.path], spec.channels)
    return None


def _as_manifest(root: Path, found: Inputs) -> Manifest:
    """Images as cases, with the groups that their names tell."""
    channels = tuple(name for name, _ in found.images[0].channels)
    cases = []
    for one in found.images:
        files = [path for _, path in one.channels] or [one.image]
        cases.append(Case(id=one.name, images=tuple(_inside(root, path) for path in files)))
    grouped, words, _ = with_groups(cases)
    ids = usable_names([case.id for case in grouped])
    grouped = [case.model_copy(update={"id": name}) for case, name in zip(grouped, ids, strict=True)]
    return Manifest(
        root=str(root.absolute()),
        layout=_LAYOUT,
        split_origin="",
        grouping=words,
        channels=channels,
        cases=tuple(grouped),
    )


def _inside(root: Path, path: Path) -> str:
    """A file, or the address of a picture in one, relative to the folder; links stay what they are called."""
    return path.absolute().relative_to(root.absolute()).as_posix()

"""A run goes on with the data and the model that it was started with: elsewhere if they were moved, but the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from delineate.artefact.format import MODEL_FILE
from delineate.common.errors import DataError, RecipeError
from delineate.common.files import read_json
from delineate.data.cases.moved import moved
from delineate.data.core.manifest import Case, Manifest
from delineate.engine.request import TrainRequest
from delineate.engine.run_folder import RunFolder

__all__ = ["check_same_data", "check_same_start", "data_description"]


def data_description(request: TrainRequest) -> dict[str, Any]:
    """What was said of the data, for `run.json`."""
    source = request.source
    folders = {"images": _name(source.images), "masks": _name(source.masks)}
    said = {
        "labels": source.labels,
        "codes": _name(source.codes),
        "group_by": source.group_by,
        "join": source.join,
        "fold": request.fold,
    }
    labeled = None if request.labels is None else request.labels.to_json()
    return {"path": str(source.path.resolve()), **folders, **said, "fold": request.fold, "labeled": labeled}


def check_same_data(folder: RunFolder, request: TrainRequest, note: Callable[[str], None]) -> None:
    """Raise `DataError` where a run is to go on with other data than it was started with.

    Data that were moved are taken where they are now, after all their files were compared; `note` is told.
    """
    before, now = folder.read_summary().get("data", {}), data_description(request)
    changed = [f"{key} {before[key]} → {value}" for key, value in now.items() if before.get(key, value) != value]
    changed = [line for line in changed if not line.startswith("path ")]
    if changed:
        raise DataError(
            f"--resume: the data options differ from those of the run ({'; '.join(changed)}); use the same options, or another "
            "--out"
        )
    saved = Manifest.load(folder.manifest)
    root = _root(saved, folder, request)
    if root.resolve() == Path(saved.root).resolve():
        return
    try:
        found = moved(saved, root)
    except DataError as error:
        raise _other(saved, request.source.path, f"in {root}, {error}") from error
    found.save(folder.manifest)
    note(f"the data are in {found.root} now (before: {saved.root}); all files are the same")


def check_same_start(folder: RunFolder, init: Path | None) -> None:
    """Raise `RecipeError` where a run is to go on from another model (`--init`) than it has begun with. A model that was moved is
    known by its name."""
    if init is None:
        return
    before = read_json(folder.started_from).get("model") if folder.started_from.exists() else None
    if before is None or _model_name(Path(before)) != _model_name(init):
        began = "from no other model" if before is None else f"from {before}"
        raise RecipeError(f"--resume: the run started {began}, not from {init}; leave --init out, or use another --out")


def _model_name(path: Path) -> str:
    """That of the run folder, also where its model file is named."""
    whole = path.resolve()
    return whole.parent.name if whole.name == MODEL_FILE else whole.name


def _root(saved: Manifest, folder: RunFolder, request: TrainRequest) -> Path:
    """Where the request says that the files are. Raises `DataError` for a manifest of other cases."""
    source = request.source
    if not source.is_manifest:
        return source.folder
    if source.path.resolve() == folder.manifest.resolve():
        return Path(saved.root)
    given = source.manifest()
    given = given if request.fold is None else given.of_fold(request.fold)
    if request.labels is not None:
        given = _with_masks_of(saved, given)
    if difference := _difference(saved, given):
        raise _other(saved, source.path, difference)
    return Path(given.root)


def _with_masks_of(saved: Manifest, given: Manifest) -> Manifest:
    """The manifest without the masks that the run had taken away (`--labeled`)."""
    bare = {case.id for case in saved.cases if not case.masks}
    cases = tuple(case.model_copy(update={"masks": ()}) if case.id in bare else case for case in given.cases)
    return given.model_copy(update={"cases": cases})


def _difference(saved: Manifest, given: Manifest) -> str | None:
    """The first thing in which two manifests differ that matters for training. What one does not know yet is no difference."""
    ours, theirs = _used(saved), _used(given)
    if strange := ours.keys() ^ theirs.keys():
        name = min(strange)
        return f"case '{name}' is {'not there' if name in ours else 'new'}"
    drawn = not any(case.split == "val" for case in theirs.values())
    for name, case in ours.items():
        other = theirs[name]
        if (case.images, case.masks) != (other.images, other.masks):
            return f"case '{name}' has other files"
        if any(other.hashes.get(path, digest) != digest for path, digest in case.hashes.items()):
            return f"the files of case '{name}' have changed"
        if other.split not in (None, case.split) and not (drawn and case.split in ("train", "val")):
            return f"case '{name}' is in the split '{other.split}', in the run it is in '{case.split}'"
    read = any(case.hashes for case in theirs.values())
    if read and (saved.classes != given.classes or _rule(saved) != _rule(given)):
        return "its classes, or how masks are read, differ"
    return None


def _used(manifest: Manifest) -> dict[str, Case]:
    return {case.id: case for case in manifest.cases if case.masks and case.split != "test"}


def _rule(manifest: Manifest) -> dict[str, Any]:
    return manifest.labels.model_dump(exclude={"reason"})


def _other(saved: Manifest, given: Path, why: str) -> DataError:
    return DataError(
        f"--resume: the run was trained on {saved.root}, and {given} holds other data ({why}); give the data that it was "
        "started with"
    )


def _name(path: str | None) -> str | None:
    """A folder's own name: where it lies may change."""
    return None if path is None else Path(path).name

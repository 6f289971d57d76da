"""The splits that a run has drawn, for the same dataset: they are in the run's manifest, not in the dataset's folder."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Case, Manifest

__all__ = ["run_manifest", "with_run_splits"]


def run_manifest(model: Path | None) -> Path | None:
    """The manifest of the run that a model lies in; None for a model on its own."""
    if model is None:
        return None
    path = (model if model.is_dir() else model.parent) / "manifest.json"
    return path if path.is_file() else None


def with_run_splits(manifest: Manifest, saved: Path) -> Manifest:
    """The manifest with the splits, folds and hashes of the run's, `saved`.

    Raises `DataError` when the run was trained on other files than these.
    """
    trained = Manifest.load(saved)
    masks = not any(case.images for case in manifest.cases)  # references of volumes: their images need not be there
    known = {files: case for case in trained.cases if (files := _files(case, masks))}
    here = {_files(case, masks) for case in manifest.cases}
    if here != known.keys():
        text = _difference(here, set(known))
        raise DataError(
            f"{manifest.root} names no splits, and those of {saved} are of other files ({text}); give that manifest instead"
        )

    def placed(case: Case) -> Case:
        drawn = known[_files(case, masks)]
        update = {"split": drawn.split, "fold": drawn.fold, "hashes": drawn.hashes, "id": drawn.id}
        return case.model_copy(update=update)

    cases = tuple(map(placed, manifest.cases))
    return manifest.model_copy(update={"cases": cases, "split_origin": trained.split_origin})


def _files(case: Case, masks: bool) -> tuple[str, ...]:
    return case.masks if masks else case.images or case.masks


def _difference(here: set[tuple[str, ...]], trained: set[tuple[str, ...]]) -> str:
    new, gone = sorted(here - trained), sorted(trained - here)
    parts = []
    if new:
        parts.append(f"{count(len(new), 'file')} more: {some([files[0] for files in new], 2)}")
    if gone:
        parts.append(f"{count(len(gone), 'file')} less: {some([files[0] for files in gone], 2)}")
    return "; ".join(parts)

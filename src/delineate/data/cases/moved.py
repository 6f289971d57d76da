"""Data that lie elsewhere than when a manifest was made: the same files by their hashes, or other data."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.manifest import Manifest
from delineate.data.formats.registry import digest_of

__all__ = ["moved"]


def moved(manifest: Manifest, root: Path) -> Manifest:
    """The manifest with its files looked for under `root`. Reads them all.

    Raises `DataError` naming the first file that is not there, or not the one that the manifest was made from.
    """
    there = manifest.model_copy(update={"root": str(root.resolve())})
    digests = {relative: digest for case in manifest.cases for relative, digest in case.hashes.items()}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda relative: _digest(there.path(relative)), digests)
        for relative, digest in zip(digests, found, strict=True):
            if digest != digests[relative]:
                what = "is not there" if digest is None else "is another file"
                raise DataError(f"{relative} {what}")
    return there


def _digest(path: Path) -> str | None:
    try:
        return digest_of(path)
    except DataError:
        return None

"""Which of the scored cases belong to a test split, however they are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DelineateError
from delineate.data.core.group_words import KINDS, words_of
from delineate.data.core.known import DIGITS
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.words import SPLIT_NAMES
from delineate.data.formats.registry import digest_of
from delineate.data.layouts.split_lists import apply_lists

__all__ = ["held_out_ids", "mask_hashes"]


def held_out_ids(manifest: Manifest, cases: Sequence[Case]) -> set[str]:
    """Ids of the cases whose split is `test`; of a bare folder of masks, those that a list beside it names, or all if it is called
    so: `masks` beside `test.txt`, `test/masks`."""
    known = {case.id for case in cases if case.split == "test"}
    if known or manifest.layout != "masks":
        return known
    root = Path(manifest.root)
    if any(_is_test_folder(folder) for folder in (root, root.parent)):
        return {case.id for case in cases}
    try:
        placed, _ = apply_lists(root.parent, cases)
    except DelineateError:
        return set()
    return {case.id for case in placed if case.split == "test"}


def mask_hashes(manifest: Manifest, cases: Sequence[Case]) -> list[str]:
    """SHA-256 of the cases' first mask files: the manifest's, or read. Those that cannot be read are left out."""
    found = []
    for case in cases:
        digest = case.hashes.get(case.masks[0], "")
        if not digest:
            try:
                digest = digest_of(manifest.path(case.masks[0]))
            except DelineateError:
                continue
        found.append(digest[:DIGITS])
    return found


def _is_test_folder(folder: Path) -> bool:
    words = words_of(folder.name)
    kinds = [word for word in words if word not in KINDS]
    return bool(kinds) and all(SPLIT_NAMES.get(word) == "test" for word in kinds)

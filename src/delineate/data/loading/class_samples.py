"""Which training samples show each class, for sampling by which rare classes are seen as often as others."""

from __future__ import annotations

from delineate.data.cache.cache import Cache
from delineate.data.core.manifest import IGNORE

__all__ = ["samples_by_class"]


def samples_by_class(cache: Cache) -> list[tuple[int, tuple[int, ...]]]:
    """(class index, cache indices of the samples that show it), for each class that any labeled sample shows.

    The background counts as a class, and as shown by all labeled samples, so that those without any other class are seen too. Where
    patches are to be cut, a class is shown that has a pixel at the working resolution, else one that has a pixel at native size.
    """
    labeled = tuple(at for at in range(len(cache)) if cache.labeled(at))
    found: dict[int, list[int]] = {}
    for at in labeled:
        for label in _shown(cache, at):
            found.setdefault(label, []).append(at)
    return [(0, labeled), *((label, tuple(found[label])) for label in sorted(found))]


def _shown(cache: Cache, index: int) -> list[int]:
    """The foreground classes of a sample."""
    if cache.contents:
        return [at for at, number in enumerate(cache.contents[index].totals.tolist(), start=1) if number]
    return [label for label in cache.samples[index].pixels if 0 < label < IGNORE]

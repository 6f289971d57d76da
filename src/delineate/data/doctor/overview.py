"""What a data set holds, in a few lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from delineate.data.cases.census import Census
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.doctor.balance import Share
from delineate.data.formats.class_files import ClassFiles
from delineate.data.formats.dicom_masks.address import MaskAddress

__all__ = ["Row", "counted", "overview"]

_MOST_MASKS = 4
"""Masks of one image that are named."""
Row = tuple[str, str]
"""What, and what was found."""


def overview(manifest: Manifest, census: Census, rule: LabelRule | None, shares: Sequence[Share]) -> list[Row]:
    """The census in a few lines. `rule`: how the masks are read, None when no rule fits; `shares` as `class_balance` gives."""
    labeled = [case for case in manifest.cases if case.masks] or manifest.cases
    bare = len(manifest.cases) - sum(bool(case.masks) for case in manifest.cases)
    first, last = labeled[0], labeled[-1]
    examples = _pair(first) + (f" … {_pair(last)}" if last != first else "")
    rows = [
        ("layout", manifest.layout),
        ("matched", f"{count(len(manifest.cases) - bare, 'image')} with masks, {examples}"),
        *([("without masks", f"{count(bare, 'image')}, for methods that learn from them")] if bare else []),
        ("sizes", _sizes(census)),
        *_slices(manifest, census),
        ("channels", f"{counted(census.channels)}, {_depths(census)}"),
        ("label values", _values(census, rule)),
    ]
    if rule is not None:
        rows += [
            ("read as", rule.reason),
            ("mapping", _mapping_in_words(rule, manifest.classes)),
            *([("regions", manifest.classes.regions_in_words)] if manifest.classes.regions else []),
            *_balance_rows(shares),
            ("empty masks", _by_split(manifest, census.empty)),
        ]
    rows.append(("groups", _groups(manifest)))
    if manifest.folds:
        dealt = Counter(case.fold for case in manifest.cases)
        rows.append(("folds", ", ".join(str(dealt[fold]) for fold in range(manifest.folds))))
    counts = ", ".join(f"{len(manifest.split(name))} {name}" for name in ("train", "val", "test"))
    return [*rows, ("splits", f"{counts} ({manifest.split_origin or 'none'})")]


def _mapping_in_words(rule: LabelRule, classes: ClassTable) -> str:
    """Which values become which class."""
    names = classes.names
    if rule.threshold is not None:
        return f"0…{rule.threshold - 1} → 0 {names[0]}, {rule.threshold}…255 → 1 {names[1]}"
    painted = rule.coding == "color"
    pairs = [
        (f"#{value:06x}" if painted else str(value), index) for value, index in sorted((rule.values or {}).items())
    ]
    pairs += [(f"{first}…{last}", index) for first, last, index in rule.ranges]
    words = [f"{value} → " + (f"{index} {names[index]}" if index < len(names) else "ignored") for value, index in pairs]
    return some(words, 12)


def _balance_rows(shares: Sequence[Share], most: int = 6) -> list[Row]:
    """One row for each of the first classes: share of the cases that show it, and of the pixels."""
    indices = sorted({share.index for share in shares if share.index})
    rows = []
    for index in indices[:most]:
        own = [share for share in shares if share.index == index]
        words = [
            f"{share.split} {share.showing} of {count(share.cases, 'case')}, {share.pixels:.2%} of pixels"
            for share in own
        ]
        rows.append((f"class {index}", f"{own[0].name}: {'; '.join(words)}"))
    return [*rows, *([("", f"and {len(indices) - most} more classes")] if len(indices) > most else [])]


def _groups(manifest: Manifest) -> str:
    number = len({case.group for case in manifest.cases if case.group})
    if not number:
        return "none known: each case stands alone (--group-by says what belongs together)"
    return manifest.grouping or f"{number} patients or sequences"


def _pair(case: Case) -> str:
    masks = [_mask_in_words(mask) for mask in case.masks]
    shown = masks if len(masks) <= _MOST_MASKS else [*masks[:1], f"{len(masks) - 1} more"]
    return " + ".join((*case.images[:1], *shown))


def _mask_in_words(mask: str) -> str:
    """For people: addresses of parts are long."""
    if (files := ClassFiles.parse(mask)) is not None:
        return files.in_words
    address = MaskAddress.parse(mask)
    return mask if address is None else " + ".join(file.as_posix() for file in address.files)


def _sizes(census: Census) -> str:
    sizes = census.sizes
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        return f"all {width}×{height}"
    common = ", ".join(f"{width}×{height} ({count})" for (height, width), count in sizes.most_common(3))
    widths, heights = [width for _, width in sizes], [height for height, _ in sizes]
    return (
        f"{len(sizes)} sizes, widths {min(widths)}–{max(widths)}, heights {min(heights)}–{max(heights)}; most: {common}"
    )


def _depths(census: Census) -> str:
    if census.axis is not None:
        return "of volumes"
    if census.span is not None:
        return f"values of their own, from {census.span[0]:g} to {census.span[1]:g}"
    return counted(census.depths, " bit")


def _slices(manifest: Manifest, census: Census) -> list[Row]:
    """Of volumes: how they are cut."""
    if census.axis is None:
        return []
    depths = [len(fact.planes) for fact in census.facts.values()]
    told = [case.spacing for case in manifest.cases if case.spacing]
    distances = " × ".join(f"{value:.3g}" for value in np.median(told, axis=0)) if told else ""
    each = f"{min(depths)}" if min(depths) == max(depths) else f"{min(depths)}–{max(depths)}"
    cut = f"{sum(depths)} across the axis {census.across}, {each} in a volume"
    size = f"{distances} mm (slice × row × column, median)" if told else "of unknown size"
    return [("slices", cut), ("voxels", size)]


def _values(census: Census, rule: LabelRule | None, most: int = 8) -> str:
    values = census.values
    total = max(1, sum(values.values()))
    shown = sorted(value for value, _ in values.most_common(most))
    more = f" and {len(values) - most} more" if len(values) > most else ""
    color = rule is not None and rule.coding == "color"
    return ", ".join(f"{f'#{value:06x}' if color else value}: {values[value] / total:.2%}" for value in shown) + more


def _by_split(manifest: Manifest, ids: Iterable[str]) -> str:
    chosen = set(ids)
    if not chosen:
        return "none"
    counts = Counter(case.split or "unused" for case in manifest.cases if case.id in chosen)
    return f"{len(chosen)} ({', '.join(f'{counts[name]} {name}' for name in ('train', 'val', 'test', 'unused') if counts[name])})"


def counted(counts: Counter[str] | Counter[int], unit: str = "") -> str:
    if len(counts) == 1:
        return f"all {next(iter(counts))}{unit}"
    return ", ".join(f"{count} {name}{unit}" for name, count in counts.most_common())

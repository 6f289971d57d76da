"""The label rule of a data set: found once, from what each mask file holds and what all of them hold together.

A file or a value that cannot belong to the coding of the rest is an error that names the files; it is never read some other
way in silence. What is merely rare is said with counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.label_codings import (
    MAX_CLASSES,
    SPECK,
    components,
    counts_objects,
    is_dense,
    is_noisy,
    rare,
    rises_evenly,
    specks,
    third_level,
)
from delineate.data.core.manifest import IGNORE, ClassTable, Coding, LabelRule
from delineate.data.core.mask_values import NEAR, MaskValues, Values, choose_coding, format_name
from delineate.data.core.turned_codings import check_background

__all__ = ["WHITE", "Reading", "check_ignored", "listed", "named", "named_values", "read_by_evidence", "read_by_table"]

WHITE = 255
_BLURRED = 0.8
"""Where more than this share of the gray pixels touch black and white, they are its edges."""
_FEW_IDS = 16
"""So many ids without gaps are classes even where they are thin; more may as well be grays that leave hardly a gap."""
_LONELY = 0.1
"""Of a label map fewer of the marked pixels than this have no neighbor of their own value; of smooth grays, many more."""
_SLIPS = 0.05
"""Ids that are slips have less than this share of the pixels that 255 has."""
_CURE = "mend that file, or say what the values mean with --labels"


@dataclass(frozen=True)
class Reading:
    """How the masks of a data set are read."""

    rule: LabelRule
    classes: ClassTable
    notes: tuple[str, ...] = ()
    """What its owner should know: ignored, rare and empty things, with counts. Part of the rule's reason too."""
    doubt: str = ""
    """What its owner should look at: masks that may be coded the other way round. Part of the rule's reason too."""


def read_by_evidence(files: Sequence[MaskValues], *, empty_ok: bool = False) -> Reading:
    """The rule that fits all masks, which nobody has described.

    Understood: 0/255; black and white with noise from JPEG or interpolation; label ids (gaps closed, 255 = ignore); evenly
    spaced gray levels (0, 127, 255). `empty_ok`: masks may all be black, which leaves nothing to learn from but something to
    score. Raises `DataError`: none of these, several codings in one set, a stray value, black and white exchanged.
    """
    values = Values(files, choose_coding(files))
    total = values.total()
    if not total:
        raise DataError("there are no mask pixels to learn the label values from")
    if set(total) == {0}:
        if not empty_ok:
            raise DataError("all masks are empty: every pixel of every mask is 0; check that these are the right files")
        rule = LabelRule(values={0: 0, 1: 1, WHITE: 1}, coding=values.coding, reason="all masks are empty")
        return Reading(rule, ClassTable())
    if 0 not in total:
        raise DataError(
            f"no mask has background (value 0); found {listed(total)}. Save masks with 0 for background, or name the values "
            "with --labels"
        )
    reading = _black_and_white(values, total) or _ids(values, total) or _levels(values, total)
    if reading is None:
        raise DataError(_unexpected(values, total))
    blurred = [file for file in files if file.lossy and not set(file.counts) <= {0, WHITE}]
    if blurred and reading.rule.threshold is None:
        name = blurred[0].name
        raise DataError(
            f"{name} is stored as {format_name(name)}, which blurs label values ({listed(total, 5)}); save masks as PNG, or "
            "name the values with --labels where they are right"
        )
    reading = replace(reading, doubt=check_background(values, reading.rule))
    rule = reading.rule.model_copy(update={"coding": values.coding, "reason": _said(reading)})
    return replace(reading, rule=rule)


def read_by_table(table: ClassTable, files: Sequence[MaskValues]) -> Reading:
    """The rule of a class table that says its raw values, checked against all masks.

    Black and white masks with noise are read by threshold where the table has 0 and 255 alone. Raises `DataError` naming a file
    with a value that the table does not name.
    """
    rule = table.labels
    assert rule is not None, "a table without raw values says nothing about masks"
    coding = _table_coding(rule, files)
    rule = rule.model_copy(update={"coding": coding})
    values = Values(files, coding)
    classes = table.model_copy(update={"labels": None})
    unknown = [{value: n for value, n in each.items() if rule.index_of(value) is None} for each in values.each]
    bad = [at for at, found in enumerate(unknown) if found]
    if not bad:
        return Reading(rule, classes)
    if _is_plain(rule) and all(_has_noise(values, at) for at in bad):
        reason = f"{rule.reason}; masks have noise between black and white: 128 and above is {table.names[1]}"
        return Reading(LabelRule(threshold=128, coding=coding, reason=reason), classes)
    first = bad[0]
    more = f" (and so do {count(len(bad) - 1, 'more mask')})" if len(bad) > 1 else ""
    found = listed(unknown[first], painted=coding == "color")
    cure = (
        f"save masks as PNG: {format_name(files[first].name)} changes values"
        if files[first].lossy
        else "name them too, or mend the masks"
    )
    raise DataError(f"{files[first].name} has values that have no name: {found}{more}; {rule.reason}; {cure}")


def _is_plain(rule: LabelRule) -> bool:
    return rule.coding != "color" and not rule.ranges and rule.values == {0: 0, WHITE: 1}


def _table_coding(rule: LabelRule, files: Sequence[MaskValues]) -> Coding:
    """How palette files are read: the way in which the table knows all of their values."""
    if rule.coding == "color":
        return "color"
    palettes = [file for file in files if file.palette is not None]
    if not palettes:
        return choose_coding(files)
    gray = all(color % 0x010101 == 0 for file in palettes for color in (file.palette or {}).values())
    codings: tuple[Coding, ...] = ("index", "value") if gray else ("index",)
    fitting = [
        coding
        for coding in codings
        if all(rule.index_of(value) is not None for file in palettes for value in file.by(coding))
    ]
    return fitting[0] if len(fitting) == 1 else choose_coding(files)


def _black_and_white(values: Values, total: Mapping[int, int]) -> Reading | None:
    """0 and 255, clean or with noise. Raises `DataError` for a few files that are something else."""
    white = [at for at, each in enumerate(values.each) if _is_white(each)]
    noisy = [at for at in range(len(values.each)) if _has_noise(values, at)]
    filled = [at for at, each in enumerate(values.each) if set(each) != {0}]
    others = [at for at in filled if at not in {*white, *noisy}]
    if noisy and len(noisy) >= len(
        white
    ):  # a clean file may have lost all of its noise but a few pixels near 0 and 255
        others = [at for at in others if not _near(values.each[at])]
    if not others and not noisy:
        reason = "values 0 and 255: background and foreground"
        return Reading(LabelRule(values={0: 0, WHITE: 1}, reason=reason), ClassTable())
    if noisy:
        if others:
            smooth = [at for at in others if len(values.each[at]) > _FEW_IDS]
            if len(smooth) == len(others):
                raise DataError(_smooth(values, smooth))
            few, many = sorted(([*noisy, *white], others), key=len)
            raise DataError(_two_codings(values, many, few, {0, WHITE}))
        if (level := third_level(values, noisy)) is not None:
            raise DataError(
                f"the masks look black and white with noise, but many pixels are near {level}: {listed(total)}; save masks without "
                "compression, one value per class"
            )
        gray = 1 - (total.get(0, 0) + total.get(WHITE, 0)) / sum(total.values())
        reason = (
            f"black and white with {gray:.2%} gray pixels (JPEG noise or interpolation): 128 and above is foreground"
        )
        note = f"{count(len(noisy), 'mask has', 'masks have')} gray between black and white"
        return Reading(LabelRule(threshold=128, reason=reason), ClassTable(), (note,))
    return None


def _ids(values: Values, total: Mapping[int, int]) -> Reading | None:
    """Label ids; 255 beside ids of 1 and more is ignored. Raises `DataError` for several codings, strays and instance maps."""
    ids = [value for value in total if value != IGNORE]
    if len(ids) < 2:
        return None
    if len(ids) > MAX_CLASSES:
        raise DataError(
            f"masks have {len(ids)} distinct values; that looks like instance ids: save one value per class instead, or call all "
            "of them one class with --labels 1-65535=NAME"
        )
    if IGNORE in total:
        if not is_dense(ids):
            return None
        check_ignored(values)
    _check_one_coding(values, ids)
    if not is_dense(ids) or len(ids) > _FEW_IDS:
        _check_regions(values, total)
    words = [f"label ids {_short(ids)}"]
    if ids != list(range(len(ids))):
        words.append(f"read as classes 0…{len(ids) - 1} in this order")
    mapping = {value: index for index, value in enumerate(ids)}
    if IGNORE in total:
        mapping[IGNORE] = IGNORE
        words.append(f"255 is ignored ({total[IGNORE] / sum(total.values()):.2%} of the pixels)")
    notes = [_numbered(values, ids)] if counts_objects(values, ids) else list(_rarities(values, total))
    return Reading(LabelRule(values=mapping, reason=", ".join(words)), named(ids), tuple(notes))


def _levels(values: Values, total: Mapping[int, int]) -> Reading | None:
    """Classes that were spread over 0…255 so that they can be seen: 0, 127, 255 or 0, 85, 170, 255."""
    levels = list(total)
    if not rises_evenly(levels):
        return None
    inner = [level for level in levels if level not in (0, WHITE)]
    holders = values.holders()
    number = len(values.each)
    if any((number >= 10 and rare(holders[level], number)) or specks(values, level) for level in inner):
        return None
    if sum(file.edges for file in values.files) > _BLURRED * sum(total[level] for level in inner):
        raise DataError(_made_smaller(levels))
    _check_regions(values, total)
    _check_together(values, [*inner, WHITE])
    reason = f"evenly spaced gray levels {_short(levels)}: read as classes 0…{len(levels) - 1} in this order"
    rule = LabelRule(values={value: index for index, value in enumerate(levels)}, reason=reason)
    return Reading(rule, named(levels), tuple(_rarities(values, total)))


def check_ignored(values: Values) -> None:
    """Raise `DataError` where 255 beside small ids cannot mean 'ignore': it is the foreground of files with another coding."""
    both: list[int] = []
    alone: list[int] = []
    marked: list[int] = []
    for at, each in enumerate(values.each):
        has_id = any(value not in (0, IGNORE) for value in each)
        if IGNORE in each and (has_id or 0 in each):
            (both if has_id else alone).append(at)
        elif has_id:
            marked.append(at)
    slips = bool(both) and _are_slips([values.each[at] for at in both])
    if len(alone) < len(both) and not (slips and not marked):
        return
    if not alone and not slips:
        return
    if not marked:
        raise DataError(_two_codings(values, alone, both, {0, IGNORE}))
    ids, white = (marked, [*alone, *both]) if slips else ([*marked, *both], alone)
    few, many = sorted((white, ids), key=len)
    raise DataError(_two_codings(values, many, few, {0}))


def _are_slips(files: Sequence[Mapping[int, int]]) -> bool:
    """Whether ids are a few pixels beside very many of 255."""
    ids = [sum(number for value, number in each.items() if value not in (0, IGNORE)) for each in files]
    return max(ids) <= SPECK and sum(ids) < _SLIPS * sum(each[IGNORE] for each in files)


def _check_regions(values: Values, total: Mapping[int, int]) -> None:
    """Raise `DataError` for grays that make no regions: thin white lines on black that were made smaller."""
    if sum(file.lonely for file in values.files) > _LONELY * sum(n for value, n in total.items() if value):
        raise DataError(_made_smaller(list(total)))


def _made_smaller(values: Sequence[int]) -> str:
    return (
        f"values {_short(values)}: the gray ones lie on edges only, so these are black and white masks that were made smaller, "
        "or thin classes; say which with --labels (0-127=background,128-255=NAME, or a name for each value)"
    )


def _check_one_coding(values: Values, ids: Sequence[int]) -> None:
    """Raise `DataError` for ids of several codings, and for a stray value that fits no coding."""
    if is_dense(ids):
        return
    _check_together(values, [value for value in ids if value])
    holders = values.holders()
    if len(ids) > 9:
        return
    for value in ids[1:]:
        if rare(holders[value], len(values.each)) and specks(values, value) and len(values.each) > 1:
            others = [at for at in range(len(values.each)) if at not in set(holders[value])]
            raise DataError(_two_codings(values, others, holders[value], set(ids) - {value} | {IGNORE}))


def _check_together(values: Values, marks: Sequence[int]) -> None:
    """Raise `DataError` where values never meet in a file, as those of two codings do not."""
    groups = components(values.each, marks)
    if len(groups) < 2:
        return
    members = [[at for at, each in enumerate(values.each) if group & set(each)] for group in groups]
    order = sorted(range(len(groups)), key=lambda at: -len(members[at]))
    few = sorted(at for group in order[1:] for at in members[group])
    raise DataError(_two_codings(values, members[order[0]], few, {0}))


def _two_codings(values: Values, many: Sequence[int], few: Sequence[int], usual: set[int]) -> str:
    """A line on masks that do not agree: what most hold, and who holds what else."""
    odd: Counter[int] = Counter()
    for at in few:
        odd.update({value: n for value, n in values.each[at].items() if value not in usual})
    names = [values.files[at].name for at in few]
    most = Counter(_short(sorted(values.each[at])) for at in many if set(values.each[at]) != {0})
    what = f"{count(len(many), 'mask holds', 'masks hold')} {most.most_common(1)[0][0]}, but " if most else ""
    cure = _CURE if len(few) == 1 else _CURE.replace("that file", "those files")
    return (
        f"the masks do not agree: {what}{some(names, 3)} {'holds' if len(few) == 1 else 'hold'} {listed(odd)}; {cure}"
    )


def _smooth(values: Values, odd: Sequence[int]) -> str:
    """A line on masks that are mostly black and white with noise, of which some have too much gray for that."""
    names = some([values.files[at].name for at in odd], 3)
    kinds = {format_name(values.files[at].name) for at in odd if values.files[at].lossy}
    why = f"as {' and '.join(sorted(kinds))} leaves it" if kinds else "as soft edges leave it"
    fullest = max(len(values.each[at]) for at in odd)
    return (
        f"the masks are black and white with gray between, {why}, and {names} {'has' if len(odd) == 1 else 'have'} too much of it "
        f"(up to {fullest} values) to be sure of two classes: say --labels 0-127=background,128-255=NAME where there are two, or "
        "save masks as PNG with one value per class"
    )


def _unexpected(values: Values, total: Mapping[int, int]) -> str:
    """A line on values that are no coding that is known, with the files that hold the rarest of them."""
    holders = values.holders()
    marks = [value for value in total if value != 0]
    rarest = min(marks, key=lambda value: (len(holders[value]), total[value]))
    names = [values.files[at].name for at in holders[rarest]]
    where = f" ({rarest} is only in {some(names, 3)})" if len(names) < len(values.each) else ""
    return (
        f"unexpected mask values: {listed(total)}{where}. Save masks as 0/255, or with one value per class (0, 1, 2 …; 255 = "
        "ignore), or name the values with --labels"
    )


def _rarities(values: Values, total: Mapping[int, int]) -> Iterable[str]:
    """Ids that few masks have, and masks of which nothing is left to train on."""
    holders = values.holders()
    filled = sum(set(each) != {0} for each in values.each)
    for value in total:
        if value not in (0, IGNORE) and len(holders[value]) <= max(1, 0.02 * filled) and filled > 4:
            names = some([values.files[at].name for at in holders[value]], 2)
            yield f"{value} is in {len(holders[value])} of {filled} marked masks only ({total[value]} px; {names})"
    lost = [file.name for file, each in zip(values.files, values.each, strict=True) if set(each) == {IGNORE}]
    if IGNORE in total and lost:
        yield f"{count(len(lost), 'mask is', 'masks are')} ignored throughout ({some(lost, 2)})"


def _numbered(values: Values, ids: Sequence[int]) -> str:
    fullest = max(range(len(values.each)), key=lambda at: len(values.each[at]))
    return (
        f"each mask holds the numbers from 1 on, up to {ids[-1]} in {values.files[fullest].name}, as maps of single objects do; "
        "they are read as so many classes: if they are objects, call all of them one class with --labels 1-65535=NAME"
    )


def _said(reading: Reading) -> str:
    notes = [note for note in reading.notes if reading.rule.threshold is None]
    return "; ".join(filter(None, [reading.rule.reason, *notes, reading.doubt]))


def named(values: Sequence[int]) -> ClassTable:
    """The class table of values that nobody has named, the background's first: two are background and foreground."""
    if len(values) == 2:
        return ClassTable()
    return ClassTable(names=("background", *(f"label {value}" for value in values[1:])))


def listed(counts: Mapping[int, int], most: int = 10, painted: bool = False) -> str:
    """ "0 (900 px), 77 (1 px)"."""
    shown = [f"{f'#{value:06x}' if painted else value} ({number} px)" for value, number in list(counts.items())[:most]]
    more = len(counts) - most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def named_values(values: Iterable[int]) -> str:
    """ "0, 128, 255"."""
    return _short(sorted(values))


def _is_white(each: Mapping[int, int]) -> bool:
    return WHITE in each and set(each) <= {0, WHITE}


def _has_noise(values: Values, at: int) -> bool:
    """Whether a file is black and white with noise; of JPEG's little noise near black alone, the format tells."""
    each, file = values.each[at], values.files[at]
    return is_noisy(each, file.inner) or (file.lossy and _near(each) and not _is_white(each))


def _near(each: Mapping[int, int]) -> bool:
    """Whether a file has black and white alone, up to a little noise."""
    return max(each) >= WHITE - NEAR and all(value <= NEAR or WHITE - NEAR <= value <= WHITE for value in each)


def _short(values: Sequence[int]) -> str:
    if len(values) <= 10:
        return ", ".join(map(str, values))
    return f"{values[0]}, {values[1]}, … {values[-1]}"

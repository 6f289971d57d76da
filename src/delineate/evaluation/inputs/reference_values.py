"""How reference masks are read, given what their owner says and what the predictions know: one class table for both."""

from __future__ import annotations

import re
from collections.abc import Sequence

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.core.label_reading import Reading, check_ignored, read_by_evidence, read_by_table
from delineate.data.core.manifest import IGNORE, ClassTable, LabelRule
from delineate.data.core.mask_values import MaskValues, Values, choose_coding

__all__ = ["in_order", "read_references"]

_UNNAMED = re.compile(r"(?:label|class) (\d+)")
"""What a class is called whose owner gave no name; the first version said "class"."""


def read_references(files: Sequence[MaskValues], described: ClassTable, known: ClassTable | None) -> Reading:
    """The rule of reference masks.

    `described`: what lies beside them or was said by `--labels`; `known`: what the predictions know. Without either, masks
    tell by themselves. Raises `DataError`: values that fit no table, classes that cannot be told apart.
    """
    if described.labels is not None:
        return in_order(read_by_table(described, files), known)
    if known is not None and (reading := _by_known(files, known)) is not None:
        return reading
    return in_order(read_by_evidence(files, empty_ok=True), known)


def in_order(reading: Reading, known: ClassTable | None) -> Reading:
    """The reading with its classes in the order in which the predictions number them.

    Classes are matched by name, or by raw value where they have no names. Raises `DataError` for several classes of which it
    cannot be told which is which.
    """
    if known is None or len(known.names) != len(reading.classes.names):
        return reading  # another number of classes is refused where both are known
    ours, theirs = _keys(reading.classes, reading.rule), _keys(known, known.labels)
    if len(known.names) == 2:
        named = reading.classes if known.names == ClassTable().names else known
        return _renamed(reading, named)
    if ours == theirs:
        return _renamed(reading, known)
    if sorted(ours) == sorted(theirs):
        return _renamed(_permuted(reading, [theirs.index(key) for key in ours]), known)
    if all(key.isdigit() for key in (*ours[1:], *theirs[1:])):
        return _renamed(reading, known)  # nobody named anything: the order of the values
    if all(key.isdigit() for key in ours[1:]) != all(key.isdigit() for key in theirs[1:]):
        by_value = _by_value(reading, known)
        if by_value is not None:
            return by_value
    raise DataError(
        f"the predictions know the classes {', '.join(known.names[1:])}, the references {', '.join(reading.classes.names[1:])}; "
        "give the references the same names with --labels"
    )


def _old_values(names: Sequence[str]) -> LabelRule | None:
    """The raw values that unnamed classes carry in their names ("label 4"); None where there are other names."""
    found = [_UNNAMED.fullmatch(name) for name in names[1:]]
    if len(names) < 3 or not all(found):
        return None
    values = {0: 0, **{int(match[1]): at for at, match in enumerate(found, 1) if match}}
    return LabelRule(values=values, reason=f"values of the predictions' classes: {', '.join(map(str, values))}")


def _by_known(files: Sequence[MaskValues], known: ClassTable) -> Reading | None:
    """References in the predictions' raw values, or in class indices; None where they are neither."""
    rule = known.labels or _old_values(known.names)
    reading = None
    if rule is not None and rule.threshold is None:
        reading = _fitting(files, known, rule.model_copy(update={"reason": _as_trained(known, rule)}))
    if reading is None and len(known.names) > 2:
        identity = {index: index for index in range(len(known.names))}
        reading = _fitting(files, known, LabelRule(values=identity, reason="class indices"))
    return reading


def _as_trained(known: ClassTable, rule: LabelRule) -> str:
    """The rule in words of its own: what its reason says was seen in the training data, not here."""
    spans = [(value, value, index) for value, index in sorted((rule.values or {}).items())] + list(rule.ranges)
    shown = [f"#{first:06x}" if rule.coding == "color" else str(first) for first, _, _ in spans]
    ends = ["" if first == last else f"-{last}" for first, last, _ in spans]
    names = ["ignored" if index == IGNORE else known.names[index] for _, _, index in spans]
    return f"as the predictions know: {some([f'{a}{b} {c}' for a, b, c in zip(shown, ends, names, strict=True)], 12)}"


def _fitting(files: Sequence[MaskValues], known: ClassTable, rule: LabelRule) -> Reading | None:
    """The rule where it knows all values, 255 beside several classes being ignored; else None."""
    coding = rule.coding if rule.coding == "color" else None
    if coding is None and any(file.colored for file in files):
        return None
    try:
        return _not_all_ignored(read_by_table(known.model_copy(update={"labels": rule}), files), files)
    except _AllIgnoredError as error:
        raise DataError(str(error)) from error
    except DataError:
        if len(known.names) == 2 or rule.index_of(IGNORE) is not None or coding == "color":
            return None
    ignoring = rule.model_copy(update={"values": {**(rule.values or {}), IGNORE: IGNORE}})
    try:
        reading = read_by_table(known.model_copy(update={"labels": ignoring}), files)
    except DataError:
        return None
    values = Values(files, choose_coding(files))
    if not any(value not in (0, IGNORE) for value in values.total()):
        return None
    check_ignored(values)
    return reading


class _AllIgnoredError(DataError):
    pass


def _not_all_ignored(reading: Reading, files: Sequence[MaskValues]) -> Reading:
    """Raise where the predictions' table would ignore all that is marked."""
    rule = reading.rule
    if rule.threshold is not None or rule.index_of(IGNORE) != IGNORE:
        return reading
    total = Values(files, rule.coding or choose_coding(files)).total()
    if IGNORE in total and 0 in total and not any(value not in (0, IGNORE) for value in total):
        raise _AllIgnoredError(
            f"the references hold 0 and 255 alone ({files[0].name} …), and where the predictions' model comes from 255 is ignored; "
            "say what 255 means with --labels 0=background,255=NAME (or 255=ignore)"
        )
    return reading


def _keys(classes: ClassTable, rule: LabelRule | None) -> list[str]:
    """What identifies each class: its name, or the raw value of one without a name."""
    return [match[1] if (match := _UNNAMED.fullmatch(name)) else name.lower() for name in classes.names]


def _by_value(reading: Reading, known: ClassTable) -> Reading | None:
    """Classes matched by raw value, where only one side has names."""
    rule = known.labels or _old_values(known.names)
    if rule is None or rule.values is None or reading.rule.values is None:
        return None
    if (reading.rule.coding == "color") != (rule.coding == "color"):
        return None
    theirs = {value: index for value, index in rule.values.items() if index != IGNORE}
    order: dict[int, int] = {}
    for value, index in reading.rule.values.items():
        if index != IGNORE and order.setdefault(index, theirs.get(value, -1)) != theirs.get(value, -1):
            return None
    places = [order.get(index, -1) for index in range(len(reading.classes.names))]
    if sorted(places) != list(range(len(known.names))):
        return None
    unnamed = all(_UNNAMED.fullmatch(name) for name in known.names[1:])
    permuted = _permuted(reading, places)
    names = list(known.names)
    if unnamed:
        for at, place in enumerate(places):
            names[place] = reading.classes.names[at]
    return _renamed(permuted, ClassTable(names=tuple(names), regions=known.regions))


def _permuted(reading: Reading, places: Sequence[int]) -> Reading:
    """The reading with class i at place `places[i]`."""
    rule = reading.rule

    def moved(index: int) -> int:
        return index if index == IGNORE else places[index]

    values = {value: moved(index) for value, index in (rule.values or {}).items()}
    ranges = tuple((first, last, moved(index)) for first, last, index in rule.ranges)
    regions = [
        region.model_copy(
            update={
                "classes": tuple(sorted(map(moved, region.classes))),
                "paints": None if region.paints is None else moved(region.paints),
            }
        )
        for region in reading.classes.regions
    ]
    classes = reading.classes.model_copy(update={"regions": tuple(regions)})
    return Reading(rule.model_copy(update={"values": values, "ranges": ranges}), classes, reading.notes)


def _renamed(reading: Reading, classes: ClassTable) -> Reading:
    colors = classes.colors or reading.classes.colors
    regions = reading.classes.regions or classes.regions
    return Reading(reading.rule, ClassTable(names=classes.names, colors=colors, regions=regions), reading.notes)

"""What the values of predicted masks mean: as `predict` lists it, or as the masks of another tool show together.

Masks of other tools hold the references' own values, class indices, or 0 and 255. Which of these is decided once for the
folder; where two readings fit and differ, nothing is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count
from delineate.data.core.label_codings import is_noisy, rises_evenly
from delineate.data.core.label_reading import named_values
from delineate.data.core.manifest import IGNORE, ClassTable, Coding, LabelRule
from delineate.data.core.mask_values import MaskValues, Values, choose_coding
from delineate.evaluation.inputs.mask_contents import read_mask_values
from delineate.evaluation.inputs.prediction_list import PredictionList

__all__ = ["listed_rule", "prediction_rule"]

_WHITE = 255
_OWN = "the references' own values"


def prediction_rule(
    files: Sequence[Path], listed: PredictionList | None, classes: ClassTable, labels: LabelRule, *, said: bool = False
) -> LabelRule:
    """The rule by which the predicted masks of a folder become class indices.

    `labels`: how the references are read; `said`: their owner named their values, so that predictions in those values are read
    by them even where class indices fit too. Raises `DataError`: values that fit nothing, or several things.
    """
    if listed is not None:
        return listed_rule(listed)
    masks = read_mask_values(files, [file.as_posix() for file in files])
    fitting = [rule for rule in _candidates(masks, classes, labels) if None not in _reading(masks, rule).values()]
    certain = [rule for rule in fitting if IGNORE not in _reading(masks, rule).values()] or fitting
    if not certain:
        raise DataError(_unreadable(masks, classes, labels))
    first = certain[0]
    other = next((rule for rule in certain if _reading(masks, rule) != _reading(masks, first)), None)
    if other is None or (said and first.reason == _OWN):
        return first
    seen = _reading(masks, first)
    odd = next(value for value, index in seen.items() if other.index_of(value) != index)
    raise DataError(
        f"the predictions ({files[0]} …) hold {named_values(seen)}: {odd} is '{_name(classes, first, odd)}' as {first.reason}, but "
        f"'{_name(classes, other, odd)}' as {other.reason}; name the references' values with --labels to have them read so"
    )


def _reading(masks: Sequence[MaskValues], rule: LabelRule) -> dict[int, int | None]:
    """The values that the masks hold → their class indices by a rule."""
    assert rule.coding is not None, "candidates know theirs"
    return {value: rule.index_of(value) for value in Values(masks, rule.coding).total()}


def _name(classes: ClassTable, rule: LabelRule, value: int) -> str:
    index = rule.index_of(value)
    return "ignored" if index is None or index == IGNORE else classes.names[index]


def listed_rule(listed: PredictionList) -> LabelRule:
    """The rule of masks that `predict` wrote. A list of the first version names no values: 0/255 or 0/1, or class indices.

    Volumes hold class indices whatever is in the pictures beside them.
    """
    names = listed.class_names
    if listed.values is not None:
        values = {index: index for index in range(len(names))} | {value: at for at, value in enumerate(listed.values)}
    elif len(names) == 2:
        values = {0: 0, 1: 1, _WHITE: 1}
    else:
        values = {index: index for index in range(len(names))}
    return LabelRule(values=values, coding="index", reason="as predictions.json says")


def _candidates(masks: Sequence[MaskValues], classes: ClassTable, labels: LabelRule) -> Iterable[LabelRule]:
    """The readings that are tried, that of the references first."""
    number = len(classes.names)
    if labels.coding == "color":
        yield labels.model_copy(update={"reason": _OWN})
    if any(mask.colored for mask in masks):
        return
    coding = choose_coding(masks)
    if labels.coding != "color" and labels.threshold is None:
        own = coding if not any(mask.palette for mask in masks) else labels.coding or coding
        yield labels.model_copy(update={"reason": _OWN, "coding": own})
    yield LabelRule(values={index: index for index in range(number)}, coding=coding, reason="class indices")
    if number == 2:
        yield LabelRule(values={0: 0, _WHITE: 1}, coding=coding, reason="black and white")
        return
    levels = list(Values(masks, coding).total())
    if len(levels) == number and rises_evenly(levels):
        values = {value: at for at, value in enumerate(levels)}
        yield LabelRule(values=values, coding=coding, reason="evenly spaced gray levels")


def _unreadable(masks: Sequence[MaskValues], classes: ClassTable, labels: LabelRule) -> str:
    number = len(classes.names)
    wanted = "0 and 255, or 0 and 1" if number == 2 else f"class indices 0…{number - 1}"
    colored = next((mask for mask in masks if mask.colored), None)
    if colored is not None and labels.coding != "color":
        return (
            f"{colored.name} is painted in colors, the references are not; a prediction of these classes has {wanted}"
        )
    coding: Coding = "color" if labels.coding == "color" else choose_coding(masks)
    tried = list(_candidates(masks, classes, labels))
    readable = {mask.name: [rule for rule in tried if None not in _reading([mask], rule).values()] for mask in masks}
    raw = [mask for mask in masks if not readable[mask.name]]
    if not raw:
        return _two_codings(masks, coding)
    own = f", or the references' own values {named_values(_known(labels))}" if labels.threshold is None else ""
    found = f"{raw[0].name} has the values {_shown(raw[0], coding)}"
    return f"{found}; a prediction of these classes has {wanted}{own}; {_cure(raw, coding)}"


def _two_codings(masks: Sequence[MaskValues], coding: Coding) -> str:
    """A line on masks each of which can be read, but not in one way."""
    held = Counter(_shown(mask, coding) for mask in masks if len(mask.by(coding)) > 1)
    usual, number = held.most_common(1)[0]
    odd = next(mask for mask in masks if len(mask.by(coding)) > 1 and _shown(mask, coding) != usual)
    many = count(number, "mask holds", "masks hold")
    return (
        f"the predictions do not agree: {many} {usual}, but {odd.name} holds {_shown(odd, coding)}; write all of them with the "
        "same values"
    )


def _cure(raw: Sequence[MaskValues], coding: Coding) -> str:
    if any(mask.lossy or is_noisy(mask.by(coding), mask.inner) for mask in raw):
        return "save masks as PNG, without noise of JPEG or resizing"
    return "write them so, or name all classes with --labels where the references lack some"


def _shown(mask: MaskValues, coding: Coding) -> str:
    values = list(mask.by(coding))
    return ", ".join(map(str, values[:10])) + (" …" if len(values) > 10 else "")


def _known(labels: LabelRule) -> Mapping[int, int]:
    return {value: index for value, index in (labels.values or {}).items() if index != IGNORE}

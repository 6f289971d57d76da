"""How published lineages compute their scores, by name, so that a number can be put beside theirs.

None of them is this project's own way (`native`: masks at the reference's size, see `results.summary`); each says in its label
what it does. They differ from `native` and from each other in the size at which masks are compared, in what is averaged,
and in what an empty mask is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.evaluation.metrics import surface
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.pixel_counts import Labels

__all__ = [
    "NATIVE",
    "PROTOCOLS",
    "Numbers",
    "Pair",
    "PaperProtocol",
    "ProtocolRow",
    "ProtocolScores",
    "Source",
    "find_protocol",
    "score_protocol",
]

NATIVE = "native"
_SIZE = 256
"""Height and width at which `condseg` and `vmunet-pooled` compare."""

Source = Literal["masks", "probabilities"]
Numbers = dict[str, float]
"""Score name → value."""


@dataclass(frozen=True)
class Pair:
    """One case at native size: the prediction as class indices, or as the foreground's probability H×W in [0, 1]."""

    case: str
    reference: Labels
    prediction: Labels | None = None
    probability: NDArray[Any] | None = None

    @property
    def source(self) -> Source:
        """What the prediction was read from; probabilities are preferred where both are given."""
        return "masks" if self.probability is None else "probabilities"


@dataclass(frozen=True)
class PaperProtocol:
    """One lineage's way to a number, in words for tables and as functions."""

    name: str
    title: str
    prepared: str
    """What is done to the masks before they are compared."""
    averaged: str
    empty: str
    """What empty masks are worth."""
    scores: Mapping[str, str]
    """Score name → its title in that lineage."""
    axes: int
    """2: images, one foreground class; 3: volumes, any classes."""
    of_class: Callable[[Pair, int], Numbers]
    """One case and class → its scores, or what `combine` needs."""
    combine: Callable[[Sequence[Numbers]], Numbers]
    """All cases of one class → the scores to quote."""

    @property
    def reads_probabilities(self) -> bool:
        """Whether probability maps come closer to that lineage than masks do."""
        return self.axes == 2

    def label(self, source: Source) -> str:
        """The line that stands with every table of this protocol."""
        if not self.reads_probabilities:
            return f"protocol {self.title}"
        if source == "probabilities":
            return f"protocol {self.title}; from probability maps, resized and thresholded at {_SIZE}×{_SIZE}"
        return (
            f"protocol {self.title}; from masks thresholded at native size, then resized: an approximation (that lineage "
            f"thresholds at {_SIZE}×{_SIZE}; `predict --probabilities` comes closer)"
        )


@dataclass(frozen=True)
class ProtocolRow:
    """One case and class. `numbers` are its scores; for pooled protocols its counts of pixels."""

    case: str
    label: int
    name: str
    numbers: Numbers


@dataclass(frozen=True)
class ProtocolScores:
    """What a protocol makes of a set of predictions."""

    protocol: PaperProtocol
    source: Source
    rows: tuple[ProtocolRow, ...]
    classes: dict[str, Numbers]
    """Foreground class name → its scores over all cases."""
    macro: Numbers
    """Mean of the classes' scores."""
    cases: int

    @property
    def label(self) -> str:
        """The line that stands with the table."""
        return self.protocol.label(self.source)

    def to_json(self) -> dict[str, Any]:
        """As stored beside the scores: the numbers and how they were made."""
        protocol = self.protocol
        how = {"prepared": protocol.prepared, "averaged": protocol.averaged, "empty": protocol.empty}
        numbers = {"cases": self.cases, "classes": self.classes, "macro": self.macro}
        return {"protocol": protocol.name, "label": self.label, "source": self.source, **how, **numbers}


def find_protocol(name: str) -> PaperProtocol | None:
    """The protocol of that name, None for `native`. Raises `DataError` for an unknown one."""
    if name == NATIVE:
        return None
    if name not in PROTOCOLS:
        raise DataError(f"unknown protocol '{name}'; {did_you_mean(name, (NATIVE, *PROTOCOLS))}")
    return PROTOCOLS[name]


def score_protocol(protocol: PaperProtocol, pairs: Iterable[Pair], classes: ClassTable) -> ProtocolScores:
    """Score cases, one at a time, as that lineage does.

    Raises `DataError` for what the lineage cannot compute: several foreground classes or volumes where it knows images of one
    class, images where it needs volumes, ignored pixels. Raises `ValueError` when only some cases have probabilities.
    """
    foreground = classes.names[1:]
    if protocol.axes == 2 and len(foreground) > 1:
        raise DataError(
            f"protocol {protocol.name} is made for one foreground class, but there are {len(foreground)} "
            f"({', '.join(foreground)}); use native"
        )
    rows: list[ProtocolRow] = []
    sources: set[Source] = set()
    for pair in pairs:
        _check(protocol, pair)
        sources.add(pair.source)
        rows += [
            ProtocolRow(pair.case, label, name, protocol.of_class(pair, label))
            for label, name in enumerate(foreground, 1)
        ]
    if len(sources) != 1:
        raise ValueError("a protocol needs one case or more, all with probabilities or none")
    table = {name: protocol.combine([row.numbers for row in rows if row.name == name]) for name in foreground}
    macro = {score: float(np.mean([numbers[score] for numbers in table.values()])) for score in protocol.scores}
    return ProtocolScores(protocol, sources.pop(), tuple(rows), table, macro, len(rows) // len(foreground))


def _check(protocol: PaperProtocol, pair: Pair) -> None:
    if pair.reference.ndim != protocol.axes:
        hint = (
            "it needs volumes: NIfTI files, or slices with a rule that stacks them"
            if protocol.axes == 3
            else "it compares images, not volumes"
        )
        raise DataError(f"protocol {protocol.name} cannot score '{pair.case}': {hint}")
    if (pair.reference == IGNORE).any():
        raise DataError(
            f"protocol {protocol.name} knows no ignored pixels, but the reference of '{pair.case}' has some (255); use native"
        )


def _condseg(pair: Pair, label: int) -> Numbers:
    """(x + ε) / (y + ε) with ε = 1e-15, of masks that are above one half at 256×256.

    Masks of 0/255 are resized as 8-bit images, which rounds: a pixel of exactly one half becomes 128 and foreground.
    """
    reference = _resize(_black_and_white(pair.reference == label)) > 127
    if pair.probability is not None:
        prediction = _resize(pair.probability.astype(np.float32)) > 0.5
    else:
        prediction = _resize(_black_and_white(_mask(pair) == label)) > 127
    tiny = 1e-15
    both, ours, theirs = (int(np.count_nonzero(each)) for each in (prediction & reference, prediction, reference))
    return {
        "dice": (2 * both + tiny) / (ours + theirs + tiny),
        "iou": (both + tiny) / (ours + theirs - both + tiny),
        "recall": (both + tiny) / (theirs + tiny),
        "precision": (both + tiny) / (ours + tiny),
    }


def _vmunet(pair: Pair, label: int) -> Numbers:
    """Counts of pixels at 256×256, both masks at one half or above."""
    reference = _resize((pair.reference == label).astype(np.float32)) >= 0.5
    soft = (_mask(pair) == label) if pair.probability is None else pair.probability
    prediction = _resize(soft.astype(np.float32)) >= 0.5
    return {
        "tp": float(np.count_nonzero(prediction & reference)),
        "fp": float(np.count_nonzero(prediction & ~reference)),
        "fn": float(np.count_nonzero(~prediction & reference)),
        "tn": float(np.count_nonzero(~prediction & ~reference)),
    }


def _transunet(pair: Pair, label: int) -> Numbers:
    """Dice and pooled HD95 in voxels of a volume, with that lineage's values for empty masks."""
    masks = Masks.of(_mask(pair) == label, pair.reference == label)
    if masks.both:
        return {"dice": 2 * masks.tp / (2 * masks.tp + masks.fp + masks.fn), "hd95": surface.hd95_pooled(masks)}
    return {"dice": float(masks.outcome == "false_positive"), "hd95": 0.0}


def _mean(cases: Sequence[Numbers]) -> Numbers:
    return {score: float(np.mean([numbers[score] for numbers in cases])) for score in cases[0]}


def _pooled(cases: Sequence[Numbers]) -> Numbers:
    """Scores of the summed counts; 0 where there is nothing to divide by."""
    tp, fp, fn, tn = (sum(numbers[count] for numbers in cases) for count in ("tp", "fp", "fn", "tn"))
    parts = {
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "accuracy": (tp + tn, tp + tn + fp + fn),
        "specificity": (tn, tn + fp),
        "sensitivity": (tp, tp + fn),
    }
    return {score: part / whole if whole else 0.0 for score, (part, whole) in parts.items()}


def _mask(pair: Pair) -> Labels:
    if pair.prediction is None:
        raise ValueError(f"'{pair.case}' has no predicted mask")
    return pair.prediction


def _black_and_white(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return mask.astype(np.uint8) * 255


def _resize(plane: NDArray[Any]) -> NDArray[Any]:
    """Bilinear between pixel centers, without smoothing when it shrinks."""
    return cv2.resize(plane, (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)


PROTOCOLS: dict[str, PaperProtocol] = {
    protocol.name: protocol
    for protocol in (
        PaperProtocol(
            name="condseg",
            title="condseg (256×256, mean over images)",
            prepared=(
                "prediction and reference resized to 256×256, bilinear without smoothing, then foreground above .5 "
                "(how to resize is this project's reading)"
            ),
            averaged="each score per image, then the mean over images",
            empty=(
                "both empty 1; a miss or a false positive 0, but precision 1 for a miss and recall 1 for a false positive "
                "(this project's reading: the score functions usual among polyp papers)"
            ),
            scores={"dice": "mDice", "iou": "mIoU", "recall": "recall", "precision": "precision"},
            axes=2,
            of_class=_condseg,
            combine=_mean,
        ),
        PaperProtocol(
            name="vmunet-pooled",
            title="vmunet-pooled (256×256, all pixels of the set in one table)",
            prepared="prediction and reference resized to 256×256, bilinear without smoothing, then foreground from .5 on",
            averaged="pixels of all images counted together, one score of the sums: large objects weigh more; no mean over images",
            empty="an image without reference only adds its false positives; 0 where there is nothing to divide by",
            scores={
                "iou": "mIoU (of the foreground)",
                "dice": "DSC",
                "accuracy": "Acc",
                "specificity": "Spe",
                "sensitivity": "Sen",
            },
            axes=2,
            of_class=_vmunet,
            combine=_pooled,
        ),
        PaperProtocol(
            name="transunet-volume",
            title="transunet-volume (volumes at native size, HD95 pooled and in voxels)",
            prepared="label volumes at native size, as they are; spacing is not used",
            averaged="per volume and class; mean over volumes per class, then over classes",
            empty="false positive: Dice 1, HD95 0; prediction empty, whatever the reference: Dice 0, HD95 0",
            scores={"dice": "Dice", "hd95": "HD95 (pooled, voxels)"},
            axes=3,
            of_class=_transunet,
            combine=_mean,
        ),
    )
}
"""Name → protocol. Sources: `condseg` Lei et al., AAAI 2025; `vmunet-pooled` Ruan and Xiang's VM-UNet; `transunet-volume` Chen et
al.'s TransUNet, and MERIT and others after it."""

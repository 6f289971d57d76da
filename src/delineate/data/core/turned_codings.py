"""Masks in which black is what is marked and another value is the background: as in REFUGE, and in TIFF files whose white is 0.

A mask whose frame is filled by a class, with the background as a patch inside, is mostly such a mask. That all masks of a set are
so is hardly ever meant; a few may be pictures that an object fills.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import IGNORE, LabelRule
from delineate.data.core.mask_values import Values

__all__ = ["check_background"]

_LEAST = 3
"""Fewer masks tell nothing of what is usual."""
_ALL = 0.9
"""Where so large a share of the masks is turned, that is how the set is coded."""
_MOST_IGNORED = 0.5
"""So much is hardly left out of training on purpose."""
_FEW = 0.1
"""So few turned masks are not like the rest."""


def check_background(values: Values, rule: LabelRule) -> str:
    """A line on the few masks that seem to be turned; '' where there are none.

    Of label ids of several classes nothing is said: there, 0 may be a class like the others; but that most of the pixels are
    ignored, up to the frame, is.
    Raises `DataError` where nearly all masks are turned.
    """
    frames = [file.frame_by(values.coding) for file in values.files]
    marked = [at for at, counts in enumerate(values.each) if len(counts) > 1]
    if rule.values is not None and len(rule.values) > 2 and rule.index_of(255) in (None, IGNORE):
        return _ignored(values, rule, [frames[at] for at in marked])
    turned = [at for at in marked if _is_turned(frames[at], values.each[at], rule)]
    if len(marked) < _LEAST or not turned:
        return ""
    if len(turned) >= _ALL * len(marked):
        raise DataError(_all_turned(values, rule, [frames[at] for at in turned]))
    usual = sum(frame is not None and rule.index_of(frame) == 0 for frame in frames)
    if len(turned) > max(1, _FEW * len(marked)) or 2 * usual < len(marked):
        return ""
    names = some([values.files[at].name for at in turned], 3)
    what = count(len(turned), "mask is", "masks are")
    return f"{what} filled up to the frame, with a patch of background inside: are black and white exchanged? ({names})"


def _ignored(values: Values, rule: LabelRule, frames: Sequence[int | None]) -> str:
    """A line where ignored pixels fill the frames and are more than half of all: they may be the background, and 0 a class."""
    outside = sum(frame is not None and rule.index_of(frame) == IGNORE for frame in frames)
    total = values.total()
    share = total.get(IGNORE, 0) / sum(total.values())
    if len(frames) < _LEAST or outside < _ALL * len(frames) or share < _MOST_IGNORED:
        return ""
    named = ",".join(f"{value}=NAME" for value in total if value != IGNORE)
    where = f"fills the frame of {outside} of {len(frames)} masks"
    return f"255 is ignored, and {where}: if it is the background, say --labels 255=background,{named}"


def _is_turned(frame: int | None, counts: Mapping[int, int], rule: LabelRule) -> bool:
    """Whether a class fills the frame, and there is background inside."""
    index = None if frame is None else rule.index_of(frame)
    return index not in (None, 0, IGNORE) and 0 in rule.class_pixels(counts)


def _all_turned(values: Values, rule: LabelRule, frames: Sequence[int | None]) -> str:
    (top, _), *_ = Counter(frames).most_common(1)
    if rule.threshold is None:
        named = [str(value) for value in values.total() if value != top]
        turned, kept = [f"{top}=background", *(f"{value}=NAME" for value in named)], ["0=background"]
        kept += [f"{value}=NAME" for value in (*named, str(top)) if value != "0"]
    else:
        low, high = f"0-{rule.threshold - 1}", f"{rule.threshold}-255"
        turned, kept = [f"{high}=background", f"{low}=NAME"], [f"{low}=background", f"{high}=NAME"]
    number = count(len(values.each), "mask")
    return (
        f"the frame of {len(frames)} of {number} is filled by {top}, with 0 as a patch inside: is {top} the background? Then say "
        f"--labels {','.join(turned)}; if 0 is, --labels {','.join(kept)}"
    )

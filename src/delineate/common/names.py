"""Lists of names, and suggestions for misspelled ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["did_you_mean", "listed", "name_here"]


def listed(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names given one by one or as a text with commas; blanks around them and empty ones are left out."""
    given = names.split(",") if isinstance(names, str) else names or ()
    return tuple(name.strip() for name in given if name.strip())


_CALLED_HERE = {
    "amp": "precision",
    "backbone": "encoder",
    "early_stopping": "early_stop",
    "fp16": "precision",
    "grad_clip": "clip_norm",
    "gradient_accumulation": "accumulate",
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_clip_val": "clip_norm",
    "image_size": "size",
    "img_size": "size",
    "learning_rate": "lr",
    "mixed_precision": "precision",
    "num_workers": "workers",
    "patience": "early_stop",
}
"""What other libraries call a setting, and its name here. Their spelling is too far away to be found by likeness."""


_MOST = 60
"""So many names are listed: there may be thousands, of images."""


def name_here(name: str) -> str:
    """The name of a setting here, for one that other libraries use; other names as they are."""
    return _CALLED_HERE.get(name, name)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Text to append to an error: the nearest known name, or the list of what there is.

    Of several names that begin with the one given (`hd95_max`, `hd95_pooled`), all are named: which is meant is not guessed.
    """
    choices = sorted(known)
    if name in _CALLED_HERE and name_here(name) in choices:
        return f"did you mean '{name_here(name)}'?"
    longer = [choice for choice in choices if choice.startswith(f"{name}_")]
    if len(longer) > 1:
        quoted = [f"'{choice}'" for choice in longer]
        return f"did you mean {', '.join(quoted[:-1])} or {quoted[-1]}?"
    near = get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    if not choices:
        return "none are known"
    more = f" and {len(choices) - _MOST} more" if len(choices) > _MOST else ""
    return f"known: {', '.join(choices[:_MOST])}{more}"

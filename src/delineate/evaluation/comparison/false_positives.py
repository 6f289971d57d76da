"""What the column `present` leaves out of a comparison: classes that are marked in cases whose reference lacks them."""

from __future__ import annotations

from collections.abc import Sequence

from delineate.data.core.findings import some
from delineate.evaluation.comparison.models import Model

__all__ = ["false_positive_notes"]

_SHOWN = 6
"""So many models are named."""


def false_positive_notes(models: Sequence[Model]) -> list[str]:
    """One sentence with the number of such cases of each model; none where no model marks anything there."""
    lacking = {row.case for row in models[0].scores_file.rows if not row.present}
    strays = {model.name: _strays(model) for model in models}
    if not any(strays.values()):
        return []
    told = some([f"{name} in {number} of {len(lacking)}" for name, number in strays.items()], _SHOWN)
    return [
        f"The column present does not count cases without the class. These models mark the class in such cases: {told}."
    ]


def _strays(model: Model) -> int:
    return len({row.case for row in model.scores_file.rows if row.outcome == "false_positive"})

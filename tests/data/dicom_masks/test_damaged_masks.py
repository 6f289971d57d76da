"""Damaged segmentations and structure sets: drawn, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
from mutated_all import mask_kinds, outcomes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", range(4))
def test_damaged_masks_are_read_or_refused_in_a_line(tmp_path: Path, which: int) -> None:
    kind = mask_kinds(tmp_path)[which]
    (tmp_path / "damaged").mkdir()
    said = {said for said, _ in outcomes(kind, 60, tmp_path / "damaged", seed=which)}
    assert said <= {"read", "refused"}
    assert "refused" in said

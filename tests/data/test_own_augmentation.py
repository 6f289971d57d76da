"""The how-to's example is an augmentation like any other, for one new file and one row (with its import) in the list."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import delineate

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "augmentation.md"
USED = """
import numpy as np
from delineate.common.class_fields import Place, fields_of
from delineate.data.augment.apply import apply
from delineate.data.augment.settings import AugmentParameters, AugmentSettings, parts, sample

assert "bias_field" in fields_of(Place("delineate.data.augment.settings", "AugmentSettings"))
order = [part.__name__ for part in parts()]
assert order.index("GammaSettings") < order.index("BiasFieldSettings") < order.index("BlurSettings")

image, mask = np.full((20, 30, 3), 100, np.uint8), np.zeros((20, 30), np.uint8)
drawn = sample(AugmentSettings(bias_field=1, bias_strength=0.5), np.random.default_rng(0), 20, 30)
again = AugmentParameters.model_validate_json(drawn.model_dump_json())
assert drawn == again and drawn.drawn[0].name == "bias_field", drawn
found, labels = apply(image, mask, again)
real, _ = apply(image / np.float32(255), mask, drawn)
assert labels is mask and found.dtype == np.uint8 and found.std() > 2
assert np.abs(real * 255 - found).max() < 0.51

rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
older = AugmentSettings(flip_horizontal=0.5, warp=0.5, rotate=20, elastic=0.5, quarter_turns=0.5)
parameters = sample(older, rng, 20, 30)
print(parameters.model_dump_json(), rng.random())
"""
OLDER = USED[: USED.index("assert")] + USED[USED.index("rng, untouched") :]


def ran(source: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_file_and_one_row_are_enough(tmp_path: Path) -> None:
    """In a copy of the lowest rooms; what other augmentations draw stays the same."""
    package = Path(delineate.__file__).parent
    for room in ("common", "data"):
        shutil.copytree(package / room, tmp_path / "delineate" / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in package.glob("*.py"):
        shutil.copy(file, tmp_path / "delineate")
    text = PAGE.read_text(encoding="utf-8")
    (name, content), *others = re.findall(r"^`([\w.]+)`:\n\n```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert not others
    folder = tmp_path / "delineate" / "data" / "augment"
    (folder / name).write_text(content, encoding="utf-8")
    line, row = re.findall(r"^\+(.*\n)", text, re.MULTILINE)
    before = re.search(r"^ (    \w+,\n)\+", text, re.MULTILINE)[1]  # type: ignore[index]
    settings = (folder / "settings.py").read_text(encoding="utf-8")
    first = "from delineate.data.augment.blur"
    changed = settings.replace(before, before + row).replace(first, line + first)
    assert changed.count("BiasFieldSettings") == 2
    (folder / "settings.py").write_text(changed, encoding="utf-8")
    assert ran(tmp_path, USED) == ran(package.parent, OLDER)

"""Makes `equal_trainings.json`: what the small trainings gave before training was taken apart into strategies.

    PYTHONPATH=BEFORE/src OMP_NUM_THREADS=1 python tests/golden/make_equal_trainings.py

BEFORE is a checkout of commit ff5483e. Made anew only when a change of results is meant, and then with the code that means it.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from small_trainings import GOLDEN, TRAININGS, Training, record

FILE = GOLDEN / "equal_trainings.json"
CALLED = {"strategy.ema": "engine.ema", "stages.reinforcement.strategy.ema": "stages.reinforcement.ema"}
"""Keys of today → what they were called then."""


def as_then(training: Training) -> Training:
    """The training in the settings of that commit."""
    pairs = [setting.partition("=") for setting in training.settings]
    return replace(training, settings=tuple(f"{CALLED.get(key, key)}={value}" for key, _, value in pairs))


def main() -> None:
    found = {}
    for name, training in TRAININGS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = record(as_then(training).run(Path(folder)))
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The run folder: what lies where, and the small files that describe a run."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delineate.common.about import version, version_of
from delineate.common.errors import TrainingError
from delineate.common.files import append_line, output_folder, write_json, write_text


class RunFolder:
    """Paths and records of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.manifest = path / "manifest.json"
        self.environment = path / "environment.json"
        self.summary = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.steps = path / "steps"
        self.model = path / "model.safetensors"
        self.card = path / "card.md"
        self.validation = path / "validation"

    def claim(self) -> None:
        """Make the folder for a new run. Raises `TrainingError` when it holds something already."""
        if self.recipe.exists():
            raise TrainingError(f"{self.path} already holds a run; give another --out, or --resume to go on with it")
        if self.path.is_dir() and any(self.path.iterdir()):
            raise TrainingError(f"{self.path} is not empty; give another --out")
        output_folder(self.path)

    def read_summary(self) -> dict[str, Any]:
        """`run.json`, empty when there is none."""
        return dict(json.loads(self.summary.read_bytes())) if self.summary.exists() else {}

    def update_summary(self, **values: Any) -> None:
        """Change entries of `run.json`."""
        write_json(self.summary, self.read_summary() | values)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append a line to `metrics.jsonl`."""
        append_line(self.metrics, json.dumps(record, allow_nan=False))

    def rewind_log(self, stage_order: list[str], stage: int, step: int) -> None:
        """Drop the lines after (stage, step): what a killed run wrote beyond its last state will be written again."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # a line cut off by the kill
                continue
            if (stage_order.index(record["stage"]), record["step"]) <= (stage, step):
                kept.append(line)
        write_text(self.metrics, "".join(line + "\n" for line in kept))


def environment(device: str, threads: int) -> dict[str, str]:
    """Versions and machine, for the record."""
    names = ("torch", "torchvision", "timm", "lightning", "numpy", "opencv-python-headless")
    return {
        "delineate": version(),
        **{name: version_of(name) for name in names},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device,
        "threads": str(threads),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

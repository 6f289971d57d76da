"""The run folder: what lies where, and the small files that describe a run."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from delineate.common.errors import DelineateError, TrainingError
from delineate.common.files import append_line, parse_json, read_json, write_json, write_text
from delineate.common.folder_lock import folder_contents, folder_holder
from delineate.common.versions import version, version_of
from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import Manifest
from delineate.nn.encoders.origin import WeightsOrigin

__all__ = ["RunFolder", "environment", "environment_changes"]

_UNDER_WAY = ("running", "completing")
"""Statuses of a run at work: it trains, or it writes what belongs to its end."""


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
        self.report = path / "report.html"
        self.validation = path / "validation"
        self.calibration_files = path / "calibration.json", path / "calibration.html"
        """What `calibrate` has measured, and its page."""
        self.started_from = path / "init.json"
        """The model whose weights the run began with, and what it knows: pictures, and pretrained weights before it."""
        self.pretrained = path / "pretrained.json"
        """Submodule → where its pretrained weights come from, of a run that began with such."""

    @property
    def second(self) -> RunFolder:
        """Where a network is saved that a strategy keeps beside the model (`Strategy.companion`)."""
        return RunFolder(self.path / "second")

    def check_free(self) -> None:
        """Raise `TrainingError` when the folder holds something already."""
        if self.recipe.exists():
            raise TrainingError(f"{self.path} already holds a run; use another --out, or --resume to continue it")
        if folder_contents(self.path):
            raise TrainingError(f"{self.path} is not empty; use another --out")

    def read_summary(self) -> dict[str, Any]:
        """`run.json`, empty when there is none. Raises `TrainingError` for a damaged one."""
        try:
            content = read_json(self.summary)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        if not isinstance(content, dict):
            raise self._damaged("not an object")
        return content

    def update_summary(self, **values: Any) -> None:
        """Change entries of `run.json`; those that are None go."""
        content = self.read_summary() | values
        write_json(self.summary, {key: value for key, value in content.items() if value is not None})

    def end(self, status: str, reason: str, minutes: float | None = None) -> None:
        """Note why a run ended before it was finished; where even that cannot be written, the free lock still tells of it."""
        with suppress(DelineateError, OSError):
            known = {} if minutes is None else {"minutes": minutes}
            self.update_summary(status=status, reason=" ".join(reason.split()), **known)

    def status(self) -> str | None:
        """What `run.json` says, but for a run that was killed: it could not write that, and nobody holds its lock."""
        status = self.read_summary().get("status")
        if status in _UNDER_WAY and folder_holder(self.path) is None:
            return "interrupted"
        return None if status is None else str(status)

    def missing_files(self, *, report: bool) -> list[str]:
        """The files that belong to a finished run and are not there; `report`: whether its page is one of them."""
        whole = (self.model, self.card, self.validation / "scores.json", *((self.report,) if report else ()))
        return [path.relative_to(self.path).as_posix() for path in whole if not path.exists()]

    def known_pictures(self) -> KnownPictures:
        """The pictures of the run's data set, those for testing too, and those of the model that it started from."""
        cases = Manifest.load(self.manifest).cases if self.manifest.exists() else ()
        before = read_json(self.started_from) if self.started_from.exists() else {}
        return KnownPictures.of(cases, KnownPictures.read(before.get("pictures")))

    def pretrained_weights(self) -> dict[str, WeightsOrigin]:
        """Submodule → where its pretrained weights come from: the run's own, and those of the model that it started from."""
        before = read_json(self.started_from).get("pretrained", {}) if self.started_from.exists() else {}
        own = read_json(self.pretrained) if self.pretrained.exists() else {}
        return {name: WeightsOrigin.from_json(origin) for name, origin in {**before, **own}.items()}

    def first_weights(self) -> str:
        """Where training began, in words: with the weights of a model (`--init`), with pretrained ones, or with random ones."""
        model = read_json(self.started_from).get("model") if self.started_from.exists() else None
        begun = [f"of {Path(model).name}"] if model else []
        origins = dict.fromkeys(origin.words for origin in self.pretrained_weights().values())
        return "; ".join([*begun, *origins]) or "random"

    def log(self, record: Mapping[str, Any]) -> None:
        """Append a line to `metrics.jsonl`."""
        append_line(self.metrics, json.dumps(record, allow_nan=False))

    def rewind_log(self, stage_order: list[str], stage: int, step: int) -> None:
        """Drop the lines after (stage, step): what a killed run wrote beyond its last state will be written again."""
        if not self.metrics.is_file():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a line cut off by the kill, or damaged since
                record = parse_json(line)
                if (stage_order.index(record["stage"]), record["step"]) <= (stage, step):
                    kept.append(line)
        write_text(self.metrics, "".join(line + "\n" for line in kept))

    def _damaged(self, why: object) -> TrainingError:
        return TrainingError(f"{self.summary} is damaged ({why}); remove it, and --resume makes it anew")


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


def environment_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Versions and settings of the machine that differ and may change the last bits of a result, as "torch 2.4 → 2.5"."""
    differing = [name for name, value in now.items() if before.get(name, value) != value]
    return [f"{name} {before[name]} → {now[name]}" for name in differing if name != "platform"]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

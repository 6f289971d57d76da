"""Two processes (gloo, CPU) train to the weights of one, for a network without batch statistics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

PLAIN = """
import copy
from torch import nn
from delineate.methods.contract import Method, MethodInfo, MethodOptions
from delineate.nn.losses import bce, dice

class Plain(Method):
    info = MethodInfo(name="plain", title="Plain", paper="none", year=2026, min_size=8)
    Options = MethodOptions

    def __init__(self, options, *, classes, in_channels):
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, classes, 3, padding=1)
        )

    def forward(self, image):
        return self.body(image)

    def objective(self, batch, ctx):
        logits = self(batch["image"])
        return {"bce": bce(logits, batch["mask"]), "dice": dice(logits, batch["mask"])}

    def deploy(self):
        return copy.deepcopy(self).eval()
"""
RECIPE = (
    "tiny: {input: {size: 32}, augment: {flip_horizontal: 0.5}, engine: {batch_size: 4, steps: 12, optimiser: adamw}}\n"
)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder that, on the path, is an installed package with the method `plain`."""
    site = tmp_path / "site"
    (site / "plain_method").mkdir(parents=True)
    (site / "plain_method" / "__init__.py").write_text(PLAIN)
    (site / "plain_method" / "recipe.yaml").write_text(RECIPE)
    info = site / "plain_method-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-method\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[delineate.methods]\nplain = plain_method:Plain\n")
    return site


@pytest.mark.slow
def test_two_processes_equal_one(plain: Path, discs: Path, tmp_path: Path) -> None:
    weights = []
    for devices in (1, 2):
        out = tmp_path / f"run{devices}"
        command = [sys.executable, "-m", "delineate", "train", str(discs), "--method", "plain", "--preset", "tiny"]
        command += ["--out", str(out), "--device", "cpu", "--set", f"engine.devices={devices}"]
        command += ["--cache-dir", str(tmp_path / "cache")]
        environment = os.environ | {"PYTHONPATH": str(plain), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        weights.append(load_file(out / "model.safetensors"))
        assert (out / "report.html").exists()
    assert weights[0].keys() == weights[1].keys()
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], rtol=1e-5, atol=1e-6)

"""The demonstration, with the least training that goes through every part of it."""

from __future__ import annotations

import json

import pytest

import delineate
from delineate.common.errors import DelineateError
from delineate.engine.reporting import Silent


@pytest.mark.slow
def test_demo_makes_models_scores_overlays_and_reports(tmp_path):
    out = tmp_path / "demo"
    result = delineate.demo(out, epochs={"condseg": 1, "unet-pretrained": 1}, reporter=Silent())
    assert result.report == out / "report.html"
    assert [row.method for row in result.rows] == ["condseg", "unet-pretrained"]
    for row in result.rows:
        scores = json.loads((out / f"{row.method}-test" / "evaluation" / "scores.json").read_text())
        assert scores["split"] == "test"
        assert scores["cases"] == result.cases
        assert row.dice == pytest.approx(scores["macro"]["dice"]["all"]["mean"])
        assert len(list((out / f"{row.method}-test").glob("*.png"))) == result.cases
        assert len(list((out / f"{row.method}-test" / "overlays").glob("*.png"))) == result.cases
        assert delineate.load(out / row.method).method.info.name == row.method.removesuffix("-pretrained")
        assert f'href="{row.method}/report.html"' in result.report.read_text(encoding="utf-8")
    assert not (out / "cache").exists()
    assert "tf_efficientnet_lite0" in json.loads((out / "unet-pretrained" / "run.json").read_text())["first_weights"]
    assert json.loads((out / "condseg" / "run.json").read_text())["first_weights"] == "random"
    with pytest.raises(DelineateError, match="not empty"):
        delineate.demo(out)
    with pytest.raises(DelineateError, match="no run 'unet-pretraind': did you mean 'unet-pretrained'"):
        delineate.demo(tmp_path / "other", epochs={"unet-pretraind": 1})
    assert not (tmp_path / "other").exists()

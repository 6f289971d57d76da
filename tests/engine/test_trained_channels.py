"""Images whose channels are files of their own, from a table to masks: pictures and volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import ArtefactError, DataError
from delineate.data.formats.registry import open_image
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.files import predict_files
from delineate.inference.predictor import load

Maker = Callable[..., TrainRequest]


def _save(path: Path, array: Any) -> None:
    if path.suffix == ".png":
        cv2.imwrite(str(path), array)
        return
    nib = pytest.importorskip("nibabel")
    affine = np.array([[0, -3.0, 0, 9], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # three slices, from left to right
    nib.save(nib.Nifti1Image(np.stack([array, array, array], axis=1), affine), path)


@pytest.fixture(params=[".png", ".nii.gz"])
def heads(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Eight heads; a lesion is where both channels are bright."""
    (tmp_path / "scans").mkdir()
    lines = ["image_t1,image_flair,mask,split"]
    for number in range(8):
        rng = np.random.default_rng(number)
        t1, flair = (rng.integers(0, 60, (32, 40), np.uint8) for _ in range(2))
        t1[6:24, 4 + number : 24] += 150
        flair[10:28, 12 : 20 + number] += 150
        files = [f"scans/p{number}_{what}{request.param}" for what in ("t1", "flair", "seg")]
        for file, array in zip(files, (t1, flair, ((t1 > 100) & (flair > 100)).astype(np.uint8)), strict=True):
            _save(tmp_path / file, array)
        lines.append(",".join([*files, ("val" if number == 6 else "test" if number == 7 else "train")]))
    (tmp_path / "heads.csv").write_text("\n".join(lines))
    return tmp_path / "heads.csv"


def turned(table: Path) -> Path:
    """The same table with its first two columns the other way round."""
    rows = [line.split(",") for line in table.read_text().splitlines()]
    other = table.with_name("turned.csv")
    other.write_text("\n".join(",".join([row[1], row[0], *row[2:]]) for row in rows))
    return other


def test_channels_go_by_name_from_the_table_to_the_mask(
    heads: Path, request_for: Maker, recorder: Any, tmp_path: Path
) -> None:
    settings = ["engine.lr=1e-2", "input.intensity=percentile"]
    train(request_for("first", steps=6, data=heads, settings=settings), recorder())
    model = load(request_for("first").out, device="cpu")
    assert (model.spec.channels, model.method.in_channels) == (("t1", "flair"), 2)
    suffix = ".png" if (heads.parent / "scans" / "p0_t1.png").exists() else ".nii.gz"
    maps = []
    for table in (heads, turned(heads)):
        done = predict_files(model, [table], tmp_path / table.stem, split="test", overlay=True, probabilities=True)
        assert [(file.name, file.error) for file in done.files] == [("p7", None)]
        assert (tmp_path / table.stem / f"p7{suffix}").is_file()
        maps.append(open_image(tmp_path / table.stem / "probabilities" / f"p7{suffix}").read())
    assert np.array_equal(*maps)
    assert maps[0].min() < maps[0].max()
    with pytest.raises(DataError, match="no image has its channels in files of their own; the model takes t1, flair"):
        predict_files(model, [heads.parent / "scans" / f"p7_t1{suffix}"], tmp_path / "alone")
    with pytest.raises(ArtefactError, match=r"was trained on t1 \+ flair, but the data have flair \+ t1"):
        train(request_for("second", steps=1, data=turned(heads), init=request_for("first").out), recorder())
    assert not request_for("second").out.exists()
    if suffix == ".png":
        files = {name: heads.parent / "scans" / f"p7_{name}.png" for name in ("flair", "t1")}
        found = np.rint(model.probabilities(files)[..., 0] * 65535)
        assert np.array_equal(found, maps[0])
        wrong = model.probabilities({"t1": files["flair"], "flair": files["t1"]})[..., 0]
        assert not np.array_equal(np.rint(wrong * 65535), found)

"""A folder as TransUNet's authors share it, from training to scored volumes, and training beside images without masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate import api
from delineate.common.errors import DataError
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.discover import discover
from delineate.data.splits.resplit import resplit
from delineate.engine.reporting import Silent
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from delineate.methods import registry
from train_request import train_request

SMALL = (
    "method.encoder.name=resnet10t",
    "method.decoder_channels=[16, 16, 8, 8, 8]",
    "engine.batch_size=4",
    "engine.device=cpu",
    "input.intensity=range",
)


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def _slice(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A square of each of two organs on noise; fractions, and labels as floats."""
    label = np.zeros((40, 40), np.float32)
    row, column = rng.integers(2, 10, 2)
    label[row : row + 14, column : column + 12] = 1
    label[row + 16 : row + 26, column + 10 : column + 24] = 2
    image = np.clip(0.2 + 0.3 * label + rng.normal(0, 0.05, label.shape), 0, 1)
    return image.astype(np.float32), label


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 training and 12 test patients, of one training slice each and volumes of two."""
    h5py = pytest.importorskip("h5py")
    root = tmp_path_factory.mktemp("synapse")
    (root / "train_npz").mkdir()
    (root / "test_vol_h5").mkdir()
    rng = np.random.default_rng(0)
    for number in (5, 6, 7, 9, 10, 21, 23, 24, 26, 27, 28, 30, 31, 33, 34, 37, 39, 40):
        image, label = _slice(rng)
        np.savez(root / "train_npz" / f"case{number:04}_slice000.npz", image=image, label=label)
    for number in (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38):
        slices = [_slice(rng) for _ in range(2)]
        with h5py.File(root / "test_vol_h5" / f"case{number:04}.npy.h5", "w") as file:
            file["image"], file["label"] = (np.stack(part) for part in zip(*slices, strict=True))
    return root


@pytest.fixture
def request_for(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainRequest]:
    def make(data: Path, name: str = "run", *settings: str, **changes: Any) -> TrainRequest:
        return train_request(
            data=data,
            method="unet",
            preset="tiny",
            size=32,
            steps=4,
            out=tmp_path / name,
            settings=[*SMALL, *settings],
            cache_folder=tmp_path_factory.getbasetemp() / "cache",
            **changes,
        )

    return make


def test_from_the_archive_to_scored_volumes(synapse: Path, request_for, tmp_path: Path) -> None:
    notes = Notes()
    result = train(request_for(synapse), notes)
    assert any("packed slices and volumes; 16 train, 2 val, 24 test" in note for note in notes.notes)
    done = predict_files(load(result.folder), [synapse], tmp_path / "masks", split="test")
    assert not done.failures
    assert {file.name for file in done.files} >= {"case0001_slice_000", "case0038_slice_001"}
    for protocol in ("native", "transunet-volume"):
        options = EvaluationOptions(stack="auto", protocol=protocol)
        evaluation = evaluate_folders(tmp_path / "masks", synapse, options, out=tmp_path / protocol)
        assert len({row.case for row in evaluation.rows}) == 12
        assert (evaluation.origin.level, evaluation.origin.length) == ("volume", "voxel")
    by_manifest = evaluate_folders(tmp_path / "masks", result.folder / "manifest.json", EvaluationOptions(stack="auto"))
    assert by_manifest.headline() == pytest.approx(ScoresFile.read(tmp_path / "native").mean("dice")["mean"])


def test_a_benchmark_on_its_own_lists(synapse: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    options: dict[str, Any] = {
        "methods": ["unet"],
        "preset": "tiny",
        "epochs": 1,
        "size": 32,
        "settings": SMALL,
        "stack": "auto",
        "cache_folder": tmp_path_factory.getbasetemp() / "cache",
        "reporter": Silent(),
    }
    with pytest.raises(
        DataError, match="'hd95_pooled@mm' asks for millimeters, but the spacing of 24 cases is not known"
    ):
        api.benchmark(synapse, out=tmp_path / "mm", metrics=("hd95_pooled@mm",), **options)
    assert not (tmp_path / "mm").exists()
    board = api.benchmark(synapse, out=tmp_path / "bench", metrics=("dice", "hd95_pooled"), **options)
    assert board.rows[0].means["dice"].n == 12
    assert [about["title"] for about in board.metrics.values()] == ["Dice", "HD95 (pooled), voxel"]


@pytest.mark.parametrize("uses", [False, True])
def test_training_beside_images_without_masks(
    synapse: Path, request_for, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uses: bool
) -> None:
    unet = registry.method_class("unet")
    monkeypatch.setattr(unet, "info", replace(unet.info, uses_unlabeled=uses))
    seen: list[int] = []
    plain = unet.objective

    def objective(self: Any, batch: Any, ctx: Any) -> Any:
        if self.training:
            seen.append(int(batch["labeled"].sum()))
            assert (batch["mask"][~batch["labeled"]] == 255).all()
        return plain(self, batch, ctx)

    monkeypatch.setattr(unet, "objective", objective)
    division = resplit(synapse, published="synapse-transunet", labeled=0.25)
    division.manifest.save(tmp_path / "quarter.json")
    notes = Notes()
    result = train(request_for(tmp_path / "quarter.json", f"run{uses}", "data.labeled_share=0.5"), notes)
    said = "12 training images without masks left out" if not uses else "12 training images of 16 without masks: used"
    assert any(said in note for note in notes.notes)
    assert seen == ([2] * 4 if uses else [4] * 4)
    saved = Manifest.load(result.folder / "manifest.json")
    assert sum(not case.masks for case in saved.split("train")) == 12, "the run's manifest names them all"
    assert all(set(case.hashes) == {*case.images, *case.masks} for case in saved.cases)


def test_the_published_list_agrees_with_the_folders(synapse: Path) -> None:
    by_list = resplit(synapse, published="synapse-transunet").manifest
    by_folder = discover(synapse)
    assert {case.id for case in by_list.split("test")} == {case.id for case in by_folder.split("test")}

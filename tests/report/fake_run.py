"""A run folder as the engine leaves it, made of drawn discs, and predictions with their evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from delineate.common.files import write_json
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.scores_file import Origin, write_scores
from delineate.evaluation.results.summary import summarize
from delineate.inference.overlay import draw

SIZE = 96


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


class Fake:
    """Data, references and predictions of discs; `classes` without the background."""

    def __init__(self, root: Path, cases: int, classes: tuple[str, ...], seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.root, self.classes = root, ClassTable(names=("background", *classes))
        self.images, self.references = {}, {}
        for at in range(cases):
            mask = np.zeros((SIZE, SIZE), np.uint8)
            for index in range(1, len(classes) + 1):
                mask[disc(*random.uniform(25, 70, 2), random.uniform(6, 22))] = index
            noise = random.normal(0, 10, (SIZE, SIZE, 3)) + np.array((70, 60, 50))
            self.references[f"c{at:02d}"] = mask
            self.images[f"c{at:02d}"] = np.clip(noise + 70 * (mask > 0)[..., None], 0, 255).astype(np.uint8)
        for kind, arrays in (("images", self.images), ("masks", self.references)):
            (root / kind).mkdir(parents=True)
            for case, pixels in arrays.items():
                Image.fromarray(pixels).save(root / kind / f"{case}.png", compress_level=1)

    @property
    def manifest(self) -> Manifest:
        kept = tuple(
            Case(id=case, images=(f"images/{case}.png",), masks=(f"masks/{case}.png",), split="val")
            for case in self.images
        )
        values = {index: index for index in range(len(self.classes.names))}
        return Manifest(
            root=str(self.root),
            layout="images + masks",
            split_origin="seeded: 80/20",
            classes=self.classes,
            labels=LabelRule(values=values, reason="label ids"),
            cases=kept,
        )

    def predict(self, shift: int) -> dict[str, np.ndarray]:
        """The reference shifted by a different number of pixels per case."""
        return {case: np.roll(mask, shift * at // 4, 1) for at, (case, mask) in enumerate(self.references.items())}

    def evaluate(self, predictions: dict[str, np.ndarray], out: Path, split: str = "val") -> None:
        rows = [
            row
            for case in predictions
            for row in score_case(case, predictions[case], self.references[case], self.classes)
        ]
        out.mkdir(parents=True, exist_ok=True)
        write_scores(out, rows, summarize(rows), Origin(split=split))


def write_run(
    fake: Fake, run: Path, *, stages: tuple[str, ...] = ("one", "two"), method: str = "condseg", shift: int = 3
) -> Path:
    """All the files of a finished run."""
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("name: condseg\nengine:\n  lr: 0.001\n")
    (run / "card.md").write_text("# Card\n")
    fake.manifest.save(run / "manifest.json")
    write_json(run / "environment.json", {"torch": "2.15.0", "device": "cpu", "threads": "2"})
    write_json(
        run / "run.json",
        {
            "status": "finished",
            "method": method,
            "preset": "tiny",
            "parameters": 1234567,
            "stages": [{"name": name, "steps": 100} for name in stages],
            "best": {"step": 90, "dice": 0.9},
            "minutes": 1.5,
            "images_seen": 12800,
            "seed": 0,
            "classes": list(fake.classes.names),
        },
    )
    with (run / "metrics.jsonl").open("w") as stream:
        for name in stages:
            for step in range(10, 101, 10):
                stream.write(json.dumps(record(name, step)) + "\n")
    predictions = fake.predict(shift)
    fake.evaluate(predictions, run / "validation")
    (run / "validation" / "overlays").mkdir()
    ranks = [f"{rank}{place}" for rank in ("worst", "median", "best") for place in (1, 2, 3)]
    for rank, case in zip(ranks, predictions, strict=False):
        picture = draw(fake.images[case], predictions[case], fake.references[case], fake.classes)
        Image.fromarray(picture).save(run / "validation" / "overlays" / f"{rank}_{case}.png", compress_level=1)
    panels = run / "validation" / "panels" / "c00"
    panels.mkdir(parents=True)
    for name in ("foreground", "background", "uncertainty"):
        Image.fromarray(fake.images["c00"]).save(panels / f"{name}.png", compress_level=1)
    return run


def record(stage: str, step: int) -> dict:
    loss = {"total": 10 / step, "mask": 6 / step, "consistency": 4 / step}
    return {
        "stage": stage,
        "step": step,
        "total_steps": 100,
        "epoch": step / 10,
        "lr": 1e-3 * (1 - step / 101),
        "loss": loss,
        "val": {"dice": 1 - 5 / step, "loss": {name: 1.2 * value for name, value in loss.items()}},
        "images_per_second": 100.0,
        "seconds": float(step),
    }


def write_predictions(fake: Fake, folder: Path, shift: int) -> Path:
    """Masks, their list, and their evaluation as a test split."""
    folder.mkdir(parents=True)
    predictions = fake.predict(shift)
    for case, mask in predictions.items():
        Image.fromarray(mask).save(folder / f"{case}.png", compress_level=1)
    files = tuple(
        PredictedFile(mask=f"{case}.png", image=str(fake.root / "images" / f"{case}.png")) for case in predictions
    )
    PredictionList(
        method="condseg", model="model.safetensors", model_sha256="0" * 64, class_names=fake.classes.names, files=files
    ).save(folder)
    fake.evaluate(predictions, folder / "evaluation", "test")
    return folder

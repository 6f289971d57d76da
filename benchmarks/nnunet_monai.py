"""nnU-Net and MONAI really trained on our division, and their masks of the test cases: for `delineate benchmark --predictions`.

    delineate data split DATA --out split.json                        # the division that the data bring, with hashes
    python benchmarks/nnunet_monai.py nnunet DATA OUT --configuration 2d --epochs 4 --iterations 200 --batch 8
    python benchmarks/nnunet_monai.py monai split.json OUT --epochs 20
    delineate benchmark DATA --methods unet,resenc --predictions nnunet=OUT/nnunet-2d --predictions monai=OUT/monai --out bench
    python benchmarks/nnunet_monai.py check OUT/nnunet-2d split.json       # the numbers of `evaluate` against the peers' own

nnU-Net (`pip install nnunetv2`) gets `data convert --to nnunet` and plans by itself; only the length of the training is cut, and
with --batch the size of its steps. MONAI (`pip install monai`) is the 3-D U-Net of its tutorials, with the weights that are best on
the validation cases. Both run in one process on one thread. What is printed at the end says how long: `processor` is what this
process used, whoever else used the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

NUMBER = 501
NAME = f"Dataset{NUMBER}_Peer"
PATCH = (48, 64, 48)
"""Of MONAI's network, a multiple of 16. The hippocampus volumes fit in as a whole."""
PARTS = ("train", "val", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    nnunet_ = commands.add_parser("nnunet")
    nnunet_.add_argument("data", type=Path)
    nnunet_.add_argument("out", type=Path)
    nnunet_.add_argument("--configuration", default="2d", choices=("2d", "3d_fullres"))
    nnunet_.add_argument("--epochs", type=int, default=4)
    nnunet_.add_argument("--iterations", type=int, default=200, help="of an epoch")
    nnunet_.add_argument(
        "--batch", type=int, help="patches in a step; default: as planned, which is made for long trainings"
    )
    monai_ = commands.add_parser("monai")
    monai_.add_argument("split", type=Path)
    monai_.add_argument("out", type=Path)
    monai_.add_argument("--epochs", type=int, default=20)
    check_ = commands.add_parser("check")
    check_.add_argument("masks", type=Path)
    check_.add_argument("split", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "nnunet":
        nnunet(given.data, given.out, given.configuration, given.epochs, given.iterations, given.batch)
    elif given.command == "monai":
        monai(given.split, given.out, given.epochs)
    else:
        check(given.masks, given.split)


class Clock:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        wall, processor = time.perf_counter() - self.wall, time.process_time() - self.processor
        return f"{wall / 60:.1f} minutes (processor {processor / 60:.1f})"


def nnunet(data: Path, out: Path, configuration: str, epochs: int, iterations: int, batch: int | None) -> None:
    """Plan, preprocess, train on the one division of the data, segment the test cases."""
    raw, preprocessed = out / "raw", out / "preprocessed"
    folders = {"nnUNet_raw": raw, "nnUNet_preprocessed": preprocessed, "nnUNet_results": out / "results"}
    os.environ |= {name: str(folder.resolve()) for name, folder in folders.items()} | {"nnUNet_n_proc_DA": "0"}
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.run.run_training import get_trainer_from_args

    import delineate

    if not (raw / NAME).exists():
        delineate.convert_data(data, to="nnunet", out=raw / NAME)
    if not (preprocessed / NAME / "nnUNetPlans.json").exists():
        extract_fingerprints([NUMBER], num_processes=1, check_dataset_integrity=True)
        plan_experiments([NUMBER])
        preprocess([NUMBER], configurations=("2d", "3d_fullres"), num_processes=(1, 1))
    shutil.copy(raw / NAME / "splits_final.json", preprocessed / NAME)

    plans = preprocessed / NAME / "nnUNetPlans.json"
    if batch is not None:
        planned = json.loads(plans.read_text(encoding="utf-8"))
        planned["configurations"][configuration]["batch_size"] = batch
        plans.write_text(json.dumps(planned, indent=4), encoding="utf-8")

    cpu = torch.device("cpu")
    trainer = get_trainer_from_args(str(NUMBER), configuration, 0, device=cpu)
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = epochs, iterations, 2
    if not (Path(trainer.output_folder) / "checkpoint_final.pth").exists():
        clock = Clock()
        trainer.run_training()
        seen = epochs * iterations * trainer.configuration_manager.batch_size
        parameters = sum(one.numel() for one in trainer.network.parameters())
        print(
            f"nnU-Net {configuration}: {epochs * iterations} steps, {seen} patches of "
            f"{trainer.configuration_manager.patch_size}, {parameters} parameters, trained {clock}",
            flush=True,
        )
    predictor = nnUNetPredictor(device=cpu, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(trainer.output_folder_base), (0,), "checkpoint_final.pth")
    masks = out / f"nnunet-{configuration}"
    masks.mkdir(exist_ok=True)
    clock = Clock()
    predictor.predict_from_files_sequential(str(raw / NAME / "imagesTs"), str(masks))
    print(f"{masks}: predicted {clock}")


def monai(split: Path, out: Path, epochs: int) -> None:
    """Train on the cases of the split `train`, choose the weights on `val`, segment `test`."""
    from monai.data import CacheDataset, DataLoader, decollate_batch
    from monai.inferers import sliding_window_inference
    from monai.losses import DiceCELoss
    from monai.metrics import DiceMetric
    from monai.networks.nets import UNet
    from monai.transforms import AsDiscreted, Compose, Invertd, SaveImaged
    from monai.utils import set_determinism

    set_determinism(0)
    told = json.loads(split.read_text(encoding="utf-8"))
    classes = len(told["classes"]["names"])
    train, val, test = ([files(told, case) for case in told["cases"] if case["split"] == part] for part in PARTS)
    steps = DataLoader(CacheDataset(train, transforms(PATCH, draw=True), progress=False), batch_size=2, shuffle=True)
    held_out = DataLoader(CacheDataset(val, transforms(PATCH), progress=False), batch_size=1)
    network = UNet(3, 1, classes, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2, norm="batch")
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    dice = DiceMetric(include_background=False, num_classes=classes)
    best, weights = -1.0, network.state_dict()

    def segment(image: torch.Tensor) -> Any:
        with torch.inference_mode():
            return sliding_window_inference(image, PATCH, 1, network.eval(), overlap=0.5, mode="gaussian")

    clock = Clock()
    for epoch in range(epochs):
        network.train()
        for batch in steps:
            optimizer.zero_grad()
            loss(network(batch["image"]), batch["label"]).backward()
            optimizer.step()
        schedule.step()
        for batch in held_out:
            dice(segment(batch["image"]).argmax(1, keepdim=True), batch["label"])
        found = float(dice.aggregate())
        dice.reset()
        print(f"epoch {epoch}: validation Dice {found:.3f}, {clock}", flush=True)
        if found > best:
            best, weights = found, {name: value.clone() for name, value in network.state_dict().items()}
    trained = str(clock)

    network.load_state_dict(weights)
    prepare = transforms(None)
    back = Compose([Invertd("pred", prepare, "image", nearest_interp=False), AsDiscreted("pred", argmax=True)])
    save = SaveImaged("pred", output_dir=out / "monai", output_postfix="", separate_folder=False, output_dtype=np.uint8)
    clock = Clock()
    for batch in DataLoader(CacheDataset(test, prepare, progress=False), batch_size=1):
        batch["pred"] = segment(batch["image"])
        for one in decollate_batch(batch):
            save(back(one))
    parameters = sum(one.numel() for one in network.parameters())
    print(
        f"MONAI U-Net: {epochs * len(steps)} steps, {epochs * len(train)} volumes, {parameters} parameters, "
        f"trained {trained}, predicted {clock}"
    )


def files(manifest: dict[str, Any], case: dict[str, Any]) -> dict[str, str]:
    root = Path(manifest["root"])
    return {"image": str(root / case["images"][0]), "label": str(root / case["masks"][0])}


def transforms(patch: tuple[int, int, int] | None, *, draw: bool = False) -> Any:
    """What is done to a case; without `patch`, to an image that has no label and keeps its size."""
    import monai.transforms as the

    keys = ["image", "label"] if patch else ["image"]
    steps = [
        the.LoadImaged(keys, ensure_channel_first=True),
        the.Orientationd(keys, axcodes="RAS", labels=None),
        the.NormalizeIntensityd("image"),
    ]
    if patch:
        steps.append(the.SpatialPadd(keys, patch))
    if draw:
        steps += [
            the.RandSpatialCropd(keys, patch, random_size=False),
            the.RandAffined(
                keys,
                prob=0.5,
                rotate_range=(0.3, 0.3, 0.3),
                scale_range=(0.15, 0.15, 0.15),
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            the.RandScaleIntensityd("image", 0.2, prob=0.5),
            the.RandShiftIntensityd("image", 0.2, prob=0.5),
        ]
    return the.Compose(steps)


def check(masks: Path, split: Path) -> None:
    """Of every case and class: what `evaluate` says against what nnU-Net, MONAI and MedPy say of the same files."""
    import csv
    import tempfile

    from medpy.metric import binary as medpy
    from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance, compute_iou
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    import delineate

    told = json.loads(split.read_text(encoding="utf-8"))
    names = told["classes"]["names"]
    with tempfile.TemporaryDirectory() as scores:
        delineate.evaluate(masks, split, split="test", metrics="dice,iou,hd95_max,hd95_pooled,assd", out=scores)
        rows = list(csv.DictReader((Path(scores) / "scores.csv").open(encoding="utf-8")))
    worst: dict[str, float] = {}
    apart: Counter[str] = Counter()
    references = {case["id"]: files(told, case)["label"] for case in told["cases"]}
    for row in rows:
        index, reference = names.index(row["class"]), references[row["case"]]
        prediction = next(masks.glob(f"{row['case']}.*"))
        read = SimpleITKIO()
        (theirs, about), (truth, _) = read.read_seg(str(prediction)), read.read_seg(reference)
        pair = theirs[0] == index, truth[0] == index
        tensors = [torch.from_numpy(mask[None, None]).float() for mask in pair]
        far = {"include_background": True, "spacing": about["spacing"]}
        counted = compute_metrics(reference, str(prediction), read, [index])["metrics"][index]
        said = {
            "nnU-Net dice": counted["Dice"],
            "nnU-Net iou": counted["IoU"],
            "MONAI dice": compute_dice(*tensors),
            "MONAI iou": compute_iou(*tensors),
            "MONAI hd95_max": compute_hausdorff_distance(*tensors, percentile=95, **far),
            "MONAI assd": compute_average_surface_distance(*tensors, symmetric=True, **far),
            "MedPy hd95_pooled": medpy.hd95(*pair, about["spacing"]) if all(mask.any() for mask in pair) else np.nan,
        }
        for name, value in said.items():
            ours = row[name.split()[1]]
            both = [float(ours) if ours else float("nan"), float(value)]
            if not np.isfinite(both).all():
                apart[f"{name} is {both[1]} where the outcome here is '{row['outcome']}'"] += 1
                continue
            worst[name] = max(worst.get(name, 0.0), abs(both[0] - both[1]))
    print(f"{len(rows)} structures in {len({row['case'] for row in rows})} cases; largest difference to")
    for name, difference in worst.items():
        print(f"  {name:20} {difference:.1e}")
    for words, number in apart.items():
        print(f"{number} structures: {words}")


if __name__ == "__main__":
    main()

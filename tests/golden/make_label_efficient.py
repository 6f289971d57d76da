"""How `label_efficient.npz` was made: what released training scripts say of given logits, and the gradients of it.

    python tests/golden/make_label_efficient.py SSL4MIS BCP UNIMATCH_V2 MC_NET LAGRANGE

The five are checkouts of github.com/HiLab-git/SSL4MIS (MIT, commit 06df604), DeepMed-Lab-ECNU/BCP (MIT, 7879f98),
LiheYoung/UniMatch-V2 (MIT, f6afb4d), ycwu1997/MC-Net (MIT, fee453c) and lzeeorno/Lagrange-Duality-and-CMAformer (MIT, f6c79b4).
The lines of their training loops are run as they are,
outside this project, on the CPU and without their data: the networks are replaced by lists of logits, which are handed out call
by call. Four classes, two images with masks and two without. Per strategy the file holds the logits, the loss on images without
masks, and its gradient; of MC-Net also weights and answers of its parts.
"""

from __future__ import annotations

import argparse
import random
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES, COUNT, SIDE = 4, 2, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("ssl4mis", "bcp", "unimatch", "mc_net", "lagrange"):
        parser.add_argument(name, type=Path)
    paths = parser.parse_args()
    torch.manual_seed(0)
    arrays: dict[str, np.ndarray] = {}
    for name, values in {
        "mean-teacher": mean_teacher(paths.ssl4mis),
        "ua-mt": ua_mt(paths.ssl4mis),
        "cps": cps(paths.ssl4mis),
        "entropy": entropy(paths.ssl4mis),
        "bcp": bcp(paths.bcp),
        "unimatch": unimatch(paths.unimatch),
        "mc-net": mc_net(paths.mc_net),
        "lagrange": lagrange(paths.lagrange),
    }.items():
        arrays |= {f"{name}/{key}": np.asarray(torch.as_tensor(value).detach()) for key, value in values.items()}
    np.savez_compressed(Path(__file__).with_name("label_efficient.npz"), **arrays)  # type: ignore[arg-type]


def mean_teacher(source: Path) -> dict[str, Any]:
    student, teacher = logits(2 * COUNT), logits(COUNT)
    found = released(
        source / "code/train_mean_teacher_2D.py",
        "noise = ",
        "loss = supervised_loss",
        student,
        [teacher],
        iter_num=1000,
    )
    return {"student": student[COUNT:], "teacher": teacher, **graded(found["consistency_loss"], student)}


def ua_mt(source: Path) -> dict[str, Any]:
    student, teacher = logits(2 * COUNT), logits(COUNT)
    passes = (3 * logits(COUNT)).repeat(8, 1, 1, 1) + logits(8 * COUNT)  # alike enough to be sure of some pixels
    calls = [teacher, *passes.chunk(4)]
    lines = source / "code/train_uncertainty_aware_mean_teacher_2D.py"
    found = released(lines, "noise = ", "loss = supervised_loss", student, calls, iter_num=15000)
    values = {"student": student[COUNT:], "teacher": teacher, "passes": passes.view(8, COUNT, *passes.shape[1:])}
    return {**values, "counted": found["mask"][:, 0], **graded(found["consistency_loss"], student)}


def cps(source: Path) -> dict[str, Any]:
    first, second = logits(2 * COUNT), logits(2 * COUNT)
    lines = source / "code/train_cross_pseudo_supervision_2D.py"
    found = released(lines, "outputs1  = ", "model1_loss = ", first, [], second=second)
    both = found["pseudo_supervision1"] + found["pseudo_supervision2"]
    return {"first": first[COUNT:], "second": second[COUNT:], **graded(both, first, second)}


def entropy(source: Path) -> dict[str, Any]:
    student = logits(2 * COUNT)
    lines = source / "code/train_entropy_minimization_2D.py"
    found = released(lines, "outputs = ", "loss = supervised_loss", student, [])
    loss = found["consistency_loss"]
    (gradient,) = torch.autograd.grad(loss, student)
    return {"student": student, "loss": loss, "gradient": gradient}


def bcp(source: Path) -> dict[str, Any]:
    """Of BCP: both mixed images with the teacher's masks after the largest component, and the cross-entropy of the second part of
    training (its Dice loss has squares below the line). The box is the one that the script draws."""
    script = (source / "code/ACDC_BCP_train.py").read_text(encoding="utf-8").replace(".cuda()", "")
    names = defined(script, source / "code/utils/losses.py")
    np.random.seed(0)  # noqa: NPY002 - that is what the script draws from
    teacher = [smooth(logits(COUNT)) for _ in range(2)]
    space: dict[str, Any] = {
        **names,
        "args": SimpleNamespace(labeled_bs=2 * COUNT, u_weight=0.5),
        "volume_batch": torch.rand(4 * COUNT, 1, SIDE, SIDE),
        "label_batch": torch.randint(0, CLASSES, (4 * COUNT, SIDE, SIDE)),
        "labeled_sub_bs": COUNT,
        "unlabeled_sub_bs": COUNT,
        "ema_model": handed_out(teacher),
        "iter_num": 0,
        "get_current_consistency_weight": lambda _: 0.0,
    }
    student = [logits(COUNT), logits(COUNT)]
    space["model"] = handed_out(student)
    lines = section(script, "img_a, img_b = volume_batch", "optimizer.zero_grad", after="def self_train")
    exec(lines, space)
    gradients = torch.autograd.grad(space["loss_ce"], student)
    return {
        "image": space["volume_batch"],
        "mask": space["label_batch"][: 2 * COUNT],
        "teacher": torch.cat(teacher),
        "pseudo": torch.cat((space["plab_a"], space["plab_b"])).long(),
        "box": space["img_mask"] == 0,
        "mixed": torch.cat((space["net_input_unl"], space["net_input_l"])),
        "student": torch.cat(student),
        "loss": space["loss_ce"],
        "gradient": torch.cat(gradients),
    }


def unimatch(source: Path) -> dict[str, Any]:
    script = (source / "unimatch_v2.py").read_text(encoding="utf-8").replace(".cuda()", "")
    teacher, student = 6 * logits(COUNT).detach(), logits(2 * COUNT)
    boxes = torch.rand(2, COUNT, SIDE, SIDE) < 0.3
    images = torch.rand(3, COUNT, 3, SIDE, SIDE)
    space: dict[str, Any] = {
        "torch": torch,
        "img_x": images[0],
        "mask_x": torch.zeros(COUNT, SIDE, SIDE, dtype=torch.long),
        "model": lambda image, comp_drop=False: student if comp_drop else logits(COUNT),
        "model_ema": lambda image: teacher,
        "criterion_l": nn.CrossEntropyLoss(),
        "criterion_u": nn.CrossEntropyLoss(reduction="none"),
        "cfg": {"conf_thresh": 0.95},
        "img_u_w": images[0],
        "img_u_s1": images[1].clone(),
        "img_u_s2": images[2].clone(),
        "ignore_mask": torch.zeros(COUNT, SIDE, SIDE),
        "cutmix_box1": boxes[0].float(),
        "cutmix_box2": boxes[1].float(),
    }
    exec(section(script, "with torch.no_grad():\n                pred_u_w", "loss = (loss_x"), space)
    loss = space["loss_u_s"]
    (gradient,) = torch.autograd.grad(loss, student)
    mixed = torch.stack((space["img_u_s1"], space["img_u_s2"]))
    values = {"teacher": teacher, "boxes": boxes, "images": images[1:], "mixed": mixed, "student": student}
    return {**values, "loss": loss, "gradient": gradient}


def mc_net(source: Path) -> dict[str, Any]:
    """Of MC-Net: the sum over pairs of three decoders, of all images; and what its encoder and decoders, made narrow, answer."""
    script = (source / "code/train_mcnet_2d.py").read_text(encoding="utf-8").replace(".cuda()", "")
    decoders = [logits(2 * COUNT) for _ in range(3)]
    space: dict[str, Any] = {
        "torch": torch,
        "F": F,
        "outputs": decoders,
        "num_outputs": 3,
        "labeled_bs": COUNT,
        "label_batch": torch.zeros(2 * COUNT, SIDE, SIDE, dtype=torch.long),
        "ce_loss": nn.CrossEntropyLoss(),
        "dice_loss": lambda *_: 0.0,
        "consistency_criterion": lambda one, other: torch.mean((one - other) ** 2),
        "args": SimpleNamespace(temperature=0.5),
    }
    start = script.index("def sharpening")
    exec(script[start : script.index("parser = ")], space)
    exec(section(script, "y_ori = ", "iter_num = iter_num + 1", after="for _ in iterator"), space)
    found = {"decoders": torch.stack(decoders), "loss": space["loss_consist"]}
    found["gradient"] = torch.stack(torch.autograd.grad(space["loss_consist"], decoders))
    released_parts = load("released_mc_net", source / "code/networks/unet.py")
    params = {"in_chns": 1, "feature_chns": [4, 6, 8, 10, 12], "dropout": [0.1] * 5, "class_num": CLASSES}
    parts = {"encoder": released_parts.Encoder(params)}
    parts |= {f"decoders.{at}": released_parts.Decoder({**params, "up_type": up}) for at, up in enumerate((1, 0, 2))}
    network = nn.ModuleDict({name.replace(".", "_"): part for name, part in parts.items()}).eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            nn.init.normal_(part.weight, 1, 0.3)
            nn.init.normal_(part.running_mean, 0, 0.3)
    image = torch.rand(1, 1, 32, 16)
    with torch.no_grad():
        maps = network["encoder"](image)
        answers = torch.stack([network[f"decoders_{at}"](maps) for at in range(3)])
    weights = {f"weights/{name}": value for name, value in network.state_dict().items() if "num_batches" not in name}
    return {**found, "image": image, "answers": answers, **weights}


def lagrange(source: Path) -> dict[str, Any]:
    """Of the Lagrange consistency: difference of the shares, squares and contrast. Masks of three classes, one channel for each,
    which their loss takes for sigmoids."""
    module = load("released_lagrange", source / "utilities/losses.py")
    student, other = (torch.randn(3, 3, SIDE, SIDE, requires_grad=True) for _ in range(2))
    mask = torch.randint(0, 3, (3, SIDE, SIDE))
    target = F.one_hot(mask, 3).movedim(-1, 1).float()
    plain, constraint = module.LDC_BCEDiceLoss_lits2017()(student, target, 0.0)
    with_multiplier, _ = module.LDC_BCEDiceLoss_lits2017()(student, target, 0.7)
    contrast = module.Contrastive_InfoNCE_Loss()(student, other.detach())
    found = {"student": student, "other": other, "mask": mask, "constraint": constraint, "contrast": contrast}
    gradient = torch.autograd.grad(contrast, student)[0]
    return {
        **found,
        "multiplied": with_multiplier - plain,
        "squares": F.mse_loss(student, target),
        "gradient": gradient,
    }


def _stay(tensor: Tensor) -> Tensor:
    return tensor


def logits(count: int) -> Tensor:
    return torch.randn(count, CLASSES, SIDE, SIDE, requires_grad=True)


def smooth(values: Tensor) -> Tensor:
    """Blobs rather than noise, so that there are components to choose from."""
    return F.avg_pool2d(values.detach(), 5, 1, 2)


def graded(loss: Tensor, *variables: Tensor) -> dict[str, Tensor]:
    """The loss, and its gradient on the images without masks."""
    gradients = torch.autograd.grad(loss, variables)
    return {"loss": loss, "gradient": torch.cat([gradient[COUNT:] for gradient in gradients])}


def handed_out(values: Sequence[Tensor]) -> Callable[..., Tensor]:
    """A network that answers its calls with these logits, one after another."""
    left = iter(values)
    return lambda *_, **__: next(left)


def released(
    path: Path, first: str, last: str, student: Tensor, teacher: Sequence[Tensor], **more: Any
) -> dict[str, Any]:
    """Run the lines of an SSL4MIS script from the one that begins with `first` to before the one that begins with `last`."""
    torch.Tensor.cuda = _stay  # type: ignore[assignment, method-assign]
    code = path.parent
    losses = load("released_losses", code / "utils/losses.py")
    ramps = load("released_ramps", code / "utils/ramps.py")
    second = more.pop("second", None)
    image = torch.rand(2 * COUNT, 1, SIDE, SIDE)
    space: dict[str, Any] = {
        "torch": torch,
        "np": np,
        "F": F,
        "losses": losses,
        "ramps": ramps,
        "args": SimpleNamespace(labeled_bs=COUNT),
        "num_classes": CLASSES,
        "max_iterations": 30000,
        "volume_batch": image,
        "unlabeled_volume_batch": image[COUNT:],
        "label_batch": torch.zeros(2 * COUNT, SIDE, SIDE),
        "model": lambda _: student,
        "model1": lambda _: student,
        "model2": lambda _: second,
        "ema_model": handed_out(teacher),
        "ce_loss": nn.CrossEntropyLoss(),
        "dice_loss": losses.DiceLoss(CLASSES),
        "get_current_consistency_weight": lambda _: 0.1,
        "iter_num": 0,
        **more,
    }
    exec(section(path.read_text(encoding="utf-8"), first, last), space)
    return space


def section(script: str, first: str, last: str, after: str = "for epoch_num in") -> str:
    """Lines of a training loop, with their indentation taken away."""
    start = script.index(first, script.index(after) if after in script else 0)
    start = script.rindex("\n", 0, start) + 1
    stop = script.index(last, start)
    return textwrap.dedent(script[start : script.rindex("\n", 0, stop) + 1])


def defined(script: str, losses: Path) -> dict[str, Any]:
    """The functions of BCP's script, without its packages and its command line."""
    from skimage.measure import label

    torch.Tensor.cuda = _stay  # type: ignore[assignment, method-assign]
    module = load("released_bcp_losses", losses)
    space: dict[str, Any] = {
        "torch": torch,
        "np": np,
        "nn": nn,
        "F": F,
        "random": random,
        "label": label,
        "losses": module,
    }
    start = script.index("def get_ACDC_2DLargestCC")
    functions = script[start : script.index("def patients_to_slices")]
    functions = functions.replace("torch.Tensor(batch_list)", "torch.as_tensor(np.array(batch_list))")
    exec(f"dice_loss = losses.DiceLoss(n_classes={CLASSES})\n", space)
    exec(functions, space)
    space["get_current_consistency_weight"] = lambda _: 0.0
    return space


def load(name: str, path: Path) -> ModuleType:
    """A released file as a module; what it imports of its own project is left empty."""
    text = path.read_text(encoding="utf-8")
    module = ModuleType(name)
    sys.modules[name] = module
    kept = [line for line in text.splitlines() if not line.startswith(("from utils", "import pdb"))]
    exec("\n".join(kept), module.__dict__)
    return module


if __name__ == "__main__":
    main()

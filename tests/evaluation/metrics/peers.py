"""The same numbers by other people's libraries: MONAI, MedPy, surface-distance (DeepMind), scikit-learn.

None of them is a dependency. `golden/make.py` writes down what they say; `test_metric_peers.py` asks them again where they are
installed (tried with MONAI 1.6.1, MedPy 0.5.2, surface-distance 0.1, scikit-learn 1.9.1).
"""

from __future__ import annotations

import warnings

import numpy as np

MASK_PEERS = ("monai", "medpy", "surface_distance", "sklearn")


def monai(prediction, reference, spacing, tolerance):
    """Column → value. In single precision."""
    import monai.metrics as theirs
    import torch

    one, other = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, reference))
    far = {"include_background": True, "spacing": spacing}
    confusion = theirs.get_confusion_matrix(one, other)
    values = {
        "dice": theirs.compute_dice(one, other),
        "iou": theirs.compute_iou(one, other),
        "precision": theirs.compute_confusion_matrix_metric("precision", confusion),
        "recall": theirs.compute_confusion_matrix_metric("recall", confusion),
        "specificity": theirs.compute_confusion_matrix_metric("specificity", confusion),
        "hd": theirs.compute_hausdorff_distance(one, other, **far),
        "hd95_max": theirs.compute_hausdorff_distance(one, other, percentile=95, **far),
        "assd": theirs.compute_average_surface_distance(one, other, symmetric=True, **far),
        "nsd": theirs.compute_surface_dice(one, other, [tolerance], **far),
        "nsd_weighted": theirs.compute_surface_dice(one, other, [tolerance], use_subvoxels=True, **far),
    }
    return {name: float(value) for name, value in values.items()}


def medpy(prediction, reference, spacing, _tolerance):
    from medpy.metric import binary as theirs

    masks = (prediction, reference)
    values = {
        "dice": theirs.dc(*masks),
        "iou": theirs.jc(*masks),
        "precision": theirs.precision(*masks),
        "recall": theirs.recall(*masks),
        "specificity": theirs.specificity(*masks),
        "relative_volume_difference": theirs.ravd(*masks),
        "hd": theirs.hd(*masks, spacing),
        "hd95_pooled": theirs.hd95(*masks, spacing),
        "assd": theirs.assd(*masks, spacing),
        # what `assd` was before version 0.5
        "masd": (theirs.asd(prediction, reference, spacing) + theirs.asd(reference, prediction, spacing)) / 2,
    }
    return {name: float(value) for name, value in values.items()}


def surface_distance(prediction, reference, spacing, tolerance):
    import surface_distance as theirs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = theirs.compute_surface_distances(reference, prediction, spacing)
    towards_prediction, towards_reference = theirs.compute_average_surface_distance(found)
    values = {
        "hd95_weighted": theirs.compute_robust_hausdorff(found, 95),
        "nsd_weighted": theirs.compute_surface_dice_at_tolerance(found, tolerance),
        "mean_of_prediction": towards_reference,
        "mean_of_reference": towards_prediction,
    }
    return {name: float(value) for name, value in values.items()}


def sklearn(prediction, reference, _spacing, _tolerance):
    from sklearn import metrics as theirs

    truth, marked = reference.ravel(), prediction.ravel()
    both = {"y_true": truth, "y_pred": marked, "zero_division": 0}
    return {
        "dice": float(theirs.f1_score(**both)),
        "iou": float(theirs.jaccard_score(**both)),
        "precision": float(theirs.precision_score(**both)),
        "recall": float(theirs.recall_score(**both)),
        "specificity": float(theirs.recall_score(truth, marked, pos_label=0, zero_division=1)),
    }


def instances(prediction, reference):
    """PQ, SQ and RQ by MONAI."""
    import torch
    from monai.metrics import compute_panoptic_quality

    maps = [torch.from_numpy(labels.astype(np.int64)) for labels in (prediction, reference)]
    return {name: float(compute_panoptic_quality(*maps, metric_name=name)) for name in ("pq", "sq", "rq")}


def brier(probabilities, reference):
    """By scikit-learn, of the foreground or of several classes (unscaled)."""
    from sklearn.metrics import brier_score_loss

    if probabilities.ndim == reference.ndim:
        return float(brier_score_loss(reference.ravel(), probabilities.ravel()))
    rows = probabilities.reshape(len(probabilities), -1).T
    classes = list(range(len(probabilities)))
    return float(brier_score_loss(reference.ravel(), rows, labels=classes, scale_by_half=False))

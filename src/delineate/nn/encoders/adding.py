"""A file of weights → the store: read weights-only, its names made timm's, compared with the network tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from delineate.common.config import first_fault
from delineate.common.errors import DelineateError
from delineate.common.files import new_folder, write_json
from delineate.common.versions import version
from delineate.nn.encoders.encoder import check_name, feature_tensors
from delineate.nn.encoders.hub import hub_statistics
from delineate.nn.encoders.renaming import HEADS, Renamed, to_timm
from delineate.nn.encoders.store import RECORD, TENSORS, StoredRecord, name_fault, weights_folder
from delineate.nn.encoders.weights import fit, read_weights, sha256_of
from delineate.nn.encoders.weights_file import FileWeights
from delineate.nn.meta_device import on_meta_device
from delineate.nn.normalize import IMAGENET, ChannelStatistics

__all__ = ["add_weights"]


def add_weights(
    file: Path,
    *,
    encoder: str,
    license: str,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> StoredRecord:
    """Put the weights in a file into the store.

    Raises `DelineateError` for a file that cannot be read, holds other things than finite weights, or does not fit the encoder
    tensor by tensor (naming the first that does not); for a name that is taken; for an empty license. Nothing is then kept.
    """
    check_name(encoder)
    name = _free_name(file, name)
    if not license.strip():
        raise DelineateError("--license is empty; say under which terms the weights may be used, or 'unknown'")
    given = _given_statistics(mean, std)
    beside = FileWeights(file, encoder)
    if (other := beside.other_encoder) is not None:
        raise DelineateError(
            f"{file} holds weights of '{other}', says the config.json beside it; use --encoder {other}"
        )
    found = _fitting(read_weights(file), encoder, file)
    statistics, who = given, "stated"
    if statistics is None and beside.assumption() is None:
        statistics, who = beside.statistics(), "config.json"
    if statistics is None and found.statistics is not None:
        statistics, who = found.statistics, found.library
    if statistics is None:
        statistics, who = hub_statistics(encoder) or IMAGENET, "assumed"
    with new_folder(weights_folder() / name) as folder:
        save_file({key: value.contiguous().clone() for key, value in found.tensors.items()}, folder / TENSORS)
        record = StoredRecord(
            name=name,
            encoder=encoder,
            license=" ".join(license.split()),
            sha256=sha256_of(file),
            stored_sha256=sha256_of(folder / TENSORS),
            names=found.library,
            statistics=statistics,
            statistics_from=who,
            values=sum(value.numel() for value in found.tensors.values()),
            date=date.today().isoformat(),
            version=version(),
        )
        write_json(folder / RECORD, record.to_json())
    return record


def _free_name(file: Path, name: str | None) -> str:
    chosen = file.stem if name is None else name
    if fault := name_fault(chosen):
        raise DelineateError(f"weights cannot be called '{chosen}': {fault}; give another --name")
    if (place := weights_folder() / chosen).exists():
        raise DelineateError(f"weights '{chosen}' are in the store already; give another --name, or remove {place}")
    return chosen


def _given_statistics(mean: Sequence[float] | None, std: Sequence[float] | None) -> ChannelStatistics | None:
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise DelineateError("--mean and --std belong together; give both")
    try:
        return ChannelStatistics(mean=tuple(mean), std=tuple(std))
    except ValueError as error:
        raise DelineateError(f"--mean and --std cannot be used: {first_fault(error)}") from error


def _fitting(tensors: Mapping[str, Tensor], encoder: str, file: Path) -> Renamed:
    """The weights of the encoder proper, under timm's names; all of them fit, and none is left over."""
    with on_meta_device():
        whole = {key: tuple(value.shape) for key, value in timm.create_model(encoder).state_dict().items()}
    try:
        renamed = to_timm(tensors, encoder.partition(".")[0], list(whole))
    except DelineateError as error:
        raise DelineateError(f"{file}: {error}") from error
    read_as = f"{file} ({renamed.library}'s names)"
    features = feature_tensors(encoder)
    fit(renamed.tensors, features, in_channels=3, encoder=encoder, where=read_as)
    own = {key: value for key, value in renamed.tensors.items() if not HEADS.match(key)}
    if stranger := next((key for key in sorted(own) if key not in whole and key not in features), None):
        raise DelineateError(
            f"{read_as} does not fit the encoder '{encoder}': {stranger} is left over, so these are weights of another network"
        )
    misshapen = [key for key, value in own.items() if key in whole and tuple(value.shape) != whole[key]]
    if misshapen:
        shapes = "×".join(map(str, own[misshapen[0]].shape)), "×".join(map(str, whole[misshapen[0]]))
        raise DelineateError(
            f"{read_as} does not fit the encoder '{encoder}': {misshapen[0]} is {shapes[0]}, not {shapes[1]}"
        )
    bad = next(
        (key for key, value in own.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())), None
    )
    if bad is not None:
        raise DelineateError(f"{file} cannot be used: {bad} has values that are not finite (NaN or infinite)")
    return Renamed(own, renamed.library, renamed.statistics)

"""Which models are trainings of one method: the same recipe on the same data with other seeds, and nothing less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delineate.data.core.findings import some
from delineate.evaluation.comparison.models import Model

SHOWN = 3
"""So many settings that differ are named."""


@dataclass(frozen=True)
class Kin:
    """Models that are taken together in claims about methods."""

    label: str
    """The method; with what tells it apart, where it was trained in several ways."""
    members: tuple[Model, ...]
    refused: str | None = None
    """Why they are no seeds of one training."""
    trusted: bool = False
    """Several models whose recipes and data are not known: that they are seeds of one training is taken on trust."""


def group_kin(models: Sequence[Model]) -> list[Kin]:
    """The models by method, recipe and data, in the order of their first members."""
    by_method: dict[str, list[Model]] = {}
    for model in models:
        by_method.setdefault(model.method, []).append(model)
    return [kin for method, members in by_method.items() for kin in _of_method(method, members)]


def kin_words(kins: Sequence[Kin]) -> list[str]:
    """What a reader must know of models of one method that are not seeds of one training, a sentence each."""
    lines = []
    by_method: dict[str, list[Kin]] = {}
    for kin in kins:
        by_method.setdefault(kin.members[0].method, []).append(kin)
    for method, parts in by_method.items():
        if len(parts) > 1:
            told = "; ".join(f"{kin.label}: {some([model.name for model in kin.members])}" for kin in parts)
            lines.append(
                f"{method} was trained in {len(parts)} ways, which are compared as such and not as seeds of one method ({told})."
            )
    lines += [f"{kin.refused[:1].upper()}{kin.refused[1:]}." for kin in kins if kin.refused]
    trusted = [kin.label for kin in kins if kin.trusted]
    if trusted:
        lines.append(
            f"Recipe and data of the models of {', '.join(trusted)} are not known: that they are seeds of one training is taken on "
            "trust."
        )
    return lines


def _of_method(method: str, members: Sequence[Model]) -> list[Kin]:
    if len(members) == 1:
        return [Kin(method, tuple(members))]
    groups: dict[str, list[Model]] = {}
    for model in members:
        groups.setdefault(_key(model), []).append(model)
    labels = _labels(method, [group[0] for group in groups.values()])
    return [_kin(label, group) for label, group in zip(labels, groups.values(), strict=True)]


def _kin(label: str, members: Sequence[Model]) -> Kin:
    seen: dict[Any, Model] = {}
    for model in members:
        seed = model.stored.origin.seed
        if seed is not None and seed in seen:
            twins = f"{seen[seed].name} and {model.name}"
            return Kin(label, tuple(members), f"{twins} are trainings of {label} with one seed ({seed}), not two seeds")
        seen[seed if seed is not None else object()] = model
    hashes = [model.stored.origin.model_sha256 for model in members]
    twice = next((one for one in hashes if one is not None and hashes.count(one) > 1), None)
    if twice is not None:
        same = [model.name for model, digest in zip(members, hashes, strict=True) if digest == twice]
        return Kin(label, tuple(members), f"{some(same)} are of one model file, not of several seeds of {label}")
    return Kin(label, tuple(members), trusted=len(members) > 1 and members[0].training is None)


def _key(model: Model) -> str:
    training = model.training
    return "" if training is None else repr((sorted(training.settings.items()), training.size, training.data_sha256))


def _labels(method: str, firsts: Sequence[Model]) -> list[str]:
    """Of each way of training: the method alone if there is one way, else with what differs."""
    if len(firsts) == 1:
        return [method]
    settings = [_told(model) for model in firsts]
    names = list(dict.fromkeys(name for one in settings for name in one))
    differing = [name for name in names if len({repr(one.get(name)) for one in settings}) > 1]
    labels = [f"{method} ({_short(one, differing)})" if one else f"{method} (recipe not known)" for one in settings]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} [{at}]" for at, label in enumerate(labels, start=1)]


def _told(model: Model) -> dict[str, Any]:
    training = model.training
    if training is None:
        return {}
    data = (training.data_sha256 or "not known")[:8]
    size = None if training.size is None else "×".join(map(str, training.size))
    return {**training.settings, "size": size, "data": f"{training.data_name} {data}".strip()}


def _short(settings: Mapping[str, Any], names: Sequence[str]) -> str:
    shown = [f"{name.removeprefix('engine.')} {settings.get(name)}" for name in names[:SHOWN]]
    return ", ".join([*shown, *(["…"] if len(names) > SHOWN else [])])

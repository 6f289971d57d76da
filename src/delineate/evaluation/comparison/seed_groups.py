"""Which models are trainings of one method: the same recipe on the same data with other seeds, and nothing less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delineate.data.core.findings import some
from delineate.evaluation.comparison.models import Model

__all__ = ["SeedGroup", "group_by_training", "seed_group_notes"]

_SHOWN = 3
"""So many settings that differ are named."""


@dataclass(frozen=True)
class SeedGroup:
    """Models that are taken together in claims about methods."""

    label: str
    """The method; with what tells it apart, where it was trained in several ways."""
    members: tuple[Model, ...]
    refused: str | None = None
    """Why they are no seeds of one training."""
    trusted: bool = False
    """Several models whose recipes and data are not known: that they are seeds of one training is taken on trust."""


def group_by_training(models: Sequence[Model]) -> list[SeedGroup]:
    """The models by method, recipe and data, in the order of their first members."""
    by_method: dict[str, list[Model]] = {}
    for model in models:
        by_method.setdefault(model.method, []).append(model)
    return [seed_group for method, members in by_method.items() for seed_group in _of_method(method, members)]


def seed_group_notes(seed_groups: Sequence[SeedGroup]) -> list[str]:
    """What a reader must know of models of one method that are not seeds of one training, a sentence each."""
    lines = []
    by_method: dict[str, list[SeedGroup]] = {}
    for seed_group in seed_groups:
        by_method.setdefault(seed_group.members[0].method, []).append(seed_group)
    for method, parts in by_method.items():
        if len(parts) > 1:
            told = "; ".join(
                f"{seed_group.label}: {some([model.name for model in seed_group.members])}" for seed_group in parts
            )
            lines.append(
                f"{method} was trained in {len(parts)} ways, which are compared as such and not as seeds of one method ({told})."
            )
    lines += [
        f"{seed_group.refused[:1].upper()}{seed_group.refused[1:]}." for seed_group in seed_groups if seed_group.refused
    ]
    trusted = [seed_group.label for seed_group in seed_groups if seed_group.trusted]
    if trusted:
        lines.append(
            f"Recipe and data of the models of {', '.join(trusted)} are not known: that they are seeds of one training is taken on "
            "trust."
        )
    return lines


def _of_method(method: str, members: Sequence[Model]) -> list[SeedGroup]:
    if len(members) == 1:
        return [SeedGroup(method, tuple(members))]
    groups: dict[str, list[Model]] = {}
    for model in members:
        groups.setdefault(_key(model), []).append(model)
    labels = _labels(method, [group[0] for group in groups.values()])
    return [_kin(label, group) for label, group in zip(labels, groups.values(), strict=True)]


def _kin(label: str, members: Sequence[Model]) -> SeedGroup:
    seen: dict[Any, Model] = {}
    for model in members:
        seed = model.scores_file.origin.seed
        if seed is not None and seed in seen:
            twins = f"{seen[seed].name} and {model.name}"
            return SeedGroup(
                label, tuple(members), f"{twins} are trainings of {label} with one seed ({seed}), not two seeds"
            )
        seen[seed if seed is not None else object()] = model
    hashes = [model.scores_file.origin.model_sha256 for model in members]
    twice = next((one for one in hashes if one is not None and hashes.count(one) > 1), None)
    if twice is not None:
        same = [model.name for model, digest in zip(members, hashes, strict=True) if digest == twice]
        return SeedGroup(label, tuple(members), f"{some(same)} are of one model file, not of several seeds of {label}")
    return SeedGroup(label, tuple(members), trusted=len(members) > 1 and members[0].training is None)


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
    shown = [f"{name.removeprefix('engine.')} {settings.get(name)}" for name in names[:_SHOWN]]
    return ", ".join([*shown, *(["…"] if len(names) > _SHOWN else [])])

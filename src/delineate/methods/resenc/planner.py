"""From a fingerprint to ResEnc's configuration: the rules, in the order in which they decide.

Isensee et al., Nature Methods 2021, online methods: median size, halving until 4×4, batch by memory but at least 2 and at
most 5 % of the data's pixels. What differs from them is said in the card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from delineate.common.errors import RecipeError
from delineate.data.doctor.fingerprint import Fingerprint
from delineate.methods.contract import Budget, Decision

__all__ = ["Network", "Planner", "Size", "stages_of"]

_MIN_COARSEST = 4
"""Fewest pixels of the coarsest map along the shorter side."""
_STAGES = (3, 8)
"""Fewest and most stages."""
_MAX_WIDTH = 512
_FIRST_WIDTHS = (32, 24, 16, 12, 8)
"""Channels of the first stage, tried in this order."""
_DEEP, _SHALLOW = (1, 3, 4, 6, 6, 6, 6, 6), (1, 1, 2, 2, 2, 2, 2, 2)
"""Residual blocks of each stage."""
_MIN_BATCH = 2
_MAX_BATCH_SHARE = 0.05
"""Most pixels of a batch, as a share of those of all training images."""
_MEMORY_SHARE = 0.75
"""Share of the memory for what the forward pass keeps; the rest is for the operators' own needs."""
_MIN_THICKNESS = 5.0
"""Pixels: where the thinnest class would become thinner than this, images are not shrunk."""
_SHRINK = 0.9
_MIN_SIDE = 32

Size = tuple[int, int]


@dataclass(frozen=True)
class Network:
    """A form of the network and the input size that it is for."""

    size: Size
    widths: tuple[int, ...]
    blocks: tuple[int, ...]

    @property
    def options(self) -> dict[str, Any]:
        return {"widths": list(self.widths), "blocks": list(self.blocks)}


class Planner:
    """The decisions for one data set; `given` holds what is not to be decided."""

    def __init__(self, fingerprint: Fingerprint, budget: Budget, given: Mapping[str, Any]) -> None:
        self.fingerprint = fingerprint
        self.budget = budget
        self.given = {section: dict(values) for section, values in given.items() if isinstance(values, Mapping)}

    def decide(self) -> list[Decision]:
        """All decisions but those that are given, in the order in which they were taken."""
        network = self._network()
        fit = self._fit(network.size)
        batch = self._batch(network, fit.value)
        decisions = [self._intensity(), *self._statistics(), fit, *self._network_decisions(network), batch]
        return [decision for decision in decisions if self._stated(decision.key) is None]

    def _network(self) -> Network:
        """The largest size at which some form of the network fits; of those the widest, of those the deepest."""
        for size in self._sizes():
            candidates = list(self._candidates(size))
            if self._fits_budget(candidates[-1]):  # the smallest
                return next(candidate for candidate in candidates if self._fits_budget(candidate))
        raise RecipeError(
            f"plan.from_data: no form of resenc fits {self.budget.memory / 2**30:.2g} GiB"
            + (f" and {self.budget.flops / 1e9:g} GFLOP" if self.budget.flops else "")
            + (f" at the given size {self._stated('input.size')}" if self._stated("input.size") else "")
            + "; raise plan.memory_gib or plan.gflops, or use the preset tiny"
        )

    def _sizes(self) -> Iterator[Size]:
        stated = self._stated("input.size")
        if stated is not None:
            yield (stated, stated) if isinstance(stated, int) else (int(stated[0]), int(stated[1]))
            return
        height, width = self.fingerprint.median_size
        scale = min(1.0, self.budget.longest_side / max(height, width))
        before: Size | None = None
        while min(height, width) * scale >= _MIN_SIDE:
            size = _rounded(height * scale, width * scale, self.budget.longest_side)
            if size != before:
                yield size
            before, scale = size, scale * _SHRINK

    def _candidates(self, size: Size) -> Iterator[Network]:
        """Networks for this size, from the widest and deepest to the smallest."""
        stated_widths, stated_blocks = self._stated("method.widths"), self._stated("method.blocks")
        stages = len(stated_widths or stated_blocks or ()) or stages_of(min(size))
        for first in _FIRST_WIDTHS if stated_widths is None else (0,):
            widths = tuple(stated_widths or (min(_MAX_WIDTH, first * 2**stage) for stage in range(stages)))
            if stated_blocks is not None:
                yield Network(size, widths, tuple(stated_blocks))
            else:
                for blocks in (_DEEP, _SHALLOW):
                    yield Network(size, widths, (*blocks, *blocks[-1:] * stages)[:stages])
            if self.budget.flops is None:
                return

    def _fits_budget(self, network: Network) -> bool:
        limit = self.budget.flops
        if limit is not None and self.budget.forward_flops(self._options(network), network.size) > limit:
            return False
        batch = self._stated("engine.batch_size") or _MIN_BATCH
        return self._bytes(network, batch) <= _MEMORY_SHARE * self.budget.memory

    def _fit(self, size: Size) -> Decision:
        """Whole images, unless shrinking them would lose the thinnest class."""
        height, width = self.fingerprint.median_size
        thickness = self.fingerprint.thickness
        if thickness is not None and max(size) < max(height, width) and thickness * max(size) < _MIN_THICKNESS:
            why = (
                f"at {size[0]}×{size[1]} the thinnest class would be {thickness * max(size):.1f} pixels thick instead of "
                f"{thickness * max(height, width):.1f}, below {_MIN_THICKNESS:g}: patches at the images' own resolution"
            )
            return Decision("input.fit", "patch", why)
        low, high = self.fingerprint.aspects
        if high <= 1.1 * low:
            return Decision(
                "input.fit", "stretch", f"width / height is alike in nearly all images ({low:.2f}–{high:.2f})"
            )
        why = f"width / height differs ({low:.2f}–{high:.2f}): shapes are kept, and the rest of the input is padded"
        return Decision("input.fit", "letterbox", why)

    def _network_decisions(self, network: Network) -> Iterator[Decision]:
        height, width = self.fingerprint.median_size
        size, step = network.size, 2 ** (len(network.widths) - 1)
        limits = f"at most {self.budget.longest_side} a side, rounded to multiples of {step}"
        is_shrunk = max(size) < max(next(self._sizes()))
        smaller = "; smaller, so that the network fits the limits" if is_shrunk else ""
        yield Decision("input.size", list(size), f"the median image is {height}×{width}; {limits}{smaller}")
        coarsest = f"{size[0] // step}×{size[1] // step}"
        why = f"{len(network.widths)} stages: halved while the shorter side keeps {_MIN_COARSEST} pixels (coarsest map {coarsest})"
        yield Decision("method.widths", list(network.widths), f"{why}; doubled at each stage up to {_MAX_WIDTH}")
        why = "as in nnU-Net's residual encoder" if network.blocks[1] == _DEEP[1] else "few, to fit the limits"
        yield Decision("method.blocks", list(network.blocks), why)

    def _batch(self, network: Network, fit: str) -> Decision:
        """By memory, which grows linearly with the batch; at most 5 % of the training pixels; at least 2."""
        one, two = self._bytes(network, 1), self._bytes(network, 2)
        memory = _MEMORY_SHARE * self.budget.memory
        by_memory = int((memory - one) // max(1, two - one)) + 1
        input_pixels = image_pixels = network.size[0] * network.size[1]
        if (self._stated("input.fit") or fit) == "patch":
            image_pixels = self.fingerprint.median_size[0] * self.fingerprint.median_size[1]
        by_pixels = int(_MAX_BATCH_SHARE * self.fingerprint.cases * image_pixels / input_pixels)
        batch = max(_MIN_BATCH, min(by_memory, by_pixels))
        why = (
            f"memory has room for {by_memory} ({memory / 2**30:.3g} GiB, {(two - one) / 2**20:.0f} MiB each), "
            f"{_MAX_BATCH_SHARE:.0%} of the training pixels are {by_pixels}; at least {_MIN_BATCH}"
        )
        return Decision("engine.batch_size", batch, why)

    def _intensity(self) -> Decision:
        meaning = {
            "range": "the type's range becomes 0…1",
            "percentile": "each image's 0.5–99.5 percentiles become 0…1",
            "window": "one window in their own values becomes 0…1",
            "zscore": "each image's mean ± the stated standard deviations become 0…1",
        }
        rule = self.fingerprint.intensity
        if not isinstance(rule, str):
            return Decision("input.intensity", rule, "each channel by its own rule becomes 0…1")
        return Decision("input.intensity", rule, f"{self.fingerprint.bits}-bit images: {meaning[rule]}")

    def _statistics(self) -> Iterator[Decision]:
        why = f"of {self.fingerprint.sampled} training images, per channel"
        yield Decision("method.mean", list(self.fingerprint.mean), f"mean {why}")
        yield Decision("method.std", list(self.fingerprint.std), f"standard deviation {why}")

    def _bytes(self, network: Network, batch: int) -> int:
        return self.budget.training_bytes(self._options(network), batch, network.size)

    def _options(self, network: Network) -> dict[str, Any]:
        return {**self.given.get("method", {}), **network.options}

    def _stated(self, key: str) -> Any:
        section, _, name = key.partition(".")
        return self.given.get(section, {}).get(name)


def stages_of(side: int) -> int:
    """How many stages: one more than the halvings that leave at least 4 pixels of `side`; 3 to 8."""
    return min(_STAGES[1], max(_STAGES[0], (side // _MIN_COARSEST).bit_length()))


def _rounded(height: float, width: float, longest: int) -> Size:
    """Multiples of what the number of stages asks for, nearest to the given sides and not above `longest` where it can be."""
    rows, columns = round(height), round(width)
    for _ in range(2):  # rounding may change the number of stages once, and not again
        step = 2 ** (stages_of(min(rows, columns)) - 1)
        rows, columns = _multiple(height, step, longest), _multiple(width, step, longest)
    return rows, columns


def _multiple(side: float, step: int, longest: int) -> int:
    nearest = max(1, round(side / step)) * step
    return nearest - step if nearest > max(longest, step) else nearest

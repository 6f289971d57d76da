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

COARSEST = 4
"""Fewest pixels of the coarsest map along the shorter side."""
STAGES = (3, 8)
WIDEST = 512
FIRST_WIDTHS = (32, 24, 16, 12, 8)
DEEP, SHALLOW = (1, 3, 4, 6, 6, 6, 6, 6), (1, 1, 2, 2, 2, 2, 2, 2)
"""Residual blocks by stage."""
LEAST_BATCH = 2
SHARE = 0.05
"""Most pixels of a batch, as a share of the training images'."""
KEPT = 0.75
"""Part of the memory that may go to what the forward pass keeps; the rest is for the operators' own needs."""
THIN = 5.0
"""Pixels: a class that would become thinner than this is not worth shrinking an image for."""
SHRINK = 0.9
SMALLEST = 32

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
        self.seen = fingerprint
        self.budget = budget
        self.given = {section: dict(values) for section, values in given.items() if isinstance(values, Mapping)}

    def decide(self) -> list[Decision]:
        """All decisions but those that are given, in the order in which they were taken."""
        network = self._network()
        fit = self._fit(network.size)
        decisions = [self._intensity(), *self._statistics(), fit, *self._form(network), self._batch(network, fit.value)]
        return [each for each in decisions if self._stated(each.key) is None]

    def _network(self) -> Network:
        """The largest size at which some form of the network fits; of those the widest, of those the deepest."""
        for size in self._sizes():
            forms = list(self._forms(size))
            if self._fits(forms[-1]):  # the smallest
                return next(form for form in forms if self._fits(form))
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
        height, width = self.seen.median_size
        scale = min(1.0, self.budget.longest_side / max(height, width))
        before: Size | None = None
        while min(height, width) * scale >= SMALLEST:
            size = _rounded(height * scale, width * scale, self.budget.longest_side)
            if size != before:
                yield size
            before, scale = size, scale * SHRINK

    def _forms(self, size: Size) -> Iterator[Network]:
        widths, blocks = self._stated("method.widths"), self._stated("method.blocks")
        stages = len(widths or blocks or ()) or stages_of(min(size))
        for first in FIRST_WIDTHS if widths is None else (0,):
            for deep in (DEEP, SHALLOW) if blocks is None else (blocks,):
                wide = tuple(widths or (min(WIDEST, first * 2**stage) for stage in range(stages)))
                counts = tuple(deep) if blocks is not None else (*deep, *deep[-1:] * stages)[:stages]
                yield Network(size, wide, counts)
            if self.budget.flops is None:
                return

    def _fits(self, network: Network) -> bool:
        limit = self.budget.flops
        if limit is not None and self.budget.forward_flops(self._options(network), network.size) > limit:
            return False
        return self._bytes(network, self._stated("engine.batch_size") or LEAST_BATCH) <= KEPT * self.budget.memory

    def _fit(self, size: Size) -> Decision:
        """Whole images, unless shrinking them would lose the thinnest class."""
        height, width = self.seen.median_size
        thick = self.seen.thickness
        if thick is not None and max(size) < max(height, width) and thick * max(size) < THIN:
            why = (
                f"at {_text(size)} the thinnest class would be {thick * max(size):.1f} pixels thick instead of "
                f"{thick * max(height, width):.1f}, below {THIN:g}: patches at the images' own resolution"
            )
            return Decision("input.fit", "patch", why)
        low, high = self.seen.aspects
        if high <= 1.1 * low:
            return Decision(
                "input.fit", "stretch", f"width / height is alike in nearly all images ({low:.2f}–{high:.2f})"
            )
        why = f"width / height differs ({low:.2f}–{high:.2f}): shapes are kept, and what is left of the frame is padded"
        return Decision("input.fit", "letterbox", why)

    def _form(self, network: Network) -> Iterator[Decision]:
        height, width = self.seen.median_size
        size, step = network.size, 2 ** (len(network.widths) - 1)
        limits = f"at most {self.budget.longest_side} a side, rounded to multiples of {step}"
        smaller = "; smaller, so that the network fits the limits" if max(size) < self._first_longest() else ""
        yield Decision("input.size", list(size), f"the median image is {height}×{width}; {limits}{smaller}")
        coarsest = f"{size[0] // step}×{size[1] // step}"
        why = f"{len(network.widths)} stages: halved while the shorter side keeps {COARSEST} pixels (coarsest map {coarsest})"
        yield Decision("method.widths", list(network.widths), f"{why}; doubled at each stage up to {WIDEST}")
        why = "as in nnU-Net's residual encoder" if network.blocks[1] == DEEP[1] else "few, to fit the limits"
        yield Decision("method.blocks", list(network.blocks), why)

    def _batch(self, network: Network, fit: str) -> Decision:
        """By memory, of which the need grows evenly with the batch; at most 5 % of the pixels; at least 2."""
        one, two = self._bytes(network, 1), self._bytes(network, 2)
        by_memory = int((KEPT * self.budget.memory - one) // max(1, two - one)) + 1
        frame = network.size[0] * network.size[1]
        shown = (
            self.seen.median_size[0] * self.seen.median_size[1]
            if self._stated_or("input.fit", fit) == "patch"
            else frame
        )
        by_pixels = int(SHARE * self.seen.cases * shown / frame)
        batch = max(LEAST_BATCH, min(by_memory, by_pixels))
        why = (
            f"memory has room for {by_memory} ({KEPT * self.budget.memory / 2**30:.3g} GiB, {(two - one) / 2**20:.0f} MiB each), "
            f"{SHARE:.0%} of the training pixels are {by_pixels}; at least {LEAST_BATCH}"
        )
        return Decision("engine.batch_size", batch, why)

    def _intensity(self) -> Decision:
        rule = {
            "range": "the type's range becomes 0…1",
            "percentile": "each image's 0.5–99.5 percentiles become 0…1",
            "window": "the stated window becomes 0…1",
            "zscore": "each image's mean ± the stated standard deviations become 0…1",
        }
        return Decision(
            "input.intensity", self.seen.intensity, f"{self.seen.bits}-bit images: {rule[self.seen.intensity]}"
        )

    def _statistics(self) -> Iterator[Decision]:
        why = f"of {self.seen.sampled} training images, per channel"
        yield Decision("method.mean", list(self.seen.mean), f"mean {why}")
        yield Decision("method.std", list(self.seen.std), f"standard deviation {why}")

    def _first_longest(self) -> int:
        return max(next(self._sizes()))

    def _bytes(self, network: Network, batch: int) -> int:
        return self.budget.training_bytes(self._options(network), batch, network.size)

    def _options(self, network: Network) -> dict[str, Any]:
        return {**self.given.get("method", {}), **network.options}

    def _stated(self, key: str) -> Any:
        section, _, name = key.partition(".")
        return self.given.get(section, {}).get(name)

    def _stated_or(self, key: str, value: Any) -> Any:
        return value if self._stated(key) is None else self._stated(key)


def stages_of(side: int) -> int:
    """How many stages: halvings that leave `COARSEST` pixels of `side`, and one; within `STAGES`."""
    return min(STAGES[1], max(STAGES[0], (side // COARSEST).bit_length()))


def _rounded(height: float, width: float, longest: int) -> Size:
    """Multiples of what the number of stages asks for, nearest to the given sides and not above `longest` where it can be."""
    rows, columns = round(height), round(width)
    for _ in range(2):  # rounding may add or take a stage; after that it is settled
        step = 2 ** (stages_of(min(rows, columns)) - 1)
        rows, columns = _multiple(height, step, longest), _multiple(width, step, longest)
    return rows, columns


def _multiple(side: float, step: int, longest: int) -> int:
    nearest = max(1, round(side / step)) * step
    return nearest - step if nearest > max(longest, step) else nearest


def _text(size: Size) -> str:
    return f"{size[0]}×{size[1]}"

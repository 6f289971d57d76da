"""What a strategy shows a network instead of the image, how maps come back from there, and batches changed in all entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.contract import READING, Batch
from delineate.nn.views.block_mask import BlockMask
from delineate.nn.views.copy_paste import CopyPaste
from delineate.nn.views.cutmix import CutMix
from delineate.nn.views.strong import StrongView
from delineate.nn.views.weak import WeakView
from delineate.strategies.contract import StrategyOptions

__all__ = ["MIXES", "BlockMaskOptions", "Mix", "ViewKind", "Views", "each_map", "mixed"]

ViewKind = Literal["both", "strong", "weak", "none"]
"""strong: other colors and blur; weak: flipped, turned and shifted."""
Mix = Literal["none", "cutmix", "copy-paste"]
"""How images of a batch are mixed with each other."""


class BlockMaskOptions(StrategyOptions):
    """Options of strategies that can hide squares of what a network learns from."""

    masked: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of squares of the image that are hidden behind its mean color, beside the other views (masked image "
        "consistency: 0.7); 0: none",
        json_schema_extra=READING,
    )
    masked_side: float = Field(
        1 / 16,
        gt=0,
        le=1,
        description="side of such a square, as a share of the image's longer side",
        json_schema_extra=READING,
    )


@dataclass(frozen=True)
class Views:
    """A strong view, a weak one, both or none, of the images of a batch; squares of them may be hidden.

    Example:
        >>> from delineate.strategies.views import Views
        >>> image = torch.rand(2, 3, 32, 32)
        >>> views = Views.draw(image, "weak", torch.Generator().manual_seed(0))
        >>> back = views.back(views.image(image))
        >>> torch.equal(back.movedim(1, 3)[views.visible()], image.movedim(1, 3)[views.visible()])
        True
    """

    strong: StrongView | None
    weak: WeakView | None
    mask: BlockMask | None = None

    @classmethod
    def draw(
        cls,
        image: Tensor,
        kind: ViewKind,
        generator: torch.Generator,
        *,
        masked: float = 0,
        masked_side: float = 1 / 16,
    ) -> Self:
        """Draw the views of a batch.

        Args:
            image: B×C×H×W; only its shape and its device are used.
            kind: Which of them; of "none" no random number is drawn.
            generator: On the image's device. All random numbers come from it.
            masked: Share of squares that are hidden; 0: no random number is drawn for them.
            masked_side: Side of such a square, as a share of the image's longer side.

        Returns:
            The views, drawn.
        """
        strong = StrongView.draw(image, generator) if kind in ("both", "strong") else None
        weak = WeakView.draw(image, generator) if kind in ("both", "weak") else None
        mask = BlockMask.draw(image, generator, ratio=masked, side=masked_side) if masked else None
        return cls(strong, weak, mask)

    def image(self, image: Tensor) -> Tensor:
        """What a network is shown of images B×C×H×W in [0, 1]; the same shape."""
        image = image if self.strong is None else self.strong.image(image)
        image = image if self.mask is None else self.mask.image(image)
        return image if self.weak is None else self.weak.image(image)

    def back(self, maps: Tensor) -> Tensor:
        """What the network finds there, B×…×H×W, at the image's own pixels."""
        return maps if self.weak is None else self.weak.inverse(maps)

    def visible(self) -> Tensor | None:
        """Pixels of the image that the network is shown: bool B×H×W; None: all."""
        return None if self.weak is None else self.weak.visible()

    def batch(self, batch: Batch) -> Batch:
        """The batch as a network is shown it. Masks lie as the image does; `unaugmented_target` stays, as it is of the file."""
        found = cast(Batch, {**batch, "image": self.image(batch["image"])})
        if self.weak is not None:
            found["mask"] = self.weak.mask(batch["mask"])
            if "target" in batch:
                found["target"] = self.weak.mask(batch["target"])
        return found


def each_map(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """A batch whose image, mask and targets are changed alike.

    Args:
        batch: Of B samples.
        change: A tensor B×…×H×W → one of the same shape.

    Returns:
        A new batch; all other entries are those of the old one.

    Example:
        >>> from delineate.strategies.views import each_map
        >>> batch = {
        ...     "image": torch.rand(2, 3, 8, 8),
        ...     "mask": torch.zeros(2, 8, 8, dtype=torch.long),
        ...     "labeled": torch.tensor([True, True]),
        ...     "sample_id": ["a", "b"],
        ... }
        >>> torch.equal(each_map(batch, lambda map: map.flip(-1))["image"], batch["image"].flip(-1))
        True
    """
    maps = ("image", "mask", "target", "unaugmented_target")
    found: dict[str, Any] = {key: change(value) if key in maps else value for key, value in batch.items()}  # type: ignore[arg-type]
    return cast(Batch, found)


def _cutmix(batch: Batch, generator: torch.Generator) -> Batch:
    return each_map(batch, CutMix.draw(batch["image"], generator))


def _copy_paste(batch: Batch, generator: torch.Generator) -> Batch:
    box = CopyPaste.draw(batch["image"], generator)
    return each_map(batch, lambda maps: box(maps, maps.roll(1, 0)))


MIXES: dict[Mix, Callable[[Batch, torch.Generator], Batch]] = {"cutmix": _cutmix, "copy-paste": _copy_paste}


def mixed(batch: Batch, mix: Mix, generator: torch.Generator) -> Batch:
    """A batch whose images are mixed with each other: each gets a box of the one before it, with its mask.

    Args:
        batch: All of it, or the samples with masks.
        mix: "cutmix": half of the images, each with a box of its own size and shape; "copy-paste": all of them, with one box of
            two thirds of each side; "none": the batch itself, and no random number is drawn.
        generator: On the batch's device.

    Returns:
        A batch of the same length.

    Example:
        >>> from delineate.strategies.views import mixed
        >>> batch = {
        ...     "image": torch.zeros(2, 3, 9, 9),
        ...     "mask": torch.tensor([0, 1]).view(2, 1, 1).expand(2, 9, 9),
        ...     "labeled": torch.tensor([True, True]),
        ...     "sample_id": ["a", "b"],
        ... }
        >>> int(mixed(batch, "copy-paste", torch.Generator().manual_seed(0))["mask"][0].sum())  # a box of 6×6
        36
    """
    return batch if mix == "none" else MIXES[mix](batch, generator)

"""A model of patches as modules that can be exported: an image → its tiles, one tile more, and the decision.

Between them a graph has a loop (`tiled_file`). What is computed is `inference.sliding_window`: tiles that overlap by half, blended
by Gaussian weights. Weights are summed along with what they weigh, and divided by at the end.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from delineate.common.errors import ArtefactError
from delineate.data.augment.patches import OVERLAP
from delineate.inference.export.graph import decided, numbers_of
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.export.resize import scalar
from delineate.inference.predictor import Predictor
from delineate.inference.sliding_window import gaussian

__all__ = ["TileFinish", "TileStart", "TileStep", "TiledGraph"]


class TileStart(nn.Module):
    """An image → what the loop over its tiles needs."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        spec = predictor.spec
        if spec.scale != 1 or spec.spacing is not None:
            which = "input.scale" if spec.scale != 1 else "input.spacing"
            raise ArtefactError(f"a model of patches with {which} cannot be exported: its images are resampled first")
        self.preprocess = Preprocess(spec, numbers_of(spec))
        self.tile, self.outputs = spec.size, predictor.classes.outputs

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """1×H×W×C numbers → the image in [0, 1] with mirrored borders as wide as a tile, 1×C×(H+2h)×(W+2w); zeros for sums
        and weights, (K+1)×H×W; for rows and columns, how far the last tile begins behind the first and how many gaps lie between
        (int64 2×2); the number of tiles."""
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        unit = self.preprocess(pixels)
        sums = torch.zeros(self.outputs + 1, image.shape[1], image.shape[2])
        places = []
        for axis, tile in enumerate(self.tile):
            length = scalar(image.shape[1 + axis], unit)
            period = (2 * (length - 1)).clamp(min=1)
            index = torch.arange(image.shape[1 + axis] + 2 * tile) - tile
            folded = (index + period * tile) % period  # not negative, so that all runtimes divide alike
            unit = unit.index_select(2 + axis, torch.minimum(folded, (period - folded) % period.clamp(min=1)))
            excess, step = length - tile, max(1, int(tile * (1 - OVERLAP)))
            places.append(torch.stack((excess, (excess.clamp(min=0) + step - 1) // step)))
        geometry = torch.stack(places)
        return unit, sums, geometry, (geometry[:, 1] + 1).prod()


class TileStep(nn.Module):
    """One tile: cut, segmented, weighted and added."""

    def __init__(self, predictor: Predictor, *, half: bool = False) -> None:
        super().__init__()
        self.network = copy.deepcopy(predictor.network).half() if half else predictor.network
        self.dtype = torch.float16 if half else torch.float32
        self.tile, self.output = predictor.spec.size, predictor.method.output
        self.divisor = predictor.artefact.divisor
        for name, side in zip(("down", "across"), self.tile, strict=True):
            self.register_buffer(name, torch.from_numpy(gaussian(side)).float(), persistent=False)

    def forward(self, number: Tensor, sums: Tensor, unit: Tensor, geometry: Tensor) -> Tensor:
        """Of `TileStart`, and which tile (int64, one number) → the sums with this tile."""
        columns = geometry[1, 1] + 1
        row = number // columns
        starts = [_start(*pair) for pair in zip(geometry, (row, number - row * columns), strict=True)]
        for axis, (start, side) in enumerate(zip(starts, self.tile, strict=True)):
            unit = unit.index_select(2 + axis, torch.arange(side) + start + side)
        logits = self.network(unit.to(self.dtype)).float() / self.divisor
        weights = self.down[:, None] * self.across  # type: ignore[index, operator]
        tile = torch.cat((self.output.probabilities(logits)[0] * weights, weights[None]))
        for axis, (start, side) in enumerate(zip(starts, self.tile, strict=True)):
            index = torch.arange(sums.shape[1 + axis]) - start
            inside = ((index >= 0) & (index < side)).to(tile.dtype)
            tile = tile.index_select(1 + axis, index.clamp(0, side - 1)) * (inside[:, None] if axis == 0 else inside)
        return sums + tile


class TileFinish(nn.Module):
    """Sums and weights → probabilities and mask."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.output, self.threshold = predictor.method.output, predictor.threshold

    def forward(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """(K+1)×H×W → float32 1×K×H×W, uint8 1×H×W."""
        probabilities = (sums[:-1] / sums[-1:])[None]
        return probabilities, decided(probabilities, self.output, self.threshold)


class TiledGraph(nn.Module):
    """The three as one, with Python's loop: what the file is compared with."""

    def __init__(self, predictor: Predictor, *, half: bool = False) -> None:
        """`predictor`: of a model of patches, on the CPU; `half`: the network alone is in half precision. Raises `ArtefactError`
        for a model whose images are resampled."""
        super().__init__()
        self.start, self.step = TileStart(predictor), TileStep(predictor, half=half)
        self.finish = TileFinish(predictor)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `WholeGraph`, of one image."""
        unit, sums, geometry, count = self.start(image)
        for number in range(int(count)):
            sums = self.step(torch.tensor(number), sums, unit, geometry)
        found: tuple[Tensor, Tensor] = self.finish(sums)
        return found


def _start(place: Tensor, number: Tensor) -> Tensor:
    """Where a tile begins along one axis, as `data.augment.patches.starts`."""
    excess, gaps = place[0], place[1]
    spread = excess.clamp(min=0) * number // gaps.clamp(min=1)
    return torch.where(excess >= 0, spread, -((1 - excess).clamp(min=0) // 2))

"""TensorBoard as one more reporter (extra `tensorboard`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from delineate.common.errors import RecipeError
from delineate.engine.reporting import Reporter, Validated

__all__ = ["TensorBoardReporter", "check_installed"]


def check_installed() -> None:
    """Raise `RecipeError` with the install hint when TensorBoard is absent."""
    if find_spec("tensorboard") is None:
        raise RecipeError("engine.tensorboard=true needs TensorBoard: pip install tensorboard")


class TensorBoardReporter:
    """Writes each validation's scalars to `folder` and passes everything on to `inner`."""

    def __init__(self, inner: Reporter, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._inner = inner
        self._writer: Any = SummaryWriter(str(folder))

    def note(self, text: str) -> None:
        self._inner.note(text)

    def begin(self, stage: str, done: int, total: int) -> None:
        self._inner.begin(stage, done, total)

    def step(self, loss: float, images: int) -> None:
        self._inner.step(loss, images)

    def validated(self, result: Validated) -> None:
        scalars = {"lr": result.lr} | ({} if result.dice is None else {"dice/validation": result.dice})
        scalars |= {f"loss/{name}": value for name, value in result.loss.items()}
        scalars |= {f"validation loss/{name}": value for name, value in result.validation_loss.items()}
        for name, value in scalars.items():
            self._writer.add_scalar(f"{result.stage}/{name}", value, result.step)
        self._inner.validated(result)

    def close(self) -> None:
        self._writer.flush()
        self._inner.close()

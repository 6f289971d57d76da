"""Few-shot models: examples are sent once, and any number of images are segmented as they show."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.data.core.label_table import labels_of_text
from delineate.data.formats.contract import ANY_SIZE
from delineate.data.formats.registry import open_image
from delineate.fewshot.given_support import given_support
from delineate.fewshot.predictor import ConditionedPredictor, FewShotPredictor
from delineate.inference.results import FileResult
from delineate.serve.body import Part
from delineate.serve.found import check_size_of, shown
from delineate.serve.limits import Limits
from delineate.serve.models import ServedModel
from delineate.serve.problems import Problem
from delineate.serve.scratch import Scratch
from delineate.serve.work import Opened

__all__ = ["Conditioning", "Examples", "Supports"]


@dataclass
class Examples:
    """A model with its examples."""

    model: ServedModel
    owner: str | None
    """The key that they were sent with: others do not see them."""
    predictor: ConditionedPredictor
    shots: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    used: float = field(default_factory=time.time)

    def about(self, keep: float) -> dict[str, Any]:
        """What a client is told of them."""
        return {
            "id": self.id,
            "model": self.model.name,
            "shots": self.shots,
            "classes": list(self.predictor.classes.names),
            "expires_in": max(0, round(self.used + keep - time.time())),
        }


class Supports:
    """Those of a server, each until nobody has used it for a while."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sets: dict[str, Examples] = {}

    def check_room(self) -> None:
        """Raise `Problem` where no more can be taken."""
        self._forget()
        if len(self._sets) >= self._limits.supports:
            raise Problem(
                "supports_full",
                f"{self._limits.supports} sets of examples are in use, which is the limit; delete one, or try again later",
                retry_after=30,
                limit=self._limits.supports,
            )

    def add(self, examples: Examples) -> None:
        """Keep a set."""
        self._sets[examples.id] = examples

    def get(self, id: str, owner: str | None) -> Examples:
        """A set of this owner, which is then kept on. Raises `Problem`."""
        self._forget()
        found = self._sets.get(id)
        if found is None or found.owner != owner:
            raise Problem(
                "supports_not_found", "it never was, was deleted, or nobody used it for long; send the examples again"
            )
        found.used = time.time()
        return found

    def remove(self, id: str, owner: str | None) -> None:
        """Forget a set. Raises `Problem`."""
        self._sets.pop(self.get(id, owner).id, None)

    def _forget(self) -> None:
        oldest = time.time() - self._limits.keep
        for id in [id for id, one in self._sets.items() if one.used < oldest]:
            self._sets.pop(id, None)


@dataclass
class Conditioning:
    """Examples on their way to the network (`work.Work`)."""

    model: ServedModel
    folder: Path
    limits: Limits
    parts: Sequence[Part]
    labels: str | None
    call: Callable[[Callable[[], Any]], Any]
    """Runs a function on the thread of the model's device."""
    owner: str | None
    _made: Examples | None = None

    def open(self) -> Opened:
        """As `Work.open`: the examples are read, and the network looks at them."""
        images = [part.path for part in self.parts if part.field == "image"]
        masks = [part.path for part in self.parts if part.field == "mask"]
        other = next((part.field for part in self.parts if part.field not in ("image", "mask")), None)
        if other is not None or not images or len(images) != len(masks):
            wrong = f"a field '{other}'" if other is not None else f"{len(images)} images and {len(masks)} masks"
            raise Problem(
                "no_input", f"send a form with as many files 'image' as 'mask', in the same order; this one has {wrong}"
            )
        if len(images) > self.limits.shots:
            raise Problem("too_many_files", f"a set has at most {self.limits.shots} examples", limit=self.limits.shots)
        for path in (*images, *masks):
            check_size_of(open_image(path, max_pixels=ANY_SIZE), self.limits)
        loaded = self.model.loaded
        assert isinstance(loaded, FewShotPredictor), "asked before"
        table = None
        if self.labels is not None:
            try:  # as text alone: a client must not name files of the server
                table = labels_of_text(self.labels, "labels")
            except DataError as error:
                raise Problem("bad_request", shown(str(error), self.folder)) from None
        try:
            support = given_support(None, images, masks, table).for_model(loaded.spec)
            predictor = self.call(lambda: loaded.condition_on(support))
        except DataError as error:
            raise DataError(shown(str(error), self.folder)) from error
        self._made = Examples(self.model, self.owner, predictor, len(images))
        return Opened((), None, None)

    def finish(self, results: Sequence[FileResult]) -> Examples:
        """As `Work.finish`."""
        assert self._made is not None
        return self._made

    def close(self) -> None:
        """As `Work.close`."""
        Scratch.remove(self.folder)

"""Things of one kind by name: those of this package, and those that other packages bring by an entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from delineate.common.errors import DelineateError, RecipeError
from delineate.common.names import did_you_mean

__all__ = ["Plugins"]

_Made = TypeVar("_Made")


class Plugins:
    """Where the things of one kind are: text only, so that a misspelled name is known before anything is loaded."""

    def __init__(self, kind: str, group: str, built_in: Mapping[str, str]) -> None:
        """`kind`: what one is called in messages; `group`: of the entry points; `built_in`: name → "module:attribute"."""
        self.kind, self.group, self.built_in = kind, group, built_in

    def __contains__(self, name: str) -> bool:
        return name in self.built_in or name in self.others

    @cached_property
    def others(self) -> dict[str, list[EntryPoint]]:
        """Those of other packages by name, of which each should have one. Looked for once: it reads the metadata of everything that
        is installed."""
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group):
            found.setdefault(point.name, []).append(point)
        return found

    def forget_others(self) -> None:
        """Look for entry points anew at the next question: a package was installed or removed while the program runs."""
        self.__dict__.pop("others", None)

    def names(self) -> list[str]:
        """Names of all, sorted."""
        return sorted({*self.built_in, *self.others})

    def load(self, name: str) -> Any:
        """What is registered under `name`; this package's own comes first.

        Raises `RecipeError` naming the nearest for an unknown name, `DelineateError` for a package that cannot be imported and
        for two that have the same name for different things.
        """
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            return getattr(import_module(module), attribute)
        if name not in self.others:
            raise RecipeError(f"unknown {self.kind} '{name}': {did_you_mean(name, self.names())}")
        point = self.others[name][0]
        places = sorted({one.value for one in self.others[name]})
        if len(places) > 1:
            raise DelineateError(
                f"{self.kind} '{name}' is registered more than once, as {' and as '.join(places)}; uninstall all but one"
            )
        try:
            return point.load()
        except Exception as error:
            raise DelineateError(f"{self.kind} '{name}' ({point.value}) cannot be imported: {error}") from error

    def place(self, name: str) -> str:
        """Where a thing comes from, as "module:attribute"."""
        return self.built_in[name] if name in self.built_in else self.others[name][0].value

    def hidden(self) -> list[str]:
        """A line for each thing of another package that is never used, since one of ours has its name."""
        return [
            f"{self.kind} '{name}' ({points[0].value}) is never used: Delineate has its own of that name; give it another"
            for name, points in self.others.items()
            if name in self.built_in
        ]

    def usable(self, make: Callable[[str], _Made], told: Callable[[str], object]) -> list[_Made]:
        """What `make` gives for each name: ours in their own order, then others.

        One of another package that fails is left out, and `told` is given the line that says why: it must not take others with it.
        """
        for line in self.hidden():
            told(line)
        made = []
        for name in (*self.built_in, *sorted(self.others.keys() - self.built_in.keys())):
            try:
                made.append(make(name))
            except Exception as error:
                if name in self.built_in:
                    raise
                told(str(error) if isinstance(error, DelineateError) else self._failed(name, error))
        return made

    def _failed(self, name: str, error: Exception) -> str:
        return f"{self.kind} '{name}' ({self.place(name)}) cannot be used: {type(error).__name__}: {error}"

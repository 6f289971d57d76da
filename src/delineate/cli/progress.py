"""How far a verb is: a bar where a person is watching, else a line now and then (both on stderr)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give what is to be called with (done, in all)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from delineate.common.progress_log import ProgressLog

    errors = Console(stderr=True, highlight=False)
    if not errors.is_terminal:
        pace = ProgressLog(what)

        def told(done: int, total: int) -> None:
            if line := pace.line(done, total):
                errors.print(line, soft_wrap=True, markup=False)

        yield told
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

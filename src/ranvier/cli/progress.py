"""Progress of a conversion of recordings: a bar on a terminal, lines elsewhere; nothing while there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def shown() -> Iterator[Callable[[int, int, str], None]]:
    """What is told of every recording: those done, of how many, and a line to show or ""."""
    with ExitStack() as stack:
        yield _Bar(stack) if sys.stderr.isatty() else _say_if_any


class _Bar:
    """A progress bar on a terminal, from the first recording on."""

    def __init__(self, stack: ExitStack) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("recordings"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=sys.stderr, highlight=False), transient=True)
        self._stack = stack
        self._started = False

    def __call__(self, done: int, total: int, line: str) -> None:
        if not self._started:
            self._task = self._bar.add_task("", total=total)
            self._stack.enter_context(self._bar)
            self._started = True
        self._bar.update(self._task, completed=done, total=total)
        if line:
            self._bar.console.print(line, markup=False, soft_wrap=True)


def _say_if_any(_done: int, _total: int, line: str) -> None:
    if line:
        say(line)


def say(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201

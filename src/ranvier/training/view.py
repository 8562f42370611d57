"""What a person sees of a training, on standard error: live on a terminal, else one line per epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

SoFar = Callable[[], tuple[float, Mapping[str, float]]]  # the epoch's training accuracy and rates (Hz) by layer

_REFRESH = 0.2  # seconds; a refresh takes milliseconds of the training's time


class View(AbstractContextManager["View"]):
    """Shows nothing: the base of the others."""

    def __exit__(self, *_: object) -> None:
        """Restore the terminal."""

    def begin_epoch(self, epoch: int, epochs: int, n_samples: int) -> None:
        """An epoch starts."""

    def batch(self, done: int, loss: float, so_far: SoFar) -> None:
        """`done` samples of this epoch are trained on; `loss` is the last batch's; `so_far` tells more when asked."""

    def end_epoch(self, line: Mapping[str, Any], epochs: int) -> None:
        """An epoch ended with these metrics."""

    def note(self, text: str) -> None:
        """Something to know, in one line."""


class Lines(View):
    """One plain line per epoch."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def end_epoch(self, line: Mapping[str, Any], epochs: int) -> None:
        """See `View`."""
        self.note(summary(line, epochs))

    def note(self, text: str) -> None:
        """See `View`."""
        print(text, file=self.stream, flush=True)


class Live(View):
    """A progress bar with loss, accuracy, firing rates and speed, and a line per epoch above it."""

    def __init__(self, stream: Any) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(file=stream, highlight=False)
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=self.console,
            auto_refresh=False,
            transient=True,
        )
        self.task = self.progress.add_task("", total=1, epoch="", told="")
        self._shown = self._started = 0.0

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """See `View`."""
        self.progress.stop()

    def begin_epoch(self, epoch: int, epochs: int, n_samples: int) -> None:
        """See `View`."""
        self._started = time.monotonic()
        self.progress.reset(self.task, total=n_samples, epoch=f"{epoch}/{epochs}", told="")

    def batch(self, done: int, loss: float, so_far: SoFar) -> None:
        """See `View`."""
        now = time.monotonic()
        if now - self._shown < _REFRESH:
            return
        self._shown = now
        accuracy, rates = so_far()
        speed = f"{done / max(now - self._started, 1e-9):,.0f} samples/s"
        parts = [f"loss {loss:.4f}", f"accuracy {accuracy:.1%}", _rates(rates), speed]
        self.progress.update(self.task, completed=done, told="  ".join(part for part in parts if part))
        self.progress.refresh()

    def end_epoch(self, line: Mapping[str, Any], epochs: int) -> None:
        """See `View`."""
        self.note(summary(line, epochs))

    def note(self, text: str) -> None:
        """See `View`."""
        self.console.print(text, markup=False, soft_wrap=True)


def view(*, show: bool) -> View:
    """The view that fits standard error as it is now."""
    if not show:
        return View()
    return Live(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)


def summary(line: Mapping[str, Any], epochs: int) -> str:
    """An epoch's metrics in one line."""
    parts = [
        f"epoch {line['epoch']:>{len(str(epochs))}}/{epochs}",
        f"loss {line['train_loss']:.4f}",
        f"accuracy {line['train_accuracy']:.2%}",
        f"validation {line['validation_accuracy']:.2%}",
        _rates(line["rates"]),
        f"{line['samples_per_second']:,.0f} samples/s",
    ]
    return "  ".join(part for part in parts if part)


def _rates(rates: Mapping[str, float]) -> str:
    by_layer = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
    return f"rates {by_layer} Hz" if by_layer else ""

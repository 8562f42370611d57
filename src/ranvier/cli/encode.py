"""`ranvier encode`."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from ranvier.cli.options import Encode
from ranvier.data.audio import BasilarMembrane, Cochlea, Converted, convert
from ranvier.data.audio.recordings import LabelFrom


def run(options: Encode) -> dict[str, Any]:
    """Convert, and tell.

    Args:
        options: checked by `check.encoding`.

    Returns:
        The result, ready for JSON.

    Raises:
        RanvierError: what only the disk reveals.
        KeyboardInterrupt: with advice as its argument.
    """
    assert options.out is not None
    cochlea = Cochlea(options.channels, membrane=BasilarMembrane(causal=options.causal))
    started = time.monotonic()
    try:
        with ExitStack() as shown:
            converted = convert(
                [Path(given) for given in options.inputs],
                Path(options.out),
                cochlea,
                label_from=cast(LabelFrom, options.label_from),
                seed=options.seed,
                jobs=options.jobs,
                progress=_Bar(shown) if sys.stderr.isatty() else _say_if_any,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command.") from None
    return _result(converted, options, cochlea, time.monotonic() - started)


def _result(converted: Converted, options: Encode, cochlea: Cochlea, seconds: float) -> dict[str, Any]:
    covered = {rate: int(cochlea.covered_channels(rate).sum()) for rate in converted.sample_rates}
    for rate, count in covered.items():
        if count < cochlea.channels:
            _say(
                f"Recordings at {rate} Hz reach {count} of {cochlea.channels} channels: the first "
                f"{cochlea.channels - count} answer to tones above {rate / 2:g} Hz and hardly to these recordings."
            )
    for what, names in (("silent", converted.silent), ("clipped", converted.clipped)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            _say(f"{len(names)} recordings are {what}: {', '.join(names[:3])}{more}.")
    return {
        "out": options.out,
        "recordings": converted.recordings,
        "resumed": converted.resumed,
        "skipped": [f"{name} ({reason})" for name, reason in converted.skipped],
        "classes": list(converted.keys),
        "speakers": None if converted.speakers is None else list(converted.speakers),
        "channels": cochlea.channels,
        "covered_channels": {f"{rate} Hz": count for rate, count in covered.items()},
        "silent": len(converted.silent),
        "clipped": len(converted.clipped),
        "seed": options.seed,
        "seconds_of_sound": converted.seconds_of_sound,
        "spikes_per_recording": converted.spikes / converted.recordings,
        "seconds": seconds,
    }


class _Bar:
    """A progress bar on a terminal."""

    def __init__(self, stack: ExitStack) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("recordings"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=sys.stderr, highlight=False), transient=True)
        self._task = self._bar.add_task("", total=None)
        stack.enter_context(self._bar)

    def __call__(self, done: int, total: int, line: str) -> None:
        self._bar.update(self._task, completed=done, total=total)
        if line:
            self._bar.console.print(line, markup=False, soft_wrap=True)


def _say_if_any(_done: int, _total: int, line: str) -> None:
    if line:
        _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201

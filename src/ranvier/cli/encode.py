"""`ranvier encode`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from ranvier.cli import progress
from ranvier.cli.options import Encode
from ranvier.data.audio import Cochlea, Converted, convert
from ranvier.data.audio.ears import ear
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
    cochlea = ear(options.ear, options.channels, causal=options.causal)
    started = time.monotonic()
    try:
        with progress.shown() as told:
            converted = convert(
                [Path(given) for given in options.inputs],
                Path(options.out),
                cochlea,
                label_from=cast(LabelFrom, options.label_from),
                seed=options.seed,
                jobs=options.jobs,
                progress=told,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command.") from None
    return _result(converted, options, cochlea, time.monotonic() - started)


def _result(converted: Converted, options: Encode, cochlea: Cochlea, seconds: float) -> dict[str, Any]:
    covered = {rate: int(cochlea.covered_channels(rate).sum()) for rate in converted.sample_rates}
    for rate, count in covered.items():
        if count < cochlea.channels:
            progress.say(
                f"Recordings at {rate} Hz reach {count} of {cochlea.channels} channels: the first "
                f"{cochlea.channels - count} answer to tones above {rate / 2:g} Hz and hardly to these recordings."
            )
    for what, names in (("silent", converted.silent), ("clipped", converted.clipped)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            progress.say(f"{len(names)} recordings are {what}: {', '.join(names[:3])}{more}.")
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

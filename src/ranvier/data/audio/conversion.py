"""Recordings to one file of spikes: in parallel, and resumed where a killed process stopped."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.data.audio import layout
from ranvier.data.audio.cochlea import Cochlea
from ranvier.data.audio.extra import need
from ranvier.data.audio.journal import Journal
from ranvier.data.audio.recordings import LabelFrom, Recording, classes, decode, digest, find
from ranvier.errors import DataError, RunError

FORMAT = 1  # of what the journal keeps; a change of the conversion that changes spikes counts it up
Progress = Callable[[int, int, str], None]  # recordings done, of how many, and a line to tell or ""


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        recordings: number of rows.
        skipped: (name, reason) of the files left out.
        keys: names of the classes.
        speakers: names of the speakers, None where not all are known.
        spikes: in all.
        seconds_of_sound: in all.
        resumed: rows taken over from an earlier process.
        sample_rates: recordings by sampling rate, Hz.
        silent: names of recordings that are zero throughout.
        clipped: names of recordings with more than a thousandth of their samples at full scale.
    """

    recordings: int
    skipped: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    speakers: tuple[str, ...] | None
    spikes: int
    seconds_of_sound: float
    resumed: int
    sample_rates: dict[int, int]
    silent: tuple[str, ...]
    clipped: tuple[str, ...]


def convert(
    inputs: Sequence[Path],
    out: Path,
    cochlea: Cochlea,
    *,
    label_from: LabelFrom = "name",
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Converted:
    """Write the spikes of recordings in the layout of the Heidelberg data sets (`layout`).

    Until all is done, `OUT.part` beside the output keeps the spikes; called again after whatever interruption, the
    conversion goes on from there, and the output is the same to the byte. Files that cannot be read are left out.

    Args:
        inputs: folders and files; see `recordings.find`.
        out: the new file.
        cochlea: with at most 65536 channels.
        label_from: where labels are; see `recordings.find`.
        seed: of the random fibres, >= 0.
        jobs: recordings at a time, a thread each, >= 1; the output does not depend on it.
        progress: told of every recording.

    Raises:
        ValueError: too many channels.
        DataError: an input is missing, holds nothing, or nothing can be read; the extra `audio` is not installed.
        RunError: the output exists, cannot be written, or was begun with other settings.
    """
    if cochlea.channels > layout.UNITS:
        raise ValueError(f"`channels` of Cochlea must be at most {layout.UNITS} for a file. Got {cochlea.channels}.")
    for package in ("h5py", "soundfile", "soxr", "scipy"):
        need(package)
    recordings = find(inputs, label_from)
    part = out.with_name(f"{out.name}.part")
    if out.exists() and not part.exists():
        raise RunError(f"--out must name a new file. Got {out}, which exists.")
    settings = {"format": FORMAT, "seed": seed} | asdict(cochlea)
    with Journal(part, settings) as journal:
        before = len(recordings)
        skipped, resumed = _fill(journal, recordings, cochlea, seed, jobs, progress or (lambda *_: None))
        left_out = {name for name, _ in skipped}
        recordings = [recording for recording in recordings if recording.name not in left_out]
        if not recordings:
            name, reason = skipped[0]
            raise DataError(f"At least one of {before} files must be readable. Got none: {name} holds {reason}.")
        written = _assemble(journal, recordings, out, cochlea, settings | {"label_from": label_from})
    part.unlink()
    return Converted(skipped=tuple(skipped), resumed=resumed, **written)


def _fill(
    journal: Journal, recordings: list[Recording], cochlea: Cochlea, seed: int, jobs: int, progress: Progress
) -> tuple[list[tuple[str, str]], int]:
    """See to it that the journal has every recording that can be read; return those that cannot, and hits."""
    skipped: list[tuple[str, str]] = []
    resumed = 0

    def one(recording: Recording) -> tuple[dict[str, Any], bytes] | str | None:
        try:
            content = recording.path.read_bytes()
        except OSError as error:
            return f"no bytes that can be read ({error.strerror or error})"
        found = digest(content)
        if recording.name in journal and journal.about(recording.name)["digest"] == found:
            return None
        try:
            return _encode(content, found, cochlea, seed)
        except DataError as error:
            return str(error)

    for done, (recording, result) in enumerate(_in_order(one, recordings, jobs), start=1):
        line = ""
        if result is None:
            resumed += 1
        elif isinstance(result, str):
            skipped.append((recording.name, result))
            line = f"Left out {recording.name}: {result}."
        else:
            journal.add(recording.name, *result)
        progress(done, len(recordings), line)
    return skipped, resumed


def _in_order(work: Callable[[Recording], Any], items: list[Recording], jobs: int) -> Iterator[tuple[Recording, Any]]:
    """Results in the order of the items, a few of which are in work at a time."""
    waiting: deque[tuple[Recording, Future[Any]]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > 2 * jobs:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _encode(content: bytes, found: str, cochlea: Cochlea, seed: int) -> tuple[dict[str, Any], bytes]:
    sound = decode(content)
    heard = cochlea.hear(sound.waveform, sound.sample_rate, seed=seed)
    about = {
        "digest": found,
        "sample_rate": sound.sample_rate,
        "duration": len(sound.waveform) / sound.sample_rate,
        "spikes": len(heard.steps),
        "silent": not sound.waveform.any(),
        "clipped": sound.clipped > 1e-3,
    }
    return about, heard.steps.astype("<i4").tobytes() + heard.channels.astype("<u2").tobytes()


def _assemble(
    journal: Journal, recordings: list[Recording], out: Path, cochlea: Cochlea, settings: dict[str, Any]
) -> dict[str, Any]:
    keys = classes(recordings)
    named = {recording.speaker for recording in recordings}
    speakers = None if None in named else sorted(name for name in named if name is not None)

    def row(index: int) -> layout.Row:
        recording = recordings[index]
        about, payload = journal.about(recording.name), journal.payload(recording.name)
        steps = np.frombuffer(payload, "<i4", about["spikes"])
        units = np.frombuffer(payload, "<u2", offset=steps.nbytes)
        return layout.Row(
            steps * cochlea.dt,
            units,
            keys.index(recording.label),
            None if speakers is None else speakers.index(recording.speaker or ""),
            recording.name,
            about["sample_rate"],
            about["duration"],
        )

    layout.write(out, len(recordings), row, keys, speakers, settings)
    about = {recording.name: journal.about(recording.name) for recording in recordings}
    return {
        "recordings": len(recordings),
        "keys": tuple(keys),
        "speakers": None if speakers is None else tuple(speakers),
        "spikes": sum(one["spikes"] for one in about.values()),
        "seconds_of_sound": sum(one["duration"] for one in about.values()),
        "sample_rates": dict(sorted(Counter(one["sample_rate"] for one in about.values()).items())),
        "silent": tuple(name for name, one in about.items() if one["silent"]),
        "clipped": tuple(name for name, one in about.items() if one["clipped"]),
    }

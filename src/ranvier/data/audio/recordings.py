"""Sound files: finding them, reading them, and what their names say."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.data.audio.extra import need
from ranvier.errors import DataError

Array = NDArray[Any]
LabelFrom = Literal["name", "folder"]
SUFFIXES = (".wav", ".flac")
FULL_SCALE = 1 - 2**-7  # the largest 8-bit sample is one quantum below 1


class Recording(NamedTuple):
    """A sound file: where it lies, its name in the output, its class, and who speaks where the name tells."""

    path: Path
    name: str
    label: str
    speaker: str | None


class Sound(NamedTuple):
    """What a file holds: its mono waveform, float64 [n] in [-1, 1]; the rate in Hz; the share of samples clipped."""

    waveform: Array
    sample_rate: int
    clipped: float


def find(inputs: Iterable[Path], label_from: LabelFrom) -> list[Recording]:
    """The recordings in folders (wav and flac files at any depth), and files as given; sorted by name, each once.

    A file in a folder is named by its path inside it (after the folder's own name where several inputs are given),
    and a file by its path as given.

    Labels and speakers. "name": the stem is `label`, `label_number` or `label_speaker_number`, as in `7_george_12.wav`;
    a speaker's name may hold underscores. "folder": the label is the folder that holds the file, and the stem begins
    with `speaker_`, as in `bed/0a7c2a8d_nohash_0.wav`.

    Raises:
        DataError: an input does not exist, holds no recording, or a name gives no label.
    """
    given = list(inputs)
    found: dict[Path, Recording] = {}
    for place in given:
        if place.is_dir():
            paths = [path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
            if not paths:
                raise DataError(f"{place} must hold wav or flac files. Got a folder without any.")
            prefix = Path(place.resolve().name) if len(given) > 1 else Path()
            named = [(path, prefix / path.relative_to(place)) for path in paths]
        elif place.is_file():
            named = [(place, place)]
        else:
            raise DataError(f"{place} must be a sound file or a folder of them. Got none.")
        for path, name in named:
            found.setdefault(path.resolve(), Recording(path, name.as_posix(), *_named(path, label_from)))
    recordings = sorted(found.values(), key=lambda recording: recording.name)
    names = [recording.name for recording in recordings]
    twice = next((name for name, following in pairwise(names) if name == following), None)
    if twice is not None:
        raise DataError(f"Recordings must have different names. Got {twice} from two folders of the same name.")
    return recordings


def _named(path: Path, label_from: LabelFrom) -> tuple[str, str | None]:
    fields = path.stem.split("_")
    if label_from == "folder":
        label, speaker = path.resolve().parent.name, fields[0] if len(fields) > 1 else ""
    else:
        label, speaker = fields[0], "_".join(fields[1:-1])
    if not label:
        raise DataError(f"{path} must have a {label_from} that begins with its label. Got none.")
    return label, speaker or None


def classes(recordings: Iterable[Recording]) -> list[str]:
    """The labels that occur: in numerical order if all are whole numbers, else in alphabetical."""
    labels = {recording.label for recording in recordings}
    return sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels)


def digest(content: bytes) -> str:
    """Tells two files' contents apart."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def decode(content: bytes) -> Sound:
    """The sound in a file's bytes; several channels are averaged.

    Raises:
        DataError: with the reason alone, for a list of files that were left out.
    """
    soundfile = need("soundfile")
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        raise DataError(f"no sound that can be read ({reason.strip().rstrip('.')})") from error
    if not len(samples):
        raise DataError("no samples")
    if not np.isfinite(samples).all():
        raise DataError("samples that are not finite")
    return Sound(samples.mean(1), int(rate), float((np.abs(samples) >= FULL_SCALE).mean()))

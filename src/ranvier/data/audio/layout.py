"""The HDF5 layout of the Heidelberg data sets (SHD, SSC): one row per recording.

| name | content |
|---|---|
| `spikes/times` | variable-length float32, seconds, ascending |
| `spikes/units` | variable-length uint16, channels |
| `labels` | int64, index into `extra/keys` |
| `extra/keys` | names of the classes, UTF-8 bytes |
| `extra/speaker` | int64, index into `extra/speaker_names`; both only where every recording's speaker is known |
| `extra/files` | names of the recordings, UTF-8 bytes |
| `extra/sample_rate`, `extra/duration` | of the recordings, Hz and seconds |

The attribute `ranvier` of the file is a JSON object of all settings. Equal content gives equal bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.data.audio.extra import need
from ranvier.errors import RunError

Array = NDArray[Any]
UNITS = 1 << 16  # channels that uint16 can name


class Row(NamedTuple):
    """A recording's events and what is stored with them."""

    times: Array
    units: Array
    label: int
    speaker: int | None
    name: str
    sample_rate: int
    duration: float


def write(
    path: Path,
    n_rows: int,
    row: Callable[[int], Row],
    keys: Sequence[str],
    speakers: Sequence[str] | None,
    settings: dict[str, Any],
) -> None:
    """Write a file that appears under its name only when it is whole.

    Args:
        path: of the file; one that exists is replaced.
        n_rows: number of recordings, >= 1.
        row: called with 0 to n_rows - 1, in order; one row is in memory at a time.
        keys: names of the classes.
        speakers: names of the speakers, None where not all are known.
        settings: JSON.

    Raises:
        RunError: the folder or the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb+") as raw:
            with need("h5py").File(raw, "w") as file:
                _fill(file, n_rows, row, keys, speakers, settings)
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path} must be writable. Got: {error.strerror or error}.") from error


def _fill(
    file: Any,
    n_rows: int,
    row: Callable[[int], Row],
    keys: Sequence[str],
    speakers: Sequence[str] | None,
    settings: dict[str, Any],
) -> None:
    vlen = need("h5py").vlen_dtype
    times = file.create_dataset("spikes/times", (n_rows,), dtype=vlen(np.dtype(np.float32)))
    units = file.create_dataset("spikes/units", (n_rows,), dtype=vlen(np.dtype(np.uint16)))
    rest: list[tuple[Any, ...]] = []
    for index in range(n_rows):
        this = row(index)
        times[index], units[index] = this.times.astype(np.float32), this.units.astype(np.uint16)
        rest.append(this[2:])
    labels, speaker, names, rates, durations = zip(*rest, strict=True)
    file["labels"] = np.array(labels, np.int64)
    file["extra/keys"] = _bytes(keys)
    if speakers is not None:
        file["extra/speaker"], file["extra/speaker_names"] = np.array(speaker, np.int64), _bytes(speakers)
    file["extra/files"] = _bytes(names)
    file["extra/sample_rate"], file["extra/duration"] = np.array(rates, np.int64), np.array(durations)
    file.attrs["ranvier"] = json.dumps(settings)


def _bytes(names: Sequence[str]) -> Array:
    return np.array([name.encode() for name in names])

"""`SpikeFile`: HDF5 files of spikes in the layout of the Heidelberg data sets, of which only what is asked for is read.

    spikes/times    [N], each entry the times of one sample, seconds, float of 16, 32 or 64 bits
    spikes/units    [N], each entry the channels of the same events, whole numbers
    labels          [N], whole numbers from 0
    extra/keys      optional, [n_classes], the names of the classes
    extra/...       optional columns [N] of numbers or text, such as extra/speaker
    extra/..._names optional, the names that a column of whole numbers stands for, such as extra/speaker_names

Cramer, Stradmann, Schemmel & Zenke, The Heidelberg spiking data sets, IEEE TNNLS 33:2744 (2022), arXiv 1910.07407.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ranvier.data.handle import Handle
from ranvier.errors import DataError

_TIMES, _UNITS, _LABELS, _EXTRA, _KEYS = "spikes/times", "spikes/units", "labels", "extra", "keys"
_NAMES = "_names"


class Events(NamedTuple):
    """Events of several samples, one sample after the other, as a file has them.

    Attributes:
        times: [E], seconds, any float.
        units: [E], channels, whole numbers of any type.
        lengths: int64 [B], events of each sample.
        samples: int64 [B], their numbers in the file.
    """

    times: np.ndarray
    units: np.ndarray
    lengths: np.ndarray
    samples: np.ndarray


class SpikeFile:
    """One file. Making one reads the labels and looks at the rest; `read` reads the events of the samples it is given.

    Safe to use after a fork, in several threads (one reads at a time), and to send to another process.

    Args:
        path: the file.

    Attributes:
        path: the file.
        labels: int64 [N].
        label_names: names of the classes from `extra/keys`, by label; empty where the file has none.
        channels: how many there are, as `ranvier encode` notes it; None where the file does not tell.
        columns: names of the columns under `extra/`.

    Raises:
        DataError: the file cannot be read, is damaged, or has another layout; h5py is not installed.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._handle = Handle(partial(_open, self.path))
        with self._reading() as file:
            self._check_layout(file)
            self.labels: Int64[Tensor, " sample"] = torch.from_numpy(file[_LABELS][:].astype(np.int64))
            extra = file.get(_EXTRA, {})
            self.label_names = tuple(_texts(extra[_KEYS][:])) if _is_column(extra, _KEYS, None) else ()
            columns = [name for name in extra if name != _KEYS and _is_column(extra, name, len(self))]
            named = {f"{name}{_NAMES}" for name in columns}
            self.columns = tuple(name for name in columns if name not in named)
            self.channels = _channels(file.attrs.get("ranvier"))
        if len(self.labels) and int(self.labels.min()) < 0:
            raise DataError(f"{self.path} must have `labels` >= 0. Got {int(self.labels.min())}.")

    def __len__(self) -> int:
        return self.labels.numel()

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"SpikeFile({str(self.path)!r})"

    def column(self, name: str) -> np.ndarray:
        """One value per sample, numbers or text, of `extra/<name>`; names, if `extra/<name>_names` has them.

        Raises:
            DataError: there is no such column, or it has a number without name.
        """
        if name not in self.columns:
            known = ", ".join(self.columns) or "none"
            raise DataError(f"{self.path} must have the column `extra/{name}`. Got a file with the columns: {known}.")
        with self._reading() as file:
            values = file[_EXTRA][name][:]
            known = file[_EXTRA].get(f"{name}{_NAMES}")
            names = None if known is None else np.array(_texts(known[:]))
        if names is not None:
            if values.dtype.kind not in "iu" or (values.size and not 0 <= values.min() <= values.max() < len(names)):
                raise DataError(
                    f"{self.path} must have numbers in `extra/{name}` that `extra/{name}{_NAMES}` names. Got others."
                )
            return names[values.astype(np.int64)]
        return np.array(_texts(values)) if values.dtype.kind in "OSU" else values

    def read(self, samples: np.ndarray) -> Events:
        """The events of some samples, in their order and as stored: nothing is sorted, left out or converted.

        Args:
            samples: whole numbers in 0 to N - 1; the same one may come twice.

        Raises:
            DataError: the file is damaged, or a sample has not as many times as units.
        """
        rows, places = np.unique(samples, return_inverse=True)
        times: list[np.ndarray] = []
        units: list[np.ndarray] = []
        if len(rows):
            with self._reading() as file:
                stored = file[_TIMES][rows], file[_UNITS][rows]
            times, units = ([column[place] for place in places] for column in stored)
        for sample, some, other in zip(samples, times, units, strict=True):
            if len(some) != len(other):
                raise DataError(
                    f"{self.path} must have as many `{_UNITS}` as `{_TIMES}`, {len(some)} in sample {sample}. "
                    f"Got {len(other)}."
                )
        return Events(
            times=np.concatenate([np.zeros(0, np.float16), *times]),
            units=np.concatenate([np.zeros(0, np.uint8), *units]),
            lengths=np.array([len(some) for some in times], dtype=np.int64),
            samples=np.asarray(samples, dtype=np.int64),
        )

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        try:
            with self._handle.use() as file:
                yield file
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise DataError(f"{self.path} must be a whole HDF5 file. Got: {_reason(error)}.") from error

    def _check_layout(self, file: Any) -> None:
        import h5py

        for name in (_TIMES, _UNITS, _LABELS):
            if not isinstance(file.get(name), h5py.Dataset):
                raise DataError(
                    f"{self.path} must hold `{name}`, as files of the Heidelberg layout do. "
                    f"Got a file with {', '.join(file) or 'nothing in it'}."
                )
        shapes = {name: file[name].shape for name in (_TIMES, _UNITS, _LABELS)}
        if len(shapes[_LABELS]) != 1 or len(set(shapes.values())) != 1:
            found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise DataError(f"{self.path} must have one entry per sample everywhere. Got the shapes: {found}.")
        kinds = {
            _TIMES: ("f", "lists of floats", h5py.check_vlen_dtype(file[_TIMES].dtype)),
            _UNITS: ("iu", "lists of whole numbers", h5py.check_vlen_dtype(file[_UNITS].dtype)),
            _LABELS: ("iu", "whole numbers", file[_LABELS].dtype),
        }
        for name, (allowed, what, dtype) in kinds.items():
            if not isinstance(dtype, np.dtype) or dtype.kind not in allowed:
                raise DataError(f"{self.path} must have {what} as `{name}`. Got {dtype or file[name].dtype}.")
            if name != _LABELS and not dtype.isnative:  # h5py 3.16 returns the bytes of such lists unswapped
                raise DataError(f"{self.path} must have `{name}` in this machine's byte order. Got {dtype}.")


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "Spike files need the packages of the extra `audio` (pip install 'ranvier[audio]'). Got none named h5py."
        ) from error
    if not path.is_file():
        raise FileNotFoundError(f"a folder, {path.name}" if path.is_dir() else "no such file")
    return h5py.File(path, "r", locking="best-effort")


def _is_column(extra: Any, name: str, length: int | None) -> bool:
    shape = getattr(extra.get(name), "shape", None)  # groups have none
    return shape is not None and len(shape) == 1 and length in (None, shape[0])


def _channels(settings: Any) -> int | None:
    """What the note of `ranvier encode` says; None for anything else."""
    try:
        channels = json.loads(settings)["channels"]
    except (TypeError, ValueError, KeyError):  # no note, or another one
        return None
    return channels if isinstance(channels, int) and channels >= 1 else None


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]


def _reason(error: Exception) -> str:
    text = str(error).strip("'\"").rstrip(".")
    _, bracket, inside = text.partition("(")  # h5py: what it was doing (what went wrong)
    return inside.rstrip(")") if bracket else text

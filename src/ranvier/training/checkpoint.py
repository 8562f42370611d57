"""Checkpoints: everything that the rest of a training depends on, in files that are whole or absent.

A run's folder holds `last.pt`, `previous.pt` (the one before, for the day the last is damaged) and `best.pt`
(best validation). No random state is among their contents because there is none: all randomness of an epoch
is derived from the seed and the epoch's number.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ranvier.errors import RunError
from ranvier.training.files import cannot_write, sync_folder, write_whole

FORMAT = 1
LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"


class Loaded(NamedTuple):
    """A checkpoint that was read.

    Attributes:
        content: what was saved.
        is_previous: whether it is `previous.pt`, `last.pt` being damaged or missing.
        note: one sentence if `last.pt` is damaged.
    """

    content: dict[str, Any]
    is_previous: bool
    note: str | None


def save_last(folder: Path, content: dict[str, Any]) -> None:
    """Write `last.pt`; the one that was becomes `previous.pt`.

    At every moment at least one of the two is whole.

    Args:
        folder: the run's.
        content: of tensors, numbers, strings, lists and dictionaries.

    Raises:
        RunError: the folder cannot be written.
    """
    fresh = folder / ".last.pt.new"
    write_whole(fresh, _packed(content))
    last = folder / LAST
    try:
        if last.exists():
            last.replace(folder / PREVIOUS)
        fresh.replace(last)
        sync_folder(folder)
    except OSError as error:
        raise cannot_write(last, error) from error


def save_best(folder: Path, content: dict[str, Any]) -> None:
    """Write `best.pt`. Raises as `save_last` does."""
    write_whole(folder / BEST, _packed(content))


def load_last(folder: Path) -> Loaded | None:
    """The newest whole checkpoint, or None if the run has none yet.

    Raises:
        RunError: there are checkpoints, but each is damaged.
    """
    damaged: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            content = load(path)
        except RunError:
            damaged.append(path.name)
            continue
        note = f"{folder / LAST} is damaged; continuing from {path.name}, of epoch {content['epoch']}."
        return Loaded(content, path.name == PREVIOUS, note if damaged else None)
    if damaged:
        raise RunError(f"{folder} must hold a whole checkpoint. Got damaged {' and '.join(damaged)}.")
    return None


def promote_previous(folder: Path) -> None:
    """Put `previous.pt` in the place of a damaged `last.pt`, so that the next save cannot lose it."""
    try:
        (folder / PREVIOUS).replace(folder / LAST)
    except OSError as error:
        raise cannot_write(folder / LAST, error) from error


def load(path: Path) -> dict[str, Any]:
    """Read one checkpoint, checking the checksum of every part.

    Raises:
        RunError: the file cannot be read, is damaged, or is no checkpoint.
    """
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} must be a readable checkpoint. Got: {error.strerror or error}.") from error
    try:
        content = _unpacked(packed)
    except Exception as error:  # a damaged archive can raise nearly anything
        raise RunError(f"{path} must be a whole checkpoint. Got a damaged file.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{path} must be a checkpoint of format {FORMAT}. Got another file.")
    return content


def _packed(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save({"format": FORMAT} | content, buffer)
    return buffer.getvalue()


def _unpacked(packed: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        wrong = archive.testzip()
    if wrong is not None:
        raise ValueError(wrong)
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)

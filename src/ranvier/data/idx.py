"""IDX files: the format of MNIST and its relatives.

A file is two zero bytes, one byte for the type (8: unsigned bytes), one byte for the number of axes, the
length of each axis as a big-endian 32-bit number, then the values in C order. Names ending in .gz mean gzip.
"""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase
from math import prod
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from ranvier.errors import DataError

_UNSIGNED_BYTE = 8
_CHUNK = 1 << 20  # read piecewise: a damaged header must not ask for the memory it claims


def read_idx(path: str | PathLike[str], n_axes: int) -> UInt8[Tensor, "*axes"]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file, gzip-compressed if its name ends in .gz.
        n_axes: how many axes it must have: 3 for images [image, row, column], 1 for labels [image].

    Returns:
        uint8, with `n_axes` axes.

    Raises:
        DataError: the file cannot be read, is damaged, or is no such file.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _header(file, path, n_axes)
            values = _take(file, prod(shape) + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} must be a whole gzip file, as its name says. Got: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} must be a readable file. Got: {error.strerror or error}.") from error
    if len(values) != prod(shape):
        found = f"{len(values)}" if len(values) < prod(shape) else "more"
        raise DataError(f"{path} must hold {prod(shape)} values after its header of {shape}. Got {found}.")
    return torch.frombuffer(values, dtype=torch.uint8).view(shape)


def _header(file: BufferedIOBase, path: Path, n_axes: int) -> tuple[int, ...]:
    magic, expected = file.read(4), bytes([0, 0, _UNSIGNED_BYTE, n_axes])
    if magic != expected:
        raise DataError(
            f"{path} must begin with {expected.hex()} (IDX, unsigned bytes, number of axes {n_axes}). "
            f"Got {magic.hex() or 'an empty file'}."
        )
    lengths = file.read(4 * n_axes)
    if len(lengths) != 4 * n_axes:
        raise DataError(f"{path} must have an IDX header of {4 + 4 * n_axes} bytes. Got {4 + len(lengths)}.")
    shape = tuple(int.from_bytes(lengths[4 * axis : 4 * axis + 4], "big") for axis in range(n_axes))
    if 0 in shape:
        raise DataError(f"{path} must have at least one entry along each axis. Got {shape}.")
    return shape


def _take(file: BufferedIOBase, n_bytes: int) -> bytearray:
    taken = bytearray()
    while len(taken) < n_bytes and (chunk := file.read(min(_CHUNK, n_bytes - len(taken)))):
        taken += chunk
    return taken

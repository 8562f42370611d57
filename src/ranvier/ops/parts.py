"""Putting together what chunks of samples leave: numpy arrays in the order of the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def offsets_from(counts: NDArray[Any]) -> NDArray[Any]:
    """Where each sample's entries begin and end, from how many there are: int64 [B+1]."""
    bounds = np.zeros(counts.size + 1, np.int64)
    np.add.accumulate(counts, out=bounds[1:])
    return bounds


def parts(n_chunks: int, real: Any, asked: bool, *shape: int) -> NDArray[Any]:
    """Room for each chunk's part of a gradient, which its kernel fills with zeros first; none where it is not asked."""
    return np.empty((n_chunks, *(shape if asked else (0,) * len(shape))), real)


def total(parts: NDArray[Any]) -> NDArray[Any]:
    """The sum over the first axis, in its order, into its first entry: the same chunks give the same bits."""
    whole = parts[0]
    if whole.size:
        for part in parts[1:]:
            whole += part
    return whole

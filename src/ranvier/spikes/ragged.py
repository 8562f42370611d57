"""Arithmetic on ragged batches: `offsets` [B+1] say where each sample's events begin and end."""

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor


def samples_of(offsets: Int64[Tensor, " bounds"], n_events: int | None = None) -> Int64[Tensor, " event"]:
    """The sample index of every event. A known `n_events` spares a GPU the wait for the total."""
    return per_event(torch.arange(offsets.numel() - 1, device=offsets.device), offsets, n_events)


def per_event(
    values: Shaped[Tensor, " sample"], offsets: Int64[Tensor, " bounds"], n_events: int | None = None
) -> Shaped[Tensor, " event"]:
    """A value per sample, without gradient, as one per event."""
    if offsets.device.type == "cpu":  # numpy: torch.repeat_interleave would wake every thread, whatever its size
        return torch.as_tensor(np.repeat(values.numpy(), np.diff(offsets.numpy())))
    total = int(offsets[-1]) if n_events is None else n_events
    passed = offsets.new_zeros(total + 1)  # counts the bounds passed
    passed.index_add_(0, offsets[1:-1], torch.ones_like(offsets[1:-1]))
    return values[passed.cumsum(0)[:total]]


def positions(keep: Bool[Tensor, " event"]) -> Int64[Tensor, " kept"]:
    """Where a mask is true."""
    if keep.device.type == "cpu":  # numpy is six times as fast
        return torch.as_tensor(np.flatnonzero(keep.numpy()))
    return keep.nonzero().flatten()


def offsets_of(sample: Int[Tensor, " event"], n_samples: int) -> Int64[Tensor, " bounds"]:
    """The offsets of events whose sample indices are given in ascending order."""
    bounds = torch.arange(n_samples + 1, dtype=sample.dtype, device=sample.device)
    return torch.searchsorted(sample.contiguous(), bounds)


def offsets_after(offsets: Int64[Tensor, " bounds"], kept: Int64[Tensor, " kept"]) -> Int64[Tensor, " bounds"]:
    """The offsets when of all events only those at the positions `kept`, ascending, remain."""
    return torch.searchsorted(kept, offsets)


def order(
    sample: Int64[Tensor, " event"], key: Shaped[Tensor, " event"], n_steps: int | None
) -> Int64[Tensor, " event"]:
    """Positions sorted by sample, then time, or step of `n_steps`; equal ones keep their order."""
    if n_steps is None:
        by_time = torch.argsort(key, stable=True)
        return by_time[torch.argsort(sample.index_select(0, by_time), stable=True)]
    cell = sample * n_steps + key
    if cell.device.type == "cpu":
        merged: Any = np.argsort(cell.numpy(), kind="stable")  # merges sorted runs, where there are such
        return torch.as_tensor(merged)
    return torch.argsort(cell, stable=True)


def gather_samples(
    offsets: Int64[Tensor, " bounds"], indices: Int64[Tensor, " chosen"]
) -> tuple[Int64[Tensor, " event"], Int64[Tensor, " new_bounds"]]:
    """The positions of the events of the chosen samples, in their order, and the new offsets."""
    # In numpy, wherever the offsets live: a small operation there costs a fifth of torch's.
    bounds: NDArray[np.int64] = offsets.numpy(force=True)
    chosen: NDArray[np.int64] = indices.numpy(force=True)
    begins = bounds[chosen]
    lengths = bounds[chosen + 1] - begins
    new_offsets: NDArray[np.int64] = np.concatenate([[0], np.cumsum(lengths)])
    shift: NDArray[np.int64] = begins - new_offsets[:-1]
    positions = np.arange(new_offsets[-1], dtype=np.int64)
    positions += cast(NDArray[np.int64], np.repeat(shift, lengths))
    return torch.as_tensor(positions, device=offsets.device), torch.as_tensor(new_offsets, device=offsets.device)

"""Arithmetic on ragged batches: `offsets` [B+1] say where each sample's events begin and end."""

from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from numpy.typing import NDArray
from torch import Tensor


def samples_of(offsets: Int64[Tensor, " bounds"], n_events: int | None = None) -> Int64[Tensor, " event"]:
    """The sample index of every event. A known `n_events` spares a GPU the wait for the total."""
    # Counts the bounds passed: torch.repeat_interleave would wake every thread, whatever its size.
    total = int(offsets[-1]) if n_events is None else n_events
    passed = offsets.new_zeros(total + 1)
    passed.index_add_(0, offsets[1:-1], torch.ones_like(offsets[1:-1]))
    return passed.cumsum(0)[:total]


def offsets_of(sample: Int[Tensor, " event"], n_samples: int) -> Int64[Tensor, " bounds"]:
    """The offsets of events whose sample indices are given in ascending order."""
    bounds = torch.arange(n_samples + 1, dtype=sample.dtype, device=sample.device)
    return torch.searchsorted(sample.contiguous(), bounds)


def offsets_where(offsets: Int64[Tensor, " bounds"], keep: Bool[Tensor, " event"]) -> Int64[Tensor, " bounds"]:
    """The offsets after only the events with `keep` true remain."""
    kept_before = torch.cat([offsets.new_zeros(1), keep.cumsum(0)])
    return kept_before.index_select(0, offsets)


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

"""Arithmetic on ragged batches: `offsets` [B+1] say where each sample's events begin and end."""

import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor


def samples_of(offsets: Int64[Tensor, " bounds"], n_events: int | None = None) -> Int64[Tensor, " event"]:
    """The sample index of every event. A known `n_events` spares a GPU the wait for the total."""
    samples = torch.arange(offsets.numel() - 1, device=offsets.device)
    return torch.repeat_interleave(samples, offsets.diff(), output_size=n_events)


def offsets_of(sample: Int[Tensor, " event"], n_samples: int) -> Int64[Tensor, " bounds"]:
    """The offsets of events whose sample indices are given in ascending order."""
    bounds = torch.arange(n_samples + 1, dtype=sample.dtype, device=sample.device)
    return torch.searchsorted(sample.contiguous(), bounds)


def offsets_where(
    offsets: Int64[Tensor, " bounds"], keep: Bool[Tensor, " event"]
) -> Int64[Tensor, " bounds"]:
    """The offsets after only the events with `keep` true remain."""
    kept_before = torch.cat([offsets.new_zeros(1), keep.cumsum(0)])
    return kept_before[offsets]


def gather_samples(
    offsets: Int64[Tensor, " bounds"], indices: Int64[Tensor, " chosen"]
) -> tuple[Int64[Tensor, " event"], Int64[Tensor, " new_bounds"]]:
    """The positions of the events of the chosen samples, in their order, and the new offsets."""
    begins = offsets[indices]
    lengths = offsets[indices + 1] - begins
    new_offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    first = torch.repeat_interleave(begins - new_offsets[:-1], lengths)
    return first + torch.arange(first.numel(), device=offsets.device), new_offsets

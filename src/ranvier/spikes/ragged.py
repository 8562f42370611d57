"""Arithmetic on ragged batches: `offsets` [B+1] say where each sample's events begin and end."""

import torch
from jaxtyping import Int
from torch import Tensor


def samples_of(offsets: Int[Tensor, " bounds"]) -> Int[Tensor, " event"]:
    """The sample index of every event."""
    n_samples = offsets.numel() - 1
    return torch.repeat_interleave(torch.arange(n_samples, device=offsets.device), offsets.diff())


def offsets_of(sample: Int[Tensor, " event"], n_samples: int) -> Int[Tensor, " bounds"]:
    """The offsets of events whose sample indices are given in ascending order."""
    counts = torch.bincount(sample, minlength=n_samples)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def offsets_where(offsets: Int[Tensor, " bounds"], keep: Tensor) -> Int[Tensor, " bounds"]:
    """The offsets after only the events with `keep` true remain."""
    kept_before = torch.cat([offsets.new_zeros(1), keep.to(torch.int64).cumsum(0)])
    return kept_before[offsets]


def gather_samples(
    offsets: Int[Tensor, " bounds"], indices: Int[Tensor, " chosen"]
) -> tuple[Int[Tensor, " event"], Int[Tensor, " new_bounds"]]:
    """The positions of the events of the chosen samples, in their order, and the new offsets."""
    lengths = (offsets[1:] - offsets[:-1])[indices]
    new_offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    first = torch.repeat_interleave(offsets[:-1][indices] - new_offsets[:-1], lengths)
    return first + torch.arange(first.numel(), device=offsets.device), new_offsets

"""What a batch of spikes says: how many, and when first."""

import torch
from torch import Tensor

from ranvier.spikes import ragged
from ranvier.spikes.spikes import Spikes


def counts(spikes: Spikes) -> Tensor:
    """See `Spikes.counts`."""
    cells = _cells(spikes)
    weights = spikes.amplitudes if spikes.marks is None else spikes.marks
    total = weights.new_zeros(spikes.n_samples * spikes.n_units).index_add(0, cells, weights)
    total = total.view(spikes.n_samples, spikes.n_units)
    support = spikes.support
    if support is None or spikes.marks is not None:
        return total
    if support.units is None or support.offsets is None:
        return total + _sum_of_zeros(support.values)
    silent = ragged.samples_of(support.offsets) * spikes.n_units + support.units
    return total.view(-1).index_add(0, silent, support.values).view_as(total)


def first_times(spikes: Spikes) -> Tensor:
    """See `Spikes.first_times`."""
    n_cells = spikes.n_samples * spikes.n_units
    position = torch.arange(spikes.n_events, device=spikes.units.device)
    silent = position.new_full((n_cells,), spikes.n_events)
    first = silent.scatter_reduce(0, _cells(spikes), position, "amin")
    padded = torch.cat([spikes.times, spikes.times.new_full((1,), torch.inf)])
    return padded[first].view(spikes.n_samples, spikes.n_units)


def _cells(spikes: Spikes) -> Tensor:
    return ragged.samples_of(spikes.offsets) * spikes.n_units + spikes.units


class _SumOfZeros(torch.autograd.Function):
    """The sum over time of a zero raster [T, B, N]: the value is known, only the gradient is work."""

    @staticmethod
    def forward(ctx, raster: Tensor) -> Tensor:  # noqa: ANN001
        ctx.n_steps = raster.shape[0]
        return raster.new_zeros(raster.shape[1:])

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # noqa: ANN001
        return grad.expand(ctx.n_steps, *grad.shape)


def _sum_of_zeros(raster: Tensor) -> Tensor:
    return _SumOfZeros.apply(raster)

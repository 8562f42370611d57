"""What a batch of spikes says: how many, and when first. Nothing here waits for a GPU."""

from typing import Any, cast

import torch
from torch import Tensor

from ranvier.spikes import ragged
from ranvier.spikes.spikes import Spikes


def counts(spikes: Spikes) -> Tensor:
    """See `Spikes.counts`."""
    weights = spikes.amplitudes if spikes.marks is None else spikes.marks
    total = weights.new_zeros(spikes.n_samples * spikes.n_units).index_add(0, _cells(spikes), weights)
    support = spikes.support
    if support is not None and spikes.marks is None:
        if support.units is None or support.offsets is None:
            zeros = cast(Tensor, _SumOfZeros.apply(support.values))  # pyright: ignore[reportUnknownMemberType]
            total = total + zeros.flatten()
        else:
            sample = ragged.samples_of(support.offsets, support.units.numel())
            total = total.index_add(0, sample * spikes.n_units + support.units, support.values)
    return total.view(spikes.n_samples, spikes.n_units)


def first_times(spikes: Spikes) -> Tensor:
    """See `Spikes.first_times`."""
    position = torch.arange(spikes.n_events, device=spikes.units.device)
    silent = position.new_full((spikes.n_samples * spikes.n_units,), spikes.n_events)
    first = silent.scatter_reduce(0, _cells(spikes), position, "amin")
    padded = torch.cat([spikes.times, spikes.times.new_full((1,), torch.inf)])
    return padded.index_select(0, first).view(spikes.n_samples, spikes.n_units)


def _cells(spikes: Spikes) -> Tensor:
    return ragged.samples_of(spikes.offsets, spikes.n_events) * spikes.n_units + spikes.units


class _SumOfZeros(torch.autograd.Function):
    """The sum over time of a zero raster [T, B, N]: the value is known, only the gradient is work."""

    @staticmethod
    def forward(raster: Tensor) -> Tensor:
        return raster.new_zeros(raster.shape[1:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.n_steps = inputs[0].shape[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (grad,) = grad_outputs
        return grad.expand(ctx.n_steps, *grad.shape)

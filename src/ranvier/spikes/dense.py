"""The border to dense rasters [T, B, *unit]."""

from typing import Any, cast

import torch
from torch import Tensor

from ranvier.spikes import arguments, ragged
from ranvier.spikes.spikes import Spikes, Support


def from_dense(raster: Tensor, dt: float) -> Spikes:
    """See `Spikes.from_dense`."""
    arguments.raster(raster, dt)
    n_steps, n_samples = raster.shape[:2]
    flat = raster.flatten(2)
    spiking = flat.detach() != 0
    sample, step, unit = spiking.transpose(0, 1).nonzero(as_tuple=True)
    support = None
    if raster.requires_grad:
        support = Support(cast(Tensor, _SilentZeros.apply(flat, spiking)))  # pyright: ignore[reportUnknownMemberType]
    return Spikes(
        units=unit.to(torch.int32),
        times=(step.double() * dt).to(raster.dtype),
        amplitudes=flat[step, sample, unit],
        offsets=ragged.offsets_of(sample, n_samples),
        unit_shape=tuple(raster.shape[2:]),
        duration=n_steps * dt,
        steps=step.to(torch.int32),
        dt=dt,
        support=support,
    )


def to_dense(spikes: Spikes) -> Tensor:
    """See `Spikes.to_dense`."""
    spikes.on_grid_only("to_dense")
    assert spikes.steps is not None
    shape = (spikes.n_steps, spikes.n_samples, spikes.n_units)
    sample = ragged.samples_of(spikes.offsets, spikes.n_events)
    cells = (spikes.steps.long(), sample, spikes.units.long())
    raster = _silence(spikes, shape).index_put(cells, spikes.amplitudes, accumulate=True)
    return raster.view(*shape[:2], *spikes.unit_shape)


def _silence(spikes: Spikes, shape: tuple[int, int, int]) -> Tensor:
    """A zero raster that takes the gradient of the silent cells."""
    support = spikes.support
    if support is None:
        return spikes.amplitudes.new_zeros(shape)
    if support.units is None or support.steps is None or support.offsets is None:
        return support.values
    sample = ragged.samples_of(support.offsets, support.units.numel())
    cells = (support.steps.long(), sample, support.units.long())
    return support.values.new_zeros(shape).index_put(cells, support.values)


class _SilentZeros(torch.autograd.Function):
    """A stride-0 zero raster whose gradient reaches the silent cells of `raster` [T, B, N] only."""

    @staticmethod
    def forward(raster: Tensor, _spiking: Tensor) -> Tensor:
        return raster.new_zeros(()).expand(raster.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (spiking,) = ctx.saved_tensors
        return grad_outputs[0].masked_fill(spiking, 0.0), None

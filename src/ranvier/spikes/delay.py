"""Axonal delays: every spike of a unit, and its support, later by that unit's delay."""

from dataclasses import replace

import torch
from torch import Tensor

from ranvier.spikes import ragged
from ranvier.spikes.spikes import Spikes, Support


def delayed(spikes: Spikes, delay: float | Tensor) -> Spikes:
    """See `Spikes.delayed`."""
    per_unit = _per_unit(spikes, delay)
    later = spikes.times + per_unit[spikes.units.long()]
    sample = ragged.samples_of(spikes.offsets)
    if spikes.dt is None:
        steps, key = None, later.detach().double()
        keep = key <= spikes.duration
    else:
        assert spikes.steps is not None
        shift = _steps(per_unit, spikes.dt)
        steps = spikes.steps + shift[spikes.units.long()]
        key, keep = steps, steps < spikes.n_steps
        exact = (steps.double() * spikes.dt).to(later.dtype)
        later = exact + (later - later.detach())
    order = _by_sample_then(key, sample, keep)
    return spikes._with(
        units=spikes.units[order],
        times=later[order],
        amplitudes=spikes.amplitudes[order],
        marks=None if spikes.marks is None else spikes.marks[order],
        steps=None if steps is None else steps[order],
        offsets=ragged.offsets_where(spikes.offsets, keep),
        support=None if spikes.support is None else _delayed_support(spikes, spikes.support, per_unit),
        record=replace(spikes.record, dropped=spikes.record.dropped + spikes.n_events - order.numel()),
    )


def _per_unit(spikes: Spikes, delay: float | Tensor) -> Tensor:
    values = torch.as_tensor(delay, dtype=spikes.times.dtype, device=spikes.times.device)
    if values.ndim > 1 or (values.ndim == 1 and values.numel() != spikes.n_units):
        raise ValueError(
            f"`delay` of delayed must be one number or one per unit, ({spikes.n_units},). Got {tuple(values.shape)}."
        )
    if not bool(values.isfinite().all()) or float(values.detach().min()) < 0:
        raise ValueError(f"`delay` of delayed must be finite and >= 0 s. Got {float(values.detach().min())}.")
    return values.expand(spikes.n_units)


def _steps(per_unit: Tensor, dt: float) -> Tensor:
    return (per_unit.detach().double() / dt).round().to(torch.int32)


def _by_sample_then(key: Tensor, sample: Tensor, keep: Tensor) -> Tensor:
    """Positions of the kept events, sorted by sample, then key; equal keys keep their order."""
    order = torch.argsort(key, stable=True)
    order = order[torch.argsort(sample[order], stable=True)]
    return order[keep[order]]


def _delayed_support(spikes: Spikes, support: Support, per_unit: Tensor) -> Support:
    assert spikes.dt is not None
    shift = _steps(per_unit, spikes.dt)
    if support.units is None or support.steps is None or support.offsets is None:
        return Support(_ShiftZeros.apply(support.values, shift.long()))
    steps = support.steps + shift[support.units.long()]
    keep = steps < spikes.n_steps
    order = _by_sample_then(steps, ragged.samples_of(support.offsets), keep)
    return Support(
        support.values[order], support.units[order], steps[order], ragged.offsets_where(support.offsets, keep)
    )


class _ShiftZeros(torch.autograd.Function):
    """A zero raster [T, B, N] whose unit n is later by shift[n] steps: only its gradient moves."""

    @staticmethod
    def forward(ctx, raster: Tensor, shift: Tensor) -> Tensor:  # noqa: ANN001
        ctx.save_for_backward(shift)
        return raster.new_zeros(()).expand(raster.shape)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001
        (shift,) = ctx.saved_tensors
        n_steps = grad.shape[0]
        source = torch.arange(n_steps, device=grad.device)[:, None] + shift
        inside = (source < n_steps)[:, None, :]
        source = source.clamp(max=n_steps - 1)[:, None, :].expand(grad.shape)
        return grad.gather(0, source) * inside, None

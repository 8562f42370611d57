"""Axonal delays: every spike of a unit, and its support, later by that unit's delay."""

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from ranvier.spikes import arguments, check, ragged
from ranvier.spikes.grid import times_at
from ranvier.spikes.spikes import Spikes, Support


def delayed(spikes: Spikes, delay: float | Tensor) -> Spikes:
    """See `Spikes.delayed`."""
    exact = arguments.delay(delay, spikes)
    later = spikes.times + _at(exact.to(spikes.times.dtype), spikes.units)
    sample = ragged.samples_of(spikes.offsets, spikes.n_events)
    support = spikes.support
    if spikes.dt is None:
        steps = None
        kept = ragged.positions(later.detach() <= check.latest(spikes.duration, later.dtype))
        event = _restored(kept, sample, later.detach(), None, per_unit=exact.ndim == 1)
        times = later.index_select(0, event)
    else:
        assert spikes.steps is not None
        shift = _shift(exact, spikes.dt, spikes.n_steps)
        steps = spikes.steps + _at(shift, spikes.units)
        kept = ragged.positions(steps < spikes.n_steps)
        event = _restored(kept, sample, steps, spikes.n_steps, per_unit=exact.ndim == 1)
        steps = steps.index_select(0, event).to(torch.int32)
        times = times_at(steps, spikes.dt, later.index_select(0, event))
        support = None if support is None else _delayed_support(support, shift, spikes)
    return spikes._with(  # pyright: ignore[reportPrivateUsage]
        units=spikes.units.index_select(0, event),
        times=times,
        amplitudes=spikes.amplitudes.index_select(0, event),
        marks=None if spikes.marks is None else spikes.marks.index_select(0, event),
        steps=steps,
        offsets=ragged.offsets_after(spikes.offsets, kept),
        support=support,
        membrane=None,
        record=replace(spikes.record, dropped=spikes.record.dropped + spikes.n_events - event.numel()),
    )


def _at(per_unit: Tensor, units: Tensor) -> Tensor:
    return per_unit if per_unit.ndim == 0 else per_unit.index_select(0, units)


def _shift(exact: Tensor, dt: float, n_steps: int) -> Tensor:
    return (exact.detach() / dt).round().clamp(max=n_steps).long()


def _restored(kept: Tensor, sample: Tensor, key: Tensor, n_keys: int | None, *, per_unit: bool) -> Tensor:
    """Positions of the kept events, sorted by sample, then key; equal keys keep their order."""
    if not per_unit:
        return kept
    return kept[ragged.order(sample.index_select(0, kept), key.index_select(0, kept), n_keys)]


def _delayed_support(support: Support, shift: Tensor, spikes: Spikes) -> Support:
    if support.units is None or support.steps is None or support.offsets is None:
        later = cast(Tensor, _LaterZeros.apply(support.values, shift.expand(spikes.n_units)))  # pyright: ignore[reportUnknownMemberType]
        return Support(later)
    steps = support.steps + _at(shift, support.units)
    kept = ragged.positions(steps < spikes.n_steps)
    sample = ragged.samples_of(support.offsets, steps.numel())
    cell = _restored(kept, sample, steps, spikes.n_steps, per_unit=shift.ndim == 1)
    return Support(
        values=support.values.index_select(0, cell),
        units=support.units.index_select(0, cell),
        steps=steps.index_select(0, cell).to(torch.int32),
        offsets=ragged.offsets_after(support.offsets, kept),
    )


class _LaterZeros(torch.autograd.Function):
    """A zero raster [T, B, N] whose unit n is later by shift[n] steps: only its gradient moves."""

    @staticmethod
    def forward(raster: Tensor, _shift: Tensor) -> Tensor:
        return raster.new_zeros(()).expand(raster.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (shift,) = ctx.saved_tensors
        (grad,) = grad_outputs
        n_steps = grad.shape[0]
        later = (torch.arange(n_steps, device=grad.device)[:, None] + shift)[:, None, :]  # [T, 1, N]
        source = later.clamp(max=n_steps - 1).expand(grad.shape)
        return grad.gather(0, source).masked_fill(later >= n_steps, 0.0), None

"""From continuous time, or another grid, to a time grid, where steps are primary and times follow."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ranvier.spikes import arguments, ragged
from ranvier.spikes.spikes import Spikes


def on_grid(spikes: Spikes, dt: float, coincident: Literal["sum", "one"]) -> Spikes:
    """See `Spikes.on_grid`."""
    n_steps = arguments.griddable(spikes, dt, coincident)
    n_units = spikes.n_units
    steps = _nearest(spikes, dt)
    keep = steps < n_steps
    cell = ragged.samples_of(spikes.offsets, spikes.n_events).mul_(n_steps).add_(steps).mul_(n_units)
    cell = cell.add_(spikes.units)[keep]
    cell, order = torch.sort(cell, stable=True)
    event = keep.nonzero().flatten()[order]
    dropped = spikes.n_events - cell.numel()

    is_first = torch.ones_like(cell, dtype=torch.bool)
    is_first[1:] = cell[1:] != cell[:-1]
    first = event[is_first]
    times, amplitudes, marks = spikes.times, spikes.amplitudes, spikes.marks
    if coincident == "one" or first.numel() == event.numel():
        times, amplitudes = times[first], amplitudes[first]
        marks = None if marks is None else marks[first]
    else:
        group = is_first.cumsum(0) - 1
        parts, amplitudes = amplitudes[event], _summed(amplitudes[event], group, first.numel())
        marks = None if marks is None else _summed(marks[event], group, first.numel())
        # An event moves the sum in proportion to its amplitude: dL/dt_i = a_i/a dL/dt.
        share = torch.nan_to_num(parts.detach() / amplitudes.detach()[group], 0.0, 0.0, 0.0)
        times = _summed(share * times[event], group, first.numel())
    steps = steps[first]
    bounds = torch.arange(spikes.n_samples + 1, device=cell.device) * (n_steps * n_units)
    return spikes._with(  # pyright: ignore[reportPrivateUsage]
        units=spikes.units[first],
        times=times_at(steps, dt, times),
        amplitudes=amplitudes,
        marks=marks,
        membrane=None,
        steps=steps,
        offsets=torch.searchsorted(cell[is_first], bounds),
        duration=n_steps * dt,
        dt=dt,
        record=replace(spikes.record, dropped=spikes.record.dropped + dropped),
    )


def times_at(steps: Tensor, dt: float, times: Tensor) -> Tensor:
    """Times of grid steps, in the type of `times`, which get the gradient straight through."""
    exact = (steps.double() * dt).to(times.dtype)
    return exact + (times - times.detach()) if times.requires_grad else exact


def _nearest(spikes: Spikes, dt: float) -> Tensor:
    if spikes.steps is None or spikes.dt is None:
        quotient = spikes.times.detach().double() / dt
    else:
        quotient = spikes.steps.double() * (spikes.dt / dt)
    return quotient.round_().to(torch.int32)


def _summed(values: Tensor, group: Tensor, n_groups: int) -> Tensor:
    return values.new_zeros(n_groups).index_add(0, group, values)

"""From continuous time, or a finer grid, to a time grid."""

from typing import Literal

import torch

from ranvier.spikes import ragged
from ranvier.spikes.spikes import Spikes


def on_grid(spikes: Spikes, dt: float, coincident: Literal["sum", "one"]) -> Spikes:
    """See `Spikes.on_grid`."""
    if coincident not in ("sum", "one"):
        raise ValueError(f"`coincident` of on_grid must be 'sum' or 'one'. Got {coincident!r}.")
    if not 0 < dt <= spikes.duration:
        raise ValueError(f"`dt` of on_grid must be > 0 s and at most the duration, {spikes.duration} s. Got {dt}.")
    if spikes.support is not None:
        raise ValueError("`on_grid` takes inputs, not the activity of a surrogate layer. Got spikes with support.")
    n_steps = max(round(spikes.duration / dt), 1)
    steps = (spikes.times.detach().double() / dt).round().long()
    keep = steps < n_steps
    sample = ragged.samples_of(spikes.offsets)[keep]
    steps, units = steps[keep], spikes.units[keep].long()
    amplitudes, shift = spikes.amplitudes[keep], (spikes.times - spikes.times.detach())[keep]
    dropped = spikes.n_events - steps.numel()

    cell = (sample * n_steps + steps) * spikes.n_units + units
    cell, event = torch.sort(cell, stable=True)
    first = torch.ones_like(cell, dtype=torch.bool)
    first[1:] = cell[1:] != cell[:-1]
    if coincident == "one":
        event = event[first]
        amplitudes, shift = amplitudes[event], shift[event]
    else:
        group = first.cumsum(0) - 1
        total = amplitudes.new_zeros(int(first.sum())).index_add(0, group, amplitudes[event])
        # Each event moves the sum in proportion to its amplitude: dL/dt_i = a_i/a dL/dt.
        share = torch.nan_to_num(amplitudes[event].detach() / total.detach()[group], 0.0, 0.0, 0.0)
        shift = shift.new_zeros(total.numel()).index_add(0, group, share * shift[event])
        amplitudes, event = total, event[first]
    steps, units, sample = steps[event], units[event], sample[event]
    times = (steps.double() * dt).to(spikes.times.dtype)
    return Spikes.trusted(
        units=units.to(torch.int32),
        times=times + shift,
        amplitudes=amplitudes,
        offsets=ragged.offsets_of(sample, spikes.n_samples),
        unit_shape=spikes.unit_shape,
        duration=n_steps * dt,
        steps=steps.to(torch.int32),
        dt=dt,
        record=type(spikes.record)(spikes.record.backend, spikes.record.clipped, spikes.record.dropped + dropped),
    )

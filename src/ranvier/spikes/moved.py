"""Events at other units and times: what leaves the layer or the window is left out, the order is restored."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ranvier.spikes import check, ragged
from ranvier.spikes.grid import times_at
from ranvier.spikes.spikes import Spikes


def moved(
    spikes: Spikes, *, units: Integer[Tensor, " event"] | None = None, times: Float[Tensor, " event"] | None = None
) -> Spikes:
    """The same events elsewhere; amplitudes, marks and gradients go with them.

    On a grid times are rounded to the nearest step, and their gradient passes straight through. Events outside of the
    layer or the window are left out and counted in `record.dropped`. Support and membrane, which are about a layer's
    own activity, are left out. On a grid events may come to coincide; layers add them up.

    Args:
        spikes: on a grid or in continuous time.
        units: [E], new flat indices, of any size; None keeps them.
        times: [E], new times in seconds, of any size; None keeps them.
    """
    units = spikes.units if units is None else units
    keep = (units >= 0) & (units < spikes.n_units)
    steps, later = spikes.steps, spikes.times if times is None else times.to(spikes.times.dtype)
    if times is not None:
        if spikes.dt is None:
            keep &= (later.detach() >= 0) & (later.detach() <= check.latest(spikes.duration, later.dtype))
        else:
            steps = (times.detach().double() / spikes.dt).round().long()
            keep &= (steps >= 0) & (steps < spikes.n_steps)
    event = ragged.positions(keep)
    offsets = ragged.offsets_after(spikes.offsets, event)
    if times is not None:
        key = (later.detach() if steps is None else steps).index_select(0, event)
        sample = ragged.samples_of(offsets, event.numel())
        if not bool(((key[1:] >= key[:-1]) | (sample[1:] > sample[:-1])).all()):
            event = event[ragged.order(sample, key, None if spikes.dt is None else spikes.n_steps)]
    later = later.index_select(0, event)
    if steps is not None:
        steps = steps.index_select(0, event).to(torch.int32)
    if times is not None and steps is not None and spikes.dt is not None:
        later = times_at(steps, spikes.dt, later)
    return Spikes.trusted(
        units=units.index_select(0, event).to(torch.int32),
        times=later,
        amplitudes=spikes.amplitudes.index_select(0, event),
        marks=None if spikes.marks is None else spikes.marks.index_select(0, event),
        steps=steps,
        offsets=offsets,
        unit_shape=spikes.unit_shape,
        duration=spikes.duration,
        dt=spikes.dt,
        record=replace(spikes.record, dropped=spikes.record.dropped + spikes.n_events - event.numel()),
    )

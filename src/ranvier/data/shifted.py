"""Events whose units move by one number a sample: one pass over them where nothing needs a gradient."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from ranvier.ops.compile import kernel
from ranvier.spikes import Spikes, moved
from ranvier.spikes.ragged import per_event


def shifted(spikes: Spikes, shift: Int64[Tensor, " batch"]) -> Spikes:
    """The same events at `units + shift` of their sample; what leaves the layer is counted in `record.dropped`."""
    plain = spikes.units.device.type == "cpu" and spikes.marks is None
    if not plain or spikes.times.requires_grad or spikes.amplitudes.requires_grad:
        shifts = per_event(shift.to(spikes.units.device), spikes.offsets, spikes.n_events)
        return moved(spikes, units=spikes.units + shifts)
    old = [spikes.units, spikes.times, spikes.amplitudes, *(() if spikes.steps is None else (spikes.steps,))]
    new = [torch.empty_like(tensor) for tensor in old]
    offsets = torch.zeros_like(spikes.offsets)
    run = kernel("ranvier.data", "shifted.py.jinja", (("gridded", spikes.steps is not None),))
    (units, times, amplitudes, *steps), (new_units, new_times, new_amplitudes, *new_steps) = (
        [tensor.contiguous().numpy() for tensor in each] for each in (old, new)
    )
    run(
        shift.numpy(), spikes.n_units, spikes.offsets.numpy(), units, times, amplitudes,
        offsets.numpy(), new_units, new_times, new_amplitudes, *steps, *new_steps,
    )  # fmt: skip
    n = int(offsets[-1])
    kept = [tensor[:n] for tensor in new]
    return Spikes.trusted(
        units=kept[0],
        times=kept[1],
        amplitudes=kept[2],
        steps=kept[3] if len(kept) > 3 else None,
        offsets=offsets,
        unit_shape=spikes.unit_shape,
        duration=spikes.duration,
        dt=spikes.dt,
        record=replace(spikes.record, dropped=spikes.record.dropped + spikes.n_events - n),
    )

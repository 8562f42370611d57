"""Several layers' spikes as those of one: units side by side, events in one order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor

from ranvier.spikes import arguments, ragged
from ranvier.spikes.spikes import Record, Spikes, Support


def merge(parts: Sequence[Spikes]) -> Spikes:
    """The spikes of several layers as those of one whose units are theirs, one layer after the other.

    Gradients of times, amplitudes and silent cells go back to the part they belong to; a part that carries none gets
    none. Events of equal time keep the order of the parts. Of different floating types the widest is taken. Marks and
    membranes are kept where all parts have them, being about the layer that sends.

    Args:
        parts: at least one, of the same samples, grid and duration.

    Raises:
        TypeError, ValueError: the parts are none, no Spikes, or do not fit together.
    """
    arguments.mergeable(parts)
    dtype = max((part.times.dtype for part in parts), key=lambda dtype: dtype.itemsize)
    parts = [part if part.times.dtype == dtype else part.to(dtype) for part in parts]
    first = parts[0]
    starts = [0, *accumulate(part.n_units for part in parts)]
    sample = torch.cat([ragged.samples_of(part.offsets, part.n_events) for part in parts])
    columns: dict[str, Any] = {
        "units": torch.cat([part.units + start for part, start in zip(parts, starts, strict=False)]),
        **{name: _joined(parts, name) for name in ("times", "amplitudes", "steps", "marks")},
    }
    n_steps = None if first.dt is None else first.n_steps
    order = ragged.order(sample, columns["times"].detach() if n_steps is None else columns["steps"], n_steps)
    membranes = [part.membrane for part in parts]
    return Spikes.trusted(
        **{name: None if column is None else column.index_select(0, order) for name, column in columns.items()},
        offsets=cast(Tensor, sum(part.offsets for part in parts)),
        unit_shape=(starts[-1],),
        duration=first.duration,
        dt=first.dt,
        support=_support(parts, starts),
        membrane=None if None in membranes else torch.cat(cast("list[Tensor]", membranes), 1),
        record=_record([part.record for part in parts]),
    )


def _joined(parts: Sequence[Spikes], name: str) -> Tensor | None:
    columns = [getattr(part, name) for part in parts]
    return None if any(column is None for column in columns) else torch.cat(columns)


def _record(records: list[Record]) -> Record:
    """The counts of all, and the first part's path that computed anything."""
    computed = [record.backend for record in records if record.backend != "input"]
    return Record(
        backend=computed[0] if computed else "input",
        clipped=sum(record.clipped for record in records),
        dropped=sum(record.dropped for record in records),
        truncated=sum(record.truncated for record in records),
    )


def _support(parts: Sequence[Spikes], starts: list[int]) -> Support | None:
    """Compact where all that is there is compact; dense if any part is."""
    own = [(part.support, start, part.n_units) for part, start in zip(parts, starts, strict=False) if part.support]
    if not own:
        return None
    if any(support.is_dense for support, _, _ in own):
        places = [_Place(support, start, n_units) for support, start, n_units in own]
        shape = (parts[0].n_steps, parts[0].n_samples, starts[-1])
        values = [support.values for support, _, _ in own]
        return Support(cast(Tensor, _Wider.apply(places, shape, *values)))  # pyright: ignore[reportUnknownMemberType]
    offsets = [cast(Tensor, support.offsets) for support, _, _ in own]
    sample = torch.cat(
        [ragged.samples_of(each, support.values.numel()) for each, (support, _, _) in zip(offsets, own, strict=True)]
    )
    steps = torch.cat([cast(Tensor, support.steps) for support, _, _ in own])
    order = ragged.order(sample, steps, parts[0].n_steps)
    units = torch.cat([cast(Tensor, support.units) + start for support, start, _ in own])
    return Support(
        values=torch.cat([support.values for support, _, _ in own]).index_select(0, order),
        units=units.index_select(0, order),
        steps=steps.index_select(0, order),
        offsets=cast(Tensor, sum(offsets)),
    )


class _Place:
    """Where in the wider raster a part's silent cells lie."""

    def __init__(self, support: Support, start: int, n_units: int) -> None:
        self.columns = slice(start, start + n_units)
        self.cells: tuple[Tensor, ...] | None = None
        if support.units is not None and support.steps is not None and support.offsets is not None:
            sample = ragged.samples_of(support.offsets, support.units.numel())
            self.cells = (support.steps.long(), sample, support.units.long() + start)

    def of(self, raster: Tensor) -> Tensor:
        return raster[..., self.columns] if self.cells is None else raster[self.cells]


class _Wider(torch.autograd.Function):
    """A zero raster [T, B, N] over the units of all parts: only its gradient is work."""

    @staticmethod
    def forward(_places: list[_Place], shape: tuple[int, int, int], *values: Tensor) -> Tensor:
        return values[0].new_zeros(()).expand(shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.places = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        return (None, None, *(place.of(grad) for place in ctx.places))

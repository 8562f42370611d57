"""Spikes from the cleaned events of a file: in continuous time, or by way of the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch

from ranvier.data.events import Clean
from ranvier.ops import threads
from ranvier.ops.compile import shareable
from ranvier.spikes import Record, Spikes
from ranvier.spikes.check import INT32_MAX


class Grid(NamedTuple):
    """A time grid, with the choice for several events of one unit in one step: see `Spikes.on_grid`.

    Attributes:
        dt: seconds.
        coincident: "sum" or "one".
        n_steps: number of steps.
    """

    dt: float
    coincident: Literal["sum", "one"]
    n_steps: int


class Sample(NamedTuple):
    """One sample on a grid.

    Attributes:
        cells: step * n_units + unit [E] of every cell with events, ascending, int32 if that holds all of the grid.
        amplitudes: float32 [E], where some are not 1; else None.
        dropped: how many events of the file are in no cell.
    """

    cells: np.ndarray
    amplitudes: np.ndarray | None
    dropped: int

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self.cells.nbytes + (0 if self.amplitudes is None else self.amplitudes.nbytes)


def continuous(found: Clean, n_units: int, duration: float) -> Spikes:
    """The events as they are, each of amplitude 1."""
    times = torch.from_numpy(found.times)
    return Spikes(
        units=torch.from_numpy(found.units),
        times=times,
        amplitudes=torch.ones_like(times),
        offsets=torch.from_numpy(found.offsets),
        unit_shape=(n_units,),
        duration=duration,
        record=Record(dropped=found.counts.dropped),
    )


def samples_on_grid(found: Clean, n_units: int, grid: Grid) -> list[Sample]:
    """Each sample's cells, coincident events as the grid has it."""
    whole = np.int32 if grid.n_steps * n_units <= INT32_MAX else np.int64
    nearest = np.rint(found.times / np.float64(grid.dt)).astype(whole)
    cells = nearest * whole(n_units) + found.units
    inside, bounds = nearest < grid.n_steps, found.offsets
    if not inside.all():
        cells, bounds = cells[inside], np.concatenate([[0], np.cumsum(inside)])[bounds]
    return [
        _sample(cells[begin:end], grid, read)
        for (begin, end), read in zip(pairwise(bounds), found.lengths.tolist(), strict=True)
    ]


def _sample(cells: np.ndarray, grid: Grid, read: int) -> Sample:
    cells.sort()
    begins = np.flatnonzero(np.diff(cells, prepend=-1))
    dropped = read - cells.size
    if begins.size == cells.size:
        return Sample(cells.copy(), None, dropped)  # not a view of the whole batch
    counts = np.diff(begins, append=cells.size).astype(np.float32) if grid.coincident == "sum" else None
    return Sample(cells[begins], counts, dropped)


def on_grid(samples: Sequence[Sample], n_units: int, grid: Grid) -> Spikes:
    """What `Spikes.on_grid` makes of the samples in continuous time."""
    bounds = np.cumsum([0, *(sample.cells.size for sample in samples)])
    cells = np.concatenate([sample.cells for sample in samples]) if samples else np.empty(0, np.int32)
    steps, units = np.empty((2, cells.size), np.int32)
    times, amplitudes = np.empty(cells.size, np.float32), np.ones(cells.size, np.float32)
    threads.spread(
        shareable("ranvier.data", "cells.py.jinja", ()),
        threads.chunks(len(samples)),
        cells, bounds, grid.dt, n_units, steps, units, times,
    )  # fmt: skip
    for sample, (begin, end) in zip(samples, pairwise(bounds), strict=True):
        if sample.amplitudes is not None:
            amplitudes[begin:end] = sample.amplitudes
    return Spikes.trusted(
        units=torch.from_numpy(units),
        times=torch.from_numpy(times),
        amplitudes=torch.from_numpy(amplitudes),
        offsets=torch.from_numpy(bounds),
        unit_shape=(n_units,),
        duration=grid.n_steps * grid.dt,
        steps=torch.from_numpy(steps),
        dt=grid.dt,
        record=Record(dropped=sum(sample.dropped for sample in samples)),
    )

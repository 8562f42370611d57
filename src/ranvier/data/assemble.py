"""Spikes from the cleaned events of a file: in continuous time, or by way of the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch

from ranvier.data.events import Clean
from ranvier.ops.compile import kernel
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
        cells: step * n_units + unit of every event [E], ascending, int32 if that holds all cells of the grid.
        dropped: how many events of the file are not among them.
    """

    cells: np.ndarray
    dropped: int


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
    """Each sample's cells, those of coincident events as often as they are."""
    whole = np.int32 if grid.n_steps * n_units <= INT32_MAX else np.int64
    nearest = np.rint(found.times / np.float64(grid.dt)).astype(whole)
    cells = nearest * whole(n_units) + found.units
    inside, bounds = nearest < grid.n_steps, found.offsets
    if not inside.all():
        cells, bounds = cells[inside], np.concatenate([[0], np.cumsum(inside)])[bounds]
    each = [cells[begin:end] for begin, end in pairwise(bounds)]
    for some in each:
        some.sort()
    return [Sample(some, read - some.size) for some, read in zip(each, found.lengths.tolist(), strict=True)]


def on_grid(samples: Sequence[Sample], n_units: int, grid: Grid) -> Spikes:
    """What `Spikes.on_grid` makes of the samples in continuous time."""
    bounds = np.cumsum([0, *(sample.cells.size for sample in samples)])
    cells = np.concatenate([sample.cells for sample in samples]) if samples else np.empty(0, np.int32)
    offsets = np.zeros(len(samples) + 1, np.int64)
    steps, units = np.empty((2, cells.size), np.int32)
    times, counted = np.empty((2, cells.size), np.float32)
    kernel("ranvier.data", "cells.py.jinja", ())(cells, bounds, grid.dt, n_units, offsets, steps, units, times, counted)
    n = int(offsets[-1])
    return Spikes.trusted(
        units=torch.from_numpy(units[:n]),
        times=torch.from_numpy(times[:n]),
        amplitudes=torch.from_numpy(counted[:n]) if grid.coincident == "sum" else torch.ones(n),
        offsets=torch.from_numpy(offsets),
        unit_shape=(n_units,),
        duration=grid.n_steps * grid.dt,
        steps=torch.from_numpy(steps[:n]),
        dt=grid.dt,
        record=Record(dropped=sum(sample.dropped for sample in samples)),
    )

"""The Numba path: options for the kernel templates, work shared between threads, arrays in and out."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.neurons import Structure
from ranvier.ops import threads
from ranvier.ops.clocked.cpu import Coefficients, EventList, no_cells
from ranvier.ops.compile import Shareable, shareable
from ranvier.ops.parts import parts, total

Array = NDArray[Any]
_PACKAGE = "ranvier.ops.readout"
_SIDE_BY_SIDE = 4096  # units of several samples: their states stay in the innermost cache but one


class Wanted(NamedTuple):
    """Which gradients are asked for."""

    weights: bool
    times: bool
    amplitudes: bool
    flow: bool
    delays: bool


class Gradients(NamedTuple):
    """Outgoing gradients, shaped like what they belong to; empty where not asked for.

    `mu` is the adjoint of arrivals [T, B, N]; with delays the gradient of all input cells [T, B, n_in].
    """

    w_in: Array
    propagator: Array
    drift: Array
    times: Array
    amplitudes: Array
    far: Array
    mu: Array
    initial: Array
    d_in: Array


def forward(
    structure: Structure,
    n_steps: int,
    events: EventList,
    amplitudes: Array,
    w_in: Array,
    numbers: Coefficients,
    initial: Array,
    delays: Array | None,
) -> tuple[Array, Array, int]:
    """The trace [T, B, N], the final state [S, B, N], and how many input events were used.

    Shapes: amplitudes [E], w_in [n_in, N], initial [S, B, N], delays in steps [n_in, N].
    """
    real, n_samples, n_units = w_in.dtype, events.offsets.size - 1, w_in.shape[1]
    width = _width(n_samples, n_units)
    propagator, drift = _tiled(structure, width, numbers.propagator, numbers.drift)
    trace = np.empty((n_steps, n_samples, n_units), real)
    final = np.empty((len(structure.states), n_samples, n_units), real)
    used = threads.spread(
        _forward_kernel(structure, real.char, delays is not None),
        threads.chunks(n_samples),
        width, n_steps, *events, amplitudes, w_in, propagator, drift, initial, trace, final, *_delayed(delays),
    )  # fmt: skip
    return trace, final, sum(used)


@lru_cache(maxsize=256)
def _forward_kernel(structure: Structure, real: str, delayed: bool) -> Shareable:
    return shareable(_PACKAGE, "forward.py.jinja", _options(structure, real, delayed))


def backward(
    structure: Structure,
    n_steps: int,
    events: EventList,
    amplitudes: Array,
    far: EventList | None,
    far_is_dense: bool,
    w_in: Array,
    numbers: Coefficients,
    initial: Array,
    g_trace: Array,
    g_final: Array,
    wanted: Wanted,
    delays: Array | None,
) -> Gradients:
    """The adjoint of `forward`, whose arguments come first; `g_trace` [T, B, N] and `g_final` [S, B, N] are incoming.

    `far` lists silent input cells whose amplitude gradient is wanted (compact); `far_is_dense` asks for `mu` instead.
    """
    real, n_samples, n_units = w_in.dtype, events.offsets.size - 1, w_in.shape[1]
    width = 1 if wanted.flow else _width(n_samples, n_units)
    propagator, drift, arrival_row = _tiled(structure, width, numbers.propagator, numbers.drift, numbers.arrival_row)
    ranges, n_states = threads.chunks(n_samples), len(structure.states)
    n_chunks = len(ranges)
    g_w_in = parts(n_chunks, real, wanted.weights, *w_in.shape)
    # long sums with cancellation, often down to one number: kept in float64
    g_propagator = parts(n_chunks, np.float64, wanted.flow, n_states, n_states, n_units)
    g_drift = parts(n_chunks, np.float64, wanted.flow, n_states, n_units)
    g_d_in = parts(n_chunks, real, wanted.delays, *w_in.shape)
    g_times = np.empty(events.units.size if wanted.times else 0, real)
    g_amplitudes = np.empty(events.units.size if wanted.amplitudes else 0, real)
    far_cells = no_cells(n_samples) if far is None else far
    g_far = np.empty(far_cells.units.size, real)
    n_cells = n_units if delays is None else w_in.shape[0]
    mu = np.empty((n_steps, n_samples, n_cells) if far_is_dense else (0, 0, 0), real)
    g_initial = np.empty((n_states, n_samples, n_units), real)
    silent = "dense" if far_is_dense else "compact" if far is not None else "none"
    threads.spread(
        _backward_kernel(structure, real.char, delays is not None, silent, wanted), ranges,
        width, n_steps, *events, amplitudes, w_in,
        propagator, drift, arrival_row, initial, g_final, g_trace, *far_cells,
        g_w_in, g_propagator, g_drift, g_times, g_amplitudes, g_far, mu, g_initial,
        *_delayed(delays), *((g_d_in,) if wanted.delays else ()),
    )  # fmt: skip
    return Gradients(
        w_in=total(g_w_in),
        propagator=total(g_propagator),
        drift=total(g_drift),
        times=g_times,
        amplitudes=g_amplitudes,
        far=g_far,
        mu=mu,
        initial=g_initial,
        d_in=total(g_d_in),
    )


@lru_cache(maxsize=256)
def _backward_kernel(structure: Structure, real: str, delayed: bool, far: str, wanted: Wanted) -> Shareable:
    options = _options(
        structure,
        real,
        delayed,
        far=far,
        wants_weights=wanted.weights,
        wants_time=wanted.times,
        wants_amplitude=wanted.amplitudes,
        wants_flow=wanted.flow,
        wants_d_in=wanted.delays,
    )
    return shareable(_PACKAGE, "backward.py.jinja", options)


def _options(structure: Structure, real: str, delayed: bool, **more: Any) -> tuple[tuple[str, Any], ...]:
    """The template's variables; `real` is the character of a numpy type."""
    options = {
        "states": tuple(range(len(structure.states))),
        "entered": structure.entered,
        "flows": structure.flows,
        "drifts": structure.drifts,
        "per_unit": structure.per_unit,
        "delayed": delayed,
        "real": f"np.{np.dtype(real)}",
    }
    return tuple(sorted((options | more).items()))


def _width(n_samples: int, n_units: int) -> int:
    """How many samples lie side by side."""
    return max(1, min(n_samples, _SIDE_BY_SIDE // max(1, n_units)))


def _tiled(structure: Structure, width: int, *numbers: Array) -> tuple[Array, ...]:
    """Numbers of units, repeated for samples side by side; shared ones as they are."""
    if not structure.per_unit:
        return numbers
    return tuple(np.concatenate([each] * width, axis=-1) for each in numbers)


def _delayed(delays: Array | None) -> tuple[Any, ...]:
    """The delays, and for how many steps arrivals are kept."""
    return () if delays is None else (np.ascontiguousarray(delays), int(delays.max(initial=0)) + 1)

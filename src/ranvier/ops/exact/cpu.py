"""The Numba path: options for the kernel templates, work shared between threads, arrays in and out.

Memory layout and derivation: README.md. Everything here is numpy; `op.py` joins it to autograd. Kernels compute in
float64 whatever the type of weights and times.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.ops import threads
from ranvier.ops.compile import shareable
from ranvier.ops.parts import offsets_from, total

Array = NDArray[Any]
_PACKAGE = "ranvier.ops.exact"
_NARROW = 8  # units of a feed-forward layer up to which one after the other is faster than side by side
# measured: ns per unit and event, one after the other and side by side; per unit, mostly for its spike; and what
# another thread must save to be worth waking it
_WALK, _STEP, _SPIKE, _WAKE = 8, 0.7, 80, 200_000


@dataclass(frozen=True)
class Numbers:
    """A neuron's numbers as float64 arrays: [1] when shared, [N] when per unit; None for a threshold that stays."""

    tau_mem: Array
    tau_syn: Array
    bias: Array
    threshold: Array
    refractory: float
    tau_adapt: Array | None = None
    adaptation: Array | None = None

    @property
    def adaptive(self) -> bool:
        """Whether there is a third state, a, on top of the threshold."""
        return self.adaptation is not None

    @property
    def n_states(self) -> int:
        """V, I and, for an adaptive threshold, a."""
        return 3 if self.adaptive else 2

    @property
    def options(self) -> tuple[tuple[str, Any], ...]:
        """What kernels are specialised to."""
        kind = "none" if self.refractory == 0 else "forever" if self.refractory == inf else "finite"
        return (("per_unit", self.tau_mem.size > 1), ("refractory", kind))


class Events(NamedTuple):
    """The input: offsets int64 [B+1], times [E], units int32 [E], amplitudes [E]."""

    offsets: Array
    times: Array
    units: Array
    amplitudes: Array


class Weights(NamedTuple):
    """w_in [n_in, N]; w_rec [N, N] or None; delays d_in [n_in, N] and d_rec [N, N] in float64, or None."""

    w_in: Array
    w_rec: Array | None
    d_in: Array | None
    d_rec: Array | None


@dataclass(frozen=True)
class Emitted:
    """What a forward pass leaves.

    Attributes:
        offsets, units, times: the spikes, sorted by sample, then time; times in float64.
        current: I at each spike, before what the spike itself brings.
        trail: what the adjoint needs to replay the order of events; differs between kernels.
        final: the states at the end [S, B, N], of the weights' type.
        held: [B, N], whether a unit is held at reset at the end.
        clipped: spikes whose slope is below the bound.
        truncated: spikes beyond the limit that did not happen.
        worst: the first sample with such a spike, or -1.
    """

    offsets: Array
    units: Array
    times: Array
    current: Array
    trail: list[Any]
    final: Array
    held: Array
    clipped: int
    truncated: int
    worst: int


def forward(
    duration: float, events: Events, weights: Weights, numbers: Numbers, initial: Array, min_slope: float, limit: int
) -> Emitted:
    """Run every sample, chunk by chunk. `initial` is [S, B, N] in float64, or [S, 1, N] if the same for all."""
    n_samples, n_units = events.offsets.size - 1, weights.w_in.shape[1]
    final = np.empty((numbers.n_states, n_samples, n_units), weights.w_in.dtype)
    held = np.empty((n_samples, n_units), np.uint8)
    parts = threads.spread(
        shareable(_PACKAGE, f"{_family(weights, numbers)}forward.py.jinja", _options(weights, numbers)),
        _ranges(events, weights, numbers),
        duration, *events, *_arguments(weights, numbers),
        numbers.tau_mem, numbers.tau_syn, numbers.bias, numbers.threshold, numbers.refractory, min_slope, limit,
        initial, final, held,
    )  # fmt: skip
    columns = list(zip(*parts, strict=True))
    counts, units, times, current = (_join(column) for column in columns[:4])
    clipped, truncated, worst = columns[-3:]
    return Emitted(
        offsets=offsets_from(counts),
        units=units,
        times=times,
        current=current,
        trail=_trail(weights, numbers, columns[4:-3]),
        final=final,
        held=held,
        clipped=sum(clipped),
        truncated=sum(truncated),
        worst=next((sample for sample in worst if sample >= 0), -1),
    )


def _ranges(events: Events, weights: Weights, numbers: Numbers) -> threads.Ranges:
    """Samples per chunk; one chunk where a feed-forward layer has too little work to share."""
    n_samples, n_units = events.offsets.size - 1, weights.w_in.shape[1]
    family = _family(weights, numbers)
    each = _WALK if family == "narrow_" else _STEP
    work = each * events.units.size * n_units + _SPIKE * n_samples * n_units
    if family in _FEEDFORWARD and not threads.worth_sharing(work, _WAKE):
        return ((0, n_samples),)
    return threads.balanced(events.offsets, _SPIKE / each)


def _join(parts: tuple[Array, ...]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _trail(weights: Weights, numbers: Numbers, columns: list[Any]) -> list[Array]:
    """What the adjoint replays; the kernels with a log return its length per sample first."""
    trail = [_join(column) for column in columns]
    return trail if _family(weights, numbers) in _FEEDFORWARD else [offsets_from(trail[0]), *trail[1:]]


_FEEDFORWARD = ("", "narrow_")


def _family(weights: Weights, numbers: Numbers) -> str:
    """The pair of kernels that serves these weights and this neuron."""
    if numbers.adaptive:
        return "adaptive_"
    if weights.d_in is not None or weights.d_rec is not None:
        return "delayed_"
    if weights.w_rec is not None:
        return "recurrent_"
    return "narrow_" if weights.w_in.shape[1] <= _NARROW else ""


def _arguments(weights: Weights, numbers: Numbers) -> tuple[Array, ...]:
    """The weights as their kernels take them."""
    if numbers.tau_adapt is not None and numbers.adaptation is not None:
        w_rec = weights.w_in[:0] if weights.w_rec is None else weights.w_rec
        return weights.w_in, w_rec, numbers.tau_adapt, numbers.adaptation
    if _family(weights, numbers) == "delayed_":
        units = weights.w_in.shape[1]
        none = np.empty((0, units))
        w_rec = np.empty((0, units), weights.w_in.dtype) if weights.w_rec is None else weights.w_rec
        d_in = none if weights.d_in is None else weights.d_in
        return weights.w_in, w_rec, d_in, none if weights.d_rec is None else weights.d_rec
    return (weights.w_in,) if weights.w_rec is None else (weights.w_in, weights.w_rec)


def _options(weights: Weights, numbers: Numbers, **more: Any) -> tuple[tuple[str, Any], ...]:
    if _family(weights, numbers) in ("delayed_", "adaptive_"):
        more |= {"recurrent": weights.w_rec is not None}
    if _family(weights, numbers) == "delayed_":
        more |= {"delays_in": weights.d_in is not None, "delays_rec": weights.d_rec is not None}
    return (*numbers.options, *sorted(more.items()))


@dataclass(frozen=True)
class Wanted:
    """Which gradients are asked for; that of the threshold comes with any."""

    weights: bool
    times: bool
    amplitudes: bool
    flow: bool
    delays: bool
    initial: bool


@dataclass(frozen=True)
class Gradients:
    """Outgoing gradients, shaped like what they belong to; per-neuron ones are [N], float64."""

    w_in: Array
    w_rec: Array
    d_in: Array
    d_rec: Array
    times: Array
    amplitudes: Array
    tau_mem: Array
    tau_syn: Array
    bias: Array
    threshold: Array
    tau_adapt: Array
    adaptation: Array
    initial: Array


def backward(
    duration: float,
    events: Events,
    weights: Weights,
    numbers: Numbers,
    initial: Array,
    min_slope: float,
    emitted: Emitted,
    g_times: Array,
    g_marks: Array,
    g_final: Array,
    wanted: Wanted,
) -> Gradients:
    """The adjoint of `forward`; incoming gradients per spike [E], and of the final state, shaped as `initial`."""
    n_samples, n_units = events.offsets.size - 1, weights.w_in.shape[1]
    options = _options(
        weights,
        numbers,
        wants_weights=wanted.weights,
        wants_times=wanted.times,
        wants_amplitudes=wanted.amplitudes,
        wants_flow=wanted.flow,
    )
    ranges = _ranges(events, weights, numbers)
    family, n_chunks, real = _family(weights, numbers), len(ranges), weights.w_in.dtype
    g_w_in = np.zeros((n_chunks, *(weights.w_in.shape if wanted.weights else (0, n_units))), real)
    g_w_rec = _like(weights.w_rec, n_chunks, real)
    g_d_in, g_d_rec = _like(weights.d_in, n_chunks, np.float64), _like(weights.d_rec, n_chunks, np.float64)
    g_neuron = np.zeros((n_chunks, 6, n_units))
    g_in_times = np.zeros(events.units.size if wanted.times else 0)
    g_amplitudes = np.zeros(events.units.size if wanted.amplitudes else 0)
    g_initial = np.empty((numbers.n_states, n_samples if wanted.initial else 0, n_units))
    more = {"": (), "narrow_": (), "delayed_": (g_w_rec, g_d_in, g_d_rec)}.get(family, (g_w_rec,))
    threads.spread(
        shareable(_PACKAGE, f"{family}backward.py.jinja", options),
        ranges,
        duration, *events, *_arguments(weights, numbers),
        numbers.tau_mem, numbers.tau_syn, numbers.bias, numbers.threshold, numbers.refractory, min_slope,
        initial, emitted.held,
        emitted.offsets, emitted.units, emitted.times, emitted.current, *emitted.trail,
        g_times, g_marks, g_final,
        g_w_in, *more, g_in_times, g_amplitudes, g_neuron, g_initial,
    )  # fmt: skip
    tau_mem, tau_syn, bias, threshold, tau_adapt, adaptation = total(g_neuron)
    return Gradients(
        w_in=total(g_w_in),
        w_rec=total(g_w_rec),
        d_in=total(g_d_in),
        d_rec=total(g_d_rec),
        times=g_in_times,
        amplitudes=g_amplitudes,
        tau_mem=tau_mem,
        tau_syn=tau_syn,
        bias=bias,
        threshold=threshold,
        tau_adapt=tau_adapt,
        adaptation=adaptation,
        initial=g_initial,
    )


def _like(weights: Array | None, n_chunks: int, real: Any) -> Array:
    return np.zeros((n_chunks, *((0, 0) if weights is None else weights.shape)), real)

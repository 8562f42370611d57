"""The Numba path: options for the kernel templates, work shared between threads, arrays in and out.

Memory layout and derivation: README.md. Everything here is numpy; `op.py` joins it to autograd.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.neurons import Structure
from ranvier.neurons.dynamics import FOREVER
from ranvier.ops import threads
from ranvier.ops.compile import Shareable, shareable
from ranvier.ops.parts import offsets_from, parts, total

Array = NDArray[Any]
_PACKAGE = "ranvier.ops.clocked"
_BLOCK = 16  # samples that share a product; their states and the rows of weights in use stay in L1
_STEP = 2  # events that take as long as a step of all units without one; measured


class EventList(NamedTuple):
    """Events or cells of a ragged batch: offsets int64 [B+1], steps and units int32 [E]."""

    offsets: Array
    steps: Array
    units: Array


class Delayed(NamedTuple):
    """Whether input and own spikes arrive with delays."""

    into: bool
    own: bool


class Delays(NamedTuple):
    """Delays in steps, int32 [from, to], of the input and of own spikes; None where all are zero."""

    into: Array | None = None
    own: Array | None = None

    @property
    def there(self) -> Delayed:
        """Which of them there are."""
        return Delayed(self.into is not None, self.own is not None)


_NO_DELAYS = Delays()


@dataclass(frozen=True)
class Coefficients:
    """A neuron's numbers as arrays: entries [...] when shared, [..., N] when per unit; `hold` in steps."""

    propagator: Array
    drift: Array
    threshold: Array
    lower: Array
    jump: Array
    arrival_row: Array
    reset_row: Array
    jump_row: Array
    rise_row: Array
    rise_offset: Array
    slope_row: Array
    slope_offset: Array
    leak: Array
    hold: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What a kernel is specialised to. `plan_of` makes them, equal ones once: they are compared by identity.

    Attributes:
        structure: the neuron's.
        recurrent: whether there are recurrent weights.
        method: "eventprop" or "surrogate".
        support: "none", "compact" or "dense".
        through_reset, through_recurrence: see `Surrogate`.
        forced: whether spikes are given.
        dtype: "float32" or "float64".
        expression: the surrogate's derivative where kernels evaluate it themselves, else None.
        holds: whether there is a refractory time.
    """

    structure: Structure
    recurrent: bool
    method: str
    support: str
    through_reset: bool
    through_recurrence: bool
    forced: bool
    dtype: str
    expression: str | None = None
    holds: bool = False

    @property
    def pending(self) -> bool:
        """Whether own spikes of the last step are part of the state."""
        return self.recurrent and self.structure.arrival == "before"

    @property
    def n_states(self) -> int:
        """Rows of the state array."""
        return len(self.structure.states) + self.pending + self.holds

    @property
    def levels(self) -> bool:
        """Whether the backward pass needs to know how far the threshold was raised."""
        through = self.through_reset and self.structure.reset != "none"
        return any(self.structure.raising) and (self.method == "eventprop" or through)

    @property
    def ends(self) -> bool:
        """Whether the backward pass needs the slopes at the ends of holds."""
        return self.holds and self.method == "eventprop"

    def depth(self, delays: Delays) -> int:
        """Steps for which arrivals are kept: from this one to the last that a spike of this one can reach."""
        longest = max((int(steps.max(initial=0)) for steps in delays if steps is not None), default=0)
        return longest + 1 + (self.structure.arrival == "before")

    def options(self, delayed: Delayed, **more: Any) -> tuple[tuple[str, Any], ...]:
        """The template's variables."""
        structure = self.structure
        common = {
            "states": tuple(range(len(structure.states))),
            "entered": structure.entered,
            "arrival": structure.arrival,
            "reset": structure.reset,
            "flows": structure.flows,
            "drifts": structure.drifts,
            "raising": tuple(s for s, raises in enumerate(structure.raising) if raises),
            "jumps": tuple(s for s, moves in enumerate(structure.jumps) if moves),
            "levels": self.levels,
            "per_unit": structure.per_unit,
            "recurrent": self.recurrent,
            "pending": self.pending,
            "holds": self.holds,
            "forever": FOREVER,
            "delayed_in": delayed.into,
            "delayed_rec": delayed.own,
            "support": self.support,
            "real": f"np.{self.dtype}",
        }
        return tuple(sorted((common | more).items()))


plan_of = lru_cache(maxsize=256)(Plan)


@lru_cache(maxsize=256)
def _forward_kernel(plan: Plan, delayed: Delayed) -> Shareable:
    keep = "slope" if plan.method == "eventprop" else "membrane"
    return shareable(_PACKAGE, "forward.py.jinja", plan.options(delayed, forced=plan.forced, keep=keep))


class Emitted(NamedTuple):
    """What a forward pass leaves: the spikes with one number each, the support, traces and the final state.

    Attributes:
        spikes: events with their `times` and `values` (for EventProp the slope, at least the bound; for surrogates V;
            less what raises the threshold).
        clipped: how many slopes were below the bound.
        ends: slope at the end of the spike's hold (EventProp with a refractory time), 0 where it does not end.
        first_ends: the same for the hold that a unit began with [B, N].
        support: silent cells with their V, compact only.
        trace: V [T, B, N] for dense support.
        raised: how far the threshold was raised at spikes, support cells and in the trace, where the plan has `levels`;
            and at spikes how fast, in the units of the slope (EventProp).
        final: [S, B, N].
        consumed: number of input events the kernel used.
    """

    spikes: EventList
    times: Array
    values: Array
    clipped: int
    ends: Array
    first_ends: Array
    support: EventList
    support_values: Array
    trace: Array
    raised: tuple[Array, Array, Array, Array]
    final: Array
    consumed: int


@lru_cache(maxsize=64)
def no_cells(n_samples: int) -> EventList:
    """An empty list for a batch of `n_samples`; read, never written."""
    return EventList(np.zeros(n_samples + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))


def forward(
    plan: Plan,
    n_steps: int,
    dt: float,
    events: EventList,
    amplitudes: Array,
    w_in: Array,
    w_rec: Array | None,
    numbers: Coefficients,
    min_slope: float,
    initial: Array,
    forced: EventList | None,
    delays: Delays = _NO_DELAYS,
) -> Emitted:
    """Run every sample, chunk by chunk. Shapes: amplitudes [E], w_in [n_in, N], w_rec [N, N], initial [S, B, N].

    `min_slope` is EventProp's, in thresholds.
    """
    real, n_samples, n_units = w_in.dtype, events.offsets.size - 1, w_in.shape[1]
    run = _forward_kernel(plan, delays.there)
    trace = np.empty((n_steps, n_samples, n_units) if plan.support == "dense" else (0, 0, 0), real)
    raised_trace = np.empty(trace.shape if plan.levels else (0, 0, 0), real)
    final = np.empty((plan.n_states, n_samples, n_units), real)
    compact = plan.support == "compact"
    counts, support_counts = np.zeros((2, n_samples), np.int64)
    recurrent = np.empty((0, n_units), real) if w_rec is None else w_rec
    wanted = no_cells(n_samples) if forced is None else forced
    first_ends = np.zeros((n_samples, n_units) if plan.ends else (0, 0), real)
    delayed = _delayed(plan, delays)
    ranges = _ranges(plan, n_steps, events)
    buffers = _Buffers(plan, real, n_units * n_steps, n_units, ranges)
    progress = buffers.progress
    while True:
        threads.spread(
            run, ranges,
            n_steps, dt, *events, amplitudes, w_in, recurrent,
            numbers.propagator, numbers.drift, numbers.threshold, numbers.lower,
            numbers.slope_row, numbers.slope_offset, real.type(min_slope),
            initial, final, *wanted,
            counts, buffers.steps, buffers.units, buffers.times, buffers.values,
            support_counts, buffers.support_steps, buffers.support_units, buffers.support_values,
            trace, progress,
            *((numbers.hold, buffers.ends, first_ends) if plan.holds else ()), *delayed,
            *_jump(plan, numbers.jump),
            *((numbers.rise_row, numbers.rise_offset, *buffers.raised(), raised_trace) if plan.levels else ()),
        )  # fmt: skip
        if buffers.done:
            break
        buffers.grow()
    return Emitted(
        spikes=EventList(offsets_from(counts), buffers.joined("steps"), buffers.joined("units")),
        times=buffers.joined("times"),
        values=buffers.joined("values"),
        clipped=sum(progress[:, 4].tolist()),
        ends=buffers.joined("ends"),
        first_ends=first_ends,
        support=EventList(
            offsets_from(support_counts), buffers.joined("support_steps"), buffers.joined("support_units")
        )
        if compact
        else no_cells(n_samples),
        support_values=buffers.joined("support_values"),
        trace=trace,
        raised=(buffers.joined("levels"), buffers.joined("rises"), buffers.joined("support_levels"), raised_trace),
        final=final,
        consumed=sum(progress[:, 3].tolist()),
    )


def _ranges(plan: Plan, n_steps: int, events: EventList) -> threads.Ranges:
    """Samples per chunk: of near-equal work, which is a sample's number where every cell has some of its own."""
    if plan.support == "dense":
        return threads.chunks(events.offsets.size - 1)
    return threads.balanced(events.offsets, _STEP * n_steps)


_PER_SPIKE = ("steps", "units", "times", "values", "ends", "levels", "rises")
_PER_CELL = ("support_steps", "support_units", "support_values", "support_levels")


class _Buffers:
    """Room for each chunk's spikes and support [chunks, ...], doubled when one has run out.

    `progress` int64 [chunks, 5] says for each chunk at which sample to go on, how many spikes and cells of support are
    written, how many input events were used, and how many slopes were below the bound.
    """

    def __init__(self, plan: Plan, real: Any, cells: int, n_units: int, ranges: threads.Ranges) -> None:
        n, longest = len(ranges), max(last - first for first, last in ranges)
        spikes = cells * longest // 16 + n_units
        support = cells * longest // 6 + n_units if plan.support == "compact" else 0
        nothing = np.empty((n, 0), real)
        self.steps, self.units = np.empty((2, n, spikes), np.int32)
        self.times, self.values = np.empty((2, n, spikes), real)
        self.ends = np.empty((n, spikes), real) if plan.ends else nothing
        self.support_steps, self.support_units = np.empty((2, n, support), np.int32)
        self.support_values = np.empty((n, support), real) if support else nothing
        self.levels = np.empty((n, spikes), real) if plan.levels else nothing
        self.rises = np.empty((n, spikes), real) if plan.levels and plan.method == "eventprop" else nothing
        self.support_levels = np.empty((n, support), real) if plan.levels and support else nothing
        self.progress = np.zeros((n, 5), np.int64)
        self.progress[:, 0] = [first for first, _ in ranges]
        self._last = [last for _, last in ranges]

    @property
    def done(self) -> bool:
        """Whether every chunk came to its end."""
        return self.progress[:, 0].tolist() == self._last

    def raised(self) -> tuple[Array, Array, Array]:
        """How far the threshold was raised at spikes, how fast, and at support cells."""
        return self.levels, self.rises, self.support_levels

    def grow(self) -> None:
        """Twice the room; what is written stays."""
        for name in (*_PER_SPIKE, *_PER_CELL):
            old = getattr(self, name)
            new = np.empty((len(old), 2 * old.shape[1]), old.dtype)
            new[:, : old.shape[1]] = old
            setattr(self, name, new)

    def joined(self, name: str) -> Array:
        """What was written, chunk after chunk."""
        room = getattr(self, name)
        if not room.shape[1]:
            return room.reshape(0)
        written = self.progress[:, 1 if name in _PER_SPIKE else 2].tolist()
        return np.concatenate([chunk[:n] for chunk, n in zip(room, written, strict=True)])


def _delayed(plan: Plan, delays: Delays) -> tuple[Any, ...]:
    """The kernels' last arguments: the delays there are, and how many steps they span."""
    given = tuple(np.ascontiguousarray(steps) for steps in delays if steps is not None)
    return (*given, plan.depth(delays)) if given else ()


def _jump(plan: Plan, *arrays: Array) -> tuple[Array, ...]:
    """The kernels' arguments about what a spike adds to the unit's own states, where it does."""
    return arrays if any(plan.structure.jumps) else ()


class Cotangents(NamedTuple):
    """Incoming gradients: per emitted spike (times, amplitudes, marks), of the support, and of the final state.

    `dense` is that of every cell [T, B, N], or, with `rows` [K, N], what to multiply these by [T, B, K].
    """

    times: Array
    amplitudes: Array
    marks: Array
    support: Array
    dense: Array
    final: Array
    rows: Array | None = None


class Wanted(NamedTuple):
    """Which gradients are asked for."""

    weights: bool
    times: bool
    amplitudes: bool
    flow: bool
    threshold: bool
    d_in: bool = False
    d_rec: bool = False


class Gradients(NamedTuple):
    """Outgoing gradients, shaped like what they belong to; empty where not asked for.

    `mu` is the adjoint of arrivals [T, B, N]; with delays of the input the gradient of all its cells [T, B, n_in].
    """

    w_in: Array
    w_rec: Array
    propagator: Array
    drift: Array
    threshold: Array
    jump: Array
    times: Array
    amplitudes: Array
    far: Array
    mu: Array
    initial: Array
    d_in: Array
    d_rec: Array


@lru_cache(maxsize=256)
def _backward_kernel(plan: Plan, delayed: Delayed, far: str, factored: bool, wanted: Wanted) -> Shareable:
    products = factored or (plan.support == "dense" and plan.recurrent and plan.through_recurrence)
    options = plan.options(
        delayed,
        method=plan.method,
        through_reset=plan.through_reset,
        through_recurrence=plan.through_recurrence,
        expression=plan.expression if plan.support == "dense" else None,
        far=far,
        factored=factored,
        wants_weights=wanted.weights,
        wants_time=wanted.times,
        wants_amplitude=wanted.amplitudes,
        wants_flow=wanted.flow,
        wants_threshold=wanted.threshold,
        wants_d_in=wanted.d_in,
        wants_d_rec=wanted.d_rec,
        block=_BLOCK if products and not wanted.flow and not delayed.own else 1,
    )
    return shareable(_PACKAGE, "backward.py.jinja", options)


def backward(
    plan: Plan,
    n_steps: int,
    events: EventList,
    amplitudes: Array,
    far: EventList | None,
    far_is_dense: bool,
    w_in: Array,
    w_rec: Array | None,
    numbers: Coefficients,
    initial: Array,
    emitted: Emitted,
    h: Array,
    support_h: Array,
    dense_h: Array,
    scale: float,
    incoming: Cotangents,
    wanted: Wanted,
    delays: Delays = _NO_DELAYS,
) -> Gradients:
    """The adjoint of `forward`, whose arguments come first and whose result follows.

    `far` lists silent input cells whose amplitude gradient is wanted (compact); `far_is_dense` asks for `mu` instead,
    from which the gradient of every input cell follows. `h`, `support_h` and `dense_h` are the surrogate's derivative
    at spikes, support cells and all cells (empty where the kernel evaluates the plan's expression with `scale`).
    """
    real, n_samples, n_units = w_in.dtype, events.offsets.size - 1, w_in.shape[1]
    silent = "dense" if far_is_dense else "compact" if far is not None else "none"
    run = _backward_kernel(plan, delays.there, silent, incoming.rows is not None, wanted)
    ranges = _ranges(plan, n_steps, events)
    n_chunks, n_states = len(ranges), len(plan.structure.states)
    g_w_in = parts(n_chunks, real, wanted.weights, *w_in.shape)
    g_w_rec = parts(n_chunks, real, plan.recurrent, n_units, n_units)
    # long sums with cancellation, often down to one number: kept in float64
    g_propagator = parts(n_chunks, np.float64, wanted.flow, n_states, n_states, n_units)
    g_drift = parts(n_chunks, np.float64, wanted.flow, n_states, n_units)
    g_threshold = parts(n_chunks, np.float64, True, n_units)
    g_jump = parts(n_chunks, np.float64, any(plan.structure.jumps), n_states, n_units)
    g_d_in = parts(n_chunks, real, wanted.d_in, *w_in.shape)
    g_d_rec = parts(n_chunks, real, wanted.d_rec, n_units, n_units)
    g_times = np.empty(events.units.size if wanted.times else 0, real)
    g_amplitudes = np.empty(events.units.size if wanted.amplitudes else 0, real)
    far_cells = no_cells(n_samples) if far is None else far
    g_far = np.empty(far_cells.units.size, real)
    n_cells = n_units if delays.into is None else w_in.shape[0]
    mu = np.empty((n_steps, n_samples, n_cells) if far_is_dense else (0, 0, 0), real)
    delayed = _delayed(plan, delays)
    g_initial = np.empty((plan.n_states, n_samples, n_units), real)
    recurrent = np.empty((0, n_units), real) if w_rec is None else w_rec
    transposed = np.ascontiguousarray(recurrent.T) if plan.support == "dense" and plan.recurrent else recurrent

    threads.spread(
        run, ranges,
        n_steps, *events, amplitudes, w_in, recurrent, transposed,
        numbers.propagator, numbers.drift, numbers.threshold, numbers.arrival_row, numbers.reset_row, numbers.leak,
        initial, incoming.final,
        *emitted.spikes, emitted.values, h, incoming.times, incoming.amplitudes, incoming.marks,
        *emitted.support, emitted.support_values, support_h, incoming.support,
        emitted.trace, dense_h, real.type(scale), incoming.dense,
        *(() if incoming.rows is None else (incoming.rows,)),
        *far_cells,
        g_w_in, g_w_rec, g_propagator, g_drift, g_threshold,
        g_times, g_amplitudes, g_far, mu, g_initial,
        *((numbers.hold, emitted.ends, emitted.first_ends) if plan.holds else ()), *delayed,
        *((g_d_in,) if wanted.d_in else ()), *((g_d_rec,) if wanted.d_rec else ()),
        *_jump(plan, numbers.jump, numbers.jump_row, g_jump), *(emitted.raised if plan.levels else ()),
    )  # fmt: skip
    return Gradients(
        w_in=total(g_w_in),
        w_rec=total(g_w_rec),
        propagator=total(g_propagator),
        drift=total(g_drift),
        threshold=total(g_threshold),
        jump=total(g_jump),
        times=g_times,
        amplitudes=g_amplitudes,
        far=g_far,
        mu=mu,
        initial=g_initial,
        d_in=total(g_d_in),
        d_rec=total(g_d_rec),
    )

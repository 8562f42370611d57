"""The Numba path: kernels, work shared between threads, arrays in and out.

Layout and derivation: README.md. Everything here is numpy; `op.py` joins it to autograd.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.ops import threads
from ranvier.ops.compile import shareable
from ranvier.ops.parts import total

Array = NDArray[Any]
Question = Literal["maximum", "at"]
_PACKAGE = "ranvier.ops.membrane"
_WORTH_SHARING = 1 << 16  # unit updates; waking a thread costs more than walking fewer


class Given(NamedTuple):
    """Events and integrators: offsets int64 [B+1], times and amplitudes [E], units int32 [E], w_in [n_in, N].

    The numbers are float64, [1] when all units share them, else [N].
    """

    offsets: Array
    times: Array
    units: Array
    amplitudes: Array
    w_in: Array
    tau_mem: Array
    tau_syn: Array
    bias: Array


class Maxima(NamedTuple):
    """Where each membrane is largest, [B, N] each.

    Attributes:
        segments: how many of the sample's events came before.
        delays: time since the last of them (since 0 for none).
        slopes: the membrane's slope before a maximum at an event, with which it moves; else 0.
    """

    segments: Array
    delays: Array
    slopes: Array


class Gradients(NamedTuple):
    """Shaped like what they belong to; empty or zero where not asked for. The last three are [N]."""

    w_in: Array
    times: Array
    amplitudes: Array
    tau_mem: Array
    tau_syn: Array
    bias: Array


def maximum(given: Given, duration: float, per_unit: bool) -> tuple[Array, Maxima]:
    """The maxima [B, N] and where they are."""
    shape = (given.offsets.size - 1, given.w_in.shape[1])
    found = np.empty(shape, given.w_in.dtype)
    maxima = Maxima(np.empty(shape, np.int32), np.empty(shape), np.empty(shape))
    _forward("maximum", given, duration, per_unit, (found, *maxima))
    return found, maxima


def at(given: Given, duration: float, per_unit: bool, asked: Array) -> Array:
    """The membranes [K, B, N] at the times asked [K], ascending."""
    found = np.empty((asked.size, given.offsets.size - 1, given.w_in.shape[1]), given.w_in.dtype)
    _forward("at", given, duration, per_unit, (asked, found))
    return found


def _forward(question: Question, given: Given, duration: float, per_unit: bool, results: tuple[Array, ...]) -> None:
    run = shareable(_PACKAGE, "forward.py.jinja", (("per_unit", per_unit), ("question", question)))
    for event in threads.spread(run, _ranges(given), duration, *given, *results):
        if event >= 0:
            raise RuntimeError(
                f"Event {event} of {given.units.size} is earlier than the one before: times are unsorted."
            )


def _ranges(given: Given) -> threads.Ranges:
    n_samples = given.offsets.size - 1
    worth = threads.worth_sharing(given.units.size * given.w_in.shape[1], _WORTH_SHARING)
    return threads.chunks(n_samples) if worth else ((0, n_samples),)


def backward(
    question: Question,
    given: Given,
    duration: float,
    per_unit: bool,
    where: tuple[Array, ...],
    incoming: Array,
    *,
    weights: bool,
    events: bool,
    flow: bool,
) -> Gradients:
    """The adjoint of both questions; `where` is their Maxima, or the times asked.

    The rest says which gradients are asked for: the weights', times' and amplitudes' of events, time constants'.
    """
    run = shareable(
        _PACKAGE,
        "backward.py.jinja",
        (
            ("per_unit", per_unit),
            ("question", question),
            ("wants_events", events),
            ("wants_flow", flow),
            ("wants_weights", weights),
        ),
    )
    ranges = _ranges(given)
    n_chunks, n_units = len(ranges), given.w_in.shape[1]
    g_w_in = np.zeros((n_chunks, *(given.w_in.shape if weights else (0, n_units))), given.w_in.dtype)
    g_numbers = np.zeros((n_chunks, 3, n_units))
    g_times = np.empty(given.units.size if events else 0, given.times.dtype)
    g_amplitudes = np.empty(given.units.size if events else 0, given.amplitudes.dtype)

    threads.spread(run, ranges, duration, *given, *where, incoming, g_w_in, g_times, g_amplitudes, g_numbers)
    return Gradients(total(g_w_in), g_times, g_amplitudes, *total(g_numbers))

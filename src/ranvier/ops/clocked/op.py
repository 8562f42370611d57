"""Events to events on a time grid: checks, choice of path, and the way back through autograd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.gradients import EventProp, Gradient, Surrogate
from ranvier.neurons import Dynamics
from ranvier.ops import inputs
from ranvier.ops.clocked import cpu, reference
from ranvier.ops.product import factors
from ranvier.spikes import Record, Spikes, Support, ragged

Backend = Literal["auto", "reference", "numba"]
State = Mapping[str, Tensor]
PENDING = "pending"  # the state that holds own spikes' weights not yet arrived
HOLD = "hold"  # the state that counts the steps of the refractory time still to come


def clocked(
    spikes: Spikes,
    w_in: Float[Tensor, "n_in unit"],
    w_rec: Float[Tensor, "unit unit"] | None,
    dynamics: Dynamics,
    gradient: Gradient,
    *,
    d_in: Float[Tensor, "n_in unit"] | None = None,
    d_rec: Float[Tensor, "unit unit"] | None = None,
    state: State | None = None,
    forced: Spikes | None = None,
    backend: Backend = "auto",
) -> tuple[Spikes, dict[str, Tensor]]:
    """Let a layer of spiking neurons receive events and emit events on the grid of `spikes`.

    Args:
        spikes: input on a grid, n_in units.
        w_in: input weights [n_in, N].
        w_rec: recurrent weights [N, N] (from, to), or None.
        dynamics: the neuron as numbers, on the same grid step.
        gradient: how credit flows back.
        d_in: delays of the input weights [n_in, N], s, >= 0: an input event reaches unit j later by d_in[u, j], rounded
            to the grid, and not at all from `duration` on; the gradient passes straight through the rounding.
        d_rec: delays of the recurrent weights [N, N] (from, to), s, >= 0, likewise.
        state: initial value [B, N] of any of the neuron's states by name, of "pending" for recurrent neurons whose
            arrivals precede the threshold test, and of "hold", the steps in which a unit is still held, for neurons
            with a refractory time; zero where not given. Not together with delays.
        forced: spikes [B samples, N units] that happen instead of the threshold's; the backward pass uses them.
        backend: "numba" (CPU), "reference" (plain torch, any device), or "auto": numba where it exists.

    Returns:
        The emitted spikes and the final state by name, [B, N] each; both differentiable.

    Raises:
        ValueError, TypeError: for shapes, grids, dtypes, devices or gradients that do not fit together.
    """
    path = inputs.choose(backend, w_in)
    _check(spikes, w_in, w_rec, dynamics, gradient, forced)
    delays = _Delays(
        inputs.delays("d_in", d_in, w_in, spikes, state), inputs.delays("d_rec", d_rec, w_rec, spikes, state)
    )
    spikes = inputs.cast(spikes, w_in.dtype)
    names = _state_names(dynamics, w_rec)
    initial = inputs.stack_state(state, names, spikes.n_samples, w_in)
    run = _reference if path == "reference" else _numba
    emitted, final = run(spikes, w_in, w_rec, dynamics, gradient, delays, initial, forced)
    return emitted, dict(zip(names, final.unbind(0), strict=True))


class _Delays(NamedTuple):
    """Of the input and of own spikes; None where there are none."""

    into: inputs.Delays | None
    own: inputs.Delays | None


def _state_names(dynamics: Dynamics, w_rec: Tensor | None) -> tuple[str, ...]:
    waits = w_rec is not None and dynamics.structure.arrival == "before"
    return (*dynamics.structure.states, *([PENDING] if waits else []), *([HOLD] if dynamics.hold else []))


def _check(
    spikes: Spikes,
    w_in: Tensor,
    w_rec: Tensor | None,
    dynamics: Dynamics,
    gradient: Gradient,
    forced: Spikes | None,
) -> None:
    spikes.on_grid_only("clocked")
    inputs.check_device("spikes", spikes.times, w_in)
    n_units = w_in.shape[1]
    if spikes.n_units != w_in.shape[0]:
        raise ValueError(
            f"`spikes` must come from as many units as `w_in` has rows, {w_in.shape[0]}. Got {spikes.n_units}."
        )
    if w_rec is not None and tuple(w_rec.shape) != (n_units, n_units):
        raise ValueError(f"`w_rec` must be [{n_units}, {n_units}]. Got {list(w_rec.shape)}.")
    if dynamics.threshold is None:
        raise ValueError("`dynamics` of clocked must have a threshold; use `readout` for leaky integrators. Got none.")
    if dynamics.structure.per_unit and dynamics.leak.shape[0] != n_units:
        raise ValueError(f"`dynamics` must describe {n_units} units. Got {dynamics.leak.shape[0]}.")
    if not isinstance(gradient, (EventProp, Surrogate)):
        raise TypeError(f"`gradient` must be EventProp(...) or Surrogate(...). Got {gradient!r}.")
    if isinstance(gradient, EventProp):
        if dynamics.structure.arrival == "before":
            raise ValueError(
                "`gradient` of a neuron whose input moves the membrane at once must be a Surrogate: its spike times "
                "equal its input times, so their derivative by the weights is zero. Got EventProp."
            )
        if dynamics.structure.reset == "none":
            raise ValueError("`reset` of a neuron trained with EventProp must be 'zero' or 'subtract'. Got 'none'.")
    if forced is not None:
        inputs.check_device("forced", forced.times, w_in)
        wrong = (forced.dt, forced.n_samples, forced.n_units) != (spikes.dt, spikes.n_samples, n_units)
        if wrong or forced.n_steps != spikes.n_steps:
            raise ValueError(
                f"`forced` must have the input's grid and samples and {n_units} units. Got dt {forced.dt}, "
                f"{forced.n_samples} samples, {forced.n_units} units."
            )


# ------------------------------------------------------------------------------------------------ reference


def _reference(
    spikes: Spikes,
    w_in: Tensor,
    w_rec: Tensor | None,
    dynamics: Dynamics,
    gradient: Gradient,
    delays: _Delays,
    initial: Tensor,
    forced: Spikes | None,
) -> tuple[Spikes, Tensor]:
    dt, n_states = spikes.on_grid_only("clocked"), len(dynamics.structure.states)
    given = dict(zip(_state_names(dynamics, w_rec), initial.unbind(0), strict=True))
    nothing = torch.zeros_like(initial[0])
    hold = given.get(HOLD, nothing)
    counted = hold.detach().clamp(min=0).ceil()
    emission = reference.run(
        spikes._with(unit_shape=(spikes.n_units,)).to_dense(),
        inputs.shifts(spikes),
        wires(w_in, delays.into),
        None if w_rec is None else wires(w_rec, delays.own),
        dynamics,
        gradient,
        initial[:n_states],
        given.get(PENDING, nothing),
        None if forced is None else forced._with(unit_shape=(forced.n_units,)).to_dense().detach().to(w_in.dtype),
        counted,
        torch.where((counted > 0) & counted.isfinite(), hold - hold.detach(), 0.0) * dt,
    )
    fires = emission.spikes.detach() > 0
    sample, step, unit = fires.transpose(0, 1).nonzero(as_tuple=True)
    cells = (step, sample, unit)
    exact = isinstance(gradient, EventProp)
    grid = (step.double() * dt).to(w_in.dtype)
    emitted = spikes.trusted(
        units=unit.to(torch.int32),
        times=grid + emission.shifts[cells] if exact else grid,
        amplitudes=torch.ones_like(grid) if exact else emission.spikes[cells],
        offsets=ragged.offsets_of(sample, spikes.n_samples),
        unit_shape=(w_in.shape[1],),
        duration=spikes.duration,
        steps=step.to(torch.int32),
        dt=spikes.dt,
        support=None if exact else _reference_support(emission, fires, dynamics, gradient),
        marks=emission.marks[cells] if exact else None,
        record=Record("reference", _clipped(emission.slope[cells], unit, dynamics, gradient)),
    )
    further = {PENDING: emission.pending, HOLD: emission.hold + emission.lag / dt}
    final = torch.cat([emission.state, *(further[name][None] for name in given if name in further)])
    return emitted, final


def wires(weights: Tensor, delays: inputs.Delays | None) -> reference.Wires:
    """Weights and delays as the reference reads them."""
    return reference.Wires(weights) if delays is None else reference.Wires(weights, delays.steps, delays.later)


def _reference_support(emission: reference.Emission, fires: Tensor, dynamics: Dynamics, gradient: Gradient) -> Support:
    assert isinstance(gradient, Surrogate)
    zeros = (emission.spikes - emission.spikes.detach()) * ~fires
    if not np.isfinite(gradient.shape.width):
        return Support(zeros)
    assert dynamics.threshold is not None
    near = ((emission.membrane - emission.level) / dynamics.threshold).abs() < gradient.shape.width
    sample, step, unit = (near & ~fires & ~emission.held).transpose(0, 1).nonzero(as_tuple=True)
    offsets = ragged.offsets_of(sample, fires.shape[1])
    return Support(zeros[step, sample, unit], unit.to(torch.int32), step.to(torch.int32), offsets)


def _clipped(slope: Tensor, unit: Tensor, dynamics: Dynamics, gradient: Gradient) -> int:
    if not isinstance(gradient, EventProp):
        return 0
    return int((slope.detach() < _least_slope(unit, dynamics, gradient)).sum())


def _least_slope(unit: Tensor, dynamics: Dynamics, gradient: EventProp) -> Tensor:
    threshold = dynamics.threshold
    assert threshold is not None
    return gradient.min_slope * (threshold[unit.long()] if threshold.ndim else threshold).detach()


# ------------------------------------------------------------------------------------------------ numba


@dataclass
class _Call:
    """What one call of the kernels shares between forward and backward, and the index arrays it hands out."""

    plan: cpu.Plan
    gradient: Gradient
    dynamics: Dynamics
    spikes: Spikes
    events: cpu.EventList
    far: cpu.EventList | None
    numbers: cpu.Coefficients
    forced: cpu.EventList | None
    delays: cpu.Delays
    emitted: cpu.Emitted | None = None


def _numba(
    spikes: Spikes,
    w_in: Tensor,
    w_rec: Tensor | None,
    dynamics: Dynamics,
    gradient: Gradient,
    delays: _Delays,
    initial: Tensor,
    forced: Spikes | None,
) -> tuple[Spikes, Tensor]:
    surrogate = gradient if isinstance(gradient, Surrogate) else None
    width = surrogate.shape.width if surrogate else 0.0
    compact = surrogate is not None and isfinite(width)
    plan = cpu.plan_of(
        structure=dynamics.structure,
        recurrent=w_rec is not None,
        method="surrogate" if surrogate else "eventprop",
        support="compact" if compact else "dense" if surrogate else "none",
        through_reset=surrogate is not None and surrogate.through_reset,
        through_recurrence=surrogate is None or surrogate.through_recurrence,
        forced=forced is not None,
        dtype=_NAMES[w_in.dtype],
        expression=surrogate.shape.expression if surrogate else None,
        holds=dynamics.hold > 0,
    )
    call = _Call(
        plan=plan,
        gradient=gradient,
        dynamics=dynamics,
        spikes=spikes,
        events=inputs.event_list(spikes.offsets, spikes.steps, spikes.units),
        far=inputs.far_cells(spikes),
        numbers=numbers_of(dynamics, width),
        forced=None if forced is None else inputs.event_list(forced.offsets, forced.steps, forced.units),
        delays=cpu.Delays(*(None if given is None else given.array() for given in delays)),
    )
    times, amplitudes, marks, support_values, final = _Clocked.apply(
        call,
        spikes.times,
        spikes.amplitudes,
        None if spikes.support is None else spikes.support.values,
        w_in,
        w_rec,
        dynamics.propagator,
        dynamics.drift,
        dynamics.threshold,
        dynamics.jump,
        initial,
        *(None if given is None else given.seconds for given in delays),
    )
    out = call.emitted
    assert out is not None
    support = None
    if surrogate:
        cells = [torch.from_numpy(array) for array in (out.support.units, out.support.steps, out.support.offsets)]
        support = Support(support_values, *(cells if compact else ()))
    emitted = spikes.trusted(
        units=torch.from_numpy(out.spikes.units),
        times=times,
        amplitudes=amplitudes,
        offsets=torch.from_numpy(out.spikes.offsets),
        unit_shape=(w_in.shape[1],),
        duration=spikes.duration,
        steps=torch.from_numpy(out.spikes.steps),
        dt=spikes.dt,
        support=support,
        marks=marks,
        record=Record("numba", out.clipped),
    )
    return emitted, final


_NAMES = {torch.float32: "float32", torch.float64: "float64"}
_numbers: WeakKeyDictionary[Dynamics, dict[float, cpu.Coefficients]] = WeakKeyDictionary()


def numbers_of(dynamics: Dynamics, width: float) -> cpu.Coefficients:
    """A neuron's numbers as the kernels read them; `width` is the surrogate's half-width in thresholds."""
    known = _numbers.setdefault(dynamics, {})
    if width not in known:
        known[width] = _to_arrays(dynamics, width)
    return known[width]


def _to_arrays(dynamics: Dynamics, width: float) -> cpu.Coefficients:
    per_unit = dynamics.structure.per_unit

    def array(value: Tensor, own_axes: int) -> cpu.Array:
        numbers = value.detach().movedim(0, -1) if per_unit else value.detach().reshape(value.shape[-own_axes or 1 :])
        return numbers.reshape(numbers.shape or (1,)).contiguous().numpy()

    threshold = dynamics.leak.new_ones(dynamics.leak.shape) if dynamics.threshold is None else dynamics.threshold
    return cpu.Coefficients(
        propagator=array(dynamics.propagator, 2),
        drift=array(dynamics.drift, 1),
        threshold=array(threshold, 0),
        lower=array(threshold * (1 - width) if np.isfinite(width) else threshold, 0),
        jump=array(dynamics.jump, 1),
        arrival_row=array(dynamics.arrival_row, 1),
        reset_row=array(dynamics.reset_row, 1),
        jump_row=array(dynamics.jump_row, 1),
        rise_row=array(dynamics.rise_row, 1),
        rise_offset=array(dynamics.rise_offset, 0),
        slope_row=array(dynamics.slope_row, 1),
        slope_offset=array(dynamics.slope_offset, 0),
        leak=array(dynamics.leak, 0),
        hold=dynamics.hold,
    )


_PER_UNIT = ("propagator", "drift", "threshold", "jump")
_DIFFERENTIABLE = ("times", "amplitudes", "far", "w_in", "w_rec", *_PER_UNIT, "initial", "d_in", "d_rec")


class _Clocked(torch.autograd.Function):
    """The kernels in autograd: tensors that may carry gradient go in and out, everything else travels in the call."""

    @staticmethod
    def forward(
        ctx: Any,
        call: _Call,
        times: Tensor,  # noqa: ARG004 (only its gradient matters)
        amplitudes: Tensor,
        far_values: Tensor | None,  # noqa: ARG004 (zeros; only its gradient matters)
        w_in: Tensor,
        w_rec: Tensor | None,
        propagator: Tensor,  # noqa: ARG004 (its entries are in call.numbers)
        drift: Tensor,  # noqa: ARG004
        threshold: Tensor,  # noqa: ARG004
        jump: Tensor,  # noqa: ARG004
        initial: Tensor,
        d_in: Tensor | None,  # noqa: ARG004 (the steps are in call.delays)
        d_rec: Tensor | None,  # noqa: ARG004
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor]:
        spikes, gradient = call.spikes, call.gradient
        exact = isinstance(gradient, EventProp)
        call.emitted = emitted = cpu.forward(
            call.plan,
            spikes.n_steps,
            spikes.on_grid_only("clocked"),
            call.events,
            inputs.array(amplitudes),
            inputs.array(w_in),
            None if w_rec is None else inputs.array(w_rec),
            call.numbers,
            gradient.min_slope if exact else 0.0,
            inputs.array(initial),
            call.forced,
            call.delays,
        )
        if emitted.consumed != spikes.n_events:
            raise RuntimeError(
                f"The kernel consumed {emitted.consumed} of {spikes.n_events} events: steps are unsorted."
            )
        ctx.call = call
        ctx.save_for_backward(amplitudes, w_in, w_rec, initial)
        ctx.set_materialize_grads(False)  # most calls use neither the marks nor the final state
        out_times, final = torch.from_numpy(emitted.times), torch.from_numpy(emitted.final)
        ones = torch.ones_like(out_times)
        if exact:
            ctx.mark_non_differentiable(ones)
            return out_times, ones, torch.ones_like(ones), None, final
        ctx.mark_non_differentiable(out_times)
        if call.plan.support == "dense":
            return out_times, ones, None, ones.new_zeros(()).expand(emitted.trace.shape), final
        return out_times, ones, None, ones.new_zeros(emitted.support_values.shape), final

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, *incoming: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        amplitudes, w_in, w_rec, initial = ctx.saved_tensors
        emitted, plan = call.emitted, call.plan
        assert emitted is not None
        needs: dict[str, bool] = dict(zip(_DIFFERENTIABLE, ctx.needs_input_grad[1:], strict=True))

        def given(place: int, like: cpu.Array) -> cpu.Array:
            return inputs.array_or_zeros(incoming[place], like.shape, like.dtype)

        h, support_h, dense_h = _surrogate_derivatives(call)
        dense, sent = plan.support == "dense", factors(incoming[3])
        silent = inputs.array(sent[0]) if sent else given(3, emitted.trace if dense else emitted.support_values)
        far_is_dense = needs["far"] and call.far is None
        g_final = given(4, emitted.final)
        dt = call.spikes.on_grid_only("clocked")
        if plan.holds:  # a hold is counted in steps, its end's time is in seconds
            g_final = g_final.copy()
            g_final[-1] /= dt
        found = cpu.backward(
            plan,
            call.spikes.n_steps,
            call.events,
            inputs.array(amplitudes),
            call.far if needs["far"] else None,
            far_is_dense,
            inputs.array(w_in),
            None if w_rec is None else inputs.array(w_rec),
            call.numbers,
            inputs.array(initial),
            emitted,
            h,
            support_h,
            dense_h,
            call.gradient.shape.scale if isinstance(call.gradient, Surrogate) else 1.0,
            cpu.Cotangents(
                times=given(0, emitted.times),
                amplitudes=given(1, emitted.times),
                marks=given(2, emitted.times),
                support=emitted.support_values if dense else silent,
                dense=silent if dense else emitted.trace,
                rows=inputs.array(sent[1]) if sent else None,
                final=g_final,
            ),
            cpu.Wanted(
                weights=needs["w_in"],
                times=needs["times"],
                amplitudes=needs["amplitudes"],
                flow=needs["propagator"] or needs["drift"],
                threshold=needs["threshold"],
                d_in=needs["d_in"],
                d_rec=needs["d_rec"],
            ),
            call.delays,
        )
        if plan.holds:
            found.initial[-1] *= dt

        def gradient(name: str) -> Tensor:
            if name == "far":
                delayed = call.delays.into is not None
                return inputs.of_silent(found.far, found.mu, w_in, far_is_dense, delayed)
            if name in _PER_UNIT:
                return inputs.of_units(getattr(found, name), plan.structure.per_unit, w_in.dtype)
            return torch.from_numpy(getattr(found, name))

        return (None, *(gradient(name) if needs[name] else None for name in _DIFFERENTIABLE))


def _surrogate_derivatives(call: _Call) -> tuple[cpu.Array, cpu.Array, cpu.Array]:
    """The surrogate's derivative at the spikes, the support cells and, for dense support, every cell."""
    gradient, emitted = call.gradient, call.emitted
    assert emitted is not None
    empty, none = np.empty(0, emitted.values.dtype), np.empty((0, 0, 0), emitted.values.dtype)
    if isinstance(gradient, EventProp):
        return empty, empty, none
    threshold = call.dynamics.threshold
    assert threshold is not None
    threshold = threshold.detach()

    def h(membrane: Tensor, units: cpu.Array | None) -> cpu.Array:
        own = threshold[torch.from_numpy(units).long()] if units is not None and threshold.ndim else threshold
        return gradient.shape((membrane - own) / own).numpy()

    if call.plan.support == "dense" and call.plan.expression is not None:
        return empty, empty, none
    if call.plan.support == "dense":
        return empty, empty, h(torch.from_numpy(emitted.trace), None)
    support = torch.from_numpy(emitted.support_values)
    return h(torch.from_numpy(emitted.values), emitted.spikes.units), h(support, emitted.support.units), none

"""Events to events in continuous time: checks, choice of path, and the way back through autograd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.errors import RunawayError
from ranvier.gradients import EventProp, Gradient
from ranvier.neurons import Continuous
from ranvier.ops import inputs
from ranvier.ops.exact import cpu, reference
from ranvier.spikes import Record, Spikes

Backend = Literal["auto", "reference", "numba"]
State = Mapping[str, Tensor]


def exact(
    spikes: Spikes,
    w_in: Float[Tensor, "n_in unit"],
    w_rec: Float[Tensor, "unit unit"] | None,
    neuron: Continuous,
    gradient: Gradient,
    *,
    d_in: Float[Tensor, "n_in unit"] | None = None,
    d_rec: Float[Tensor, "unit unit"] | None = None,
    state: State | None = None,
    max_spikes_per_unit: int = 1000,
    overflow: Literal["raise", "truncate"] = "raise",
    backend: Backend = "auto",
) -> tuple[Spikes, dict[str, Tensor]]:
    """Let a layer of spiking neurons receive events and emit events, without a grid.

    Args:
        spikes: input in continuous time, n_in units.
        w_in: input weights [n_in, N].
        w_rec: recurrent weights [N, N] (from, to), or None.
        neuron: the neuron as numbers.
        gradient: `EventProp`; its `min_slope` bounds the jump at crossings that graze the threshold.
        d_in: synaptic delays of the input [n_in, N] in seconds, >= 0; what would arrive after the end is lost.
        d_rec: synaptic delays of the recurrent connections [N, N], likewise.
        state: initial value [B, N] of any of the neuron's states by name; zero where not given. Not for neurons with a
            refractory time nor with delays: what is held or in flight is no part of it.
        max_spikes_per_unit: a unit that spikes more often in one sample is a runaway.
        overflow: what becomes of one: an error, or silence from there on, counted in `record.truncated`.
        backend: "numba" (CPU), "reference" (plain torch), or "auto": numba where it exists.

    Returns:
        The emitted spikes and the final states by name, [B, N] each; both differentiable.

    Raises:
        ValueError, TypeError: for shapes, dtypes, devices or gradients that do not fit together.
        RunawayError: see `overflow`.
    """
    path = inputs.choose(backend, w_in)
    if path == "numba" and neuron.adaptation is not None and (d_in is not None or d_rec is not None):
        raise ValueError(
            "Synaptic delays of a layer with an adaptive threshold have no kernel in continuous time; let `Delay` "
            f"delay its input, call `on_grid(dt)`, or take `backend` 'reference'. Got {backend!r}."
        )
    _check(spikes, w_in, w_rec, neuron, gradient, d_in, d_rec, state, max_spikes_per_unit, overflow)
    assert isinstance(gradient, EventProp)
    spikes = inputs.cast(spikes, w_in.dtype)
    initial = None
    if state:
        initial = inputs.stack_state(state, neuron.states, spikes.n_samples, w_in)
    run = _reference if path == "reference" else _numba
    emitted, final, worst = run(spikes, w_in, w_rec, neuron, gradient, d_in, d_rec, initial, max_spikes_per_unit)
    if worst >= 0 and overflow == "raise":
        raise RunawayError(worst, max_spikes_per_unit)
    return emitted, dict(zip(neuron.states, final, strict=True))


def _check(
    spikes: Spikes,
    w_in: Tensor,
    w_rec: Tensor | None,
    neuron: Continuous,
    gradient: Gradient,
    d_in: Tensor | None,
    d_rec: Tensor | None,
    state: State | None,
    limit: int,
    overflow: str,
) -> None:
    inputs.check_device("spikes", spikes.times, w_in)
    n_in, n_units = w_in.shape
    if spikes.dt is not None:
        raise ValueError(f"`spikes` of exact must be in continuous time. Got a grid of {spikes.dt} s.")
    if spikes.support is not None:
        raise ValueError("`spikes` of exact must carry no surrogate support. Got the activity of a surrogate layer.")
    if spikes.n_units != n_in:
        raise ValueError(f"`spikes` must come from as many units as `w_in` has rows, {n_in}. Got {spikes.n_units}.")
    for name, value, shape in (
        ("w_rec", w_rec, (n_units, n_units)),
        ("d_in", d_in, (n_in, n_units)),
        ("d_rec", d_rec, (n_units, n_units)),
    ):
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(f"`{name}` must be {list(shape)}. Got {list(value.shape)}.")
        if value is not None and (value.device != w_in.device or not value.is_floating_point()):
            raise ValueError(
                f"`{name}` must be floating numbers on the device of `w_in`, {w_in.device}. "
                f"Got {value.dtype} on {value.device}."
            )
    if w_rec is not None and w_rec.dtype != w_in.dtype:
        raise ValueError(f"`w_rec` must be of the type of `w_in`, {w_in.dtype}. Got {w_rec.dtype}.")
    if d_rec is not None and w_rec is None:
        raise ValueError("`d_rec` needs recurrent weights `w_rec`. Got none.")
    for name, value in (("d_in", d_in), ("d_rec", d_rec)):
        if value is not None:
            lowest = float(value.detach().min()) if value.numel() else 0.0
            if not (lowest >= 0 and bool(value.detach().isfinite().all())):
                raise ValueError(f"`{name}` must be finite delays >= 0 s. Got {lowest}.")
    if neuron.threshold is None:
        raise ValueError("`neuron` of exact must have a threshold; use `Membrane` for leaky integrators. Got none.")
    if neuron.per_unit and neuron.tau_mem.shape[0] != n_units:
        raise ValueError(f"`neuron` must describe {n_units} units. Got {neuron.tau_mem.shape[0]}.")
    if not isinstance(gradient, EventProp):
        raise TypeError(
            f"`gradient` in continuous time must be EventProp(...); call `on_grid(dt)` on the spikes for surrogate "
            f"gradients. Got {gradient!r}."
        )
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ValueError(f"`max_spikes_per_unit` must be a whole number >= 1. Got {limit!r}.")
    if overflow not in ("raise", "truncate"):
        raise ValueError(f"`overflow` must be 'raise' or 'truncate'. Got {overflow!r}.")
    if state and (neuron.refractory > 0 or d_in is not None or d_rec is not None):
        what = "a refractory time" if neuron.refractory > 0 else "synaptic delays"
        raise ValueError(f"`state` must not be given in continuous time to a layer with {what}. Got one.")


def _spikes(
    given: Spikes, units: Tensor, offsets: Tensor, times: Tensor, marks: Tensor, membrane: Tensor, record: Record
) -> Spikes:
    """What the layer emits; `membrane` [B, N] is its last one."""
    return given.trusted(
        units=units,
        times=times,
        amplitudes=marks.detach(),  # ones
        offsets=offsets,
        unit_shape=(membrane.shape[1],),
        duration=given.duration,
        marks=marks,
        membrane=membrane,
        record=record,
    )


# ------------------------------------------------------------------------------------------------ reference


def _reference(
    spikes: Spikes,
    w_in: Tensor,
    w_rec: Tensor | None,
    neuron: Continuous,
    gradient: EventProp,
    d_in: Tensor | None,
    d_rec: Tensor | None,
    initial: Tensor | None,
    limit: int,
) -> tuple[Spikes, tuple[Tensor, ...], int]:
    if initial is None:
        rows = len(neuron.states) + (neuron.refractory > 0)
        initial = w_in.new_zeros(rows, spikes.n_samples, w_in.shape[1])
    found = reference.run(spikes, w_in, w_rec, neuron, gradient, d_in, d_rec, initial, limit)
    record = Record("reference", clipped=found.clipped, truncated=found.truncated)
    final = found.final.unbind(0)[: len(neuron.states)]
    return _spikes(spikes, found.units, found.offsets, found.times, found.marks, final[0], record), final, found.worst


# ------------------------------------------------------------------------------------------------ numba


@dataclass
class _Call:
    """What one call of the kernels shares between forward and backward, and what it hands out beside tensors."""

    gradient: EventProp
    neuron: Continuous
    spikes: Spikes
    limit: int
    given: tuple[float, cpu.Events, cpu.Weights, cpu.Numbers, cpu.Array, float] | None = None
    emitted: cpu.Emitted | None = None


def _numba(
    spikes: Spikes,
    w_in: Tensor,
    w_rec: Tensor | None,
    neuron: Continuous,
    gradient: EventProp,
    d_in: Tensor | None,
    d_rec: Tensor | None,
    initial: Tensor | None,
    limit: int,
) -> tuple[Spikes, tuple[Tensor, ...], int]:
    call = _Call(gradient, neuron, spikes, limit)
    times, marks, final = _Exact.apply(
        call,
        spikes.times,
        spikes.amplitudes,
        w_in,
        w_rec,
        d_in,
        d_rec,
        neuron.tau_mem,
        neuron.tau_syn,
        neuron.bias,
        neuron.threshold,
        initial,
        neuron.tau_adapt,
        neuron.adaptation,
    )
    out = call.emitted
    assert out is not None
    record = Record("numba", clipped=out.clipped, truncated=out.truncated)
    units, offsets = torch.from_numpy(out.units), torch.from_numpy(out.offsets)
    states = final.unbind(0)
    return _spikes(spikes, units, offsets, times, marks, states[0], record), states, out.worst


_numbers: WeakKeyDictionary[Continuous, cpu.Numbers] = WeakKeyDictionary()


def numbers_of(neuron: Continuous) -> cpu.Numbers:
    """A neuron's numbers as the kernels read them."""
    if neuron not in _numbers:

        def array(value: Tensor) -> cpu.Array:
            return value.detach().reshape(-1).contiguous().numpy()

        assert neuron.threshold is not None
        _numbers[neuron] = cpu.Numbers(
            array(neuron.tau_mem),
            array(neuron.tau_syn),
            array(neuron.bias),
            array(neuron.threshold),
            neuron.refractory,
            None if neuron.tau_adapt is None else array(neuron.tau_adapt),
            None if neuron.adaptation is None else array(neuron.adaptation),
        )
    return _numbers[neuron]


_DIFFERENTIABLE = (
    "times", "amplitudes", "w_in", "w_rec", "d_in", "d_rec", "tau_mem", "tau_syn", "bias", "threshold", "initial",
    "tau_adapt", "adaptation",
)  # fmt: skip


class _Exact(torch.autograd.Function):
    """The kernels in autograd: tensors that may carry gradient go in and out, everything else travels in the call."""

    @staticmethod
    def forward(
        ctx: Any,
        call: _Call,
        times: Tensor,
        amplitudes: Tensor,
        w_in: Tensor,
        w_rec: Tensor | None,
        d_in: Tensor | None,
        d_rec: Tensor | None,
        tau_mem: Tensor,  # noqa: ARG004 (the neuron's numbers are in the call)
        tau_syn: Tensor,  # noqa: ARG004
        bias: Tensor,  # noqa: ARG004
        threshold: Tensor,  # noqa: ARG004
        initial: Tensor | None,
        tau_adapt: Tensor | None,  # noqa: ARG004
        adaptation: Tensor | None,  # noqa: ARG004
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(times, amplitudes, w_in, w_rec, d_in, d_rec, initial)
        events = _events(call.spikes, times, amplitudes)
        call.given = (
            float(call.spikes.duration),
            events,
            _weights(w_in, w_rec, d_in, d_rec),
            numbers_of(call.neuron),
            _states(initial, len(call.neuron.states), w_in.shape[1]),
            call.gradient.min_slope,
        )
        call.emitted = emitted = cpu.forward(*call.given, call.limit)
        ctx.call = call
        ctx.set_materialize_grads(False)  # most calls use neither the marks nor the final state
        out_times = torch.from_numpy(emitted.times.astype(events.times.dtype, copy=False))
        return out_times, torch.ones_like(out_times), torch.from_numpy(emitted.final)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, g_times: Tensor | None, g_marks: Tensor | None, g_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        times, amplitudes, w_in, _, d_in, d_rec, _ = ctx.saved_tensors  # raises if one was changed in place
        needs: dict[str, bool] = dict(zip(_DIFFERENTIABLE, ctx.needs_input_grad[1:], strict=True))
        neuron, emitted = call.neuron, call.emitted
        assert call.given is not None
        assert emitted is not None
        found = cpu.backward(
            *call.given,
            emitted,
            _or_zeros(g_times, emitted.times.size),
            _or_zeros(g_marks, emitted.times.size),
            _states(g_final, len(neuron.states), w_in.shape[1]),
            cpu.Wanted(
                weights=needs["w_in"] or needs["w_rec"],
                times=needs["times"],
                amplitudes=needs["amplitudes"],
                flow=needs["tau_mem"] or needs["tau_syn"] or needs["bias"] or needs["tau_adapt"],
                delays=needs["d_in"] or needs["d_rec"],
                initial=needs["initial"],
            ),
        )

        def of(name: str, like: Tensor) -> Tensor | None:
            return torch.from_numpy(getattr(found, name)).to(like.dtype) if needs[name] else None

        def of_units(name: str) -> Tensor | None:
            if not needs[name]:
                return None
            value = torch.from_numpy(getattr(found, name))
            return value if neuron.per_unit else value.sum()

        return (
            None,
            of("times", times),
            of("amplitudes", amplitudes),
            of("w_in", w_in),
            of("w_rec", w_in),
            of("d_in", w_in if d_in is None else d_in),
            of("d_rec", w_in if d_rec is None else d_rec),
            of_units("tau_mem"),
            of_units("tau_syn"),
            of_units("bias"),
            of_units("threshold"),
            of("initial", w_in),
            of_units("tau_adapt"),
            of_units("adaptation"),
        )


def _or_zeros(gradient: Tensor | None, n_spikes: int) -> cpu.Array:
    """What came from above in float64, zeros where nothing did."""
    return np.zeros(n_spikes) if gradient is None else inputs.array(gradient.double())


def _events(spikes: Spikes, times: Tensor, amplitudes: Tensor) -> cpu.Events:
    return cpu.Events(*(inputs.array(tensor) for tensor in (spikes.offsets, times, spikes.units, amplitudes)))


def _weights(w_in: Tensor, w_rec: Tensor | None, d_in: Tensor | None, d_rec: Tensor | None) -> cpu.Weights:
    return cpu.Weights(
        inputs.array(w_in),
        None if w_rec is None else inputs.array(w_rec),
        None if d_in is None else inputs.array(d_in.double()),
        None if d_rec is None else inputs.array(d_rec.double()),
    )


def _states(given: Tensor | None, n_states: int, n_units: int) -> cpu.Array:
    """States, or their gradient, in float64; one row of zeros for all samples where none are given."""
    return np.zeros((n_states, 1, n_units)) if given is None else inputs.array(given.double())

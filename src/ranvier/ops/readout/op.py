"""Events to membrane traces of leaky integrators: checks, choice of path, and the way back through autograd."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.neurons import Dynamics
from ranvier.ops import inputs
from ranvier.ops.clocked.op import Backend, State, numbers_of, wires
from ranvier.ops.readout import cpu, reference
from ranvier.spikes import Spikes


def readout(
    spikes: Spikes,
    w_in: Float[Tensor, "n_in unit"],
    dynamics: Dynamics,
    *,
    d_in: Float[Tensor, "n_in unit"] | None = None,
    state: State | None = None,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "time batch unit"], dict[str, Tensor]]:
    """Let leaky integrators receive events on the grid of `spikes`.

    Args:
        spikes: input on a grid, n_in units.
        w_in: weights [n_in, N].
        dynamics: the integrator as numbers, on the same grid step.
        d_in: delays of the weights [n_in, N], s, >= 0; see `clocked`.
        state: initial value [B, N] of any of its states by name; zero where not given. Not together with delays.
        backend: "numba" (CPU), "reference" (plain torch, any device), or "auto": numba where it exists.

    Returns:
        The membrane [T, B, N] after each step's flow, before its arrivals, and the final state by name, [B, N] each;
        both differentiable.
    """
    path = inputs.choose(backend, w_in)
    spikes.on_grid_only("readout")
    inputs.check_device("spikes", spikes.times, w_in)
    if spikes.n_units != w_in.shape[0]:
        raise ValueError(
            f"`spikes` must come from as many units as `w_in` has rows, {w_in.shape[0]}. Got {spikes.n_units}."
        )
    if dynamics.structure.per_unit and dynamics.leak.shape[0] != w_in.shape[1]:
        raise ValueError(f"`dynamics` must describe {w_in.shape[1]} units. Got {dynamics.leak.shape[0]}.")
    delays = inputs.delays("d_in", d_in, w_in, spikes, state)
    spikes = inputs.cast(spikes, w_in.dtype)
    names = dynamics.structure.states
    initial = inputs.stack_state(state, names, spikes.n_samples, w_in)
    if path == "reference":
        raster = spikes._with(unit_shape=(spikes.n_units,)).to_dense()
        trace, final = reference.run(raster, inputs.shifts(spikes), wires(w_in, delays), dynamics, initial)
    else:
        far = None if spikes.support is None else spikes.support.values
        trace, final = _Readout.apply(
            spikes,
            dynamics,
            None if delays is None else delays.array(),
            spikes.times,
            spikes.amplitudes,
            far,
            w_in,
            dynamics.propagator,
            dynamics.drift,
            initial,
            None if delays is None else delays.seconds,
        )
    return trace, dict(zip(names, final.unbind(0), strict=True))


_DIFFERENTIABLE = ("times", "amplitudes", "far", "w_in", "propagator", "drift", "initial", "d_in")


class _Readout(torch.autograd.Function):
    """The kernels in autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        spikes: Spikes,
        dynamics: Dynamics,
        delays: cpu.Array | None,
        times: Tensor,  # noqa: ARG004 (only its gradient matters)
        amplitudes: Tensor,
        far_values: Tensor | None,  # noqa: ARG004
        w_in: Tensor,
        propagator: Tensor,  # noqa: ARG004 (its entries are in the dynamics)
        drift: Tensor,  # noqa: ARG004
        initial: Tensor,
        d_in: Tensor | None,  # noqa: ARG004 (its steps are in the delays)
    ) -> tuple[Tensor, Tensor]:
        events = inputs.event_list(spikes.offsets, spikes.steps, spikes.units)
        numbers = numbers_of(dynamics, 0.0)
        trace, final, consumed = cpu.forward(
            dynamics.structure,
            spikes.n_steps,
            events,
            inputs.array(amplitudes),
            inputs.array(w_in),
            numbers,
            inputs.array(initial),
            delays,
        )
        if consumed != spikes.n_events:
            raise RuntimeError(f"The kernel consumed {consumed} of {spikes.n_events} events: steps are unsorted.")
        ctx.call = (spikes.n_steps, events, inputs.far_cells(spikes), numbers, dynamics, delays)
        ctx.save_for_backward(amplitudes, w_in, initial)
        ctx.set_materialize_grads(False)  # most calls do not use the final state
        return torch.from_numpy(trace), torch.from_numpy(final)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, g_trace: Tensor | None, g_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        n_steps, events, far, numbers, dynamics, delays = ctx.call
        amplitudes, w_in, initial = ctx.saved_tensors
        needs: dict[str, bool] = dict(zip(_DIFFERENTIABLE, ctx.needs_input_grad[3:], strict=True))
        far_is_dense, start = needs["far"] and far is None, inputs.array(initial)
        found = cpu.backward(
            dynamics.structure,
            n_steps,
            events,
            inputs.array(amplitudes),
            far if needs["far"] else None,
            far_is_dense,
            inputs.array(w_in),
            numbers,
            start,
            inputs.array_or_zeros(g_trace, (n_steps, *start.shape[1:]), start.dtype),
            inputs.array_or_zeros(g_final, start.shape, start.dtype),
            cpu.Wanted(
                weights=needs["w_in"],
                times=needs["times"],
                amplitudes=needs["amplitudes"],
                flow=needs["propagator"] or needs["drift"],
                delays=needs["d_in"],
            ),
            delays,
        )

        def gradient(name: str) -> Tensor:
            if name == "far":
                return inputs.of_silent(found.far, found.mu, w_in, far_is_dense, delays is not None)
            if name in ("propagator", "drift"):
                return inputs.of_units(getattr(found, name), dynamics.structure.per_unit, w_in.dtype)
            return torch.from_numpy(getattr(found, name))

        return (None, None, None, *(gradient(name) if needs[name] else None for name in _DIFFERENTIABLE))

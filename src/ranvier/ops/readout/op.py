"""Events to membrane traces of leaky integrators: checks, choice of path, and the way back through autograd.

The kernels are those of `ops/clocked`, written for a neuron without a threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.neurons import Dynamics
from ranvier.ops import inputs
from ranvier.ops.clocked import cpu
from ranvier.ops.clocked.op import Backend, State, numbers_of
from ranvier.ops.readout import reference
from ranvier.spikes import Spikes


def readout(
    spikes: Spikes,
    w_in: Float[Tensor, "n_in unit"],
    dynamics: Dynamics,
    *,
    state: State | None = None,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "time batch unit"], dict[str, Tensor]]:
    """Let leaky integrators receive events on the grid of `spikes`.

    Args:
        spikes: input on a grid, n_in units.
        w_in: weights [n_in, N].
        dynamics: the integrator as numbers, on the same grid step.
        state: initial value [B, N] of any of its states by name; zero where not given.
        backend: "numba" (CPU), "reference" (plain torch, any device), or "auto": numba where it exists.

    Returns:
        The membrane [T, B, N] after each step's flow, before its arrivals, and the final state by name, [B, N] each;
        both differentiable.
    """
    path = inputs.choose(backend, w_in)
    spikes.on_grid_only("readout")
    if spikes.n_units != w_in.shape[0]:
        raise ValueError(
            f"`spikes` must come from as many units as `w_in` has rows, {w_in.shape[0]}. Got {spikes.n_units}."
        )
    if dynamics.structure.per_unit and dynamics.leak.shape[0] != w_in.shape[1]:
        raise ValueError(f"`dynamics` must describe {w_in.shape[1]} units. Got {dynamics.leak.shape[0]}.")
    spikes = inputs.cast(spikes, w_in.dtype)
    names = dynamics.structure.states
    initial = inputs.stack_state(state, names, spikes.n_samples, w_in)
    if path == "reference":
        raster = spikes._with(unit_shape=(spikes.n_units,)).to_dense()
        trace, final = reference.run(raster, inputs.shifts(spikes), w_in, dynamics, initial)
    else:
        far = None if spikes.support is None else spikes.support.values
        trace, final = _Readout.apply(
            spikes,
            dynamics,
            spikes.times,
            spikes.amplitudes,
            far,
            w_in,
            dynamics.propagator,
            dynamics.drift,
            initial,
        )
    return trace, dict(zip(names, final.unbind(0), strict=True))


class _Readout(torch.autograd.Function):
    """The kernels in autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        spikes: Spikes,
        dynamics: Dynamics,
        times: Tensor,  # noqa: ARG004 (only its gradient matters)
        amplitudes: Tensor,
        far_values: Tensor | None,  # noqa: ARG004
        w_in: Tensor,
        propagator: Tensor,  # noqa: ARG004 (its entries are in the dynamics)
        drift: Tensor,  # noqa: ARG004
        initial: Tensor,
    ) -> tuple[Tensor, Tensor]:
        plan = _plan(dynamics, w_in)
        events = inputs.event_list(spikes.offsets, spikes.steps, spikes.units)
        numbers = numbers_of(dynamics, 0.0)
        found = cpu.forward(
            plan,
            spikes.n_steps,
            events,
            inputs.array(amplitudes),
            inputs.array(w_in),
            None,
            numbers,
            inputs.array(initial),
            None,
        )
        if found.consumed != spikes.n_events:
            raise RuntimeError(f"The kernel consumed {found.consumed} of {spikes.n_events} events: steps are unsorted.")
        ctx.call = (plan, spikes.n_steps, events, inputs.far_cells(spikes), numbers, dynamics)
        ctx.save_for_backward(amplitudes, w_in, initial)
        return torch.from_numpy(found.trace), torch.from_numpy(found.final)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, *incoming: Tensor
    ) -> tuple[Tensor | None, ...]:
        g_trace, g_final = incoming
        plan, n_steps, events, far, numbers, dynamics = ctx.call
        amplitudes, w_in, initial = ctx.saved_tensors
        names = ("times", "amplitudes", "far", "w_in", "propagator", "drift", "initial")
        needs: dict[str, bool] = dict(zip(names, ctx.needs_input_grad[2:], strict=True))
        far_is_dense = needs["far"] and far is None
        real = w_in.numpy().dtype
        none, nothing = np.empty(0, real), np.empty((0, 0, 0), real)
        found = cpu.backward(
            plan,
            n_steps,
            events,
            inputs.array(amplitudes),
            far if needs["far"] else None,
            far_is_dense,
            inputs.array(w_in),
            None,
            numbers,
            inputs.array(initial),
            cpu.no_cells(initial.shape[1]),
            none,
            none,
            cpu.no_cells(initial.shape[1]),
            none,
            none,
            nothing,
            nothing,
            1.0,
            cpu.Cotangents(none, none, none, none, nothing, inputs.array(g_trace), inputs.array(g_final)),
            cpu.Wanted(
                weights=needs["w_in"],
                times=needs["times"],
                amplitudes=needs["amplitudes"],
                flow=needs["propagator"] or needs["drift"],
                threshold=False,
            ),
        )
        grads = inputs.gradients(found, needs, dynamics, w_in, far_is_dense)
        return (
            None,
            None,
            grads.times,
            grads.amplitudes,
            grads.far,
            grads.w_in,
            grads.propagator,
            grads.drift,
            grads.initial,
        )


def _plan(dynamics: Dynamics, w_in: Tensor) -> cpu.Plan:
    return cpu.Plan(
        structure=dynamics.structure,
        recurrent=False,
        method="none",
        support="none",
        through_reset=False,
        through_recurrence=False,
        forced=False,
        dtype=str(w_in.dtype).removeprefix("torch."),
    )

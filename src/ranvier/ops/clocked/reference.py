"""Events to events on a time grid: the truth, in plain torch.

Dense rasters, one Python step per time step, differentiable by autograd. Both gradient methods share this loop and
differ only in `emit`: a surrogate replaces the spike's derivative; EventProp lets the adjoint jump (README.md has the
derivation).

Axis letters: T steps, B samples, N units, S states. The state x is [S, B, N], the membrane first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ranvier.gradients import EventProp, Gradient, Shape
from ranvier.neurons import Dynamics


@dataclass(frozen=True)
class Emission:
    """Dense rasters [T, B, N] of what a run emitted.

    Attributes:
        spikes: 1 where a unit spiked, with a surrogate's gradient if it has one.
        shifts: zeros whose gradient is dL/dt of the spike there (EventProp).
        marks: ones at spikes, for rate penalties (EventProp).
        membrane: V after the flow, before the reset.
        slope: the slope of V in units of 1 / leak, before it is bounded.
        state: the final state [S, B, N].
        pending: own spikes' weights not yet arrived [B, N]; zero where arrivals come after the threshold test.
    """

    spikes: Tensor
    shifts: Tensor
    marks: Tensor
    membrane: Tensor
    slope: Tensor
    state: Tensor
    pending: Tensor


def run(
    raster: Tensor,
    shifts: Tensor | None,
    w_in: Tensor,
    w_rec: Tensor | None,
    dynamics: Dynamics,
    gradient: Gradient,
    state: Tensor,
    pending: Tensor,
    forced: Tensor | None,
) -> Emission:
    """Let T steps pass.

    Args:
        raster: input amplitudes [T, B, n_in].
        shifts: zeros [T, B, n_in] whose gradient is dL/dt of the inputs, times their amplitude; None if not wanted.
        w_in: [n_in, N].
        w_rec: [N, N] or None.
        dynamics: the neuron as numbers.
        gradient: how credit flows back.
        state: initial state [S, B, N].
        pending: own weights still to arrive [B, N] (neurons whose arrivals precede the threshold test).
        forced: [T, B, N] of 0 and 1: spikes happen there and nowhere else.
    """
    structure, threshold = dynamics.structure, dynamics.threshold
    assert threshold is not None
    x, steps = state, []
    for k in range(raster.shape[0]):
        x = flow(x, dynamics)
        current = raster[k] @ w_in
        shift = None if shifts is None else shifts[k] @ w_in
        if structure.arrival == "before":
            x = arrive(x, current + pending, shift, dynamics)
        membrane, slope = x[0], (_row(dynamics.slope_row, x) * x).sum(0) + dynamics.slope_offset
        fires = (membrane >= threshold).to(x) if forced is None else forced[k]
        spikes, moved, marks, x = emit(x, fires, slope, dynamics, gradient)
        own = zero = torch.zeros_like(membrane)
        if w_rec is not None:
            through = isinstance(gradient, EventProp) or gradient.through_recurrence
            own = (spikes if through else spikes.detach()) @ w_rec
        if structure.arrival == "before":
            pending = own
        else:
            own_shift = moved @ w_rec if w_rec is not None and isinstance(gradient, EventProp) else zero
            x = arrive(x, current + own, own_shift if shift is None else shift + own_shift, dynamics)
        steps.append((spikes, moved, marks, membrane, slope))
    empty = raster.new_zeros(0, *state.shape[1:])
    columns = [torch.stack(column) for column in zip(*steps, strict=True)] if steps else [empty] * 5
    all_spikes, all_shifts, all_marks, all_membranes, all_slopes = columns
    return Emission(all_spikes, all_shifts, all_marks, all_membranes, all_slopes, x, pending)


def flow(x: Tensor, dynamics: Dynamics) -> Tensor:
    """One step of the linear flow, x <- P x + d."""
    propagator = dynamics.propagator.expand(x.shape[-1], -1, -1)
    return torch.einsum("nsr,rbn->sbn", propagator, x) + _row(dynamics.drift, x)


def arrive(x: Tensor, current: Tensor, shift: Tensor | None, dynamics: Dynamics) -> Tensor:
    """Add arriving weights to the entered state, and to all states what arriving later would change to first order."""
    entered = torch.zeros_like(x[:, :1, :1])
    entered[dynamics.structure.entered] = 1
    x = x + entered * current
    return x if shift is None else x + _row(dynamics.arrival_row, x) * shift


def emit(
    x: Tensor, fires: Tensor, slope: Tensor, dynamics: Dynamics, gradient: Gradient
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spike and reset where `fires` is 1: (spikes, shifts, marks, state after the reset)."""
    threshold, reset = dynamics.threshold, dynamics.structure.reset
    assert threshold is not None
    if isinstance(gradient, EventProp):
        shifts, marks, x = _Jump.apply(x, fires, slope.detach(), threshold, dynamics, gradient.min_slope)
        return fires, shifts, marks, x
    spikes = _Spike.apply((x[0] - threshold) / threshold, fires, gradient.shape)
    felt = spikes if gradient.through_reset else spikes.detach()
    taken = {"zero": x[0], "subtract": threshold, "none": torch.zeros_like(threshold)}[reset]
    membrane = x[0] - felt * taken
    nothing = torch.zeros_like(fires)
    return spikes, nothing, nothing, torch.cat([membrane[None], x[1:]])


class _Spike(torch.autograd.Function):
    """The spike with a surrogate's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fires: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(x)
        ctx.shape = shape
        return fires.clone()

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return incoming[0] * ctx.shape(x), None, None


class _Jump(torch.autograd.Function):
    """The spike whose adjoint jumps: EventProp on a grid, the equation in gradients/eventprop.py."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, fires: Tensor, slope: Tensor, threshold: Tensor, dynamics: Dynamics, min_slope: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(fires, torch.maximum(slope, min_slope * threshold), threshold)
        ctx.dynamics = dynamics
        after = x.clone()
        after[0] -= fires * (x[0] if dynamics.structure.reset == "zero" else threshold)
        return torch.zeros_like(fires), fires.clone(), after

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor | None, ...]:
        g_time, g_mark, mu = incoming
        fires, slope, threshold = ctx.saved_tensors
        own = (_row(ctx.dynamics.reset_row, mu) * mu).sum(0)
        jump = torch.where(fires > 0, (threshold * own - g_time) / (ctx.dynamics.leak * slope), 0.0)
        before = mu[0] + jump
        g_threshold = (-fires * before).sum(0)
        mu = torch.cat([(before + fires * g_mark / threshold)[None], mu[1:]])
        return mu, None, None, g_threshold if threshold.ndim else g_threshold.sum(), None, None


def _row(coefficients: Tensor, x: Tensor) -> Tensor:
    """Coefficients [..., S] as [S, 1, N], to meet the state."""
    return coefficients.expand(x.shape[-1], -1).T[:, None, :]

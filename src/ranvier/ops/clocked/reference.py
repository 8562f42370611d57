"""Events to events on a time grid: the truth, in plain torch.

Dense rasters, one Python step per time step, differentiable by autograd. Both gradient methods share this loop and
differ only in `emit`: a surrogate replaces the spike's derivative; EventProp lets the adjoint jump (README.md has the
derivation).

Axis letters: T steps, B samples, N units, S states. The state x is [S, B, N], the membrane first.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ranvier.gradients import EventProp, Gradient, Shape
from ranvier.neurons import Dynamics
from ranvier.neurons.dynamics import FOREVER


class Wires(NamedTuple):
    """Weights [from, to], and the delay of each where there is one.

    Attributes:
        weights: [from, to].
        steps: delays in steps [from, to]; None for no delay.
        later: zeros [from, to] whose gradient is dL/d(delay in s); None if not wanted.
    """

    weights: Tensor
    steps: Tensor | None = None
    later: Tensor | None = None


class Arrivals:
    """What is on its way, by the step it arrives in: currents and shifts [B, N] (see `arrive`)."""

    def __init__(self) -> None:
        self._currents: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._shifts: defaultdict[int, list[Tensor]] = defaultdict(list)

    def add(self, step: int, current: Tensor) -> None:
        """Let a current arrive in a step."""
        self._currents[step].append(current)

    def send(self, step: int, wires: Wires, amplitudes: Tensor, shifts: Tensor | None) -> None:
        """Send amplitudes [B, from] and zeros that carry amplitude times dL/dt to where each wire ends."""
        weights, steps, later = wires
        for delay in [0] if steps is None else steps.unique().tolist():
            some = weights if steps is None else weights * (steps == delay)
            self.add(step + delay, amplitudes @ some)
            if shifts is not None:
                self._shifts[step + delay].append(shifts @ some)
            if later is not None:
                self._shifts[step + delay].append(amplitudes.detach() @ (some * later))

    def take(self, step: int, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """What arrives in a step: its current and its shift, zeros and None where nothing does."""
        currents, shifts = self._currents.pop(step, [torch.zeros_like(like)]), self._shifts.pop(step, None)
        return sum(currents[1:], currents[0]), None if shifts is None else sum(shifts[1:], shifts[0])


@dataclass(frozen=True)
class Emission:
    """Dense rasters [T, B, N] of what a run emitted.

    Attributes:
        spikes: 1 where a unit spiked, with a surrogate's gradient if it has one.
        shifts: zeros whose gradient is dL/dt of the spike there (EventProp).
        marks: ones at spikes, for rate penalties (EventProp).
        membrane: V after the flow, before the reset.
        level: what V has to reach there: the threshold, and what raises it.
        slope: the slope of V above the level in units of 1 / leak, before it is bounded.
        held: where a unit was held in its refractory time.
        state: the final state [S, B, N].
        pending: what arrives in the step after the last [B, N]; zero where arrivals come after the threshold test.
        hold: steps in which a unit is still to be held [B, N].
        lag: zeros [B, N] whose gradient is dL/dt of the end of that hold (EventProp).
    """

    spikes: Tensor
    shifts: Tensor
    marks: Tensor
    membrane: Tensor
    level: Tensor
    slope: Tensor
    held: Tensor
    state: Tensor
    pending: Tensor
    hold: Tensor
    lag: Tensor


def run(
    raster: Tensor,
    shifts: Tensor | None,
    w_in: Wires,
    w_rec: Wires | None,
    dynamics: Dynamics,
    gradient: Gradient,
    state: Tensor,
    pending: Tensor,
    forced: Tensor | None,
    hold: Tensor | None = None,
    lag: Tensor | None = None,
) -> Emission:
    """Let T steps pass.

    Args:
        raster: input amplitudes [T, B, n_in].
        shifts: zeros [T, B, n_in] whose gradient is dL/dt of the inputs, times their amplitude; None if not wanted.
        w_in: from n_in to N.
        w_rec: from N to N, or None.
        dynamics: the neuron as numbers.
        gradient: how credit flows back.
        state: initial state [S, B, N].
        pending: own weights still to arrive [B, N] (neurons whose arrivals precede the threshold test).
        forced: [T, B, N] of 0 and 1: spikes happen there and nowhere else.
        hold: steps in which a unit is still to be held [B, N]; none by default.
        lag: zeros [B, N] whose gradient is dL/dt of the end of that hold.
    """
    structure, threshold = dynamics.structure, dynamics.threshold
    assert threshold is not None
    first, exact = structure.arrival == "before", isinstance(gradient, EventProp)
    nothing = torch.zeros_like(pending)
    x, steps, arrivals = state, [], Arrivals()
    arrivals.add(0, pending)
    hold, lag = nothing if hold is None else hold, nothing if lag is None or not exact else lag
    for k in range(raster.shape[0]):
        held, before = hold > 0, x[0]
        x = still(flow(x, dynamics), held, before)
        arrivals.send(k, w_in, raster[k], None if shifts is None else shifts[k])
        if first:
            x = still(arrive(x, *arrivals.take(k, nothing), dynamics), held, before)
        membrane, level = x[0], level_of(x, dynamics)
        slope = (_row(dynamics.slope_row, x) * x).sum(0) + dynamics.slope_offset
        rise = (_row(dynamics.rise_row, x) * x).sum(0) + dynamics.rise_offset
        hold = torch.where(held, hold - 1, hold)
        if exact:  # had the hold ended later, V would lag behind by its slope there
            left = torch.where(held & (hold <= 0), dynamics.leak * (slope + rise).detach(), 0.0) * lag
            x = torch.cat([(x[0] - left)[None], x[1:]])
        fires = ((membrane >= level) & ~held).to(x) if forced is None else forced[k]
        spikes, moved, marks, x = emit(x, fires, slope, rise, held, dynamics, gradient)
        hold = torch.where(fires > 0, inf if dynamics.hold == FOREVER else float(dynamics.hold), hold)
        lag = torch.where(fires > 0, moved, torch.where(hold > 0, lag, 0.0)) if exact else nothing
        if w_rec is not None:
            through = isinstance(gradient, EventProp) or gradient.through_recurrence
            arrivals.send(k + first, w_rec, spikes if through else spikes.detach(), moved if exact else None)
        if not first:
            x = still(arrive(x, *arrivals.take(k, nothing), dynamics), hold > 0, x[0])
        steps.append((spikes, moved, marks, membrane, level, slope, held))
    empty = raster.new_zeros(0, *state.shape[1:])
    columns = [torch.stack(column) for column in zip(*steps, strict=True)] if steps else [empty] * 6 + [empty > 0]
    spikes, shifts, marks, membranes, levels, slopes, held = columns
    pending, _ = arrivals.take(raster.shape[0], nothing)
    return Emission(spikes, shifts, marks, membranes, levels, slopes, held, x, pending, hold, lag)


def flow(x: Tensor, dynamics: Dynamics) -> Tensor:
    """One step of the linear flow, x <- P x + d."""
    propagator = dynamics.propagator.expand(x.shape[-1], -1, -1)
    return torch.einsum("nsr,rbn->sbn", propagator, x) + _row(dynamics.drift, x)


def level_of(x: Tensor, dynamics: Dynamics) -> Tensor:
    """What V has to reach for a spike [B, N]: the threshold plus the states that raise it."""
    assert dynamics.threshold is not None
    level = dynamics.threshold.expand(x.shape[1:])
    return sum((x[s] for s, raises in enumerate(dynamics.structure.raising) if raises), level)


def arrive(x: Tensor, current: Tensor, shift: Tensor | None, dynamics: Dynamics) -> Tensor:
    """Add arriving weights to the entered state, and to all states what arriving later would change to first order."""
    entered = torch.zeros_like(x[:, :1, :1])
    entered[dynamics.structure.entered] = 1
    x = x + entered * current
    return x if shift is None else x + _row(dynamics.arrival_row, x) * shift


def still(x: Tensor, held: Tensor, membrane: Tensor) -> Tensor:
    """The state with V put back to `membrane` where it is held."""
    return torch.cat([torch.where(held, membrane, x[0])[None], x[1:]])


def emit(
    x: Tensor, fires: Tensor, slope: Tensor, rise: Tensor, held: Tensor, dynamics: Dynamics, gradient: Gradient
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spike and reset where `fires` is 1: (spikes, shifts, marks, state after the reset)."""
    threshold, reset = dynamics.threshold, dynamics.structure.reset
    assert threshold is not None
    if isinstance(gradient, EventProp):
        slopes = (slope.detach(), rise.detach())
        shifts, marks, x = _Jump.apply(x, fires, *slopes, held, threshold, dynamics.jump, dynamics, gradient.min_slope)
        return fires, shifts, marks, x
    level = level_of(x, dynamics)
    spikes = _Spike.apply((x[0] - level) / threshold, fires, held, gradient.shape)
    felt = spikes if gradient.through_reset else spikes.detach()
    taken = {"zero": x[0], "subtract": level, "none": torch.zeros_like(level)}[reset]
    membrane = x[0] - felt * taken
    nothing = torch.zeros_like(fires)
    return spikes, nothing, nothing, torch.cat([membrane[None], x[1:]]) + _row(dynamics.jump, x) * spikes


class _Spike(torch.autograd.Function):
    """The spike with a surrogate's derivative, which is 0 where a unit cannot spike."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fires: Tensor, held: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(x, held)
        ctx.shape = shape
        return fires.clone()

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor, None, None, None]:
        x, held = ctx.saved_tensors
        return incoming[0] * ctx.shape(x) * ~held, None, None, None


class _Jump(torch.autograd.Function):
    """The spike whose adjoint jumps: EventProp on a grid, the equation in gradients/eventprop.py."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        fires: Tensor,
        slope: Tensor,
        rise: Tensor,
        held: Tensor,
        threshold: Tensor,
        jump: Tensor,
        dynamics: Dynamics,
        min_slope: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        level = level_of(x, dynamics)
        ctx.save_for_backward(fires, torch.maximum(slope, min_slope * threshold), rise, held, level, threshold)
        ctx.dynamics = dynamics
        after = x.clone()
        after[0] -= fires * (x[0] if dynamics.structure.reset == "zero" else level)
        return torch.zeros_like(fires), fires.clone(), after + _row(jump, x) * fires

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor | None, ...]:
        g_time, g_mark, mu = incoming
        fires, slope, rise, held, level, threshold = ctx.saved_tensors
        dynamics: Dynamics = ctx.dynamics
        own, kick, left = _row(dynamics.reset_row, mu) * mu, _row(dynamics.jump_row, mu) * mu, mu[0]
        if dynamics.hold:  # what V does next is decided at the end of the hold, whose time is that of the spike
            own, kick, left = own[1:], kick[1:], torch.where(fires > 0, 0.0, mu[0])
        gained = level * own.sum(0) + dynamics.leak * rise * left - kick.sum(0) - g_time
        before = left + torch.where((fires > 0) & ~held, gained / (dynamics.leak * slope), 0.0)
        g_level = -fires * before
        g_threshold, g_jump = g_level.sum(0), (fires * mu).sum(1).T
        raising = torch.tensor(dynamics.structure.raising, dtype=mu.dtype, device=mu.device)[1:, None, None]
        mu = torch.cat([(before + fires * g_mark / threshold)[None], mu[1:] + raising * g_level])
        per_unit = threshold.ndim > 0
        return (
            mu,
            None,
            None,
            None,
            None,
            g_threshold if per_unit else g_threshold.sum(),
            g_jump if per_unit else g_jump.sum(0),
            None,
            None,
        )


def _row(coefficients: Tensor, x: Tensor) -> Tensor:
    """Coefficients [..., S] as [S, 1, N], to meet the state."""
    return coefficients.expand(x.shape[-1], -1).T[:, None, :]

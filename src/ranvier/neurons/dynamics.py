"""A neuron as numbers: what an engine needs to let time pass on a grid, and nothing else.

From the flow dx/dt = A x + c and the step dt:

    propagator P = exp(A dt) and drift d, differentiable in the neuron's parameters;
    arrival_row  = -A e_in     dL/dt of a spike with weight w that arrives is  w * arrival_row . mu;
                 = (1 - P) e_in / dt for a neuron without a threshold: the mean over the step that ends at the arrival
    reset_row    = -A e_V      (for EventProp's jump)
    jump_row     = -A jump     likewise for what a spike adds to the unit's own states
    rise_row, rise_offset      = tau_0 times the slope of what raises the threshold, the sum of (A x + c)_s over it
    slope_row, slope_offset    = tau_0 times the slope of V less that
    leak         = 1 / tau_0, tau_0 = -1 / A_VV being the membrane's own time constant

A readout is driven in every step, and so the mean matters: under a constant drive, as of a membrane's mean over time,
contributions from before and after the peak of a response cancel, and -A e_in alone leaves a rest of the wrong sign.

with mu the adjoint dL/dx, e_in and e_V the unit vectors of the entered state and of the membrane. The rows
carry no gradient: they multiply first-order quantities only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, sqrt
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.neurons.neuron import Neuron, Reset, common_shape

FOREVER = 2**30  # steps; a hold this long or longer does not end


@dataclass(frozen=True)
class Structure:
    """The part of a neuron that kernels are specialised to.

    Attributes:
        states: names of the states, the membrane first.
        entered: index of the state that arrivals enter.
        arrival: "after" or "before" the threshold test.
        reset: "zero", "subtract" or "none".
        flows: flows[s][r] is true where state r flows into state s (structural non-zeros of P).
        drifts: drifts[s] is true where state s has a drift.
        raising: raising[s] is true where state s raises the threshold.
        jumps: jumps[s] is true where a spike adds to state s.
        per_unit: whether coefficients differ between units.
    """

    states: tuple[str, ...]
    entered: int
    arrival: Literal["after", "before"]
    reset: Reset
    flows: tuple[tuple[bool, ...], ...]
    drifts: tuple[bool, ...]
    raising: tuple[bool, ...]
    jumps: tuple[bool, ...]
    per_unit: bool


@dataclass(frozen=True, eq=False)
class Dynamics:
    """See the module's docstring.

    The leading axis [...] is absent when all units share every value, else it is [N].

    Attributes:
        structure: what stays the same from step to step.
        propagator, drift: differentiable.
        threshold: differentiable; None for a neuron that does not spike.
        jump: what a spike adds to the states; differentiable.
        arrival_row, reset_row, jump_row, rise_row, rise_offset, slope_row, slope_offset, leak: without gradient.
        hold: steps after a spike in which the membrane is held at what the reset left: the refractory time rounded to
            the grid, at most FOREVER; 0 for none.
    """

    structure: Structure
    propagator: Float[Tensor, "... state state"]
    drift: Float[Tensor, "... state"]
    threshold: Float[Tensor, "*_unit"] | None
    jump: Float[Tensor, "... state"]
    arrival_row: Float[Tensor, "... state"]
    reset_row: Float[Tensor, "... state"]
    jump_row: Float[Tensor, "... state"]
    rise_row: Float[Tensor, "... state"]
    rise_offset: Float[Tensor, "*_unit"]
    slope_row: Float[Tensor, "... state"]
    slope_offset: Float[Tensor, "*_unit"]
    leak: Float[Tensor, "*_unit"]
    hold: int


def dynamics(
    neuron: Neuron,
    dt: float,
    values: Mapping[str, Float[Tensor, "*_unit"]] | None,
    dtype: torch.dtype,
    device: torch.device | None = None,
) -> Dynamics:
    """The numbers of one neuron on a grid of `dt` seconds.

    Args:
        neuron: the model with its fixed values.
        dt: seconds, > 0.
        values: the learned parameters, [] or [N]; the others are the neuron's own. None when nothing is
            learned.
        dtype: floating type of what comes back; the exponentials are taken in float64.
        device: where what comes back lies; the CPU by default.
    """
    if not (isfinite(dt) and dt > 0):
        raise ValueError(f"`dt` of dynamics must be > 0 s. Got {dt}.")
    device = device or torch.device("cpu")
    if not values:
        return _fixed(neuron, dt, dtype, device)
    learned = {name: value.to(device, torch.float64) for name, value in values.items()}
    return _compute(neuron, dt, neuron.tensors(device) | learned, dtype, device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _fixed(neuron: Neuron, dt: float, dtype: torch.dtype, device: torch.device) -> Dynamics:
    return _compute(neuron, dt, neuron.tensors(), dtype, device)


def _compute(
    neuron: Neuron, dt: float, values: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device
) -> Dynamics:
    flow, constant = neuron.flow(values)
    propagator, drift = _step(flow, constant, dt)
    entered = neuron.states.index(neuron.entered)
    rows, offsets, leak = flow.detach(), constant.detach(), -flow.detach()[..., 0, 0]
    jump = neuron.jump(values).to(flow.device)
    raised = torch.tensor([name in neuron.raising for name in neuron.states], dtype=torch.float64, device=flow.device)
    rise_row, rise_offset = (rows * raised[:, None]).sum(-2) / leak[..., None], (offsets * raised).sum(-1) / leak
    threshold = values["threshold"] if neuron.spiking else None
    units = common_shape(propagator.shape[:-2], jump.shape[:-1], () if threshold is None else threshold.shape)

    def spread(value: Tensor, own_axes: int) -> Tensor:
        return value.expand((*units, *value.shape[value.ndim - own_axes :])).to(device, dtype)

    return Dynamics(
        structure=_structure(neuron, bool(units)),
        propagator=spread(propagator, 2),
        drift=spread(drift, 1),
        threshold=None if threshold is None else spread(threshold, 0),
        jump=spread(jump, 1),
        arrival_row=spread(_arrival_row(propagator.detach(), rows, entered, dt, neuron.spiking), 1),
        reset_row=spread(-rows[..., :, 0], 1),
        jump_row=spread(-(rows @ jump.detach()[..., None]).squeeze(-1), 1),
        rise_row=spread(rise_row, 1),
        rise_offset=spread(rise_offset, 0),
        slope_row=spread(rows[..., 0, :] / leak[..., None] - rise_row, 1),
        slope_offset=spread(offsets[..., 0] / leak - rise_offset, 0),
        leak=spread(leak, 0),
        hold=_hold(neuron, dt),
    )


def _arrival_row(propagator: Tensor, rows: Tensor, entered: int, dt: float, spiking: bool) -> Tensor:
    if spiking:
        return -rows[..., :, entered]
    at_once = torch.zeros_like(rows[..., :, entered])
    at_once[..., entered] = 1
    return (at_once - propagator[..., :, entered]) / dt


def _hold(neuron: Neuron, dt: float) -> int:
    steps = float(getattr(neuron, "refractory", 0.0)) / dt
    return FOREVER if steps >= FOREVER else round(steps)


def _step(flow: Tensor, constant: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """P and d from one exponential of the flow with the constant as a further, resting state."""
    n_states = flow.shape[-1]
    units = common_shape(flow.shape[:-2], constant.shape[:-1])
    both = torch.cat([flow.expand(*units, -1, -1), constant.expand(*units, -1)[..., None]], -1)
    step = cast(Tensor, torch.linalg.matrix_exp(torch.nn.functional.pad(both, (0, 0, 0, 1)) * dt))  # pyright: ignore[reportUnknownMemberType]
    return step[..., :n_states, :n_states], step[..., :n_states, n_states]


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _structure(neuron: Neuron, per_unit: bool) -> Structure:
    opened = (_opened(neuron, values) for values in (neuron.tensors(), _generic(neuron)))
    entries, constants, jumps = zip(*opened, strict=True)
    reaches = entries[0] | entries[1] | torch.eye(len(neuron.states), dtype=torch.bool, device="cpu")
    for _ in neuron.states:
        reaches = reaches | (reaches.double() @ reaches.double() > 0)
    drifts = (reaches & (constants[0] | constants[1])).any(-1)
    return Structure(
        states=neuron.states,
        entered=neuron.states.index(neuron.entered),
        arrival=neuron.arrival,
        reset=getattr(neuron, "reset", "none"),
        flows=tuple(tuple(bool(entry) for entry in row) for row in reaches),
        drifts=tuple(bool(entry) for entry in drifts),
        raising=tuple(name in neuron.raising for name in neuron.states),
        jumps=tuple(bool(entry) for entry in jumps[0] | jumps[1]),
        per_unit=per_unit,
    )


def _opened(neuron: Neuron, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Which entries of A [S, S], c [S] and the jump [S] are not zero in at least one unit."""
    (flow, constant), jump = neuron.flow(values), neuron.jump(values)
    entries = (flow.reshape(-1, *flow.shape[-2:]) != 0).any(0)
    return entries, _any_unit(constant), _any_unit(jump)


def _any_unit(row: Tensor) -> Tensor:
    """Which entries of a vector [..., S] are not zero in at least one unit."""
    return (row.reshape(-1, row.shape[-1]) != 0).any(0)


def _generic(neuron: Neuron) -> dict[str, Tensor]:
    """Values in general position for what is learned: a bias that starts at 0 will not stay there."""
    values = neuron.tensors()
    for position, name in enumerate(neuron.learned):
        values[name] = values[name] + sqrt(2 + position)
    return values

"""A neuron as numbers in continuous time: what an engine without a grid needs, and nothing else.

The engine solves one flow in closed form, a leaky membrane driven by a decaying current:

    tau_mem dV/dt = -V + I + bias        tau_syn dI/dt = -I

and, where there is an adaptive threshold, V >= threshold + a for a spike, which adds `adaptation` to a:

    tau_adapt da/dt = -a

A neuron whose flow is of this form is recognised from its matrix; no neuron is known by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.neurons.neuron import Neuron, common_shape


@dataclass(frozen=True, eq=False)
class Continuous:
    """The numbers of the module's docstring, float64 and differentiable: [] when all units share them, else [N].

    Attributes:
        states: names of membrane, current and, where there is one, adaptation.
        tau_mem, tau_syn: s.
        bias: constant current.
        threshold: None for a neuron that does not spike.
        refractory: s, shared by all units; infinite for one spike per unit.
        tau_adapt, adaptation: s, and what a spike adds; None for a threshold that stays.
    """

    states: tuple[str, ...]
    tau_mem: Float[Tensor, "*_unit"]
    tau_syn: Float[Tensor, "*_unit"]
    bias: Float[Tensor, "*_unit"]
    threshold: Float[Tensor, "*_unit"] | None
    refractory: float
    tau_adapt: Float[Tensor, "*_unit"] | None = None
    adaptation: Float[Tensor, "*_unit"] | None = None

    @property
    def per_unit(self) -> bool:
        """Whether any value differs between units (then all are [N])."""
        return self.tau_mem.ndim > 0


def continuous(
    neuron: Neuron, values: Mapping[str, Float[Tensor, "*_unit"]] | None = None, device: torch.device | None = None
) -> Continuous:
    """The numbers of one neuron in continuous time.

    Args:
        neuron: the model with its fixed values.
        values: the learned parameters, [] or [N]; the others are the neuron's own. None when nothing is learned.
        device: where what comes back lies; the CPU by default.

    Raises:
        ValueError: the neuron has another flow, or does not reset.
    """
    device = device or torch.device("cpu")
    if not values:
        return _fixed(neuron, device)
    learned = {name: value.to(device, torch.float64) for name, value in values.items()}
    return _compute(neuron, neuron.tensors(device) | learned)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _fixed(neuron: Neuron, device: torch.device) -> Continuous:
    return _compute(neuron, neuron.tensors(device))


def _compute(neuron: Neuron, values: Mapping[str, Tensor]) -> Continuous:
    (flow, constant), jump = neuron.flow(values), neuron.jump(values)
    _check(neuron, flow.detach(), constant.detach(), jump.detach())
    threshold = values["threshold"] if neuron.spiking else None
    level = () if threshold is None else threshold.shape
    units = common_shape(flow.shape[:-2], constant.shape[:-1], jump.shape[:-1], level)
    leak, adapts = -flow[..., 0, 0], len(neuron.states) > 2
    return Continuous(
        states=neuron.states,
        tau_mem=(1 / leak).expand(units),
        tau_syn=(-1 / flow[..., 1, 1]).expand(units),
        bias=(constant[..., 0] / leak).expand(units),
        threshold=None if threshold is None else threshold.expand(units),
        refractory=float(getattr(neuron, "refractory", 0.0)),
        tau_adapt=(-1 / flow[..., 2, 2]).expand(units) if adapts else None,
        adaptation=jump.to(flow.device)[..., 2].expand(units) if adapts else None,
    )


def _check(neuron: Neuron, flow: Tensor, constant: Tensor, jump: Tensor) -> None:
    if neuron.arrival == "before":
        raise ValueError(
            f"A layer of {neuron.name} cannot run in continuous time: its input moves the membrane at once, so its "
            "spike times equal its input times and their derivative by the weights is zero. Call `on_grid(dt)` first."
        )
    n_states = flow.shape[-1]
    driven = n_states in (2, 3) and neuron.entered == neuron.states[1] and neuron.raising == neuron.states[2:]
    if driven:
        leak, couples = flow[..., 0, 0], 1 - torch.eye(n_states, dtype=flow.dtype, device=flow.device)
        couples[0, 1] = 0
        driven = bool(
            torch.all(flow.diagonal(dim1=-2, dim2=-1) < 0)
            and torch.all(flow * couples == 0)
            and torch.allclose(flow[..., 0, 1], -leak, rtol=1e-12, atol=0)
            and torch.all(constant[..., 1:] == 0)
            and torch.all(jump[..., :2] == 0)
        )
    if not driven:
        raise ValueError(
            f"A layer of {neuron.name} cannot run in continuous time: only a membrane driven by one decaying current, "
            "with a threshold that stays or one that decays by itself, has its closed form. Call `on_grid(dt)` first."
        )
    if neuron.spiking and getattr(neuron, "reset", "none") == "none":
        raise ValueError(f"`reset` of {neuron.name} in continuous time must be 'zero' or 'subtract'. Got 'none'.")

"""Integrators under random events: everything about one, and what a path makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor

from ranvier.neurons.continuous import Continuous
from ranvier.ops.membrane import Membrane
from ranvier.spikes import Spikes

F64 = torch.float64
NAMES = ("times", "amplitudes", "w_in", "tau_mem", "tau_syn", "bias")
# tau_mem and tau_syn: apart, reversed, equal, equal to 1e-6, equal to 1e-13, far apart
TAUS = {
    "apart": (20e-3, 5e-3),
    "reversed": (3e-3, 11e-3),
    "equal": (10e-3, 10e-3),
    "near": (5e-3, 5e-3 * (1 + 1e-6)),
    "nearer": (5e-3, 5e-3 * (1 + 1e-13)),
    "far": (100e-3, 1e-3),
}
# samples, events a sample, inputs, units
SIZES = [(1, 1, 1, 1), (3, 7, 4, 5), (2, 40, 7, 63), (5, 100, 30, 10), (2, 0, 3, 2), (0, 0, 3, 2), (1, 30, 2, 500)]
# all time constants on one size, all sizes with one pair
AWKWARD = [(taus, 1) for taus in TAUS] + [("apart", size) for size in range(len(SIZES)) if size != 1]
# all time constants shared, one pair per unit
SHARED = [(taus, False) for taus in TAUS] + [("apart", True)]


@dataclass(frozen=True)
class Case:
    """A batch of events and a layer of integrators, as leaves of a graph in float64."""

    spikes: Spikes
    leaves: dict[str, Tensor]
    bias: bool = True

    def membrane(self, backend: str, leaves: dict[str, Tensor] | None = None) -> Membrane:
        """The membranes as functions of the leaves."""
        given = self.leaves if leaves is None else leaves
        spikes = self.spikes._with(times=given["times"], amplitudes=given["amplitudes"])
        numbers = Continuous(("V", "I"), given["tau_mem"], given["tau_syn"], given["bias"], None, 0.0)
        return Membrane(spikes, given["w_in"], numbers, backend)


def case(
    taus: str = "apart",
    size: int = 1,
    *,
    per_unit: bool = False,
    bias: float = 0.0,
    seed: int = 0,
    duration: float = 0.05,
) -> Case:
    """A random case; ragged: the first sample of several has half the events."""
    n_samples, n_events, n_in, n_units = SIZES[size]
    g = torch.Generator().manual_seed(seed)
    lengths = torch.full((n_samples,), n_events)
    if n_samples > 1:
        lengths[0] //= 2
    total = int(lengths.sum())
    sample = torch.arange(n_samples).repeat_interleave(lengths)
    times = torch.rand(total, generator=g, dtype=F64) * duration
    times = times[torch.argsort(sample * duration + times)]
    spikes = Spikes.from_events(
        sample,
        times,
        torch.randint(0, n_in, (total,), generator=g),
        n_samples=n_samples,
        unit_shape=n_in,
        duration=duration,
        amplitudes=0.5 + torch.rand(total, generator=g, dtype=F64),
    )

    def number(value: float) -> Tensor:
        if not per_unit:
            return torch.tensor(value, dtype=F64)
        return value * (0.7 + 0.6 * torch.rand(n_units, generator=g, dtype=F64))

    leaves = {
        "times": spikes.times,
        "amplitudes": spikes.amplitudes,
        "w_in": torch.randn(n_in, n_units, generator=g, dtype=F64) / largest_response(*TAUS[taus]),
        "tau_mem": number(TAUS[taus][0]),
        "tau_syn": number(TAUS[taus][1]),
        "bias": number(bias),
    }
    return Case(spikes, {name: value.clone().requires_grad_() for name, value in leaves.items()})


def largest_response(tau_mem: float, tau_syn: float) -> float:
    """How high one event of weight 1 lifts a membrane."""
    ratio = tau_mem / tau_syn
    return exp(-1) if abs(ratio - 1) < 1e-3 else ratio ** (ratio / (1 - ratio))


def cotangent(like: Tensor) -> Tensor:
    """A generic gradient from above."""
    return torch.sin(1.0 + torch.arange(like.numel(), dtype=F64)).reshape(like.shape).to(like.dtype)


def gradients(given: Case, answer: Tensor) -> dict[str, Tensor]:
    """What a generic gradient of the answer becomes in every leaf."""
    leaves = list(given.leaves.values())
    found = torch.autograd.grad((answer * cotangent(answer)).sum(), leaves, allow_unused=True, materialize_grads=True)
    return dict(zip(given.leaves, found, strict=True))


def apart(found: Tensor, truth: Tensor, floor: float = 1e-12) -> float:
    """Relative L2 difference."""
    norm = float(truth.detach().double().norm())
    return float((found.detach().double() - truth.detach().double()).norm()) / max(norm, floor)


def events(*pairs: tuple[float, int], n_in: int = 1, duration: float = 50.0, dtype: torch.dtype = F64) -> Spikes:
    """One sample from (time, unit) pairs."""
    times, units = [time for time, _ in pairs], [unit for _, unit in pairs]
    made = Spikes.from_samples([(times, units)], unit_shape=n_in, duration=duration, dtype=dtype)
    return made._with(times=made.times.clone().requires_grad_())


def integrators(tau_mem: float = 20.0, tau_syn: float = 5.0, bias: float = 0.0) -> Continuous:
    """Shared numbers, without gradient."""
    return Continuous(("V", "I"), *(torch.tensor(value, dtype=F64) for value in (tau_mem, tau_syn, bias)), None, 0.0)

"""Random networks for agreement tests: one table of kinds, one of sizes, one rule.

Kernel and reference run the same events; every gradient is taken from random cotangents on everything the op returns.
The kernel may differ from the float64 reference by twice what the float32 reference does (L2 norm per tensor, floor
1e-6); in float64 by 1e-11. The reference's error is one random draw; where that decides (sums that cancel down to one
number), it is drawn again with other roundings of what is given, and the largest counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from ranvier.gradients import Esser, EventProp, Gradient, SigmoidDerivative, SuperSpike, Surrogate
from ranvier.neurons import LIF, CubaLIF, Neuron, dynamics
from ranvier.ops.clocked import clocked, reference
from ranvier.spikes import Spikes, Support, ragged
from tests.neurons.models import Adapting, Chain


@dataclass(frozen=True)
class HeldChain(Chain):
    """A chain with a refractory time."""

    refractory: float = 0.0


@dataclass(frozen=True)
class HeldAdapting(Adapting):
    """An adapting neuron, whose arrivals enter the membrane, with a refractory time."""

    refractory: float = 0.0


DT = 1e-3
FLOOR = {torch.float32: 1e-6, torch.float64: 1e-11}
LEARNED = ("tau_mem", "tau_syn", "threshold", "bias")


@dataclass(frozen=True)
class Case:
    """One random layer and its input."""

    neuron: Neuron
    gradient: Gradient
    recurrent: bool
    n_steps: int
    n_samples: int
    n_in: int
    n_units: int
    density: float
    seed: int
    support: str = "none"  # of the input: "none", "compact" or "dense"
    delays: str = "none"  # "none", "in", "rec" or "both"

    def __str__(self) -> str:
        way = type(self.gradient).__name__
        if isinstance(self.gradient, Surrogate):
            way = type(self.gradient.shape).__name__
        sizes = f"{self.n_steps}x{self.n_samples}x{self.n_in}x{self.n_units}"
        return (
            f"{type(self.neuron).__name__}-{way}-{'rec' if self.recurrent else 'ff'}-{sizes}-{self.support}-{self.seed}"
        )


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def tensors(case: Case) -> dict[str, Tensor]:
    """Everything random about a case, in float64."""
    g = torch.Generator().manual_seed(case.seed)
    shape = (case.n_steps, case.n_samples, case.n_in)
    raster = (torch.rand(shape, generator=g) < case.density) * (0.5 + torch.rand(shape, generator=g)).double()
    if case.n_samples > 1:  # ragged: every third sample ends early, the first is empty
        ends = torch.tensor(
            [case.n_steps * (b if b % 3 == 0 else case.n_samples) // case.n_samples for b in range(case.n_samples)]
        )
        raster = raster * (torch.arange(case.n_steps)[:, None] < ends)[..., None]
    # so that some units fire often and others never
    gain = (1.0 if isinstance(case.neuron, LIF) else 8.0) / max(case.density * case.n_in * 8, 1.0)
    values = {
        "raster": raster,
        "w_in": gain * (normal(g, case.n_in, case.n_units) + 1.0),
        "w_rec": 0.5 * normal(g, case.n_units, case.n_units) / max(case.n_units, 1) ** 0.5,
        "far": torch.rand(shape, generator=g) < 0.1,
    }
    for name in case.neuron.states:
        values[f"initial {name}"] = 0.6 * normal(g, case.n_samples, case.n_units)
    for name in ("times", "cells", "counts", "final V", "final I", "final u", "final pending"):
        values[f"cotangent {name}"] = normal(g, case.n_steps, case.n_samples, case.n_units)
    if holds(case):
        values["cotangent final w"] = normal(g, case.n_steps, case.n_samples, case.n_units)
        values["cotangent final hold"] = 30 * normal(g, case.n_steps, case.n_samples, case.n_units)
        held = torch.rand(case.n_samples, case.n_units, generator=g) < 0.3
        values["initial hold"] = (held * torch.randint(1, 6, held.shape, generator=g)).double()
    for name in wires(case):  # a third without delay, none near half a step
        shape = values[name.replace("d_", "w_")].shape
        steps = torch.randint(-case.n_steps // 6, case.n_steps // 3 + 1, shape, generator=g)
        values[name] = ((steps + 0.8 * torch.rand(shape, generator=g).double() - 0.4) * DT).clamp(min=0)
    for name in case.neuron.states:
        if f"cotangent final {name}" not in values:
            values[f"cotangent final {name}"] = normal(g, case.n_steps, case.n_samples, case.n_units)
    return values


def holds(case: Case) -> bool:
    """Whether there is a refractory time."""
    return dynamics(case.neuron, DT, None, torch.float64).hold > 0


def wires(case: Case) -> tuple[str, ...]:
    """The names of the delays."""
    return {"none": (), "in": ("d_in",), "rec": ("d_rec",), "both": ("d_in", "d_rec")}[case.delays]


@dataclass(frozen=True)
class Outcome:
    """What one path made of a case."""

    spikes: Spikes
    numbers: dict[str, Tensor]  # gradients and final states


def run(case: Case, backend: str, dtype: torch.dtype, forced: Spikes | None = None, jitter: int = 0) -> Outcome:
    """Run a case forwards and backwards on one path; `jitter` > 0 draws another rounding of what is given."""
    given = tensors(case)
    if jitter:
        generator = torch.Generator().manual_seed(jitter)
        for name, value in given.items():
            if value.is_floating_point() and not name.startswith("cotangent"):
                noise = torch.rand(value.shape, generator=generator).double() - 0.5
                given[name] = value * (1 + torch.finfo(dtype).eps * noise)
    source = Spikes.from_dense(given["raster"].to(dtype), dt=DT)
    leaves = {
        "times": source.times.clone().requires_grad_(),
        "amplitudes": source.amplitudes.clone().requires_grad_(),
        "w_in": given["w_in"].to(dtype).requires_grad_(),
    }
    if case.recurrent:
        leaves["w_rec"] = given["w_rec"].to(dtype).requires_grad_()
    learned = {
        name: torch.tensor(getattr(case.neuron, name), dtype=torch.float64).requires_grad_()
        for name in case.neuron.learn
    }
    delays = {name: given[name].to(dtype).requires_grad_() for name in wires(case)}
    names = () if delays else (*case.neuron.states, *(["hold"] if holds(case) else []))
    state = {name: given[f"initial {name}"].to(dtype).requires_grad_() for name in names}
    support = _support(case, given, source, dtype, leaves)
    spikes = source._with(times=leaves["times"], amplitudes=leaves["amplitudes"], support=support)
    out, final = clocked(
        spikes,
        leaves["w_in"],
        leaves.get("w_rec"),
        dynamics(case.neuron, DT, learned, dtype),
        case.gradient,
        **delays,
        state=state,
        forced=forced,
        backend=backend,
    )
    loss = _loss(case, given, out, final, dtype)
    leaves |= delays | learned | {f"initial {name}": value for name, value in state.items()}
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    numbers = {
        f"d {name}": torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    }
    ends = {f"final {name}": value.detach().nan_to_num(posinf=1e3) for name, value in final.items()}
    return Outcome(out, numbers | ends)


def _support(
    case: Case, given: dict[str, Tensor], source: Spikes, dtype: torch.dtype, leaves: dict[str, Tensor]
) -> Support | None:
    if case.support == "none":
        return None
    if case.support == "dense":
        leaves["far"] = torch.zeros(given["raster"].shape, dtype=dtype).requires_grad_()
        return Support(leaves["far"] * (given["raster"] == 0))
    sample, step, unit = (given["far"] & (given["raster"] == 0)).transpose(0, 1).nonzero(as_tuple=True)
    leaves["far"] = torch.zeros(sample.numel(), dtype=dtype).requires_grad_()
    offsets = ragged.offsets_of(sample, source.n_samples)
    return Support(leaves["far"], unit.to(torch.int32), step.to(torch.int32), offsets)


def _loss(case: Case, given: dict[str, Tensor], out: Spikes, final: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
    cells = (out.steps.long(), ragged.samples_of(out.offsets), out.units.long())
    at = {name.removeprefix("cotangent "): value.to(dtype) for name, value in given.items() if "cotangent" in name}
    loss = (out.counts() * at["counts"].sum(0)).sum() * 0.05
    if isinstance(case.gradient, EventProp):
        loss = loss + (out.times * at["times"][cells]).sum() / DT
    else:
        loss = loss + (out.to_dense() * at["cells"]).sum()
    for name, value in final.items():
        loss = loss + (value.nan_to_num(posinf=0.0) * at[f"final {name}"].sum(0)).sum()
    return loss


def differences(found: Outcome, truth: Outcome) -> dict[str, float]:
    """Relative L2 difference of every tensor."""
    apart = {}
    for name, true in truth.numbers.items():
        norm = float(true.double().norm())
        difference = float((found.numbers[name].double() - true.double()).norm())
        apart[name] = difference / norm if norm > 0 else difference
    return apart


def same_spikes(one: Outcome, other: Outcome) -> bool:
    """Whether two paths emitted the same events in the same order."""
    a, b = one.spikes, other.spikes
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("steps", "units", "offsets"))


@torch.no_grad()
def closeness(case: Case) -> tuple[float, int]:
    """How near to the threshold, or to the support's edge, any cell of the float64 reference comes, and its spikes."""
    given = tensors(case)
    numbers = dynamics(case.neuron, DT, None, torch.float64)
    delays = {name: (given[name] / DT).round().int() for name in wires(case)}
    state = torch.zeros(len(case.neuron.states) + 1, case.n_samples, case.n_units, dtype=torch.float64)
    for index, name in enumerate((*case.neuron.states, "hold") if holds(case) else case.neuron.states):
        state[index] = 0.0 if delays else given[f"initial {name}"]
    emission = reference.run(
        given["raster"],
        None,
        reference.Wires(given["w_in"], delays.get("d_in")),
        reference.Wires(given["w_rec"], delays.get("d_rec")) if case.recurrent else None,
        numbers,
        case.gradient,
        state[:-1],
        torch.zeros_like(state[0]),
        None,
        state[-1],
    )
    distance = ((emission.membrane - emission.level) / numbers.threshold).abs().where(~emission.held, 1.0)
    if isinstance(case.gradient, Surrogate) and case.gradient.shape.width < 1e9:  # the support's edges are ties, too
        edge = (distance - case.gradient.shape.width).abs()
        distance = torch.minimum(distance, edge).where(~emission.held, 1.0)
    return float(distance.min()) if distance.numel() else 1.0, int(emission.spikes.sum())


def spread(typical: float, n_units: int) -> tuple[float, ...]:
    """Per-unit values around a typical one."""
    return tuple(typical * (0.6 + 0.8 * ((7 * unit) % 10) / 10) for unit in range(n_units))


EXACT = EventProp()
LIFS = ("tau_mem", "threshold", "bias")

# name: (neuron for N units, gradient, recurrent, support of the input[, delays])
Kind = tuple[Callable[[int], Neuron], Gradient, bool, str] | tuple[Callable[[int], Neuron], Gradient, bool, str, str]
REFRACTORY = 3.2e-3
KINDS: dict[str, Kind] = {
    "eventprop": (lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED), EXACT, True, "none"),
    "eventprop-fixed": (lambda n: CubaLIF(20e-3, 5e-3), EXACT, True, "none"),
    "eventprop-feedforward": (lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED), EXACT, False, "compact"),
    "eventprop-subtract-per-unit": (
        lambda n: CubaLIF(spread(20e-3, n), 5e-3, spread(1.0, n), 0.1, reset="subtract", learn=LEARNED),
        EXACT,
        True,
        "dense",
    ),
    "eventprop-equal-taus": (lambda n: CubaLIF(10e-3, 10e-3, learn=LEARNED), EXACT, True, "none"),
    "eventprop-three-states": (
        lambda n: Chain(rest=0.1, learn=("tau_mem", "tau_syn", "tau_rise", "threshold", "rest")),
        EXACT,
        True,
        "none",
    ),
    "superspike": (lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED), Surrogate(SuperSpike()), True, "none"),
    "superspike-fixed": (lambda n: CubaLIF(20e-3, 5e-3), Surrogate(SuperSpike()), True, "none"),
    "superspike-fixed-through-reset": (
        lambda n: CubaLIF(20e-3, 5e-3),
        Surrogate(SuperSpike(2.0), through_reset=True),
        True,
        "dense",
    ),
    "superspike-subtract-per-unit-through-reset": (
        lambda n: CubaLIF(spread(20e-3, n), 5e-3, spread(1.0, n), 0.1, reset="subtract", learn=LEARNED),
        Surrogate(SuperSpike(2.0), through_reset=True),
        True,
        "none",
    ),
    "superspike-no-reset": (
        lambda n: CubaLIF(20e-3, 5e-3, reset="none", learn=LEARNED),
        Surrogate(SuperSpike(5.0)),
        False,
        "dense",
    ),
    "superspike-local": (
        lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED),
        Surrogate(SuperSpike(), through_recurrence=False),
        True,
        "none",
    ),
    "sigmoid": (
        lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED),
        Surrogate(SigmoidDerivative(4.0)),
        True,
        "compact",
    ),
    "esser": (lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED), Surrogate(Esser(2.0)), True, "none"),
    "esser-fixed": (lambda n: CubaLIF(20e-3, 5e-3), Surrogate(Esser(10.0)), True, "none"),
    "esser-subtract-through-reset": (
        lambda n: CubaLIF(20e-3, 5e-3, reset="subtract", learn=LEARNED),
        Surrogate(Esser(2.0), through_reset=True),
        False,
        "none",
    ),
    "esser-per-unit-local": (
        lambda n: CubaLIF(spread(20e-3, n), 5e-3, spread(1.0, n), 0.1, learn=LEARNED),
        Surrogate(Esser(2.0), through_recurrence=False),
        True,
        "compact",
    ),
    "esser-three-states": (
        lambda n: Chain(learn=("tau_mem", "tau_rise")),
        Surrogate(Esser(2.0), through_reset=True),
        True,
        "dense",
    ),
    "lif-superspike": (lambda n: LIF(20e-3, learn=LIFS), Surrogate(SuperSpike()), True, "none"),
    "lif-esser-through-reset": (
        lambda n: LIF(20e-3, bias=0.1, learn=LIFS),
        Surrogate(Esser(2.0), through_reset=True),
        True,
        "compact",
    ),
    "lif-sigmoid-per-unit": (
        lambda n: LIF(spread(20e-3, n), spread(1.0, n), reset="subtract", learn=LIFS),
        Surrogate(SigmoidDerivative()),
        False,
        "dense",
    ),
    "refractory-eventprop": (
        lambda n: CubaLIF(20e-3, 5e-3, refractory=REFRACTORY, learn=LEARNED),
        EXACT,
        True,
        "none",
    ),
    "refractory-eventprop-subtract-per-unit": (
        lambda n: CubaLIF(spread(20e-3, n), 5e-3, spread(1.0, n), 0.1, "subtract", REFRACTORY, LEARNED),
        EXACT,
        True,
        "dense",
    ),
    "refractory-eventprop-forever": (
        lambda n: CubaLIF(20e-3, 5e-3, refractory=inf),
        EXACT,
        True,
        "compact",
    ),
    "refractory-eventprop-three-states": (
        lambda n: HeldChain(rest=0.1, learn=("tau_mem", "rest"), refractory=1e-3),
        EXACT,
        True,
        "none",
    ),
    "refractory-eventprop-entered-membrane": (
        lambda n: HeldAdapting(coupling=0.5, learn=("tau_mem", "coupling"), refractory=1e-3),
        EventProp(min_slope=2.0),
        False,
        "compact",
    ),
    "refractory-esser-entered-membrane": (
        lambda n: HeldAdapting(coupling=0.5, learn=("tau_mem", "coupling"), refractory=1e-3, reset="subtract"),
        Surrogate(Esser(2.0)),
        True,
        "dense",
        "in",
    ),
    "refractory-superspike": (
        lambda n: CubaLIF(20e-3, 5e-3, refractory=REFRACTORY, learn=LEARNED),
        Surrogate(SuperSpike()),
        True,
        "none",
    ),
    "refractory-superspike-fixed-subtract-through-reset": (
        lambda n: CubaLIF(20e-3, 5e-3, reset="subtract", refractory=REFRACTORY),
        Surrogate(SuperSpike(2.0), through_reset=True),
        True,
        "dense",
    ),
    "refractory-sigmoid-no-reset": (
        lambda n: CubaLIF(20e-3, 5e-3, reset="none", refractory=1e-3, learn=LEARNED),
        Surrogate(SigmoidDerivative(4.0)),
        True,
        "none",
    ),
    "refractory-esser-per-unit-subtract": (
        lambda n: CubaLIF(spread(20e-3, n), 5e-3, spread(1.0, n), 0.1, "subtract", REFRACTORY, LEARNED),
        Surrogate(Esser(2.0)),
        True,
        "compact",
    ),
    "refractory-lif-superspike": (
        lambda n: LIF(20e-3, refractory=REFRACTORY, learn=LIFS),
        Surrogate(SuperSpike()),
        True,
        "dense",
    ),
    "refractory-lif-esser-subtract-through-reset": (
        lambda n: LIF(20e-3, bias=0.1, reset="subtract", refractory=REFRACTORY, learn=LIFS),
        Surrogate(Esser(2.0), through_reset=True),
        True,
        "compact",
    ),
    "delays-eventprop": (lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED), EXACT, True, "none", "both"),
    "delays-eventprop-in": (lambda n: CubaLIF(20e-3, 5e-3), EXACT, True, "dense", "in"),
    "delays-eventprop-feedforward": (lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED), EXACT, False, "compact", "in"),
    "delays-eventprop-refractory-per-unit": (
        lambda n: CubaLIF(spread(20e-3, n), 5e-3, bias=spread(0.05, n), refractory=REFRACTORY, learn=LEARNED),
        EXACT,
        True,
        "none",
        "both",
    ),
    "delays-superspike": (
        lambda n: CubaLIF(20e-3, 5e-3, learn=LEARNED),
        Surrogate(SuperSpike()),
        True,
        "dense",
        "both",
    ),
    "delays-superspike-in": (lambda n: CubaLIF(20e-3, 5e-3), Surrogate(SuperSpike()), True, "none", "in"),
    "delays-superspike-local-through-reset": (
        lambda n: CubaLIF(20e-3, 5e-3),
        Surrogate(SuperSpike(2.0), through_reset=True, through_recurrence=False),
        True,
        "compact",
        "rec",
    ),
    "delays-esser": (
        lambda n: CubaLIF(20e-3, 5e-3, refractory=1e-3, learn=LEARNED),
        Surrogate(Esser(2.0)),
        True,
        "compact",
        "both",
    ),
    "delays-lif-superspike": (
        lambda n: LIF(20e-3, refractory=1e-3, learn=LIFS),
        Surrogate(SuperSpike()),
        True,
        "dense",
        "both",
    ),
    "delays-lif-esser": (
        lambda n: LIF(20e-3, bias=0.1, learn=LIFS),
        Surrogate(Esser(2.0), through_reset=True),
        True,
        "compact",
        "rec",
    ),
    "delays-lif-esser-in": (lambda n: LIF(20e-3, learn=LIFS), Surrogate(Esser(2.0)), True, "compact", "in"),
}

# Those that are tested always; the others are slow, for their kernels take minutes to compile
ALWAYS = (
    "eventprop",
    "eventprop-feedforward",
    "eventprop-subtract-per-unit",
    "superspike-fixed",
    "superspike-no-reset",
    "sigmoid",
    "esser",
    "esser-fixed",
    "esser-per-unit-local",
    "esser-three-states",
    "lif-esser-through-reset",
    "refractory-eventprop",
    "refractory-eventprop-entered-membrane",
    "refractory-esser-per-unit-subtract",
    "delays-eventprop",
    "delays-superspike-in",
    "delays-lif-superspike",
    "delays-lif-esser",
)

# steps, samples, inputs, units, input density: awkward sizes, an empty batch, silence, a raster that is on everywhere
SIZES = [
    (1, 1, 1, 1, 1.0),
    (20, 5, 11, 63, 0.1),
    (12, 2, 63, 500, 0.05),
    (40, 17, 4, 5, 0.3),
    (7, 3, 11, 33, 0.3),
    (20, 0, 4, 5, 0.1),
    (30, 3, 63, 16, 0.1),
    (15, 4, 5, 7, 0.0),
    (25, 2, 3, 17, 1.0),
    (30, 6, 1, 64, 0.5),
    (63, 1, 20, 32, 0.1),
]


def case(kind: str, size: int, seed: int = 0) -> Case:
    """The case of one kind and one size."""
    neuron, gradient, recurrent, *rest = KINDS[kind]
    n_steps, n_samples, n_in, n_units, density = SIZES[size]
    return Case(neuron(n_units), gradient, recurrent, n_steps, n_samples, n_in, n_units, density, seed, *rest)


def clear_case(kind: str, size: int, margin: float, alive: bool) -> Case:
    """The first seed for which no cell of the float64 reference comes nearer to the threshold than `margin`.

    Where `alive`, it also spikes.
    """
    for seed in range(400):
        candidate = case(kind, size, seed)
        distance, n_spikes = closeness(candidate)
        if distance > margin and (n_spikes or not alive):
            return candidate
    raise AssertionError(f"no case of {kind}, {SIZES[size]} keeps a margin of {margin}")


def features(kind: str) -> set[tuple[str, object]]:
    """What the kernel of a kind must do, whatever else."""
    given = case(kind, 1)
    neuron, gradient = given.neuron, given.gradient
    found: dict[str, object] = {
        "states": neuron.states,
        "spread": isinstance(getattr(neuron, "tau_mem", None), tuple),
        "reset": getattr(neuron, "reset", None),
        "holds": holds(given),
        "learns": bool(neuron.learn),
        "recurrent": given.recurrent,
        "support": given.support,
        "delays": given.delays,
        "gradient": type(gradient),
    }
    if isinstance(gradient, Surrogate):
        found |= {"shape": type(gradient.shape), "width": gradient.shape.width < 1e9}
        found |= {"through reset": gradient.through_reset, "through recurrence": gradient.through_recurrence}
    return set(found.items())

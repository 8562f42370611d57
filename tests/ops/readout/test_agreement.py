"""Kernels of readouts against their reference: the trace, the final state, and every gradient."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from ranvier.neurons import LI, Neuron, Parameter, dynamics, matrix, vector
from ranvier.ops.readout import cpu, readout
from ranvier.spikes import Spikes, Support, ragged

DT, F64 = 1e-3, torch.float64
BOUNDS = {torch.float64: 1e-11, torch.float32: 2e-6}  # of each tensor's norm


@dataclass(frozen=True)
class Pushed(Neuron):
    """An integrator that arrivals enter at once."""

    tau_mem: float | tuple[float, ...] = 20e-3
    learn: tuple = ()

    spiking: ClassVar = False
    states: ClassVar = ("V",)
    entered: ClassVar = "V"
    arrival: ClassVar = "before"
    parameters: ClassVar = {"tau_mem": Parameter("s", True, "membrane time constant")}

    def flow(self, values):
        m = 1 / values["tau_mem"]
        return matrix([[-m]]), vector([0.0])


def spread(n_units):
    return tuple(20e-3 * (0.6 + 0.1 * (unit % 8)) for unit in range(n_units))


NEURONS = {
    "shared": lambda n: LI(20e-3, 5e-3, bias=0.1),
    "per-unit": lambda n: LI(spread(n), 5e-3, bias=0.1),
    "at-once": lambda n: Pushed(),
    "at-once-per-unit": lambda n: Pushed(spread(n)),
}


def outcome(neuron, n_units, backend, dtype, *, support, delayed, learned, n_samples=5, n_steps=40, n_in=11):
    """Everything that comes out of a readout, forwards and backwards, by name."""
    g = torch.Generator().manual_seed(n_units)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=F64).to(dtype)

    raster = (torch.rand(n_steps, n_samples, n_in, generator=g) < 0.1).double()
    raster[:, 1] = 0  # a sample without events
    raster = (raster * (0.5 + torch.rand(raster.shape, generator=g).double())).to(dtype)
    source = Spikes.from_dense(raster, dt=DT)
    leaves = {"times": source.times.clone(), "amplitudes": source.amplitudes.clone(), "w": normal(n_in, n_units)}
    if delayed:
        steps = torch.randint(-5, 9, (n_in, n_units), generator=g).clamp(min=0)
        leaves["d_in"] = (steps * DT + 2e-4).to(dtype)
    else:
        names = ("V", "I") if isinstance(neuron, LI) else ("V",)
        leaves |= {name: normal(n_samples, n_units) for name in names}
    if learned:
        leaves["tau_mem"] = torch.as_tensor(neuron.tau_mem, dtype=F64).clone()
    silent = (raster == 0) & (torch.rand(raster.shape, generator=g) < (0.2 if support == "compact" else 1.0))
    sample, step, unit = silent.transpose(0, 1).nonzero(as_tuple=True)
    if support != "none":
        leaves["far"] = torch.zeros(raster.shape if support == "dense" else sample.shape, dtype=dtype)
    for leaf in leaves.values():
        leaf.requires_grad_()
    far = None
    if support == "dense":
        far = Support(leaves["far"] * silent)
    elif support == "compact":
        offsets = ragged.offsets_of(sample, n_samples)
        far = Support(leaves["far"], unit.to(torch.int32), step.to(torch.int32), offsets)
    spikes = source._with(times=leaves["times"], amplitudes=leaves["amplitudes"], support=far)
    values = {"tau_mem": leaves["tau_mem"]} if learned else None
    state = {name: leaves[name] for name in ("V", "I") if name in leaves} or None
    trace, final = readout(
        spikes, leaves["w"], dynamics(neuron, DT, values, dtype), d_in=leaves.get("d_in"), state=state, backend=backend
    )
    loss = (trace * normal(*trace.shape)).sum() + sum((value * normal(*value.shape)).sum() for value in final.values())
    found = torch.autograd.grad(loss, list(leaves.values()))
    return {"trace": trace.detach()} | {name: value.detach() for name, value in final.items()} | {
        f"d {name}": gradient for name, gradient in zip(leaves, found, strict=True)
    }  # fmt: skip


def agree(kernel, truth, dtype):
    for name, true in truth.items():
        norm = true.double().norm()
        assert norm > 0, name
        assert (kernel[name].double() - true.double()).norm() <= BOUNDS[dtype] * norm, name


# every kernel option in both states: each line compiles two kernels
CASES = [
    ("shared", "none", False, False, torch.float32),
    ("shared", "compact", True, True, F64),
    ("shared", "dense", True, False, F64),
    ("per-unit", "compact", False, True, F64),
    ("per-unit", "none", True, True, F64),
    ("at-once", "dense", False, True, F64),
    ("at-once", "none", True, False, F64),
    ("at-once-per-unit", "compact", False, False, F64),
]


@pytest.mark.parametrize(("kind", "support", "delayed", "learned", "dtype"), CASES)
def test_kernel_and_reference_agree(kind, support, delayed, learned, dtype):
    neuron = NEURONS[kind](7)
    how = {"support": support, "delayed": delayed, "learned": learned}
    truth = outcome(neuron, 7, "reference", F64, **how)
    agree(outcome(neuron, 7, "numba", dtype, **how), truth, dtype)


@pytest.mark.parametrize("n_units", [1, 20, 37])
@pytest.mark.parametrize("together", [1, 45, 4096])
def test_any_number_of_samples_side_by_side_is_right(monkeypatch, n_units, together):
    monkeypatch.setattr(cpu, "_SIDE_BY_SIDE", together)
    for neuron in (LI(20e-3, 5e-3), LI(spread(n_units), 5e-3)):
        how = {"support": "none", "delayed": False, "learned": False, "n_samples": 7, "n_steps": 15}
        truth = outcome(neuron, n_units, "reference", F64, **how)
        agree(outcome(neuron, n_units, "numba", F64, **how), truth, F64)


def test_no_samples_no_steps_no_events():
    numbers = dynamics(LI(), DT, None, F64)
    weights = torch.ones(3, 4, dtype=F64, requires_grad=True)
    nothing = Spikes.from_dense(torch.zeros(6, 0, 3, dtype=F64), dt=DT)
    trace, _ = readout(nothing, weights, numbers)
    assert trace.shape == (6, 0, 4)
    silent = Spikes.from_dense(torch.zeros(6, 2, 3, dtype=F64), dt=DT)
    trace, final = readout(silent, weights, numbers)
    (trace.sum() + final["V"].sum()).backward()
    assert trace.shape == (6, 2, 4)
    assert weights.grad.abs().max() == 0

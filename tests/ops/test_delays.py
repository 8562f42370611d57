"""Synaptic delays on the grid: when arrivals happen, and whose gradient they carry."""

import pytest
import torch
from torch import Tensor

from ranvier.gradients import Esser, EventProp, Gradient, SuperSpike, Surrogate
from ranvier.neurons import LI, LIF, CubaLIF, Neuron, dynamics
from ranvier.ops.clocked import clocked
from ranvier.ops.readout import readout
from ranvier.spikes import Spikes, Support, ragged
from tests.twins import by_backend

BACKENDS = ("reference", "numba")
DT = 1e-3
F64 = torch.float64
CUBA, DELTA = CubaLIF(20e-3, 5e-3), LIF(20e-3)
WAYS: list[tuple[Neuron, Gradient]] = [
    (CUBA, EventProp()),
    (CUBA, Surrogate(SuperSpike())),
    (CUBA, Surrogate(Esser(2.0))),
    (DELTA, Surrogate(SuperSpike())),
    (DELTA, Surrogate(Esser(2.0))),
]
IDS = ["eventprop", "superspike", "esser", "lif-superspike", "lif-esser"]
ALWAYS = ("eventprop", "lif-esser")  # of the kernels; those of other ways with delays are in test_agreement.py
ways = pytest.mark.parametrize(("neuron", "gradient", "backend"), by_backend(dict(zip(IDS, WAYS, strict=True)), ALWAYS))
backends = pytest.mark.parametrize("backend", BACKENDS)


def layer(neuron: Neuron) -> dict[str, Tensor]:
    """A raster [30, 3, 6] that keeps 10 recurrent units busy, weights, and cotangents."""
    g = torch.Generator().manual_seed(0)
    gain = 0.6 if isinstance(neuron, LIF) else 4.0
    return {
        "raster": (torch.rand(30, 3, 6, generator=g) < 0.2).double(),
        "w_in": gain * torch.rand(6, 10, generator=g).double(),
        "w_rec": 0.4 * torch.randn(10, 10, generator=g).double(),
        "cells": torch.randn(30, 3, 10, generator=g).double(),
        "final": torch.randn(3, 10, generator=g).double(),
    }


def value_of(given: dict[str, Tensor], out: Spikes, final: dict[str, Tensor], gradient: Gradient) -> Tensor:
    """A loss that looks at every spike and state."""
    cells = (out.steps.long(), ragged.samples_of(out.offsets), out.units.long())
    if isinstance(gradient, EventProp):
        value = (out.times * given["cells"][cells]).sum() * 1e3
    else:
        value = (out.to_dense() * given["cells"]).sum()
    return value + sum((state * given["final"]).sum() for state in final.values())


def run(given, neuron, gradient, backend, axonal=None, **delays):
    """Spikes, final states and the gradient of everything, the input's silent cells included."""
    source = Spikes.from_dense(given["raster"], dt=DT)
    leaves = {"times": source.times.clone(), "amplitudes": source.amplitudes.clone()}
    leaves |= {"far": torch.zeros_like(given["raster"]), "w_in": given["w_in"], "w_rec": given["w_rec"]} | delays
    if axonal is not None:
        leaves["axonal"] = axonal
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    silent = Support(leaves["far"] * (given["raster"] == 0))
    spikes = source._with(times=leaves["times"], amplitudes=leaves["amplitudes"], support=silent)
    if axonal is not None:
        spikes = spikes.delayed(leaves["axonal"])
    out, final = clocked(
        spikes,
        leaves["w_in"],
        leaves["w_rec"],
        dynamics(neuron, DT, None, F64),
        gradient,
        **{name: leaves[name] for name in delays},
        backend=backend,
    )
    assert out.n_events > 30
    found = torch.autograd.grad(value_of(given, out, final, gradient), list(leaves.values()))
    gradients = dict(zip(leaves, found, strict=True))
    assert all(grad.norm() > 0 for grad in gradients.values())
    return out, final, gradients


@ways
def test_no_delay_is_no_delay_to_the_bit(neuron: Neuron, gradient: Gradient, backend: str) -> None:
    given = layer(neuron)
    out, final, gradients = run(given, neuron, gradient, backend)
    delays = {name: torch.zeros_like(given[name.replace("d_", "w_")]) for name in ("d_in", "d_rec")}
    also, also_final, also_gradients = run(given, neuron, gradient, backend, **delays)
    assert torch.equal(out.steps, also.steps)
    assert torch.equal(out.units, also.units)
    for name, state in final.items():
        assert torch.equal(state, also_final[name]), name
    for name, grad in gradients.items():
        assert torch.equal(grad, also_gradients[name]), name
    # what a unit's arrivals would give by time, together
    assert also_gradients["d_in"].sum().item() == pytest.approx(gradients["times"].sum().item(), rel=1e-9)


@pytest.mark.parametrize(
    ("neuron", "gradient", "backend"), by_backend(dict(zip(IDS, WAYS, strict=True)), ["eventprop"])
)
def test_a_delay_for_all_targets_is_an_axonal_one(neuron: Neuron, gradient: Gradient, backend: str) -> None:
    given = layer(neuron)
    axonal = torch.tensor([0.0, 3.0, 1.0, 7.0, 0.0, 29.0], dtype=F64) * DT
    out, final, gradients = run(given, neuron, gradient, backend, axonal=axonal)
    d_in = axonal[:, None].expand(6, 10)
    also, also_final, also_gradients = run(given, neuron, gradient, backend, d_in=d_in)
    assert torch.equal(out.steps, also.steps)
    assert torch.equal(out.units, also.units)
    for name in final.keys() - {"pending"}:  # which knows of inputs that are about to arrive only here
        torch.testing.assert_close(also_final[name], final[name], rtol=1e-12, atol=1e-12)
    also_gradients["axonal"] = also_gradients.pop("d_in").sum(1)
    if isinstance(neuron, LIF):  # the loss looks at "pending": compare what does not depend on it
        return
    for name, grad in gradients.items():
        torch.testing.assert_close(also_gradients[name], grad, rtol=1e-9, atol=1e-9 * float(grad.abs().max()))


@backends
def test_when_what_arrives(backend: str) -> None:
    """One spike, three targets: 0, 2 and 4 steps later; 8 steps would be past the end."""
    given = Spikes.from_samples([([2e-3], [0])], unit_shape=1, duration=8e-3, dtype=F64).on_grid(DT, coincident="sum")
    w = torch.full((1, 4), 3.0, dtype=F64, requires_grad=True)
    d = torch.tensor([[0.4, 1.6, 4.2, 6.0]], dtype=F64) * DT
    d.requires_grad_()
    numbers = dynamics(LI(20e-3, 5e-3), DT, None, F64)
    trace, final = readout(given, w, numbers, d_in=d, backend=backend)
    risen = (trace[:, 0] != 0).double().argmax(0)
    assert risen.tolist() == [3, 5, 7, 0]  # V moves in the step after the arrival
    assert trace[:, 0, 3].abs().max() == 0
    torch.testing.assert_close(trace[5:, 0, 1], trace[3:6, 0, 0])
    by_d, by_w = torch.autograd.grad(trace.sum() + final["I"].sum(), (d, w))
    assert by_d[0, 3] == 0
    assert by_w[0, 3] == 0
    assert (by_d[0, :3] != 0).all()


@backends
def test_own_spikes_arrive_after_their_delays(backend: str) -> None:
    """Unit 0 spikes and reaches units 1 to 3; a delta neuron spikes in the step of the arrival."""
    given = Spikes.from_samples([([0.0], [0])], unit_shape=1, duration=10e-3, dtype=F64).on_grid(DT, coincident="sum")
    w_in = torch.tensor([[2.0, 0.0, 0.0, 0.0]], dtype=F64)
    w_rec = torch.zeros(4, 4, dtype=F64)
    w_rec[0, 1:] = 2.0
    d_rec = torch.zeros(4, 4, dtype=F64)
    d_rec[0, 1:] = torch.tensor([0.0, 3.0, 20.0]) * DT
    out, final = clocked(given, w_in, w_rec, dynamics(DELTA, DT, None, F64), Surrogate(), d_rec=d_rec, backend=backend)
    assert list(zip(out.steps.tolist(), out.units.tolist(), strict=True)) == [(0, 0), (1, 1), (4, 2)]
    assert final["pending"].abs().max() == 0


@backends
@pytest.mark.parametrize("support", ["compact", "dense"])
def test_a_readout_with_delays(backend: str, support: str) -> None:
    """Against a sum over shifted copies of the input, of which each target sees its own."""
    given = layer(CUBA)
    raster, w = given["raster"], given["w_in"].clone().requires_grad_()
    steps = torch.randint(0, 9, (6, 10), generator=torch.Generator().manual_seed(3))
    numbers = dynamics(LI(20e-3, 5e-3, bias=0.1), DT, None, F64)
    dense = raster.clone().requires_grad_()
    arrivals = torch.zeros(30, 3, 10, dtype=F64)
    for delay in range(9):
        arrivals = arrivals + torch.nn.functional.pad(dense[: 30 - delay], (0, 0, 0, 0, delay, 0)) @ (
            w * (steps == delay)
        )
    one = torch.eye(10, dtype=F64)
    whole, _ = readout(Spikes.from_dense(arrivals, dt=DT), one, numbers, backend="reference")
    truth = torch.autograd.grad((whole * given["cells"]).sum(), (w, dense))
    source = Spikes.from_dense(raster, dt=DT)
    amplitudes = source.amplitudes.clone().requires_grad_()
    sample, step, unit = (raster == 0).transpose(0, 1).nonzero(as_tuple=True)
    if support == "dense":
        far = torch.zeros_like(raster).requires_grad_()
        silent = Support(far * (raster == 0))
    else:
        far = torch.zeros(sample.numel(), dtype=F64).requires_grad_()
        silent = Support(far, unit.to(torch.int32), step.to(torch.int32), ragged.offsets_of(sample, 3))
    d = (steps.double() * DT).requires_grad_()
    trace, _ = readout(source._with(amplitudes=amplitudes, support=silent), w, numbers, d_in=d, backend=backend)
    torch.testing.assert_close(trace, whole.detach(), rtol=1e-12, atol=1e-12)
    by_w, by_amplitude, by_far, by_d = torch.autograd.grad((trace * given["cells"]).sum(), (w, amplitudes, far, d))
    found = torch.zeros_like(raster)
    found[source.steps.long(), ragged.samples_of(source.offsets), source.units.long()] = by_amplitude
    found = found + by_far if support == "dense" else found.index_put((step, sample, unit), by_far)
    assert by_d.norm() > 0
    torch.testing.assert_close(by_w, truth[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found, truth[1], rtol=1e-10, atol=1e-10)


def network_e4b(dt: float) -> tuple[float, dict[str, Tensor]]:
    """First spike (ms) of the output of E4b's recurrent network with delays, and its gradients in ms."""
    given = Spikes.from_samples([([1e-3, 3e-3, 6e-3], [0, 1, 0])], unit_shape=2, duration=12e-3, dtype=F64)
    given = given.on_grid(dt, coincident="sum")
    leaves = {
        "w_in": torch.tensor([[9.0, 3.0, 0.0], [4.0, 8.0, 0.0]], dtype=F64),
        "w_rec": torch.tensor([[0.0, 1.5, 5.0], [-1.0, 0.0, 6.0], [0.0, 0.0, 0.0]], dtype=F64),
        "d_in": torch.tensor([[0.3, 0.0, 0.0], [0.8, 1.1, 0.0]], dtype=F64) * 1e-3,
        "d_rec": torch.tensor([[0.0, 0.7, 1.5], [2.0, 0.0, 0.4], [0.0, 0.0, 0.0]], dtype=F64) * 1e-3,
        "times": given.times.clone(),
    }
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves.items()}
    out, _ = clocked(
        given._with(times=leaves["times"]),
        leaves["w_in"],
        leaves["w_rec"],
        dynamics(CubaLIF(20e-3, 5e-3), dt, None, F64),
        EventProp(),
        d_in=leaves["d_in"],
        d_rec=leaves["d_rec"],
    )
    first = out.first_times()[0, 2] * 1e3
    first.backward()
    return float(first.detach()), {name: leaf.grad for name, leaf in leaves.items()}


E4B = {  # those that E4b lists, per ms for times and delays
    "w_in": [[-0.203285840801, -0.117538377471], [-0.0916402032293, -0.059290026854]],
    "w_rec": [[0.0, -0.0331120527446, -0.185713545736], [0.0, 0.0, -0.155591389789]],
    "d_in": [[0.525298009158, 0.0], [0.213744414889, 0.227841788092]],
    "d_rec": [[0.0, 0.0531126385682, 0.685929785479], [0.0, 0.0, 0.314070214521]],
    "times": [0.265398061166, 0.441586202982, 0.293015735852],
}


def of_e4b(found: dict[str, Tensor]) -> dict[str, Tensor]:
    parts = {name: grad[:2] if "rec" in name else grad[:, :2] if "in" in name else grad for name, grad in found.items()}
    used = torch.tensor([[False, True, True], [True, False, True]])  # E4 has no other recurrent connections
    listed = torch.tensor([[True, False], [True, True]])  # nor a number for the delay that is zero
    kept = parts | {name: parts[name] * used for name in ("w_rec", "d_rec")} | {"d_in": parts["d_in"] * listed}
    return {name: grad * (1.0 if "w" in name else 1e-3) for name, grad in kept.items()}


def test_eventprop_with_delays_approaches_e4b() -> None:
    truth = {name: torch.tensor(value, dtype=F64) for name, value in E4B.items()}
    errors = []
    for dt in (1e-5, 1e-6, 1e-7):
        first, found = network_e4b(dt)
        assert first == pytest.approx(8.3470426978608, abs=4e3 * dt)
        kept = of_e4b(found)
        errors.append(max(float((kept[name] - value).abs().max() / value.abs().max()) for name, value in truth.items()))
        assert float(kept["times"].sum()) == pytest.approx(1.0, rel=1e3 * dt)
        assert float(kept["d_rec"][:, 2].sum()) == pytest.approx(1.0, rel=1e3 * dt)  # all ways to the loss pass here
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 2e-4


@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_delays_get_one_sentence() -> None:
    given = Spikes.from_samples([([1e-3], [0])], unit_shape=2, duration=10e-3).on_grid(DT, coincident="sum")
    numbers, integrator = (dynamics(neuron, DT, None, torch.float32) for neuron in (CUBA, LI()))
    w, w_rec, fine = torch.ones(2, 3), torch.ones(3, 3), torch.zeros(2, 3)

    def layer_with(recurrent: Tensor | None = w_rec, **arguments):
        return clocked(given, w, recurrent, numbers, EventProp(), **arguments)

    with pytest.raises(ValueError, match=r"^`d_in` must be \[2, 3\], one delay per weight. Got \[2\].$"):
        layer_with(d_in=torch.zeros(2))
    with pytest.raises(ValueError, match=r"^`d_rec` must be \[3, 3\], one delay per weight. Got \[2, 3\].$"):
        layer_with(d_rec=fine)
    with pytest.raises(ValueError, match=r"^`d_rec` needs weights to delay. Got none.$"):
        layer_with(None, d_rec=torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"^`d_in` must be finite and >= 0 s. Got -1.0.$"):
        layer_with(d_in=fine - torch.eye(2, 3))
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"^`d_in` must be finite and >= 0 s. Got {wrong}.$"):
            readout(given, w, integrator, d_in=fine + wrong)
    with pytest.raises(TypeError, match=r"^`d_in` must be floating point, in s. Got torch.int64.$"):
        readout(given, w, integrator, d_in=fine.long())
    for name, delay in (("d_in", fine), ("d_rec", torch.zeros(3, 3))):
        with pytest.raises(ValueError, match=rf"arrivals in flight are not part of the state. Got `{name}`.$"):
            layer_with(state={"V": torch.zeros(1, 3)}, **{name: delay})
    with pytest.raises(ValueError, match=r"arrivals in flight are not part of the state. Got `d_in`.$"):
        readout(given, w, integrator, d_in=fine, state={"V": torch.zeros(1, 3)})


def test_delays_of_another_type_are_rounded_as_given() -> None:
    """float64 delays of a float32 layer: rounded from their own numbers, their gradient in their own type."""
    given = Spikes.from_samples([([1e-3], [0])], unit_shape=1, duration=12e-3).on_grid(DT, coincident="sum")
    d = torch.tensor([[2.4999999999e-3, 2.5000000001e-3]], dtype=F64, requires_grad=True)
    trace, _ = readout(given, torch.ones(1, 2), dynamics(LI(), DT, None, torch.float32), d_in=d)
    assert (trace[:, 0] != 0).double().argmax(0).tolist() == [4, 5]
    (grad,) = torch.autograd.grad(trace.sum(), d)
    assert grad.dtype == F64
    assert (grad < 0).all()

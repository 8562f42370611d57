"""E5 and E6: a spiking neuron with inputs 10 at 2 ms and 5 at 8 ms, read out by an integrator of weight 2.

Time constants 20 and 5, threshold 1, times in ms. The neuron's two spike times depend on its weights, time constants
and threshold; here by the implicit function theorem, so that every digit printed tests the readout.
"""

import pytest
import torch

from ranvier.neurons.continuous import Continuous
from ranvier.ops.membrane import Membrane, cpu
from tests.ops.membrane.cases import F64, events

BACKENDS = ("reference", "numba")
SPIKES = (4.8262517554583, 9.2347509043)


def k(d, tau_mem, tau_syn):
    return tau_syn / (tau_mem - tau_syn) * (torch.exp(-d / tau_mem) - torch.exp(-d / tau_syn))


def leaves():
    values = {"w0": 10.0, "w1": 5.0, "w_out": 2.0, "tau_mem": 20.0, "tau_syn": 5.0, "threshold": 1.0}
    return {name: torch.tensor(value, dtype=F64, requires_grad=True) for name, value in values.items()}


def solved(excess, guess):
    """The zero of `excess`, with the derivative of the implicit function."""
    t = torch.tensor(guess, dtype=F64)
    for _ in range(5):
        t = t.detach().requires_grad_()
        value = excess(t)
        (slope,) = torch.autograd.grad(value, t, retain_graph=True)
        t = t.detach() - value / slope.detach()
    t = t.detach()
    return t - (excess(t) - excess(t).detach()) / slope.detach()


def hidden(p):
    """Both spike times, differentiable in everything."""
    taus = (p["tau_mem"], p["tau_syn"])
    first = solved(lambda t: p["w0"] * k(t - 2, *taus) - p["threshold"], SPIKES[0])

    def second(t):
        left = p["w0"] * torch.exp(-(first - 2) / p["tau_syn"])
        return left * k(t - first, *taus) + p["w1"] * k(t - 8, *taus) - p["threshold"]

    return first, solved(second, SPIKES[1])


def readout(p, backend):
    made = events((SPIKES[0], 0), (SPIKES[1], 0))
    times = torch.stack(hidden(p))
    assert times.tolist() == pytest.approx(SPIKES, abs=5e-14)
    numbers = Continuous(("V", "I"), p["tau_mem"], p["tau_syn"], torch.zeros((), dtype=F64), None, 0.0)
    return Membrane(made._with(times=times), p["w_out"].view(1, 1), numbers, backend)


def test_e5_the_integral():
    p = leaves()
    total = readout(p, "auto").integral() * 50
    total.backward()
    assert total.item() == pytest.approx(16.871458411801, abs=5e-13)
    exact = {
        "w_out": (8.4357292059, 5e-11),
        "w0": (0.0860228917823, 5e-14),
        "w1": (0.0174593140621, 5e-14),
        "tau_mem": (-0.325677060317, 5e-13),
        "tau_syn": (3.24924139935, 5e-12),
        "threshold": (-0.947525488133, 5e-13),
    }
    for name, (value, digits) in exact.items():
        assert p[name].grad.item() == pytest.approx(value, abs=digits), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_e6_the_maximum(backend):
    p = leaves()
    membrane = readout(p, backend)
    found = membrane.maximum()
    found.backward()
    assert found.item() == pytest.approx(0.6154446927857, abs=5e-14)
    assert p["w_out"].grad.item() == pytest.approx(0.307722346393, abs=5e-13)
    assert p["w0"].grad.item() == pytest.approx(0.00139123198702, abs=5e-15)
    assert p["w1"].grad.item() == pytest.approx(0.00125908479635, abs=5e-15)


def test_e6_where_the_maximum_is():
    one = torch.ones(1, dtype=F64).numpy()
    given = cpu.Given(
        offsets=torch.tensor([0, 2]).numpy(),
        times=torch.tensor(SPIKES, dtype=F64).numpy(),
        units=torch.zeros(2, dtype=torch.int32).numpy(),
        amplitudes=torch.ones(2, dtype=F64).numpy(),
        w_in=torch.full((1, 1), 2.0, dtype=F64).numpy(),
        tau_mem=20 * one,
        tau_syn=5 * one,
        bias=0 * one,
    )
    _, where = cpu.maximum(given, 50.0, False)
    assert where.segments == 2
    assert SPIKES[1] + float(where.delays[0, 0]) == pytest.approx(16.859928016011, abs=5e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_membrane_is_largest_there(backend):
    around = readout(leaves(), backend).at([16.859928016011 - 1e-4, 16.859928016011, 16.859928016011 + 1e-4]).detach()
    assert float(around[1]) == pytest.approx(0.6154446927857, abs=5e-14)
    assert around[0] < around[1] > around[2]

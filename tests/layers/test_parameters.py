"""Learned time constants within bounds, and drawn ones."""

import re
from math import exp, inf

import pytest
import torch

import ranvier as rv
from ranvier.layers.parameters import NeuronParameters
from tests.layers.nets import inputs
from tests.neurons.unchecked import unchecked

F64 = torch.float64
BOUNDS = {"tau_mem": (3e-3, inf), "tau_syn": (1e-3, 50e-3)}


def parameters(tau_mem=(20e-3, 3e-3), tau_syn=5e-3, bounds=BOUNDS):
    neuron = rv.CubaLIF(tau_mem, tau_syn, learn=("tau_mem", "tau_syn", "threshold"))
    return NeuronParameters(neuron, bounds).double()


def test_learning_starts_at_the_neuron_s_values_or_a_thousandth_inside():
    values = parameters().values()
    assert values["tau_mem"].tolist() == pytest.approx([20e-3, 3.003e-3], rel=1e-6)
    assert values["tau_syn"].item() == pytest.approx(5e-3, rel=1e-6)
    assert values["threshold"].item() == 1.0
    assert parameters(tau_syn=50e-3).values()["tau_syn"].item() == pytest.approx(50e-3 - 49e-6, rel=1e-6)
    names = {name for name, _ in parameters().named_parameters()}
    assert names == {"free_tau_mem", "free_tau_syn", "log_threshold"}


def test_no_step_leaves_the_bounds():
    made = parameters()
    for sign in (1.0, -1.0):
        descent = torch.optim.Adam(made.parameters(), lr=1.0)
        for _ in range(60):
            descent.zero_grad()
            values = made.values()
            (sign * (values["tau_mem"].sum() + values["tau_syn"])).backward()
            assert all(value.grad.isfinite().all() for value in made.parameters() if value.grad is not None)
            descent.step()
            values = made.values()
            assert (values["tau_mem"] >= 3e-3).all()
            assert 1e-3 <= values["tau_syn"] <= 50e-3
        if sign > 0:
            assert values["tau_mem"].max() < 3.1e-3


def test_the_gradient_is_that_of_the_value():
    made = parameters()
    for name in ("tau_mem", "tau_syn"):
        free = made.get_parameter(f"free_{name}")
        total = made.values()[name].sum()
        total.backward()
        eps, values = 1e-6, []
        for side in (eps, -eps):
            with torch.no_grad():
                free += side
                values.append(made.values()[name].sum())
                free -= side
        assert free.grad.sum().item() == pytest.approx(((values[0] - values[1]) / (2 * eps)).item(), rel=1e-6)


def test_a_layer_learns_within_its_bounds():
    neuron = rv.CubaLIF(10e-3, 5e-3, learn=("tau_mem", "tau_syn"))
    plain, bound = (
        rv.Spiking(
            5,
            4,
            neuron,
            weights=rv.init.fan_in(8.0, 4.0),
            generator=torch.Generator().manual_seed(0),
            bounds=bounds,
            backend="reference",
        )
        for bounds in (None, BOUNDS)
    )
    spikes = bound.double()(inputs())
    assert spikes.n_events > 0
    assert torch.equal(spikes.to_dense(), plain.double()(inputs()).to_dense())
    spikes.times.sum().backward()
    assert bound.learned.free_tau_mem.grad.abs() > 0
    bounds = {"tau_mem": (3e-3, inf)}
    readout = rv.Readout(5, 2, rv.LI(learn="tau_mem"), bounds=bounds, backend="reference").double()
    readout(inputs()).sum().backward()
    assert readout.learned.free_tau_mem.grad.abs() > 0


RULES = [
    ({"bias": (0.0, 1.0)}, ValueError, "must name what its CubaLIF learns (tau_mem, tau_syn, threshold). Got 'bias'."),
    ({"tau_mem": 3e-3}, TypeError, "`bounds` of tau_mem must be two numbers, lowest and highest. Got 0.003."),
    ({"tau_mem": (-1.0, 1.0)}, ValueError, "lowest of `bounds` of tau_mem must be >= 0. Got -1.0."),
    ({"tau_mem": (2.0, 1.0)}, ValueError, "`bounds` of tau_mem must ascend. Got 2.0 and 1.0."),
    (
        {"tau_mem": (4e-3, inf)},
        ValueError,
        "`tau_mem` of CubaLIF must start within its `bounds`, 0.004 to inf. Got 0.003.",
    ),
]


@pytest.mark.parametrize(("bounds", "error", "message"), RULES, ids=[rule[2][:40] for rule in RULES])
def test_bounds_that_cannot_be_are_named(bounds, error, message):
    with unchecked(), pytest.raises(error, match=re.escape(message)):
        parameters(bounds=bounds)


class TestGammaTimes:
    def test_has_the_distribution_and_its_ends(self):
        n, mean, lowest = 40_000, 20e-3, 3e-3
        drawn = torch.tensor(rv.init.gamma_times(mean, n, lowest=lowest, generator=torch.Generator().manual_seed(3)))
        assert drawn.min() == pytest.approx(lowest)
        assert drawn.max() == pytest.approx(3 * mean)
        for t in (4e-3, 10e-3, 20e-3, 35e-3, 55e-3):
            x = 3 * t / mean
            expected = 1 - exp(-x) * (1 + x + x * x / 2)
            assert (drawn < t).double().mean().item() == pytest.approx(expected, abs=5 * 0.5 / n**0.5)

    def test_a_neuron_takes_them_and_the_generator_decides(self):
        first, same = (
            rv.init.gamma_times(20e-3, 4, lowest=3e-3, generator=torch.Generator().manual_seed(1)) for _ in range(2)
        )
        assert first == same
        layer = rv.Spiking(5, 4, rv.CubaLIF(tau_mem=first, learn="tau_mem"), bounds={"tau_mem": (3e-3, 60e-3)})
        assert layer.learned.values()["tau_mem"].tolist() == pytest.approx(first, rel=2e-3)

    def test_what_cannot_be_is_named(self):
        with pytest.raises(
            ValueError, match=re.escape("`lowest` of init.gamma_times must be at most 3 mean, 3.0. Got 4")
        ):
            rv.init.gamma_times(1.0, 3, lowest=4.0)
        with pytest.raises(
            ValueError, match=re.escape("`n_units` of init.gamma_times must be a whole number >= 1. Got 0")
        ):
            rv.init.gamma_times(1.0, 0, lowest=0.1)

"""The neuron with an adaptive threshold as data, and its steps on a grid by hand."""

from math import exp, expm1

import pytest
import torch

import ranvier as rv
from ranvier.neurons import dynamics
from tests.neurons.models import Tired
from tests.neurons.test_grid_convention import BACKENDS, DT, INPUT, A, B, C, R, W, events, layer, method
from tests.neurons.unchecked import unchecked

F64 = torch.float64
F = exp(-DT / 50e-3)  # decay of a in one step


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("tau_mem", "tau_syn", "tau_adapt"),
    [(20e-3, 5e-3, 50e-3), (10e-3, 10e-3, 10e-3), (20e-3, 5e-3, 5e-3), (1.0, 1e-4, 1e-2)],
    ids=["apart", "equal", "adaptation-like-synapse", "stiff"],
)
def test_the_propagator_is_the_closed_form(tau_mem, tau_syn, tau_adapt):
    dt = 1e-3
    found = dynamics(rv.AdaptiveLIF(tau_mem, tau_syn, tau_adapt, bias=0.3), dt, None, F64)
    z = dt * (tau_mem - tau_syn) / (tau_mem * tau_syn)
    rise = dt / tau_mem * exp(-dt / tau_syn) * (expm1(z) / z if z else 1.0)
    rows = [[exp(-dt / tau_mem), rise, 0.0], [0.0, exp(-dt / tau_syn), 0.0], [0.0, 0.0, exp(-dt / tau_adapt)]]
    close(found.propagator, torch.tensor(rows, dtype=F64))
    close(found.drift, torch.tensor([-0.3 * expm1(-dt / tau_mem), 0.0, 0.0], dtype=F64))


def test_its_numbers():
    found = dynamics(rv.AdaptiveLIF(20e-3, 5e-3, 40e-3, bias=0.3, adaptation=0.2), 1e-3, None, F64)
    close(found.jump, torch.tensor([0.0, 0.0, 0.2], dtype=F64))
    close(found.jump_row, torch.tensor([0.0, 0.0, 5.0], dtype=F64))
    close(found.rise_row, torch.tensor([0.0, 0.0, -0.5], dtype=F64))  # tau_mem / tau_adapt
    close(found.slope_row, torch.tensor([-1.0, 1.0, 0.5], dtype=F64))
    close(found.slope_offset, torch.tensor(0.3, dtype=F64))
    close(found.rise_offset, torch.tensor(0.0, dtype=F64))
    structure = found.structure
    assert structure.flows == ((True, True, False), (False, True, False), (False, False, True))
    assert (structure.raising, structure.jumps) == ((False, False, True), (False, False, True))


def test_a_jump_opens_when_it_is_learned():
    def jumps(neuron):
        return dynamics(neuron, 1e-3, None, F64).structure.jumps

    assert jumps(rv.AdaptiveLIF(adaptation=0.0)) == (False, False, False)
    assert jumps(rv.AdaptiveLIF(adaptation=(0.0, 0.1))) == (False, False, True)
    assert jumps(Tired(kick=0.0)) == (False, False, False)
    assert jumps(Tired(kick=0.0, learn=("kick",))) == (False, False, True)
    assert jumps(rv.CubaLIF()) == (False, False)


def test_one_adaptation_per_unit_spreads_all_numbers():
    found = dynamics(rv.AdaptiveLIF(adaptation=(0.1, 0.2)), 1e-3, None, F64)
    assert found.structure.per_unit
    assert found.propagator.shape == (2, 3, 3)
    assert found.jump[:, 2].tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"adaptation": -0.1}, "`adaptation` of AdaptiveLIF must be >= 0. Got -0.1."),
        ({"tau_adapt": 0.0}, "`tau_adapt` of AdaptiveLIF must be > 0 s. Got 0.0."),
        (
            {"adaptation": 0.0, "learn": "adaptation"},
            "`adaptation` of AdaptiveLIF must be > 0 to be learned. Got 0.0.",
        ),
        (
            {"adaptation": (0.1, 0.0), "learn": "adaptation"},
            "`adaptation` of AdaptiveLIF must be > 0 to be learned. Got (0.1, 0.0).",
        ),
    ],
)
def test_a_broken_rule_is_named(values, message):
    with unchecked(), pytest.raises(ValueError, match="`") as caught:
        rv.AdaptiveLIF(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_by_hand(reset, backend):
    """The table of README.md with tau_adapt 50 ms and adaptation 0.8; a second spike needs 1 + 0.8 F, or more."""
    neuron = rv.AdaptiveLIF(20e-3, 10e-3, 50e-3, adaptation=0.8, reset=reset)
    made = layer(neuron, method(reset), backend)
    v, i, a, expected, steps = 0.0, 0.0, 0.0, [], []
    for k in range(5):
        v, i, a = A * v + C * i, B * i, F * a
        spikes = v >= 1.0 + a
        if spikes:
            steps.append(k)
            v = {"zero": 0.0, "subtract": v - 1.0 - a, "none": v}[reset]
            a += 0.8
        i += dict(INPUT).get(k, 0.0) * W + R * spikes
        expected.append({"V": v, "I": i, "a": a})
    assert steps == {"zero": [1, 3], "subtract": [1, 3], "none": [1, 2, 3]}[reset]
    with torch.no_grad():
        for n, state in enumerate(expected, 1):
            out, final = made.advance(events(n, *INPUT))
            assert {name: value.item() for name, value in final.items()} == pytest.approx(state, rel=1e-12, abs=1e-12)
    assert out.steps.tolist() == steps
    assert out.record.backend == backend

from dataclasses import replace
from math import exp, expm1, inf, log

import pytest
import torch

import ranvier as rv
from ranvier.neurons import dynamics
from ranvier.neurons.dynamics import FOREVER
from tests.neurons.models import Adapting, Chain

F64 = torch.float64
TAUS = [
    pytest.param(20e-3, 10e-3, id="plain"),
    pytest.param(5e-3, 10e-3, id="slow-synapse"),
    pytest.param(10e-3, 10e-3, id="equal"),
    pytest.param(10e-3, 10e-3 * (1 + 1e-9), id="nearly-equal"),
    pytest.param(10e-3, 10e-3 * (1 - 1e-5), id="close"),
    pytest.param(1.0, 1e-4, id="stiff"),
]


def tensor(*values):
    return torch.tensor(values, dtype=F64)


def current_to_membrane(tau_mem, tau_syn, dt):
    """tau_syn / (tau_mem - tau_syn) (exp(-dt/tau_mem) - exp(-dt/tau_syn)), safe for equal taus."""
    z = dt * (tau_mem - tau_syn) / (tau_mem * tau_syn)
    return dt / tau_mem * exp(-dt / tau_syn) * (expm1(z) / z if z else 1.0)


def close(found, expected, tolerance=1e-9):  # torch's matrix_exp errs by up to 3e-10 at norms near 0.02
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=1e-13)


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 20e-3])
@pytest.mark.parametrize(("tau_mem", "tau_syn"), TAUS)
@pytest.mark.parametrize("model", [rv.CubaLIF, rv.LI], ids=["CubaLIF", "LI"])
def test_the_propagator_is_the_closed_form(model, tau_mem, tau_syn, dt):
    found = dynamics(model(tau_mem=tau_mem, tau_syn=tau_syn), dt, None, F64)
    rise = current_to_membrane(tau_mem, tau_syn, dt)
    close(found.propagator, tensor([exp(-dt / tau_mem), rise], [0.0, exp(-dt / tau_syn)]))
    close(found.drift, tensor(0.0, 0.0))


def test_equal_time_constants_give_the_limit():
    found = dynamics(rv.CubaLIF(tau_mem=10e-3, tau_syn=10e-3), 1e-3, None, F64)
    assert found.propagator[0, 1].item() == pytest.approx(0.1 * exp(-0.1), rel=1e-14)


def test_the_delta_neuron_only_decays():
    found = dynamics(rv.LIF(tau_mem=20e-3, bias=0.3), 1e-3, None, F64)
    close(found.propagator, tensor([exp(-0.05)]))
    close(found.drift, tensor(0.3 * (1 - exp(-0.05))))


@pytest.mark.parametrize(("tau_mem", "tau_syn"), TAUS)
def test_the_drift_lifts_the_membrane_towards_the_bias(tau_mem, tau_syn):
    found = dynamics(rv.CubaLIF(tau_mem=tau_mem, tau_syn=tau_syn, bias=-0.7), 1e-3, None, F64)
    close(found.drift, tensor(0.7 * expm1(-1e-3 / tau_mem), 0.0))


@pytest.mark.parametrize("neuron", [rv.CubaLIF(bias=0.4), Chain(rest=0.4)], ids=["CubaLIF", "Chain"])
def test_one_step_is_what_fine_integration_finds(neuron):
    dt, n_parts = 5e-3, 4000
    found = dynamics(neuron, dt, None, F64)
    flow, constant = neuron.flow(neuron.tensors())
    start = torch.linspace(0.5, -1.0, len(neuron.states), dtype=F64)
    x = start.clone()
    for _ in range(n_parts):  # midpoint rule
        half = x + dt / n_parts / 2 * (flow @ x + constant)
        x = x + dt / n_parts * (flow @ half + constant)
    close(found.propagator @ start + found.drift, x, 1e-7)


def test_the_drift_solves_the_linear_system():
    neuron = rv.CubaLIF(bias=0.4)
    found = dynamics(neuron, 5e-3, None, F64)
    flow, constant = neuron.flow(neuron.tensors())
    close(found.drift, torch.linalg.solve(flow, (found.propagator - torch.eye(2, dtype=F64)) @ constant))


def test_units_may_differ():
    taus, biases, thresholds = (5e-3, 10e-3, 20e-3), (0.1, 0.0, -0.2), (1.0, 2.0, 0.5)
    many = dynamics(rv.CubaLIF(tau_mem=taus, bias=biases, threshold=thresholds), 1e-3, None, F64)
    assert many.structure.per_unit
    for unit, (tau, bias, threshold) in enumerate(zip(taus, biases, thresholds, strict=True)):
        one = dynamics(rv.CubaLIF(tau_mem=tau, bias=bias, threshold=threshold), 1e-3, None, F64)
        assert not one.structure.per_unit
        for name in (
            "propagator",
            "drift",
            "threshold",
            "arrival_row",
            "reset_row",
            "slope_row",
            "slope_offset",
            "leak",
        ):
            close(getattr(many, name)[unit], getattr(one, name))


@pytest.mark.parametrize("name", ["tau_mem", "tau_syn", "threshold", "bias"])
def test_one_parameter_per_unit_spreads_all_numbers(name):
    found = dynamics(rv.CubaLIF(**{name: (0.1, 0.2, 0.3)}), 1e-3, None, F64)
    assert found.propagator.shape == (3, 2, 2)
    assert found.drift.shape == found.arrival_row.shape == found.reset_row.shape == found.slope_row.shape == (3, 2)
    assert found.threshold.shape == found.leak.shape == found.slope_offset.shape == (3,)


GRADIENTS = [
    pytest.param(20e-3, 10e-3, 0.3, id="shared"),
    pytest.param(10e-3, 10e-3, 0.3, id="equal"),
    pytest.param((20e-3, 10e-3, 5e-3), 10e-3, 0.0, id="mixed"),
    pytest.param((20e-3, 10e-3), (10e-3, 10e-3), (0.0, -1.0), id="per-unit"),
]


@pytest.mark.parametrize(("tau_mem", "tau_syn", "bias"), GRADIENTS)
def test_propagator_and_drift_are_differentiable(tau_mem, tau_syn, bias):
    logs = [torch.tensor(tau, dtype=F64).log().requires_grad_() for tau in (tau_mem, tau_syn)]
    leaves = (*logs, torch.tensor(bias, dtype=F64, requires_grad=True))
    neuron = rv.CubaLIF(tau_mem=tau_mem, tau_syn=tau_syn, bias=bias, learn=("tau_mem", "tau_syn", "bias"))

    def step(log_mem, log_syn, bias):
        values = {"tau_mem": log_mem.exp(), "tau_syn": log_syn.exp(), "bias": bias}
        found = dynamics(neuron, 3e-3, values, F64)
        return found.propagator, found.drift

    assert torch.autograd.gradcheck(step, leaves)


def test_the_gradient_at_equal_time_constants_is_the_limit():
    tau, dt = 10e-3, 1e-3
    tau_mem = torch.tensor(tau, dtype=F64, requires_grad=True)
    found = dynamics(rv.CubaLIF(tau_mem=tau, tau_syn=tau, learn="tau_mem"), dt, {"tau_mem": tau_mem}, F64)
    (slope,) = torch.autograd.grad(found.propagator[0, 1], tau_mem)
    # d/dtau_m of (dt/tau_m) exp(-dt/tau_s) phi(z), with phi(0) = 1, phi'(0) = 1/2, dz/dtau_m = dt / tau_m^2
    assert slope.item() == pytest.approx((-dt / tau**2 + dt**2 / tau**3 / 2) * exp(-dt / tau), rel=1e-10)


def test_a_learned_threshold_carries_gradient_and_the_rows_carry_none():
    values = {
        name: torch.tensor(value, dtype=F64, requires_grad=True)
        for name, value in (("tau_mem", 20e-3), ("threshold", 2.0))
    }
    found = dynamics(rv.CubaLIF(learn=("tau_mem", "threshold")), 1e-3, values, F64)
    assert found.threshold.requires_grad
    assert found.propagator.requires_grad
    rows = (found.arrival_row, found.reset_row, found.slope_row, found.slope_offset, found.leak)
    assert not any(row.requires_grad for row in rows)


def test_the_rows_of_the_base_model():
    found = dynamics(rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3, bias=0.3), 1e-3, None, F64)
    close(found.arrival_row, tensor(-50.0, 200.0))
    close(found.reset_row, tensor(50.0, 0.0))
    close(found.slope_row, tensor(-1.0, 1.0))
    close(found.slope_offset, torch.tensor(0.3, dtype=F64))
    close(found.leak, torch.tensor(50.0, dtype=F64))


def test_the_rows_of_the_delta_neuron():
    found = dynamics(rv.LIF(tau_mem=20e-3, bias=0.3), 1e-3, None, F64)
    close(found.arrival_row, tensor(50.0))
    close(found.reset_row, tensor(50.0))
    close(found.slope_row, tensor(-1.0))
    close(found.slope_offset, torch.tensor(0.3, dtype=F64))


@pytest.mark.parametrize("model", [rv.CubaLIF, rv.LIF])
@pytest.mark.parametrize(
    ("refractory", "steps"),
    [(0.0, 0), (0.4e-3, 0), (0.6e-3, 1), (3e-3, 3), (0.1 * 3, 300), (inf, FOREVER), (1e9, FOREVER)],
)
def test_the_refractory_time_is_rounded_to_the_grid(model, refractory, steps):
    assert dynamics(model(refractory=refractory), 1e-3, None, F64).hold == steps


def test_neurons_that_know_no_refractory_time_are_not_held():
    assert dynamics(rv.LI(), 1e-3, None, F64).hold == dynamics(Chain(), 1e-3, None, F64).hold == 0


def test_an_integrator_has_no_threshold():
    assert dynamics(rv.LI(), 1e-3, None, F64).threshold is None


class TestStructure:
    def of(self, neuron):
        values = {name: torch.tensor(getattr(neuron, name), dtype=F64) for name in neuron.learned}
        return dynamics(neuron, 1e-3, values, F64).structure

    def test_the_base_model(self):
        found = self.of(rv.CubaLIF(reset="subtract"))
        assert found.states == ("V", "I")
        assert found.entered == 1
        assert (found.arrival, found.reset) == ("after", "subtract")
        assert found.flows == ((True, True), (False, True))

    def test_the_delta_neuron(self):
        found = self.of(rv.LIF())
        assert (found.states, found.entered, found.arrival, found.flows) == (("V",), 0, "before", ((True,),))

    def test_what_flows_through_a_state_between_counts(self):
        assert self.of(Chain()).flows == ((True, True, True), (False, True, True), (False, False, True))

    @pytest.mark.parametrize(
        ("neuron", "drifts"),
        [
            (rv.CubaLIF(), (False, False)),
            (rv.CubaLIF(bias=0.1), (True, False)),
            (rv.CubaLIF(learn="bias"), (True, False)),
            (rv.CubaLIF(learn="tau_mem"), (False, False)),
            (rv.CubaLIF(bias=(0.0, 0.1)), (True, False)),
            (rv.CubaLIF(bias=(0.0, 0.0)), (False, False)),
            (rv.LIF(bias=0.1), (True,)),
            (rv.LI(bias=0.1), (True, False)),
            (Chain(learn=("rest",)), (True, False, False)),
        ],
        ids=str,
    )
    def test_states_drift_only_with_a_bias(self, neuron, drifts):
        assert self.of(neuron).drifts == drifts

    def test_a_learned_entry_that_starts_at_zero_is_no_structural_zero(self):
        assert self.of(Adapting()).flows == ((True, False), (False, True))
        assert self.of(Adapting(learn=("coupling",))).flows == ((True, True), (True, True))

    def test_structural_zeros_are_zeros_of_the_propagator(self):
        for neuron in (rv.CubaLIF(), rv.LI(), Chain(), Adapting()):
            found = dynamics(neuron, 3e-3, None, F64)
            zeros = ~torch.tensor(found.structure.flows)
            assert (found.propagator[zeros] == 0).all()
            assert (found.propagator[~zeros] != 0).all()


class TestMemory:
    def test_equal_neurons_share_their_numbers(self):
        first = dynamics(rv.CubaLIF(tau_mem=[5e-3, 6e-3]), 1e-3, None, F64)
        assert dynamics(rv.CubaLIF(tau_mem=(5e-3, 6e-3)), 1e-3, None, F64) is first
        assert dynamics(rv.CubaLIF(tau_mem=(5e-3, 6e-3)), 2e-3, None, F64) is not first
        assert dynamics(rv.CubaLIF(tau_mem=(5e-3, 6e-3)), 1e-3, None, torch.float32) is not first

    def test_models_with_equal_values_do_not(self):
        assert dynamics(rv.LI(), 1e-3, None, F64) is not dynamics(rv.CubaLIF(), 1e-3, None, F64)

    def test_learned_numbers_are_made_anew(self):
        values = {"tau_mem": torch.tensor(20e-3, dtype=F64)}
        neuron = rv.CubaLIF(learn="tau_mem")
        assert dynamics(neuron, 1e-3, values, F64) is not dynamics(neuron, 1e-3, values, F64)

    def test_numbers_first_made_in_inference_mode_serve_training(self):
        neuron = rv.CubaLIF(tau_mem=0.0123)
        with torch.inference_mode():
            numbers = dynamics(neuron, 1e-3, None, F64)
        assert not numbers.propagator.is_inference()

    def test_a_default_device_does_not_leak_in(self):
        with torch.device("meta"):
            numbers = dynamics(rv.CubaLIF(tau_mem=0.0124), 1e-3, None, F64)
        assert numbers.propagator.device.type == "cpu"


@pytest.mark.parametrize("values", [None, {"tau_mem": torch.tensor(20e-3)}], ids=["fixed", "learned"])
def test_type_and_device_are_those_asked_for(values):
    found = dynamics(rv.CubaLIF(bias=0.1), 1e-3, values, torch.float32, torch.device("meta"))
    names = (
        "propagator",
        "drift",
        "threshold",
        "arrival_row",
        "reset_row",
        "slope_row",
        "slope_offset",
        "leak",
    )
    assert {getattr(found, name).dtype for name in names} == {torch.float32}
    assert {getattr(found, name).device.type for name in names} == {"meta"}


def test_the_exponential_is_taken_in_float64():
    found = dynamics(rv.CubaLIF(tau_mem=1.0, tau_syn=1.0 + 1e-7), 1e-4, None, torch.float32)
    assert found.propagator[0, 1].item() == pytest.approx(1e-4 * exp(-1e-4), rel=2e-7)
    assert log(found.propagator[0, 0].item()) == pytest.approx(-1e-4, rel=1e-3)


@pytest.mark.parametrize("dt", [0.0, -1e-3, float("nan"), float("inf")])
def test_an_impossible_step_is_refused(dt):
    with pytest.raises(ValueError, match=r"^`dt` of dynamics must be > 0 s\. Got "):
        dynamics(rv.CubaLIF(), dt, None, F64)


def test_a_changed_copy_is_a_new_neuron():
    neuron = rv.CubaLIF(tau_mem=[5e-3, 6e-3], learn=["bias"])
    assert replace(neuron, tau_syn=1e-3) == rv.CubaLIF(tau_mem=(5e-3, 6e-3), tau_syn=1e-3, learn="bias")

"""Cross-entropy on weighted integrals of the membrane, on a grid and in continuous time."""

from math import exp, log
from typing import get_args

import pytest
import torch

import ranvier as rv
from ranvier.losses import IntegralCrossEntropy, MeanOverTimeCrossEntropy
from ranvier.ops.membrane import Weight
from tests.neurons.unchecked import unchecked

F64 = torch.float64
WEIGHTS = get_args(Weight)


def weight(name, x):
    return {"constant": 1.0, "linear": 1 - x, "exponential": exp(-x), "sigmoid": 1 / (1 + exp((x - 0.5) / 0.2))}[name]


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_weighted_mean_of_the_steps_is_the_score(name):
    rows = [[0.0, 1.0], [2.0, -1.0], [1.0, 0.6], [4.0, 0.2]]
    given = torch.tensor(rows, dtype=F64)[:, None]
    loss = IntegralCrossEntropy(name)
    expected = [sum(row[k] * weight(name, step / 4) for step, row in enumerate(rows)) / 4 for k in range(2)]
    assert loss.scores(given)[0].tolist() == pytest.approx(expected, rel=1e-12)
    value = loss(given, torch.tensor([1]))
    assert value.item() == pytest.approx(log(1 + exp(expected[0] - expected[1])), rel=1e-12)
    assert loss.predict(given).tolist() == [0]
    assert loss.ties(given) == 0


def test_the_constant_weight_is_the_mean():
    given = torch.randn(6, 3, 4, dtype=F64)
    torch.testing.assert_close(
        IntegralCrossEntropy("constant").scores(given), MeanOverTimeCrossEntropy().scores(given), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_gradient_is_that_of_the_formula(name):
    given = torch.randn(6, 3, 4, dtype=F64, requires_grad=True)
    loss = IntegralCrossEntropy(name)
    assert torch.autograd.gradcheck(lambda output: loss(output, torch.tensor([0, 3, 1])), (given,))


def test_the_literature_s_is_the_default_and_rewards_an_early_answer():
    loss = IntegralCrossEntropy()
    assert loss.weight == "exponential"
    early, late = torch.zeros(2, 10, 1, 2, dtype=F64)
    early[1, 0, 0], late[8, 0, 0] = 1.0, 1.0
    assert loss(early, torch.tensor([0])) < loss(late, torch.tensor([0])) < log(2)


def integrator():
    made = rv.Readout(3, 2, rv.LI(20e-3, 5e-3, (0.1, 0.0), learn=("tau_mem", "tau_syn", "bias"))).double()
    with torch.no_grad():
        made.w_in.copy_(torch.tensor([[3.0, -1.0], [2.0, 5.0], [-2.0, 4.0]]))
    return made


def run(name, dt):
    pairs = [([3e-3, 7e-3, 7e-3, 20e-3], [0, 1, 2, 0]), ([1e-3, 30e-3], [2, 1])]
    made, spikes = integrator(), rv.Spikes.from_samples(pairs, unit_shape=3, duration=0.05, dtype=F64)
    value = IntegralCrossEntropy(name)(
        made(spikes if dt is None else spikes.on_grid(dt, coincident="sum")), torch.tensor([1, 0])
    )
    value.backward()
    return value.item(), {key: parameter.grad for key, parameter in made.named_parameters()}


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_grid_converges_to_continuous_time_in_proportion_to_its_step(name):
    exact, grads = run(name, None)
    assert all(grad.abs().max() > 1e-3 for grad in grads.values())
    errors = []
    for dt in (1e-3, 1e-3 / 16, 1e-3 / 64):
        value, found = run(name, dt)
        errors.append([abs(value - exact), *(float((found[key] - grads[key]).norm()) for key in grads)])
    assert abs(errors[0][0] / exact) < 0.03
    for coarse, fine in zip(*errors[1:], strict=True):
        assert coarse / fine == pytest.approx(4, rel=0.2)


def test_an_unknown_weight_is_refused():
    with unchecked(), pytest.raises(ValueError, match="must be one of") as caught:
        IntegralCrossEntropy("quadratic")
    message = "`weight` of IntegralCrossEntropy must be one of constant, linear, exponential, sigmoid. Got 'quadratic'."
    assert str(caught.value) == message


def test_what_is_no_readout_is_refused():
    with unchecked(), pytest.raises(TypeError) as caught:
        IntegralCrossEntropy()(torch.zeros(2, 3), torch.tensor([0, 1]))
    message = "`output` of a trace loss must be traces [time, batch, unit] of a Readout. Got [2, 3]."
    assert str(caught.value) == message

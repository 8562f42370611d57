import pytest
import torch

import ranvier as rv
from ranvier.losses import LowerActivity, UpperActivity
from tests.neurons.unchecked import unchecked
from tests.twins import by_backend

F64 = torch.float64
COUNTS = [[0.0, 1.0, 5.0], [2.0, 0.0, 1.0]]


def counts():
    return torch.tensor(COUNTS, dtype=F64, requires_grad=True)


def test_the_lower_bound_holds_for_each_unit():
    given = counts()
    value = LowerActivity(3.0, minimum=1.5)(given)
    value.backward()
    assert value.item() == pytest.approx(3.0 * (1.5**2 + 0.5**2 + 1.5**2 + 0.5**2) / 6)
    expected = [[-1.5, -0.5, 0.0], [0.0, -1.5, -0.5]]
    torch.testing.assert_close(given.grad, 3.0 * 2 / 6 * torch.tensor(expected, dtype=F64))


@pytest.mark.parametrize("power", [1, 2])
def test_the_upper_bound_holds_for_the_mean_of_a_layer(power):
    given = counts()
    value = UpperActivity(3.0, maximum=1.25, power=power)(given)
    value.backward()
    excess = 2.0 - 1.25  # of the first sample; the second's mean, 1, is below
    assert value.item() == pytest.approx(3.0 * excess**power / 2)
    slope = 3.0 / 2 * power * excess ** (power - 1) / 3
    torch.testing.assert_close(given.grad, torch.tensor([[slope] * 3, [0.0] * 3], dtype=F64))


@pytest.mark.parametrize("power", [1, 2])
def test_the_upper_bound_may_hold_for_each_unit(power):
    given = counts()
    value = UpperActivity(3.0, maximum=1.5, power=power, per_unit=True)(given)
    value.backward()
    assert value.item() == pytest.approx(3.0 * (3.5**power + 0.5**power) / 6)
    slopes = [[0.0, 0.0, 3.5 ** (power - 1)], [0.5 ** (power - 1), 0.0, 0.0]]
    torch.testing.assert_close(given.grad, 3.0 / 6 * power * torch.tensor(slopes, dtype=F64))


@pytest.mark.parametrize("power", [1, 2])
def test_exactly_at_the_bound_there_is_no_penalty(power):
    given = torch.full((2, 3), 2.0, dtype=F64, requires_grad=True)
    value = UpperActivity(1.0, 2.0, power)(given) + LowerActivity(1.0, 2.0)(given)
    value.backward()
    assert value == 0
    assert (given.grad == 0).all()


def test_the_gradient_is_that_of_the_formula():
    given = torch.rand(3, 4, dtype=F64, requires_grad=True)
    penalties = (LowerActivity(2.0, 0.5), *(UpperActivity(2.0, 0.3, p, each) for p in (1, 2) for each in (False, True)))
    for penalty in penalties:
        assert torch.autograd.gradcheck(penalty, (given,))


@pytest.mark.parametrize("penalty", [LowerActivity(1.0, 1.0), UpperActivity(1.0, 1.0)], ids=str)
def test_an_empty_batch_costs_nothing(penalty):
    given = torch.zeros(0, 3, requires_grad=True)
    value = penalty(given)
    value.backward()
    assert value == 0


RULES = [
    (lambda: LowerActivity(-1.0, 1.0), ValueError, "`strength` of LowerActivity must be >= 0. Got -1.0."),
    (lambda: LowerActivity(1.0, -1.0), ValueError, "`minimum` of LowerActivity must be >= 0. Got -1.0."),
    (
        lambda: UpperActivity(float("nan"), 1.0),
        ValueError,
        "`strength` of UpperActivity must be finite. Got nan.",
    ),
    (lambda: UpperActivity(1.0, "x"), TypeError, "`maximum` of UpperActivity must be a number. Got 'x'."),
    (lambda: UpperActivity(1.0, 1.0, 3), ValueError, "`power` of UpperActivity must be 1 or 2. Got 3."),
    (
        lambda: LowerActivity(1.0, 1.0)(torch.zeros(4, 2, 3)),
        TypeError,
        "`counts` of LowerActivity must be [batch, unit], from `spikes.counts()`. Got [4, 2, 3].",
    ),
    (
        lambda: UpperActivity(1.0, 1.0)("counts"),
        TypeError,
        "`counts` of UpperActivity must be [batch, unit], from `spikes.counts()`. Got str.",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:40] for rule in RULES])
def test_a_broken_rule_is_named(make, error, message):
    with unchecked(), pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


BACKENDS = ("reference", "numba")
DT, W = 1e-3, 6.0
NEURON = rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3, threshold=0.8)


def layer(gradient, backend, w=W):
    made = rv.Spiking(1, 1, NEURON, gradient=gradient, backend=backend).double()
    torch.nn.init.constant_(made.w_in, w)
    return made


def one_input(n_steps=12):
    raster = torch.zeros(n_steps, 1, 1, dtype=F64)
    raster[0] = 1.0
    return rv.Spikes.from_dense(raster, dt=DT)


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_eventprop_a_count_enters_as_the_documented_jump(backend):
    made = layer(rv.EventProp(), backend)
    spikes = made(one_input())
    assert spikes.n_events == 1
    step = int(spikes.steps[0])
    UpperActivity(5.0, 0.4, power=1)(spikes.counts()).backward()
    # dL/dV += g / threshold at the spike; the weight's I has reached V by step updates: P[V, I] of that time
    reach = rv.neurons.dynamics(NEURON, step * DT, None, F64).propagator[0, 1].item()
    assert made.w_in.grad.item() == pytest.approx(5.0 / 0.8 * reach, rel=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_eventprop_a_silent_unit_feels_nothing(backend):
    made = layer(rv.EventProp(), backend, w=0.1)
    value = LowerActivity(5.0, 1.0)(made(one_input()).counts())
    value.backward()
    assert value == 5.0
    assert made.w_in.grad.item() == 0.0


SHAPES = {str(shape): (shape,) for shape in (rv.SuperSpike(), rv.SigmoidDerivative(2.0), rv.Esser(0.5))}


@pytest.mark.parametrize(("shape", "backend"), by_backend(SHAPES, [str(rv.SuperSpike())]))
def test_with_a_surrogate_a_silent_unit_is_woken(shape, backend):
    made = layer(rv.Surrogate(shape), backend, w=0.1)
    spikes = made(one_input())
    assert spikes.n_events == 0
    LowerActivity(5.0, 1.0)(spikes.counts()).backward()
    # dL/dcount = -2 * 5 at every step, times h((V - threshold) / threshold) / threshold, times dV/dw
    reach = [rv.neurons.dynamics(NEURON, k * DT, None, F64).propagator[0, 1] for k in range(1, 12)]
    expected = sum(-10.0 * shape((0.1 * r - 0.8) / 0.8) / 0.8 * r for r in reach)
    assert expected < 0
    assert made.w_in.grad.item() == pytest.approx(expected.item(), rel=1e-8)

"""The pull of every unit's spike count towards a target."""

import pytest
import torch

import ranvier as rv
from ranvier.losses import TargetActivity
from tests.losses.test_activity import BACKENDS, COUNTS, DT, F64, NEURON, counts, layer, one_input
from tests.neurons.unchecked import unchecked


def test_below_and_above_have_their_own_strength():
    given = counts()
    value = TargetActivity(lower=3.0, upper=0.5, target=1.5)(given)
    value.backward()
    first = 3.0 * (1.5**2 + 0.5**2) + 0.5 * 3.5**2
    second = 0.5 * 0.5**2 + 3.0 * (1.5**2 + 0.5**2)
    assert value.item() == pytest.approx((first + second) / 2, rel=1e-12)
    expected = [[3 * -1.5, 3 * -0.5, 0.5 * 3.5], [0.5 * 0.5, 3 * -1.5, 3 * -0.5]]
    torch.testing.assert_close(given.grad, torch.tensor(expected, dtype=F64))  # 2 c (N - nu) / B


def test_over_the_batch_only_the_mean_count_matters():
    given = counts()
    value = TargetActivity(3.0, 0.5, 1.5, over_batch=True)(given)
    value.backward()
    means = [(a + b) / 2 for a, b in zip(*COUNTS, strict=True)]
    assert means == [1.0, 0.5, 3.0]
    assert value.item() == pytest.approx(3 * 0.5**2 + 3 * 1.0**2 + 0.5 * 1.5**2, rel=1e-12)
    row = [3 * -0.5, 3 * -1.0, 0.5 * 1.5]  # the same for every sample
    torch.testing.assert_close(given.grad, torch.tensor([row, row], dtype=F64))


@pytest.mark.parametrize("over_batch", [False, True])
def test_the_gradient_is_that_of_the_formula(over_batch):
    given = torch.rand(3, 4, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(TargetActivity(2.0, 0.7, 0.5, over_batch), (given,))


@pytest.mark.parametrize("over_batch", [False, True])
def test_at_the_target_and_in_an_empty_batch_there_is_no_penalty(over_batch):
    for given in (torch.full((2, 3), 2.0, requires_grad=True), torch.zeros(0, 3, requires_grad=True)):
        value = TargetActivity(1.0, 1.0, 2.0, over_batch)(given)
        value.backward()
        assert value == 0
        assert (given.grad == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_eventprop_it_enters_as_the_documented_jump(backend):
    made = layer(rv.EventProp(), backend)
    spikes = made(one_input())
    assert spikes.n_events == 1
    step = int(spikes.steps[0])
    TargetActivity(5.0, 3.0, 0.25)(spikes.counts()).backward()
    reach = rv.neurons.dynamics(NEURON, step * DT, None, F64).propagator[0, 1].item()
    assert made.w_in.grad.item() == pytest.approx(2 * 3.0 * 0.75 / 0.8 * reach, rel=1e-8)


RULES = [
    (lambda: TargetActivity(-1.0, 1.0, 1.0), ValueError, "`lower` of TargetActivity must be >= 0. Got -1.0."),
    (lambda: TargetActivity(1.0, -1.0, 1.0), ValueError, "`upper` of TargetActivity must be >= 0. Got -1.0."),
    (lambda: TargetActivity(1.0, 1.0, "x"), TypeError, "`target` of TargetActivity must be a number. Got 'x'."),
    (
        lambda: TargetActivity(1.0, 1.0, 1.0)(torch.zeros(4)),
        TypeError,
        "`counts` of TargetActivity must be [batch, unit], from `spikes.counts()`. Got [4].",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:40] for rule in RULES])
def test_a_broken_rule_is_named(make, error, message):
    with unchecked(), pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message

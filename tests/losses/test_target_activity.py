"""The pull of every unit's spike count towards a target."""

from math import exp

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


def published_gradient(w, w_out, label, duration, dt, strength, target):
    """The authors' scheme in ms, written from its equations: one input at 0, one neuron, LI outputs, mean membrane.

    dL/dw of the neuron's input weight, in their scale; loss drive divided by tau_mem, penalty at every spike.
    """
    tau_mem, tau_syn, threshold = 20.0, 5.0, 1.0
    steps, a, b = round(duration / dt), exp(-dt / tau_mem), exp(-dt / tau_syn)
    k, gamma = tau_syn / (tau_mem - tau_syn), tau_mem / (tau_mem - tau_syn)
    v, i, spikes = 0.0, w, {}
    out_v, out_i, mean = [0.0] * len(w_out), [0.0] * len(w_out), [0.0] * len(w_out)
    for step in range(1, steps):
        v, i = v * a + k * i * (a - b), i * b
        for n in range(len(w_out)):
            out_v[n], out_i[n] = out_v[n] * a + k * out_i[n] * (a - b), out_i[n] * b
            mean[n] += out_v[n] / steps
        if v >= threshold:
            spikes[step], v = i - v, 0.0
            out_i = [current + weight for current, weight in zip(out_i, w_out, strict=True)]
    p = [exp(x) / sum(map(exp, mean)) for x in mean]
    drive = [((n == label) - p[n]) / (tau_mem * duration) for n in range(len(w_out))]
    lv, li, olv, oli = 0.0, 0.0, [0.0] * len(w_out), [0.0] * len(w_out)
    for step in range(steps - 1, 0, -1):
        if step in spikes:
            error = sum(weight * (olv[n] - oli[n]) for n, weight in enumerate(w_out))
            lv += (threshold * lv + error) / spikes[step] - strength * (len(spikes) - target)
        li, lv = b * li + gamma * lv * (a - b), a * lv
        for n, push in enumerate(drive):
            oli[n] = push + (oli[n] - push) * b + gamma * (olv[n] - push) * (a - b)
            olv[n] = push + (olv[n] - push) * a
    return -tau_syn * li, len(spikes)


@pytest.mark.parametrize("target", [2.0, 14.0], ids=["above", "below"])
def test_a_published_strength_weighs_against_the_loss_as_it_did(target):
    w, w_out, label, duration, dt, strength = 30.0, (1.5, -0.7, 0.4), 0, 40.0, 0.002, 3e-6
    loss_alone, n_spikes = published_gradient(w, w_out, label, duration, dt, 0.0, target)
    both, _ = published_gradient(w, w_out, label, duration, dt, strength, target)

    neuron = rv.CubaLIF(20e-3, 5e-3)
    hidden, out = rv.Spiking(1, 1, neuron).double(), rv.Readout(1, 3, rv.LI(20e-3, 5e-3)).double()
    with torch.no_grad():
        hidden.w_in.fill_(w)
        out.w_in.copy_(torch.tensor([w_out]))
    penalty = TargetActivity.published(strength, target, tau_mem=20e-3)
    found = []
    for parts in (("loss",), ("loss", "penalty")):
        hidden.zero_grad()
        spikes = hidden(rv.Spikes.from_samples([([0.0], [0])], unit_shape=1, duration=duration / 1e3, dtype=F64))
        total = rv.MeanOverTimeCrossEntropy()(out(spikes), torch.tensor([label]))
        (total + (penalty(spikes.counts()) if "penalty" in parts else 0.0)).backward()
        found.append(hidden.w_in.grad.item())
    assert spikes.n_events == n_spikes == 6
    assert abs(both / loss_alone - 1) > 0.3  # the penalty is felt
    assert found[1] / found[0] == pytest.approx(both / loss_alone, rel=0.015)
    assert found[0] == pytest.approx(20.0 * loss_alone, rel=0.015)  # their loss is divided by tau_mem


def test_the_known_published_strength():
    penalty = TargetActivity.published(5e-10, 14.0, tau_mem=20e-3, over_batch=True)
    assert (penalty.lower, penalty.upper) == pytest.approx((1e-7, 1e-7))
    assert (penalty.target, penalty.over_batch) == (14.0, True)
    assert TargetActivity.published(5e-10, 14.0, tau_mem=20e-3, threshold=2.0).upper == pytest.approx(2e-7)


RULES = [
    (lambda: TargetActivity(-1.0, 1.0, 1.0), ValueError, "`lower` of TargetActivity must be >= 0. Got -1.0."),
    (lambda: TargetActivity(1.0, -1.0, 1.0), ValueError, "`upper` of TargetActivity must be >= 0. Got -1.0."),
    (lambda: TargetActivity(1.0, 1.0, "x"), TypeError, "`target` of TargetActivity must be a number. Got 'x'."),
    (
        lambda: TargetActivity.published(1.0, 1.0, tau_mem=0.0),
        ValueError,
        "`tau_mem` of TargetActivity.published must be > 0 s. Got 0.0.",
    ),
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

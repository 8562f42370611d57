"""What first-spike cross-entropy does with late and silent label neurons: its two pulls and the phantom spike."""

from math import exp, expm1, log

import pytest
import torch

import ranvier as rv
from ranvier.losses import FirstSpikeCrossEntropy
from tests.losses.test_first_spike import F64, INF, first, spikes
from tests.neurons.unchecked import unchecked

T = 0.05
PULLS = {
    "exponential": (lambda t: 3e-3 * expm1(t / 6.4e-3), lambda t: 3e-3 / 6.4e-3 * exp(t / 6.4e-3)),
    "reciprocal": (lambda t: 3e-3 / (1.01 * T - t), lambda t: 3e-3 / (1.01 * T - t) ** 2),
}


def carrying(output, membrane):
    """Output spikes that carry their layer's final membrane."""
    return output._with(membrane=membrane)


def leaf(*rows):
    return torch.tensor(rows, dtype=F64, requires_grad=True)


def test_the_loss_of_fast_and_deep():
    """ln sum exp(-(t_n - t_y) / (xi tau_s)) + alpha (exp(t_y / (beta tau_s)) - 1), xi 0.2, alpha 0.005, beta 1."""
    loss = FirstSpikeCrossEntropy(tau_0=0.2, tau_1=1.0, alpha=0.005)
    value = loss.of_times(first([1.0, 1.1, 1.5]), torch.tensor([0]))
    assert value.item() == pytest.approx(0.532500465322, abs=5e-13)


@pytest.mark.parametrize("silent", ["ignore", "phantom"])
@pytest.mark.parametrize("pull", PULLS)
def test_a_label_that_spikes_is_pulled(pull, silent):
    value, slope = PULLS[pull]
    times = first([10e-3, 10.4e-3])
    membrane = leaf([0.1, 0.2])
    given = {"duration": T, "membrane": membrane}
    found = FirstSpikeCrossEntropy(pull=pull, silent=silent).of_times(times, torch.tensor([0]), **given)
    plain = FirstSpikeCrossEntropy(alpha=0.0).of_times(times, torch.tensor([0]))
    assert (found - plain).item() == pytest.approx(value(10e-3), rel=1e-12)
    (grad,) = torch.autograd.grad(found - plain, times, retain_graph=True)
    assert grad[0].tolist() == pytest.approx([slope(10e-3), 0.0], rel=1e-12)
    if silent == "phantom":
        (untouched,) = torch.autograd.grad(found, membrane)
        assert (untouched == 0).all()


@pytest.mark.parametrize("pull", PULLS)
@pytest.mark.parametrize(("slope", "used"), [(None, 50.0), (200.0, 200.0)])
@pytest.mark.parametrize("row", [(INF, 10e-3, 11e-3), (INF, INF, INF)], ids=["label-silent", "all-silent"])
def test_a_silent_label_is_pulled_from_the_end(row, slope, used, pull):
    """The literature's lambda_V += pull'(T) / B at T: dL/dV = -tau_mem pull'(T) / B with slope 1 / tau_mem."""
    value, pulled = PULLS[pull]
    output = carrying(spikes(row, (10e-3, 10.4e-3, 11e-3), duration=T), leaf([0.3, 0.2, 0.1], [0.5, 0.5, 0.5]))
    loss = FirstSpikeCrossEntropy(pull=pull, silent="phantom", phantom_slope=slope)
    found = loss(output, torch.tensor([0, 0]))
    found.backward()
    other = loss.of_times(
        first((10e-3, 10.4e-3, 11e-3)), torch.tensor([0]), duration=T, membrane=torch.zeros(1, 3, dtype=F64)
    )
    assert found.item() == pytest.approx((log(3) + value(T) + other.item()) / 2, rel=1e-12)
    grad = output.membrane.grad
    assert grad[0].tolist() == pytest.approx([-pulled(T) / used / 2, 0.0, 0.0], rel=1e-12)
    assert grad[1].tolist() == [0.0] * 3
    assert output.times.grad.abs().max() > 0
    assert output.times.grad.isfinite().all()


@pytest.mark.parametrize("pull", PULLS)
def test_ignored_silence_has_no_pull(pull):
    times = first([INF, 10e-3])
    value = FirstSpikeCrossEntropy(pull=pull).of_times(times, torch.tensor([0]), duration=T)
    value.backward()
    assert value.item() == pytest.approx(log(2))
    assert times.grad[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("silent", ["ignore", "phantom"])
def test_the_phantom_wakes_a_silent_label_neuron(silent):
    given = rv.Spikes.from_samples([([5e-3, 30e-3], [0, 0])], unit_shape=1, duration=T, dtype=F64)
    layer = rv.Spiking(1, 2, rv.CubaLIF(20e-3, 10e-3)).double()
    torch.nn.init.constant_(layer.w_in, 0.5)
    loss, label = FirstSpikeCrossEntropy(silent=silent), torch.tensor([0])
    assert layer(given).n_events == 0
    for _ in range(60):
        (grad,) = torch.autograd.grad(loss(layer(given), label), layer.w_in, materialize_grads=True)
        with torch.no_grad():
            layer.w_in -= 0.5 * grad.clamp(-0.1, 0.1)
    assert loss.predict(layer(given)).tolist() == ([0] if silent == "phantom" else [-1])
    assert layer.w_in[0, 1] == 0.5


def test_float32_overflows_only_where_the_phantom_is_used():
    output = carrying(spikes([10e-3, 10.4e-3], duration=2.0).to(torch.float32), torch.zeros(1, 2, requires_grad=True))
    value = FirstSpikeCrossEntropy(silent="phantom")(output, torch.tensor([0]))
    (grad,) = torch.autograd.grad(value, output.membrane)
    assert value.isfinite()
    assert (grad == 0).all()


RULES = [
    (
        lambda: FirstSpikeCrossEntropy(pull="linear"),
        "`pull` of FirstSpikeCrossEntropy must be 'exponential' or 'reciprocal'. Got 'linear'.",
    ),
    (
        lambda: FirstSpikeCrossEntropy(silent="wake"),
        "`silent` of FirstSpikeCrossEntropy must be 'ignore' or 'phantom'. Got 'wake'.",
    ),
    (
        lambda: FirstSpikeCrossEntropy(phantom_slope=50.0),
        "`phantom_slope` of FirstSpikeCrossEntropy needs silent='phantom'. Got 50.0 with 'ignore'.",
    ),
    (
        lambda: FirstSpikeCrossEntropy(silent="phantom", phantom_slope=0.0),
        "`phantom_slope` of FirstSpikeCrossEntropy must be > 0 1/s. Got 0.0.",
    ),
    (
        lambda: FirstSpikeCrossEntropy(silent="phantom")(spikes([INF, 1e-3]), torch.tensor([0])),
        "`output` of FirstSpikeCrossEntropy with silent='phantom' must carry its layer's final membrane, "
        "as in continuous time. Got none.",
    ),
    (
        lambda: FirstSpikeCrossEntropy(silent="phantom").of_times(first([INF, 1e-3]), torch.tensor([0]), duration=T),
        "`membrane` of FirstSpikeCrossEntropy.of_times must be given for silent='phantom'. Got None.",
    ),
    (
        lambda: FirstSpikeCrossEntropy(pull="reciprocal").of_times(first([INF, 1e-3]), torch.tensor([0])),
        "`duration` of FirstSpikeCrossEntropy.of_times must be given for this pull and phantoms. Got None.",
    ),
]


@pytest.mark.parametrize(("make", "message"), RULES, ids=[str(index) for index in range(len(RULES))])
def test_a_broken_rule_is_named(make, message):
    with unchecked(), pytest.raises(ValueError, match=r"^`") as caught:
        make()
    assert str(caught.value) == message

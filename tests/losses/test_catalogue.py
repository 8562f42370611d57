"""The catalogue of shaped losses: each gradient is that of the loss as stated, through a spiking layer too."""

from math import exp

import pytest
import torch

import ranvier as rv
from ranvier.losses import (
    CrossEntropyOverTime,
    IntegralCrossEntropy,
    MaxOverTimeCrossEntropy,
    MeanOverTimeCrossEntropy,
)
from tests.losses.test_integral import weight
from tests.neurons.unchecked import unchecked

F64 = torch.float64
LOSSES = [
    MeanOverTimeCrossEntropy(),
    *(IntegralCrossEntropy(name) for name in ("linear", "exponential", "sigmoid")),
    MaxOverTimeCrossEntropy(),
    CrossEntropyOverTime(25_000),
]
NAMES = [type(loss).__name__ + getattr(loss, "weight", "") for loss in LOSSES]
LABELS = torch.tensor([1, 0, 2])


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_the_drive_of_the_readout_is_the_stated_one(loss):
    """dL/dV at a step is (p - [k = label]) w / (T B), T the steps: no tau_mem, and no T for the maximum."""
    n_steps, n_samples = 7, 3
    traces = torch.randn(n_steps, n_samples, 4, dtype=F64, requires_grad=True)
    loss(traces, LABELS).backward()
    wrong = -torch.nn.functional.one_hot(LABELS, 4).double()
    if isinstance(loss, CrossEntropyOverTime):
        drive = (traces.detach().softmax(-1) + wrong) / (n_steps * n_samples)
    elif isinstance(loss, MaxOverTimeCrossEntropy):
        drive = (traces.detach().amax(0).softmax(-1) + wrong) / n_samples
        drive = drive * (traces == traces.amax(0))
    else:
        name = getattr(loss, "weight", "constant")
        w = torch.tensor([weight(name, k / n_steps) for k in range(n_steps)], dtype=F64)[:, None, None]
        drive = ((traces.detach() * w).mean(0).softmax(-1) + wrong) * w / (n_steps * n_samples)
    torch.testing.assert_close(traces.grad, drive.expand_as(traces), rtol=1e-10, atol=1e-14)


def network():
    neuron, integrator = rv.CubaLIF(20e-3, 5e-3), rv.LI(20e-3, 5e-3)
    made = rv.Network(hidden=rv.Spiking(2, 3, neuron), out=rv.Readout(3, 3, integrator)).double()
    with torch.no_grad():
        made.layers["hidden"].w_in.copy_(torch.tensor([[10.0, 14.0, 9.0], [5.0, -3.0, 11.0]]))
        made.layers["out"].w_in.copy_(torch.tensor([[2.0, -1.0, 0.5], [0.3, 1.5, -0.7], [-1.0, 0.4, 1.2]]))
    return made


def inputs(dt=None):
    samples = [([2e-3, 8e-3], [0, 1]), ([1e-3, 9e-3, 21e-3], [1, 0, 1]), ([4e-3, 6e-3], [0, 0])]
    spikes = rv.Spikes.from_samples(samples, unit_shape=2, duration=50e-3, dtype=F64)
    return spikes if dt is None else spikes.on_grid(dt, coincident="sum")


def gradients(loss, dt=None, *, excitatory=False):
    made = network()
    if excitatory:
        with torch.no_grad():
            made.layers["out"].w_in.abs_()
    output, activity = made(inputs(dt))
    assert activity["hidden"].n_events >= 9
    loss(output, LABELS).backward()
    return {name: value.grad for name, value in made.named_parameters()}


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_through_a_spiking_layer_it_is_the_finite_difference(loss):
    found, eps = gradients(loss), 1e-6
    for name, grad in found.items():
        truth = torch.empty_like(grad)
        for place in torch.cartesian_prod(*(torch.arange(size) for size in grad.shape)):
            values = []
            for side in (eps, -eps):
                made = network()
                with torch.no_grad():
                    made.get_parameter(name)[tuple(place)] += side
                    values.append(loss(made(inputs()).output, LABELS))
            truth[tuple(place)] = (values[0] - values[1]) / (2 * eps)
        assert truth.norm() > 1e-4
        assert (grad - truth).norm() / truth.norm() < 1e-6, name


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_the_grid_comes_to_it_in_proportion_to_its_step(loss):
    excitatory = isinstance(loss, MaxOverTimeCrossEntropy)  # no maximum at an event, which a grid cannot follow
    exact, errors = gradients(loss, excitatory=excitatory), []
    for dt in (2.5e-5, 2.5e-6):
        found = gradients(loss, dt, excitatory=excitatory)
        errors.append({name: float((found[name] - exact[name]).norm() / exact[name].norm()) for name in exact})
    assert max(errors[1].values()) < 0.02
    assert all(errors[1][name] < errors[0][name] / 5 for name in exact)


def test_a_maximum_at_an_inhibitory_event_is_not_whole_on_a_grid():
    """It moves with the event in continuous time, as finite differences above say; a grid sees V at fixed steps."""
    loss = MaxOverTimeCrossEntropy()
    exact = gradients(loss)["layers.hidden.w_in"]
    apart = [float((gradients(loss, dt)["layers.hidden.w_in"] - exact).norm() / exact.norm()) for dt in (5e-6, 1e-6)]
    assert apart == pytest.approx([0.5, 0.5], abs=0.05)


def test_e5_through_the_layer():
    """exact-gradients E5: inputs 10 at 2 ms and 5 at 8 ms, readout weight 2, L = integral of V over 50 ms."""
    hidden, out = rv.Spiking(2, 1, rv.CubaLIF(20e-3, 5e-3)).double(), rv.Readout(1, 1, rv.LI(20e-3, 5e-3)).double()
    with torch.no_grad():
        hidden.w_in.copy_(torch.tensor([[10.0], [5.0]]))
        out.w_in.fill_(2.0)
    spikes = rv.Spikes.from_samples([([2e-3, 8e-3], [0, 1])], unit_shape=2, duration=50e-3, dtype=F64)
    total = MeanOverTimeCrossEntropy().scores(out(hidden(spikes))).sum() * 50
    total.backward()
    assert total.item() == pytest.approx(16.871458411801, rel=1e-10)
    assert hidden.w_in.grad.flatten().tolist() == pytest.approx([0.0860228917823, 0.0174593140621], rel=1e-9)
    assert out.w_in.grad.item() == pytest.approx(8.4357292059, rel=1e-10)


class TestCrossEntropyOverTime:
    def test_is_the_mean_over_steps_of_each_step_s(self):
        traces = torch.randn(6, 3, 4, dtype=F64)
        each = [torch.nn.functional.cross_entropy(step, LABELS) for step in traces]
        torch.testing.assert_close(CrossEntropyOverTime()(traces, LABELS), torch.stack(each).mean())

    def test_predicts_the_class_of_the_lowest_loss_and_the_largest_mean(self):
        traces, loss = torch.randn(6, 20, 4, dtype=F64), CrossEntropyOverTime()
        losses = torch.stack([-traces.log_softmax(-1)[..., k].mean(0) for k in range(4)], 1)
        assert loss.predict(traces).tolist() == losses.argmin(1).tolist() == traces.mean(0).argmax(1).tolist()
        assert loss.predict(torch.zeros(6, 2, 4)).tolist() == [-1, -1]
        assert loss.ties(torch.zeros(6, 2, 4)) == 2

    def test_more_moments_come_closer_to_the_integral(self):
        membrane = network()(inputs()).output
        fine = CrossEntropyOverTime(20_000)(membrane, LABELS).item()
        errors = [abs(CrossEntropyOverTime(n)(membrane, LABELS).item() - fine) for n in (10, 200)]
        assert errors[1] < errors[0] / 20
        assert errors[1] < 1e-4 * fine

    def test_silence_costs_a_guess_and_has_a_gradient(self):
        silent = torch.zeros(5, 3, 4, dtype=F64, requires_grad=True)
        value = CrossEntropyOverTime()(silent, LABELS)
        value.backward()
        assert exp(value.item()) == pytest.approx(4)
        assert silent.grad.abs().min() > 0

    def test_an_empty_batch_costs_nothing(self):
        empty = torch.zeros(4, 0, 3, requires_grad=True)
        value = CrossEntropyOverTime()(empty, torch.zeros(0, dtype=torch.int64))
        value.backward()
        assert value == 0

    def test_moments_must_be_some(self):
        with unchecked(), pytest.raises(ValueError, match="must be a whole number") as caught:
            CrossEntropyOverTime(0)
        assert str(caught.value) == "`moments` of CrossEntropyOverTime must be a whole number >= 1. Got 0."

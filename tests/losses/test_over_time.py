from math import exp, log

import pytest
import torch

import ranvier as rv
from ranvier.losses import CrossEntropyOverTime, MaxOverTimeCrossEntropy, MeanOverTimeCrossEntropy
from tests.neurons.unchecked import unchecked

F64 = torch.float64
LOSSES = (MaxOverTimeCrossEntropy, MeanOverTimeCrossEntropy)


def trace(*samples):
    """[T, B, N] from one [T][N] list per sample."""
    return torch.tensor(samples, dtype=F64).transpose(0, 1).clone().requires_grad_()


def test_the_maximum_is_the_score():
    given = trace([[0.0, 1.0], [2.0, -1.0], [1.0, 0.5]], [[-3.0, -1.0], [-2.0, -5.0], [-4.0, -2.0]])
    loss = MaxOverTimeCrossEntropy()
    assert loss.scores(given).tolist() == [[2.0, 1.0], [-2.0, -1.0]]
    expected = (log(1 + exp(-1)) + log(1 + exp(1))) / 2
    assert loss(given, torch.tensor([0, 0])).item() == pytest.approx(expected, rel=1e-12)


def test_the_mean_is_the_score():
    given = trace([[0.0, 1.0], [2.0, -1.0], [1.0, 0.6]])
    loss = MeanOverTimeCrossEntropy()
    assert loss.scores(given)[0].tolist() == pytest.approx([1.0, 0.2])
    assert loss(given, torch.tensor([1])).item() == pytest.approx(log(1 + exp(0.8)), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_that_of_the_formula(loss):
    given = torch.randn(6, 3, 4, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda output: loss()(output, torch.tensor([0, 3, 1])), (given,))


def test_the_gradient_enters_at_the_maximum():
    given = trace([[0.0, 1.0], [2.0, -1.0], [1.0, 0.5]])
    MaxOverTimeCrossEntropy()(given, torch.tensor([0])).backward()
    p = 1 / (1 + exp(1))
    assert given.grad[:, 0, 0].tolist() == pytest.approx([0.0, -p, 0.0])
    assert given.grad[:, 0, 1].tolist() == pytest.approx([p, 0.0, 0.0])


def test_a_silent_trace_gets_gradient_at_every_step():
    silent = torch.zeros(5, 2, 3, dtype=F64, requires_grad=True)
    value = MaxOverTimeCrossEntropy()(silent, torch.tensor([0, 2]))
    value.backward()
    assert value.item() == pytest.approx(log(3))
    error = torch.tensor([[1 / 3 - 1, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3 - 1]], dtype=F64) / 2
    torch.testing.assert_close(silent.grad, (error / 5).expand(5, 2, 3))


def test_a_silent_network_wakes():
    gradient = rv.Surrogate(rv.SuperSpike())
    hidden = rv.Spiking(4, 8, gradient=gradient, weights=rv.init.normal(0.1, 0.05))
    network = rv.Network(hidden=hidden, out=rv.Readout(8, 2))
    spikes = rv.Spikes.from_dense((torch.rand(20, 3, 4) < 0.3).float(), dt=1e-3)
    with pytest.warns(UserWarning, match="Layer 'hidden' emitted no spike"):
        output, activity = network(spikes)
    assert activity["hidden"].n_events == 0
    assert (output == 0).all()
    MaxOverTimeCrossEntropy()(output, torch.tensor([0, 1, 1])).backward()
    assert network.layers["hidden"].w_in.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_largest_is_predicted_and_ties_are_wrong(loss):
    given = trace([[1.0, 2.0, 0.0]], [[2.0, 2.0, 0.0]], [[2.0, 2.0, 3.0]], [[0.0, 0.0, 0.0]])
    assert loss().predict(given).tolist() == [1, -1, 2, -1]
    assert loss().ties(given) == 2


@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_batch_costs_nothing(loss):
    empty = torch.zeros(4, 0, 3, requires_grad=True)
    value = loss()(empty, torch.zeros(0, dtype=torch.int64))
    value.backward()
    assert value == 0
    assert loss().predict(empty).shape == (0,)
    assert loss().ties(empty) == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("output", "got"),
    [(torch.zeros(2, 3), "[2, 3]"), (torch.zeros(0, 2, 3), "[0, 2, 3]"), ("trace", "str")],
    ids=["matrix", "no-step", "text"],
)
def test_what_is_no_trace_is_refused(loss, output, got):
    with unchecked(), pytest.raises(TypeError) as caught:
        loss()(output, torch.tensor([0, 1]))
    assert str(caught.value) == f"`output` of a trace loss must be traces [time, batch, unit] of a Readout. Got {got}."


class TestContinuousTime:
    """One network and one loss on either engine: on a fine grid both are the same."""

    pairs = [([3e-3, 7e-3, 7e-3, 20e-3], [0, 1, 2, 0]), ([1e-3, 30e-3], [2, 1])]  # noqa: RUF012
    labels = torch.tensor([1, 0])

    def readout(self):
        made = rv.Readout(3, 2, rv.LI(20e-3, 5e-3, (0.1, 0.0), learn=("tau_mem", "tau_syn", "bias"))).double()
        with torch.no_grad():
            made.w_in.copy_(torch.tensor([[3.0, -1.0], [2.0, 5.0], [-2.0, 4.0]]))
        return made

    def run(self, loss, dt):
        made, spikes = self.readout(), rv.Spikes.from_samples(self.pairs, unit_shape=3, duration=0.05, dtype=F64)
        output = made(spikes if dt is None else spikes.on_grid(dt, coincident="sum"))
        value = loss(output, self.labels)
        value.backward()
        return value.item(), {name: value.grad for name, value in made.named_parameters()}, output

    @pytest.mark.parametrize("loss", LOSSES)
    def test_a_finer_grid_comes_closer(self, loss):
        exact, grads, _ = self.run(loss(), None)
        assert all(grad.abs().max() > 1e-3 for grad in grads.values())
        errors = []
        for dt in (1e-3, 0.5e-3, 0.25e-3, 0.125e-3):
            value, found, _ = self.run(loss(), dt)
            apart = [float((found[name] - grads[name]).norm() / grads[name].norm()) for name in grads]
            errors.append(max(abs(value / exact - 1), *apart))
        assert errors[0] < 0.3
        assert errors[-1] < errors[0] / 6

    @pytest.mark.parametrize("loss", LOSSES)
    def test_predictions_and_ties(self, loss):
        _, _, output = self.run(loss(), None)
        assert isinstance(output, rv.ops.membrane.Membrane)
        assert loss().predict(output).tolist() == loss().scores(output).argmax(1).tolist()
        assert loss().ties(output) == 0
        silence = rv.Spikes.from_samples([([], [])], unit_shape=3, duration=0.05, dtype=F64)
        silent = rv.Readout(3, 2).double()(silence)
        assert loss().predict(silent).tolist() == [-1]
        assert loss().ties(silent) == 1

    @pytest.mark.parametrize("loss", LOSSES)
    def test_an_empty_batch_costs_nothing(self, loss):
        spikes = rv.Spikes.from_samples(self.pairs, unit_shape=3, duration=0.05, dtype=F64)[[]]
        value = loss()(self.readout()(spikes), torch.zeros(0, dtype=torch.int64))
        value.backward()
        assert value == 0


@pytest.mark.parametrize("loss", [MaxOverTimeCrossEntropy(), MeanOverTimeCrossEntropy(), CrossEntropyOverTime()])
def test_a_verdict_is_what_its_parts_are(loss):
    generator = torch.Generator().manual_seed(0)
    traces = torch.randn(9, 6, 4, generator=generator, requires_grad=True)
    with torch.no_grad():
        traces[:, 2] = 0.0
    labels = torch.arange(6) % 4
    found = loss.judge(traces, labels)
    assert found.loss == loss(traces, labels)
    assert found.predicted.tolist() == loss.predict(traces).tolist()
    assert found.predicted[2] == -1
    assert found.ties == loss.ties(traces) == 1
    assert found.loss.requires_grad
    assert not found.predicted.requires_grad

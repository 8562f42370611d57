from math import log

import pytest
import torch

import ranvier as rv
from ranvier.losses import FirstSpikeCrossEntropy
from tests.neurons.unchecked import unchecked

INF, F64 = float("inf"), torch.float64


def first(*rows):
    return torch.tensor(rows, dtype=F64, requires_grad=True)


def spikes(*samples, duration=0.1):
    """Spikes from one list of first times per sample, infinite where the unit is silent."""
    pairs = []
    for times in samples:
        order = sorted((time, unit) for unit, time in enumerate(times) if time < INF)
        pairs.append(([time for time, _ in order], [unit for _, unit in order]))
    made = rv.Spikes.from_samples(pairs, unit_shape=len(samples[0]), duration=duration, dtype=F64)
    made.times.requires_grad_()
    return made


class TestTheReferenceValues:
    """Times 10, 10.4, 11 ms, tau_0 0.5 ms, tau_1 6.4 ms, alpha 0.003, label 0."""

    loss = FirstSpikeCrossEntropy(tau_0=0.5e-3, tau_1=6.4e-3, alpha=3e-3)

    def test_value_and_gradient(self):
        times = first([10e-3, 10.4e-3, 11e-3])
        value = self.loss.of_times(times, torch.tensor([0]))
        value.backward()
        assert value.item() == pytest.approx(0.471684753113, abs=5e-13)
        found = (times.grad[0] * 1e-3).tolist()
        assert found == pytest.approx([0.7401392765, -0.5670967397, -0.1708062556], abs=5e-11)

    def test_probabilities(self):
        times = first([10e-3, 10.4e-3, 11e-3])
        p = [
            torch.exp(-FirstSpikeCrossEntropy(alpha=0.0).of_times(times, torch.tensor([label]))).item()
            for label in range(3)
        ]
        assert p == pytest.approx([0.6310485023, 0.2835483699, 0.0854031278], abs=5e-11)

    def test_spikes_give_the_same(self):
        given = spikes([10e-3, 10.4e-3, 11e-3])
        value = self.loss(given, torch.tensor([0]))
        value.backward()
        assert value.item() == pytest.approx(0.471684753113, abs=5e-13)
        assert (given.times.grad * 1e-3).tolist() == pytest.approx(
            [0.7401392765, -0.5670967397, -0.1708062556], abs=5e-11
        )

    def test_later_spikes_of_a_unit_do_not_matter(self):
        pair = ([10e-3, 10.4e-3, 10.5e-3, 11e-3], [0, 1, 0, 2])
        given = rv.Spikes.from_samples([pair], unit_shape=3, duration=0.1, dtype=F64)
        given.times.requires_grad_()
        value = self.loss(given, torch.tensor([0]))
        value.backward()
        assert value.item() == pytest.approx(0.471684753113, abs=5e-13)
        assert given.times.grad[2] == 0


def test_the_gradient_is_that_of_the_formula():
    times = first([10e-3, 10.4e-3, 11e-3, 9.8e-3], [9e-3, 30e-3, INF, 9.1e-3], [1e-3, INF, INF, INF])
    labels = torch.tensor([0, 3, 0])
    finite = times.detach().isfinite()

    def of(present):
        return FirstSpikeCrossEntropy().of_times(
            torch.full_like(times, INF).masked_scatter(finite, present * 1e-3), labels
        )

    assert torch.autograd.gradcheck(of, (times.detach()[finite] * 1e3).requires_grad_())


def test_the_batch_is_averaged():
    rows, labels = ([10e-3, 10.4e-3], [9e-3, 12e-3], [5e-3, 4e-3]), torch.tensor([0, 1, 1])
    loss = FirstSpikeCrossEntropy()
    alone = [loss.of_times(first(row), labels[[i]]) for i, row in enumerate(rows)]
    torch.testing.assert_close(loss.of_times(first(*rows), labels), torch.stack(alone).mean())


def test_a_silent_output_is_left_out_of_the_sum():
    loss, label = FirstSpikeCrossEntropy(), torch.tensor([0])
    times = first([10e-3, 10.4e-3, INF])
    value = loss.of_times(times, label)
    value.backward()
    torch.testing.assert_close(value, loss.of_times(first([10e-3, 10.4e-3]), label))
    assert times.grad[0, 2] == 0
    assert times.grad.isfinite().all()


@pytest.mark.parametrize("row", [(INF, 10e-3, 11e-3), (INF, INF, INF)], ids=["label-silent", "all-silent"])
def test_a_silent_label_gives_a_guess_and_no_gradient(row):
    times = first(row, (10e-3, 10.4e-3, 11e-3))
    value = FirstSpikeCrossEntropy().of_times(times, torch.tensor([0, 0]))
    value.backward()
    alone = FirstSpikeCrossEntropy().of_times(first((10e-3, 10.4e-3, 11e-3)), torch.tensor([0]))
    assert value.item() == pytest.approx((log(3) + alone.item()) / 2)
    assert times.grad[0].tolist() == [0.0] * 3
    assert times.grad[1].abs().sum() > 0
    assert times.grad.isfinite().all()


def test_a_silent_label_counts_as_wrong():
    loss = FirstSpikeCrossEntropy()
    assert loss.predict(spikes([INF, 10e-3, 11e-3])).tolist() == [1]
    assert loss.predict(spikes([INF, INF, INF])).tolist() == [-1]
    assert loss.predict(spikes([INF])).tolist() == [-1]
    assert loss.ties(spikes([INF, INF, INF])) == 0


def test_an_output_layer_without_a_spike():
    silent = spikes([INF, INF], [INF, INF])
    value = FirstSpikeCrossEntropy()(silent, torch.tensor([0, 1]))
    value.backward()
    assert value.item() == pytest.approx(log(2))
    assert silent.times.grad.shape == (0,)


def test_an_empty_batch_costs_nothing():
    empty = spikes([1e-3, 2e-3])[[]]
    value = FirstSpikeCrossEntropy()(empty, torch.zeros(0, dtype=torch.int64))
    value.backward()
    assert value == 0
    assert FirstSpikeCrossEntropy().predict(empty).shape == (0,)
    assert FirstSpikeCrossEntropy().ties(empty) == 0


def test_the_first_is_predicted_and_ties_are_wrong():
    given = spikes([3e-3, 2e-3, 4e-3], [2e-3, 2e-3, 1e-3], [2e-3, 2e-3, 4e-3], [5e-3, 5e-3, 5e-3])
    loss = FirstSpikeCrossEntropy()
    assert loss.predict(given).tolist() == [1, 2, -1, -1]
    assert loss.ties(given) == 2
    found = loss.judge(given, torch.tensor([1, 0, 2, 1]))
    assert found.predicted.tolist() == [1, 2, -1, -1]
    assert found.ties == 2
    assert found.loss == loss(given, torch.tensor([1, 0, 2, 1]))
    with pytest.raises(ValueError, match="`output` of FirstSpikeCrossEntropy must have times that carry gradient"):
        loss.judge(given._with(times=given.times.detach()), torch.tensor([1, 0, 2, 1]))


def test_float32_is_enough_for_the_reference():
    times = first([10e-3, 10.4e-3, 11e-3]).detach().float()
    value = FirstSpikeCrossEntropy().of_times(times, torch.tensor([0]))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(0.471684753113, rel=1e-5)


class TestTimesWithoutGradient:
    given = rv.Spikes.from_samples([([1e-3], [0])], unit_shape=2, duration=0.1)

    def test_are_refused_in_training(self):
        with pytest.raises(
            ValueError, match=r"^`output` of FirstSpikeCrossEntropy must have times that carry gradient"
        ):
            FirstSpikeCrossEntropy()(self.given, torch.tensor([0]))

    def test_are_welcome_in_evaluation(self):
        with torch.no_grad():
            assert FirstSpikeCrossEntropy()(self.given, torch.tensor([0])).isfinite()


RULES = [
    ({"tau_0": 0.0}, "`tau_0` of FirstSpikeCrossEntropy must be > 0 s. Got 0.0."),
    ({"tau_1": -1.0}, "`tau_1` of FirstSpikeCrossEntropy must be > 0 s. Got -1.0."),
    ({"tau_1": INF}, "`tau_1` of FirstSpikeCrossEntropy must be finite. Got inf."),
    ({"alpha": -1.0}, "`alpha` of FirstSpikeCrossEntropy must be >= 0. Got -1.0."),
]


@pytest.mark.parametrize(("values", "message"), RULES, ids=lambda value: str(value)[:30])
def test_a_broken_rule_is_named(values, message):
    with pytest.raises(ValueError, match="FirstSpikeCrossEntropy") as caught:
        FirstSpikeCrossEntropy(**values)
    assert str(caught.value) == message


def test_traces_are_refused():
    with unchecked(), pytest.raises(TypeError) as caught:
        FirstSpikeCrossEntropy()(torch.zeros(3, 1, 2), torch.tensor([0]))
    assert str(caught.value) == "`output` of a first-spike loss must be a Spiking layer's Spikes. Got Tensor."

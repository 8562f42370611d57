"""Mean squared error on differences of first spike times."""

import pytest
import torch

import ranvier as rv
from ranvier.losses import DeltaMSE
from tests.losses.test_first_spike import INF, first, spikes
from tests.neurons.unchecked import unchecked


def test_the_reference_values():
    times = first([1.0, 1.1, 1.5])
    value = DeltaMSE(0.2).of_times(times, torch.tensor([0]))
    value.backward()
    assert value.item() == pytest.approx(0.05, abs=1e-15)
    assert times.grad[0].tolist() == pytest.approx([-0.2, -0.1, 0.3], abs=1e-15)


def test_spikes_give_the_same_and_the_unit_scales():
    given = spikes([10e-3, 11e-3, 15e-3])
    value = DeltaMSE(2e-3, unit=10e-3)(given, torch.tensor([0]))
    value.backward()
    assert value.item() == pytest.approx(0.05, abs=1e-14)
    assert (given.times.grad * 10e-3).tolist() == pytest.approx([-0.2, -0.1, 0.3], abs=1e-14)


def test_the_gradient_is_that_of_the_formula():
    times = first([10.0, 10.4, 11.0, 9.8], [9.0, 30.0, INF, 9.1], [1.0, INF, INF, INF], [INF, 1.0, 2.0, 3.0])
    finite = times.detach().isfinite()

    def of(present):
        given = torch.full_like(times, INF).masked_scatter(finite, present)
        return DeltaMSE(0.7).of_times(given, torch.tensor([0, 3, 0, 0]))

    assert torch.autograd.gradcheck(of, (times.detach()[finite].requires_grad_(),))


def test_the_batch_is_averaged():
    rows, labels = ([10.0, 10.4], [9.0, 12.0], [5.0, INF]), torch.tensor([0, 1, 1])
    loss = DeltaMSE(0.2)
    alone = [loss.of_times(first(row), labels[[i]]) for i, row in enumerate(rows)]
    torch.testing.assert_close(loss.of_times(first(*rows), labels), torch.stack(alone).mean())


def test_a_silent_wrong_output_is_left_out():
    times = first([1.0, 1.1, INF])
    value = DeltaMSE(0.2).of_times(times, torch.tensor([0]))
    value.backward()
    assert value.item() == pytest.approx(0.005)
    assert times.grad[0].tolist() == pytest.approx([0.1, -0.1, 0.0])


@pytest.mark.parametrize("row", [(INF, 1.0, 1.1), (INF, INF, INF)], ids=["label-silent", "all-silent"])
def test_a_silent_label_gives_the_loss_of_a_tie_and_no_gradient(row):
    times = first(row)
    value = DeltaMSE(0.2).of_times(times, torch.tensor([0]))
    value.backward()
    tie = DeltaMSE(0.2).of_times(first([1.0, 1.0, 1.0]), torch.tensor([0]))
    assert value.item() == pytest.approx(tie.item()) == pytest.approx(0.04)
    assert times.grad[0].tolist() == [0.0] * 3


def test_the_first_is_predicted_and_ties_are_wrong():
    given = spikes([3e-3, 2e-3, 4e-3], [2e-3, 2e-3, 4e-3], [INF, INF, INF])
    assert DeltaMSE(1e-3).predict(given).tolist() == [1, -1, -1]
    assert DeltaMSE(1e-3).ties(given) == 1


def test_an_empty_batch_costs_nothing():
    empty = spikes([1e-3, 2e-3])[[]]
    value = DeltaMSE(1e-3)(empty, torch.zeros(0, dtype=torch.int64))
    value.backward()
    assert value == 0


def test_training_moves_the_others_to_their_distance():
    times = first([1.0, 0.9, 3.0])
    optimiser = torch.optim.SGD([times], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        DeltaMSE(0.2).of_times(times, torch.tensor([0])).backward()
        optimiser.step()
    assert (times[0, 1:] - times[0, 0]).tolist() == pytest.approx([0.2, 0.2], abs=1e-9)


RULES = [
    (lambda: DeltaMSE(0.0), ValueError, "`delta` of DeltaMSE must be > 0 s. Got 0.0."),
    (lambda: DeltaMSE(1e-3, unit=-1.0), ValueError, "`unit` of DeltaMSE must be > 0 s. Got -1.0."),
    (
        lambda: DeltaMSE(1e-3)(torch.zeros(3, 1, 2), torch.tensor([0])),
        TypeError,
        "`output` of a first-spike loss must be a Spiking layer's Spikes. Got Tensor.",
    ),
    (
        lambda: DeltaMSE(1e-3)(rv.Spikes.from_samples([([1e-3], [0])], unit_shape=2, duration=0.1), torch.tensor([0])),
        ValueError,
        "`output` of DeltaMSE must have times that carry gradient: train its layer with EventProp(). "
        "Got times without gradient.",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:40] for rule in RULES])
def test_a_broken_rule_is_named(make, error, message):
    with unchecked(), pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message

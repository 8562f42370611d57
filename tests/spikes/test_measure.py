from dataclasses import replace

import pytest
import torch

from ranvier.spikes import Spikes, Support


def spikes(times=(0.1, 0.2, 0.2, 0.3), amplitudes=(1.0, 2.0, 1.0, 0.5), **changes):
    """Sample 0: units 0, 1, 1, 0; sample 1: silent."""
    values = {
        "units": torch.tensor([0, 1, 1, 0]).int(),
        "times": torch.tensor(times, dtype=torch.float64),
        "amplitudes": torch.tensor(amplitudes, dtype=torch.float64),
        "offsets": torch.tensor([0, 4, 4]),
        "unit_shape": (3,),
        "duration": 0.5,
    }
    return Spikes(**(values | changes))


def gridded(**changes):
    return spikes(steps=torch.tensor([1, 2, 2, 3]).int(), dt=0.1, **changes)


class TestCounts:
    def test_sums_the_amplitudes_where_no_marks_are(self):
        assert spikes().counts().tolist() == [[1.5, 3.0, 0.0], [0.0, 0.0, 0.0]]

    def test_sums_the_marks_where_they_are_and_gives_the_gradient_to_them_alone(self):
        marks = torch.ones(4, dtype=torch.float64, requires_grad=True)
        activity = spikes(marks=marks)
        activity.amplitudes.requires_grad_()
        counts = activity.counts()
        assert counts.tolist() == [[2.0, 2.0, 0.0], [0.0, 0.0, 0.0]]
        (counts * torch.tensor([[5.0, 7.0, 9.0], [1.0, 1.0, 1.0]])).sum().backward()
        assert marks.grad.tolist() == [5.0, 7.0, 7.0, 5.0]
        assert activity.amplitudes.grad is None

    def test_the_gradient_reaches_amplitudes(self):
        activity = spikes()
        activity.amplitudes.requires_grad_()
        activity.counts()[0, 1].backward()
        assert activity.amplitudes.grad.tolist() == [0.0, 1.0, 1.0, 0.0]

    def test_the_gradient_reaches_every_cell_of_a_dense_support(self):
        zeros = torch.zeros(5, 2, 3, dtype=torch.float64, requires_grad=True)
        counts = gridded(support=Support(zeros)).counts()
        assert torch.equal(counts, spikes().counts())
        weights = torch.arange(6.0, dtype=torch.float64).view(2, 3)
        (counts * weights).sum().backward()
        assert torch.equal(zeros.grad, weights.expand(5, 2, 3))

    def test_the_gradient_reaches_a_compact_support(self):
        zeros = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        support = Support(zeros, torch.tensor([2, 1, 2]).int(), torch.tensor([0, 0, 4]).int(), torch.tensor([0, 1, 3]))
        counts = gridded(support=support).counts()
        assert torch.equal(counts, spikes().counts())
        (counts * torch.arange(6.0).view(2, 3)).sum().backward()
        assert zeros.grad.tolist() == [2.0, 4.0, 5.0]

    def test_marks_keep_a_rate_penalty_away_from_the_support(self):
        zeros = torch.zeros(5, 2, 3, dtype=torch.float64, requires_grad=True)
        marks = torch.ones(4, dtype=torch.float64, requires_grad=True)
        gridded(support=Support(zeros), marks=marks).counts().sum().backward()
        assert zeros.grad is None

    def test_rates_are_counts_per_second(self):
        assert spikes().rates().tolist() == [[3.0, 6.0, 0.0], [0.0, 0.0, 0.0]]

    def test_a_raster_with_gradient_counts_with_one_gradient_per_cell(self):
        raster = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]], dtype=torch.float64, requires_grad=True)
        Spikes.from_dense(raster, dt=0.1).counts().sum().backward()
        assert torch.equal(raster.grad, torch.ones_like(raster))


class TestFirstTimes:
    def test_is_the_earliest_time_and_infinite_where_silent(self):
        inf = float("inf")
        assert spikes().first_times().tolist() == [[0.1, 0.2, inf], [inf, inf, inf]]

    def test_the_gradient_goes_to_the_first_spike_only_also_at_a_tie(self):
        activity = spikes()
        activity.times.requires_grad_()
        first = activity.first_times()
        first[first.isfinite()].sum().backward()
        assert activity.times.grad.tolist() == [1.0, 1.0, 0.0, 0.0]

    def test_a_silent_unit_gives_zero_gradient_not_nan(self):
        activity = spikes()
        activity.times.requires_grad_()
        activity.first_times().neg().exp().sum().backward()
        expected = [-torch.tensor(-0.1).exp().item(), -torch.tensor(-0.2).exp().item(), 0.0, 0.0]
        assert activity.times.grad.tolist() == pytest.approx(expected)

    def test_a_bad_gradient_of_a_silent_unit_stays_there(self):
        activity = spikes()
        activity.times.requires_grad_()
        activity.first_times().backward(torch.tensor([[1.0, 1.0, float("nan")], [float("inf")] * 3]).double())
        assert activity.times.grad.tolist() == [1.0, 1.0, 0.0, 0.0]

    def test_a_silent_batch(self):
        silent = Spikes.from_samples([([], []), ([], [])], unit_shape=3, duration=1.0)
        assert silent.first_times().isinf().all()
        assert silent.counts().tolist() == [[0.0] * 3] * 2
        assert silent[[]].first_times().shape == silent[[]].counts().shape == (0, 3)


@pytest.mark.parametrize("measure", ["counts", "rates", "first_times"])
@pytest.mark.parametrize("kind", ["marks", "dense", "compact", "plain"])
def test_nothing_waits_for_a_device(measure, kind):
    """A meta tensor has no values: whoever reads one, raises."""
    compact = Support(torch.zeros(1).double(), torch.ones(1).int(), torch.ones(1).int(), torch.tensor([0, 1, 1]))
    changes = {
        "marks": {"marks": torch.ones(4).double()},
        "dense": {"support": Support(torch.zeros(5, 2, 3).double())},
        "compact": {"support": compact},
        "plain": {},
    }
    activity = gridded(**changes[kind])
    assert getattr(activity.to("meta"), measure)().shape == (2, 3)


def test_shapes_do_not_depend_on_the_shape_of_the_units():
    assert replace(spikes(), unit_shape=(1, 3)).counts().shape == (2, 3)

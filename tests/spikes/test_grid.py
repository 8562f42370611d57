from dataclasses import replace

import pytest
import torch

from ranvier.spikes import Record, Spikes, Support


def one_sample(times, units, amplitudes=None, duration=1.0, dtype=torch.float64, unit_shape=3):
    times = torch.tensor(times, dtype=dtype)
    return Spikes.from_events(
        torch.zeros(times.numel(), dtype=torch.int64),
        times,
        torch.tensor(units),
        n_samples=1,
        unit_shape=unit_shape,
        duration=duration,
        amplitudes=None if amplitudes is None else torch.tensor(amplitudes, dtype=dtype),
    )


def test_every_float32_time_of_a_grid_returns_to_its_step():
    steps = torch.arange(10_000)
    for dt in (1e-3, 2e-3, 3e-4):
        times = (steps.double() * dt).float()
        assert ((times / dt).floor() != steps).any(), "float32 floor would pass: the test says nothing"
        spikes = one_sample(times.tolist(), [0] * 10_000, duration=10_000 * dt, dtype=torch.float32)
        gridded = spikes.on_grid(dt, coincident="sum")
        assert torch.equal(gridded.steps.long(), steps)
        assert torch.equal(gridded.times, times)
        assert gridded.record.dropped == 0


def test_a_half_way_event_goes_to_the_even_step():
    half_way = one_sample([0.125, 0.375, 0.625], [0, 0, 0]).on_grid(0.25, coincident="sum")
    assert half_way.steps.tolist() == [0, 2]
    assert half_way.amplitudes.tolist() == [1.0, 2.0]


def test_the_nearest_step_wins_on_either_side_of_half_way():
    near = one_sample([0.1249, 0.1251, 0.3749, 0.3751], [0, 1, 0, 1]).on_grid(0.25, coincident="sum")
    assert (near.steps.tolist(), near.units.tolist()) == ([0, 1, 1, 2], [0, 0, 1, 1])


def test_an_event_that_rounds_past_the_last_step_is_dropped_and_counted():
    spikes = one_sample([0.3, 0.86, 0.88, 1.0], [0, 0, 0, 1])
    spikes.times.requires_grad_()
    gridded = spikes.on_grid(0.25, coincident="sum")
    assert (gridded.steps.tolist(), gridded.n_steps) == ([1, 3], 4)
    assert gridded.record.dropped == 2
    assert gridded.on_grid(0.25, coincident="sum").record.dropped == 2
    gridded.times.sum().backward()
    assert spikes.times.grad.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_the_grid_is_a_whole_number_of_steps_near_the_duration():
    gridded = one_sample([0.1], [0]).on_grid(0.3, coincident="sum")
    assert (gridded.n_steps, gridded.dt) == (3, 0.3)
    assert gridded.duration == pytest.approx(0.9)
    assert one_sample([0.1], [0]).on_grid(0.8, coincident="sum").n_steps == 1


def test_samples_stay_apart_and_units_ascend_within_a_step():
    samples = [([0.1, 0.11, 0.12], [2, 0, 2]), ([], []), ([0.1], [2])]
    spikes = Spikes.from_samples(samples, unit_shape=3, duration=1.0)
    gridded = spikes.on_grid(0.1, coincident="sum")
    assert gridded.offsets.tolist() == [0, 2, 2, 3]
    assert gridded.units.tolist() == [0, 2, 2]
    assert gridded.amplitudes.tolist() == [1.0, 2.0, 1.0]
    replace(gridded)


class TestCoincident:
    def test_sum_adds_amplitudes_and_shares_gradients_by_amplitude(self):
        spikes = one_sample([0.1, 0.11, 0.12, 0.5], [1, 1, 1, 0], amplitudes=[1.0, 2.0, 1.0, 3.0])
        spikes.times.requires_grad_()
        spikes.amplitudes.requires_grad_()
        gridded = spikes.on_grid(0.1, coincident="sum")
        assert gridded.amplitudes.tolist() == [4.0, 3.0]
        assert gridded.times.tolist() == pytest.approx([0.1, 0.5])
        (gridded.times * torch.tensor([8.0, 5.0])).sum().backward()
        assert spikes.times.grad.tolist() == [2.0, 4.0, 2.0, 5.0]
        (gridded.amplitudes * torch.tensor([7.0, 5.0])).sum().backward()
        assert spikes.amplitudes.grad.tolist() == [7.0, 7.0, 7.0, 5.0]

    def test_sum_agrees_with_what_a_linear_consumer_would_give_each_event(self):
        """A consumer's dL/dt of an event is its amplitude times a function of its place."""
        spikes = one_sample([0.1, 0.12], [0, 0], amplitudes=[3.0, -1.0])
        spikes.times.requires_grad_()
        gridded = spikes.on_grid(0.1, coincident="sum")
        place = 0.7
        gridded.times.backward(gridded.amplitudes.detach() * place)
        assert spikes.times.grad.tolist() == pytest.approx([3.0 * place, -1.0 * place])

    def test_amplitudes_that_cancel_give_no_nan(self):
        spikes = one_sample([0.1, 0.12], [0, 0], amplitudes=[1.0, -1.0])
        spikes.times.requires_grad_()
        gridded = spikes.on_grid(0.1, coincident="sum")
        assert gridded.amplitudes.tolist() == [0.0]
        gridded.times.sum().backward()
        assert spikes.times.grad.tolist() == [0.0, 0.0]

    def test_one_keeps_the_first_and_its_gradient(self):
        spikes = one_sample([0.1, 0.12, 0.5], [1, 1, 0], amplitudes=[0.5, 2.0, 3.0])
        spikes.times.requires_grad_()
        spikes.amplitudes.requires_grad_()
        gridded = spikes.on_grid(0.1, coincident="one")
        assert gridded.amplitudes.tolist() == [0.5, 3.0]
        assert gridded.record.dropped == 0
        (gridded.times.sum() + 2 * gridded.amplitudes.sum()).backward()
        assert spikes.times.grad.tolist() == [1.0, 0.0, 1.0]
        assert spikes.amplitudes.grad.tolist() == [2.0, 0.0, 2.0]

    @pytest.mark.parametrize(("coincident", "expected"), [("sum", [3.0, 1.0]), ("one", [1.0, 1.0])])
    def test_marks_come_along(self, coincident, expected):
        spikes = replace(one_sample([0.1, 0.11, 0.12, 0.5], [1, 1, 1, 0]), marks=torch.ones(4).double())
        assert spikes.on_grid(0.1, coincident=coincident).marks.tolist() == expected


class TestFromAnotherGrid:
    def test_the_same_grid_is_the_identity(self):
        steps = torch.arange(1000)
        spikes = one_sample((steps * 1e-3).tolist(), [0] * 1000, dtype=torch.float32)
        once = spikes.on_grid(1e-3, coincident="sum")
        twice = once.on_grid(1e-3, coincident="sum")
        for name in ("units", "times", "amplitudes", "steps", "offsets"):
            assert torch.equal(getattr(once, name), getattr(twice, name))

    def test_a_coarser_grid_is_reached_from_the_steps_not_from_float32_times(self):
        fine = one_sample((torch.arange(999) * 1e-3).tolist(), list(range(999)), unit_shape=999, dtype=torch.float32)
        fine = fine.on_grid(1e-3, coincident="sum")
        coarse = fine.on_grid(2e-3, coincident="sum")
        half_to_even = (fine.steps.double() / 2).round()
        assert torch.equal(coarse.steps[coarse.units.argsort()].double(), half_to_even)

    def test_the_gradient_passes_through_both(self):
        spikes = one_sample([0.11, 0.13, 0.5], [0, 0, 0])
        spikes.times.requires_grad_()
        gridded = spikes.on_grid(0.01, coincident="sum").on_grid(0.1, coincident="sum")
        (gridded.times * torch.tensor([2.0, 3.0])).sum().backward()
        assert spikes.times.grad.tolist() == [1.0, 1.0, 3.0]


def test_times_without_gradient_get_none():
    assert not one_sample([0.1], [0]).on_grid(0.1, coincident="sum").times.requires_grad


@pytest.mark.parametrize("coincident", ["sum", "one"])
def test_empty_batches_and_silent_samples(coincident):
    silent = Spikes.from_samples([([], []), ([], [])], unit_shape=3, duration=1.0)
    assert silent.on_grid(0.1, coincident=coincident).offsets.tolist() == [0, 0, 0]
    assert silent[[]].on_grid(0.1, coincident=coincident).n_samples == 0
    late = one_sample([1.0], [0]).on_grid(0.1, coincident=coincident)
    assert (late.n_events, late.record) == (0, Record("input", 0, 1))


WRONG = {
    "coincident": (
        ValueError,
        "`coincident` of on_grid must be 'sum' or 'one'. Got 'max'.",
        {"coincident": "max"},
    ),
    "dt-zero": (
        ValueError,
        "`dt` of on_grid must be > 0 s and at most the duration, 1.0 s. Got 0.0.",
        {"dt": 0.0},
    ),
    "dt-negative": (ValueError, "at most the duration, 1.0 s. Got -0.1.", {"dt": -0.1}),
    "dt-nan": (ValueError, "at most the duration, 1.0 s. Got nan.", {"dt": float("nan")}),
    "dt-long": (ValueError, "at most the duration, 1.0 s. Got 2.0.", {"dt": 2.0}),
    "dt-tiny": (
        ValueError,
        "`dt` of on_grid must give fewer than 2**30 steps. Got 1e-10 s in 1.0 s.",
        {"dt": 1e-10},
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "changes"), WRONG.values(), ids=WRONG)
def test_a_grid_that_cannot_be_is_named(error, message, changes):
    with pytest.raises(error) as caught:
        one_sample([0.1], [0]).on_grid(**({"dt": 0.1, "coincident": "sum"} | changes))
    assert message in str(caught.value)


def test_the_activity_of_a_surrogate_layer_is_refused():
    spikes = replace(one_sample([0.1], [0]).on_grid(0.1, coincident="sum"), support=Support(torch.zeros(10, 1, 3)))
    with pytest.raises(ValueError, match=r"not the activity of a surrogate layer. Got spikes with support."):
        spikes.on_grid(0.2, coincident="sum")

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.spikes import Spikes, Support

steady = settings(derandomize=True, database=None, deadline=None, max_examples=40)


def continuous(dtype=torch.float64):
    samples = [([0.1, 0.2, 0.2, 0.9], [0, 1, 2, 0]), ([], []), ([0.3, 0.35], [1, 0])]
    return Spikes.from_samples(samples, unit_shape=3, duration=1.0, dtype=dtype)


def gridded(dtype=torch.float64):
    return continuous(dtype).on_grid(0.05, coincident="sum")


def assert_equal(spikes, other):
    for name in ("units", "times", "amplitudes", "steps", "offsets", "marks"):
        value, expected = getattr(spikes, name), getattr(other, name)
        assert value is expected is None or torch.equal(value, expected), name
    assert (spikes.record, spikes.duration, spikes.dt) == (other.record, other.duration, other.dt)


@pytest.mark.parametrize("make", [continuous, gridded], ids=["continuous", "gridded"])
@pytest.mark.parametrize("zero", [0.0, torch.zeros(()), torch.zeros(3)], ids=["number", "scalar", "per-unit"])
def test_a_zero_delay_is_the_identity(make, zero):
    spikes = replace(make(), marks=torch.arange(6.0, dtype=torch.float64))
    assert_equal(spikes.delayed(zero), spikes)


@pytest.mark.parametrize("zero", [0.0, torch.zeros(1)], ids=["number", "per-unit"])
def test_a_zero_delay_keeps_an_event_at_the_end_of_the_window(zero):
    spikes = Spikes.from_samples([([0.1], [0])], unit_shape=1, duration=0.1)
    assert float(spikes.times) > 0.1, "rounding down would say nothing"
    assert spikes.delayed(zero).n_events == 1
    within_rounding = Spikes.from_samples([([1.0 + 5e-7], [0])], unit_shape=1, duration=1.0, dtype=torch.float64)
    assert within_rounding.delayed(zero).n_events == 1


def test_one_delay_moves_all_and_the_past_of_the_window_is_left_out_and_counted():
    late = continuous().delayed(0.25)
    assert late.times.tolist() == pytest.approx([0.35, 0.45, 0.45, 0.55, 0.6])
    assert late.units.tolist() == [0, 1, 2, 1, 0]
    assert late.offsets.tolist() == [0, 3, 3, 5]
    assert late.record.dropped == 1
    assert late.delayed(0.5).record.dropped == 3


@pytest.mark.parametrize("make", [continuous, gridded], ids=["continuous", "gridded"])
def test_a_delay_per_unit_restores_the_order(make):
    spikes = replace(make(), marks=torch.arange(6.0, dtype=torch.float64))
    late = spikes.delayed(torch.tensor([0.0, 0.3, 0.0]))
    assert late.times.tolist() == pytest.approx([0.1, 0.2, 0.5, 0.9, 0.35, 0.6])
    assert late.units.tolist() == [0, 2, 1, 0, 0, 1]
    assert late.offsets.tolist() == [0, 4, 4, 6]
    assert late.marks.tolist() == [0, 2, 1, 3, 5, 4]
    replace(late)


@pytest.mark.parametrize("make", [continuous, gridded], ids=["continuous", "gridded"])
def test_events_at_one_time_keep_their_order(make):
    late = make().delayed(torch.tensor([0.1, 0.0, 0.0], dtype=torch.float64))
    assert late.units.tolist()[:3] == [0, 1, 2]


def test_on_a_grid_delays_round_to_the_nearest_step_in_float64():
    steps = [int(gridded(torch.float32).delayed(delay).steps[0]) - 2 for delay in (0.024, 0.026, 0.074, 0.076)]
    assert steps == [0, 1, 1, 2]
    fine = Spikes.from_samples([([0.0], [0])], unit_shape=1, duration=20.0).on_grid(1e-3, coincident="sum")
    delays = torch.arange(0, 20_000, 37)
    assert [int(fine.delayed(float(k) * 1e-3).steps) for k in delays] == delays.tolist()
    assert int(fine.delayed(0.0055).steps) == 6, "half-way in float64; below half-way in float32"


def test_on_a_grid_times_are_steps_times_dt():
    late = gridded(torch.float32).delayed(torch.tensor([0.07, 0.01, 0.02]))
    assert torch.equal(late.times, (late.steps.double() * late.dt).float())


@pytest.mark.parametrize("make", [continuous, gridded], ids=["continuous", "gridded"])
def test_the_gradient_reaches_times_and_delays_and_is_zero_past_the_window(make):
    spikes = make()
    spikes.times.requires_grad_()
    delay = torch.tensor([0.15, 0.3, 0.0], requires_grad=True)
    late = spikes.delayed(delay)
    assert late.units.tolist() == [2, 0, 1, 0, 1]
    late.times.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64))
    assert spikes.times.grad.tolist() == [2.0, 3.0, 1.0, 0.0, 5.0, 4.0]
    assert delay.grad.tolist() == [6.0, 8.0, 1.0]


@pytest.mark.parametrize("make", [continuous, gridded], ids=["continuous", "gridded"])
def test_one_delay_for_all_collects_every_gradient(make):
    delay = torch.tensor(0.15, requires_grad=True)
    make().delayed(delay).times.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64))
    assert delay.grad.item() == 15.0


def test_the_gradient_of_amplitudes_and_marks_follows_its_event():
    spikes = gridded()
    spikes.amplitudes.requires_grad_()
    late = spikes.delayed(torch.tensor([0.15, 0.3, 0.0]))
    late.amplitudes.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64))
    assert spikes.amplitudes.grad.tolist() == [2.0, 3.0, 1.0, 0.0, 5.0, 4.0]


@pytest.mark.parametrize("delay", [1e9, 1e30, torch.tensor([1e30, 1e9, 2.0])], ids=["1e9", "1e30", "per-unit"])
@pytest.mark.parametrize("make", [continuous, gridded], ids=["continuous", "gridded"])
def test_a_delay_past_every_window_leaves_silence(make, delay):
    late = make().delayed(delay)
    assert (late.n_events, late.record.dropped, late.offsets.tolist()) == (0, 6, [0, 0, 0, 0])


def test_empty_batches():
    for spikes in (continuous()[[]], gridded()[[]], continuous()[1], gridded()[1]):
        late = spikes.delayed(torch.tensor([0.1, 0.2, 0.3]))
        assert (late.n_events, late.n_samples) == (0, spikes.n_samples)


NAN, INF = float("nan"), float("inf")
WRONG = {
    "negative": (ValueError, "`delay` of delayed must be finite and >= 0 s. Got -0.25.", -0.25),
    "nan": (ValueError, "`delay` of delayed must be finite and >= 0 s. Got nan.", NAN),
    "inf": (ValueError, "`delay` of delayed must be finite and >= 0 s. Got inf.", INF),
    "unit-negative": (ValueError, ">= 0 s. Got -0.5 at unit 1.", torch.tensor([0.0, -0.5, NAN])),
    "unit-nan": (ValueError, ">= 0 s. Got nan at unit 2.", torch.tensor([0.0, 0.5, NAN])),
    "length": (
        ValueError,
        "`delay` of delayed must be one number or one per unit, (3,). Got (2,).",
        torch.zeros(2),
    ),
    "one-entry": (ValueError, "one per unit, (3,). Got (1,).", torch.zeros(1)),
    "axes": (ValueError, "one per unit, (3,). Got (1, 3).", torch.zeros(1, 3)),
    "complex": (
        TypeError,
        "`delay` of delayed must be seconds, a number or a tensor. Got a complex64 tensor.",
        torch.zeros(3, dtype=torch.complex64),
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "delay"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("make", [continuous, gridded], ids=["continuous", "gridded"])
def test_a_delay_that_cannot_be_is_named(error, message, delay, make):
    with pytest.raises(error) as caught:
        make().delayed(delay)
    assert message in str(caught.value)


@st.composite
def activities(draw):
    """A raster [T, B, N], delays of 0 to T+1 steps (one or per unit), and whether the support is compact."""
    n_steps, n_samples, n_units = draw(st.integers(1, 6)), draw(st.integers(0, 3)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    shape = (n_steps, n_samples, n_units)
    raster = torch.randn(shape, generator=generator, dtype=torch.float64)
    raster = raster * (torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0])))
    per_unit = st.lists(st.integers(0, n_steps + 1), min_size=n_units, max_size=n_units)
    steps = draw(st.one_of(st.integers(0, n_steps + 1), per_unit))
    return raster, torch.tensor(steps), draw(st.booleans())


def later_raster(raster, steps):
    """The oracle: each unit's column moves down, what falls off the end is gone."""
    n_steps = raster.shape[0]
    columns = []
    for unit, shift in enumerate(steps.expand(raster.shape[2]).tolist()):
        column = torch.zeros_like(raster[..., unit])
        if shift < n_steps:
            column = torch.cat([column[:shift], raster[: n_steps - shift, :, unit]])
        columns.append(column)
    return torch.stack(columns, dim=2)


def with_compact_support(spikes, raster):
    """The same activity, but only every other silent cell carries gradient."""
    silent = raster.detach() == 0
    silent.view(-1)[::2] = False
    sample, step, unit = silent.transpose(0, 1).nonzero(as_tuple=True)
    offsets = torch.searchsorted(sample, torch.arange(raster.shape[1] + 1))
    return replace(spikes, support=Support(raster[step, sample, unit], unit.int(), step.int(), offsets)), (
        raster.detach() != 0
    ) | silent


@given(activities())
@steady
def test_spikes_support_and_gradients_move_as_the_dense_raster_does(activity):
    raster, steps, compact = activity
    raster.requires_grad_()
    spikes = Spikes.from_dense(raster, dt=0.01)
    alive = torch.ones_like(raster, dtype=torch.bool)
    if compact:
        spikes, alive = with_compact_support(spikes, raster)
    late = spikes.delayed(steps * 0.01)
    replace(late)
    expected = later_raster(raster, steps) + 0.0 * raster.sum()
    assert torch.equal(late.to_dense(), expected)
    assert late.record.dropped == spikes.n_events - late.n_events == int((raster != 0).sum() - (expected != 0).sum())

    weights = torch.randn(raster.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((late.to_dense() * weights).sum(), raster, retain_graph=True)
    (oracle,) = torch.autograd.grad((expected * weights).sum(), raster)
    assert torch.equal(gradient, oracle * alive)

    (gradient,) = torch.autograd.grad(late.counts().sum(), raster, retain_graph=True)
    kept = torch.autograd.grad(late.amplitudes.sum(), raster, retain_graph=True)[0]
    cells = torch.autograd.grad(late.support.values.sum(), raster)[0]
    assert torch.equal(gradient, kept + cells)


def test_a_gradient_past_the_window_does_not_leak_not_even_nan():
    raster = torch.zeros(3, 1, 1, requires_grad=True)
    late = Spikes.from_dense(raster, dt=0.1).delayed(0.2)
    late.support.values.backward(torch.tensor([1.0, 1.0, NAN]).view(3, 1, 1))
    assert raster.grad[0].isnan().all()
    assert raster.grad[1:].flatten().tolist() == [0.0, 0.0]
    assert late.support.values.stride() == (0, 0, 0)

import pytest
import torch

from ranvier.data import Augmentations, DropEvents, JitterTimes, ShiftUnits, StretchTime
from ranvier.spikes import Spikes, Support


def many(n_samples: int = 50, per_sample: int = 200) -> Spikes:
    n_events = n_samples * per_sample
    generator = torch.Generator().manual_seed(3)
    times = torch.rand(n_samples, per_sample, generator=generator).sort(1).values.reshape(-1) * 0.1
    return Spikes(
        units=torch.randint(0, 7, (n_events,), generator=generator, dtype=torch.int32),
        times=times,
        amplitudes=torch.arange(n_events, dtype=torch.float32),
        offsets=torch.arange(n_samples + 1) * per_sample,
        unit_shape=(7,),
        duration=0.1,
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rebuilt(spikes: Spikes) -> Spikes:
    """Through the validating constructor, which refuses offsets, order or steps that do not fit."""
    return Spikes(
        units=spikes.units,
        times=spikes.times,
        amplitudes=spikes.amplitudes,
        offsets=spikes.offsets,
        unit_shape=spikes.unit_shape,
        duration=spikes.duration,
        steps=spikes.steps,
        dt=spikes.dt,
    )


def test_removes_the_share_it_was_told_to():
    spikes = many()
    kept = DropEvents(0.2)(spikes, seeded()).n_events / spikes.n_events
    assert kept == pytest.approx(0.8, abs=4 * (0.2 * 0.8 / spikes.n_events) ** 0.5)


@pytest.mark.parametrize("dt", [None, 1e-3])
def test_what_stays_is_unchanged_and_in_its_sample(dt):
    spikes = many() if dt is None else many().on_grid(dt, coincident="one")
    kept = rebuilt(DropEvents(0.3)(spikes, seeded()))
    assert 0 < kept.n_events < spikes.n_events
    assert len(kept) == len(spikes)
    position = {amplitude: event for event, amplitude in enumerate(spikes.amplitudes.tolist())}
    events = torch.tensor([position[amplitude] for amplitude in kept.amplitudes.tolist()])
    assert torch.equal(kept.times, spikes.times[events])
    assert torch.equal(kept.units, spikes.units[events])
    if dt is not None:
        assert kept.steps is not None
        assert spikes.steps is not None
        assert torch.equal(kept.steps, spikes.steps[events])
    for sample in range(len(spikes)):
        span = events[kept.offsets[sample] : kept.offsets[sample + 1]]
        assert bool(((span >= spikes.offsets[sample]) & (span < spikes.offsets[sample + 1])).all())


def test_the_generator_decides():
    spikes, drop = many(), DropEvents(0.5)
    first, same, other = drop(spikes, seeded(1)), drop(spikes, seeded(1)), drop(spikes, seeded(2))
    assert torch.equal(first.amplitudes, same.amplitudes)
    assert not torch.equal(first.amplitudes[:100], other.amplitudes[:100])


def test_events_are_dropped_independently():
    spikes, generator = many(1, 2), seeded()
    counts = torch.bincount(
        torch.tensor([DropEvents(0.5)(spikes, generator).n_events for _ in range(400)]), minlength=3
    )
    assert (counts / 400).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.1)


def test_p_of_zero_and_one():
    spikes = many()
    assert torch.equal(DropEvents(0.0)(spikes, seeded()).amplitudes, spikes.amplitudes)
    silent = rebuilt(DropEvents(1.0)(spikes, seeded()))
    assert (silent.n_events, len(silent)) == (0, len(spikes))


def test_silence_stays_silent():
    silent = DropEvents(1.0)(many(), seeded())
    again = rebuilt(DropEvents(0.5)(silent, seeded()))
    assert again.offsets.tolist() == silent.offsets.tolist()
    nobody = rebuilt(DropEvents(0.5)(many()[[]], seeded()))
    assert len(nobody) == 0


def test_gradients_reach_the_events_that_stay():
    spikes = many(2, 20)
    times = spikes.times.clone().requires_grad_()
    inputs = Spikes(
        units=spikes.units,
        times=times,
        amplitudes=spikes.amplitudes,
        offsets=spikes.offsets,
        unit_shape=(7,),
        duration=0.1,
    )
    kept = DropEvents(0.5)(inputs, seeded())
    kept.times.sum().backward()
    assert times.grad is not None
    assert times.grad.nonzero().squeeze(1).tolist() == kept.amplitudes.long().tolist()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_must_be_a_probability(p):
    with pytest.raises(ValueError, match=rf"`p` of DropEvents must be in \[0, 1\]. Got {p}."):
        DropEvents(p)


def test_a_layers_activity_is_refused():
    spikes = many(2, 20).on_grid(1e-3, coincident="one")
    support = Support(torch.zeros(()).expand(100, 2, 7))
    activity = Spikes.trusted(
        **{name: getattr(spikes, name) for name in ("units", "times", "amplitudes", "offsets", "unit_shape")},
        duration=spikes.duration,
        steps=spikes.steps,
        dt=spikes.dt,
        support=support,
    )
    with pytest.raises(ValueError, match=r"`spikes` of DropEvents must be inputs"):
        DropEvents(0.5)(activity, seeded())


EACH = [ShiftUnits(3), JitterTimes(5e-3), StretchTime(0.7, 1.4), Augmentations((ShiftUnits(2), DropEvents(0.3)))]


def wide(dt=None):
    """Samples in the middle of window and channels, every event told apart by its amplitude."""
    spikes = many(40, 50)
    middle = Spikes(
        units=spikes.units + 20,
        times=0.03 + spikes.times * 0.4,
        amplitudes=spikes.amplitudes,
        offsets=spikes.offsets,
        unit_shape=(47,),
        duration=0.1,
    )
    return middle if dt is None else middle.on_grid(dt, coincident="one")


def matched(before, after):
    """The events of `before` that those of `after` were."""
    place = {amplitude: event for event, amplitude in enumerate(before.amplitudes.tolist())}
    return torch.tensor([place[amplitude] for amplitude in after.amplitudes.tolist()])


@pytest.mark.parametrize("dt", [None, 1e-3])
@pytest.mark.parametrize("augment", EACH, ids=lambda augment: type(augment).__name__)
def test_every_augmentation_gives_whole_spikes_and_obeys_the_generator(augment, dt):
    spikes = wide(dt)
    first, same, other = (augment(spikes, seeded(seed)) for seed in (1, 1, 2))
    rebuilt(first)
    assert first.n_events > spikes.n_events / 2
    for name in ("units", "times", "amplitudes", "offsets"):
        assert torch.equal(getattr(first, name), getattr(same, name))
    assert not (torch.equal(first.units, other.units) and torch.equal(first.times, other.times))
    assert len(augment(spikes[[]], seeded())) == 0


@pytest.mark.parametrize("dt", [None, 1e-3])
def test_a_shift_is_one_number_a_sample_and_uniform(dt):
    spikes = wide(dt)
    shifted = ShiftUnits(3)(spikes, seeded())
    assert torch.equal(shifted.times, spikes.times)
    by = shifted.units - spikes.units
    each = [set(by[spikes.offsets[b] : spikes.offsets[b + 1]].tolist()) for b in range(len(spikes))]
    assert all(len(one) == 1 for one in each)
    assert {one.pop() for one in each} == {-3, -2, -1, 0, 1, 2, 3}


def test_what_is_shifted_out_of_the_channels_is_dropped_and_counted():
    spikes = many(200, 20)
    shifted = ShiftUnits(3)(spikes, seeded())
    source = seeded()
    by = torch.randint(-3, 4, (200,), generator=source).repeat_interleave(20)
    kept = (spikes.units + by >= 0) & (spikes.units + by < 7)
    assert not kept.all()
    assert torch.equal(shifted.units, (spikes.units + by)[kept].int())
    assert torch.equal(shifted.amplitudes, spikes.amplitudes[kept])
    assert shifted.record.dropped == int((~kept).sum())


def test_jitter_is_normal_and_of_each_event():
    spikes = wide()
    jittered = JitterTimes(2e-3)(spikes, seeded())
    by = jittered.times.double() - spikes.times.double()[matched(spikes, jittered)]
    assert jittered.n_events == spikes.n_events
    assert by.std().item() == pytest.approx(2e-3, rel=0.06)
    assert abs(by.mean().item()) < 4 * 2e-3 / spikes.n_events**0.5
    assert (by.abs() < 2e-3).double().mean().item() == pytest.approx(0.683, abs=0.05)


def test_on_a_grid_jitter_moves_by_whole_steps():
    spikes = wide(1e-3)
    still, moved = JitterTimes(0.1e-3)(spikes, seeded()), JitterTimes(3e-3)(spikes, seeded())
    assert torch.equal(still.steps, spikes.steps)
    by = (moved.steps - spikes.steps[matched(spikes, moved)]).double()
    assert by.std().item() == pytest.approx(3.0, rel=0.06)


def test_jitter_out_of_the_window_is_dropped():
    spikes = many()
    jittered = rebuilt(JitterTimes(20e-3)(spikes, seeded()))
    assert 0.7 < jittered.n_events / spikes.n_events < 0.95


@pytest.mark.parametrize("dt", [None, 1e-4])
def test_a_stretch_is_one_factor_a_sample(dt):
    spikes = wide(dt)
    stretched = StretchTime(0.7, 1.2)(spikes, seeded())
    event = matched(spikes, stretched)
    factor = stretched.times.double() / spikes.times.double()[event]
    sample = torch.bucketize(event, spikes.offsets[1:], right=True)
    means = torch.stack([factor[sample == b].mean() for b in range(len(spikes))])
    assert (factor - means[sample]).abs().max() < (1e-5 if dt is None else 3e-3)
    assert 0.7 <= means.min() < 0.77
    assert 1.15 < means.max() <= 1.2 + 1e-5
    assert stretched.n_events == spikes.n_events


def test_what_is_stretched_out_of_the_window_is_dropped_and_gradient_follows_the_factor():
    times = torch.tensor([10e-3, 80e-3], dtype=torch.float64, requires_grad=True)
    spikes = Spikes(
        units=torch.zeros(2, dtype=torch.int32),
        times=times,
        amplitudes=torch.ones(2, dtype=torch.float64),
        offsets=torch.tensor([0, 2]),
        unit_shape=(1,),
        duration=0.1,
    )
    stretched = StretchTime(1.5, 1.5)(spikes, seeded())
    assert stretched.times.tolist() == pytest.approx([15e-3])
    stretched.times.sum().backward()
    assert times.grad.tolist() == [1.5, 0.0]


WRONG = [
    (lambda: ShiftUnits(-1), "`most` of ShiftUnits must be a whole number >= 0. Got -1."),
    (lambda: JitterTimes(-1.0), "`std` of JitterTimes must be >= 0 s. Got -1.0."),
    (lambda: StretchTime(0.0, 1.0), "`shortest` of StretchTime must be > 0. Got 0.0."),
    (lambda: StretchTime(1.0, 0.9), "`longest` of StretchTime must be >= `shortest`, 1.0. Got 0.9."),
    (
        lambda: ShiftUnits(1)(Spikes.trusted(**{**many(1).__dict__, "unit_shape": (7, 1)}), seeded()),
        "`spikes` of ShiftUnits must have units in a row. Got unit_shape (7, 1).",
    ),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[rule[1][:40] for rule in WRONG])
def test_a_broken_rule_is_named(make, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared whole)
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("dt", [None, 1e-3])
def test_a_shift_is_the_same_whether_anything_needs_a_gradient(dt):
    spikes = wide(dt)
    plain = ShiftUnits(30)(spikes, seeded())
    followed = ShiftUnits(30)(spikes._with(times=spikes.times.clone().requires_grad_()), seeded())
    assert followed.times.requires_grad
    assert 0 < plain.n_events < spikes.n_events
    for name in ("units", "times", "amplitudes", "steps", "offsets"):
        one, other = getattr(plain, name), getattr(followed, name)
        assert one is other is None or (one.dtype == other.dtype and torch.equal(one, other))
    assert plain.record == followed.record
    assert (plain.dt, plain.duration, plain.unit_shape) == (followed.dt, followed.duration, followed.unit_shape)

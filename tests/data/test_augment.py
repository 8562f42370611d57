import pytest
import torch

from ranvier.data import DropEvents
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

"""Blending pairs of one class."""

import pytest
import torch

import ranvier as rv
from ranvier.data import blend
from tests.data.test_augment import many, rebuilt, seeded

F64 = torch.float64


def labelled(n_samples=60, n_units=100, dt=None):
    source = seeded(5)
    sizes = torch.randint(20, 60, (n_samples,), generator=source)
    samples = []
    for size in sizes.tolist():
        centre = 40 + 20 * torch.rand(2, generator=source)
        times = ((centre[0] + 10 * torch.randn(size, generator=source)) * 1e-3).clamp(0, 0.1).sort().values
        units = (centre[1] + 10 * torch.randn(size, generator=source)).round().long().clamp(0, n_units - 1)
        samples.append((times, units))
    spikes = rv.Spikes.from_samples(samples, unit_shape=n_units, duration=0.1, dtype=F64)
    data = rv.LabelledSpikes(spikes, torch.randint(0, 3, (n_samples,), generator=source), 3)
    return data if dt is None else data.on_grid(dt, coincident="one")


@pytest.mark.parametrize("dt", [None, 1e-3])
def test_it_doubles_the_set_and_keeps_the_old(dt):
    data = labelled(dt=dt)
    both = blend(data, seeded())
    rebuilt(both.inputs)
    assert len(both) == 2 * len(data)
    assert torch.equal(both.labels, data.labels.repeat(2))
    old = both.inputs[: len(data)]
    assert torch.equal(old.times, data.inputs.times)
    assert torch.equal(old.units, data.inputs.units)


@pytest.mark.parametrize("dt", [None, 1e-3])
def test_every_event_is_one_of_the_pair_moved_to_the_common_mean(dt):
    """From the definition, pair by pair; which two make a pair is found out by trying all of the class."""
    data = labelled(40, dt=dt)
    both = blend(data, seeded(2))
    step = 1e-9 if dt is None else dt
    partners = []
    for index in range(len(data)):
        new = both.inputs[len(data) + index]
        cells = set(zip((new.times / step).round().long().tolist(), new.units.tolist(), strict=True))
        assert cells
        found = []
        for other in range(len(data)):
            if other == index or data.labels[other] != data.labels[index]:
                continue
            one, two = data.inputs[index], data.inputs[other]
            expected = set()
            for part, apart in ((one, two), (two, one)):
                t = part.times + (apart.times.mean() - part.times.mean()) / 2
                u = part.units + ((apart.units.double().mean() - part.units.double().mean()) / 2).round()
                expected |= set(zip((t / step).round().long().tolist(), u.long().tolist(), strict=True))
            if cells <= expected:
                found.append(other)
                assert len(new.times) == pytest.approx(len(expected) / 2, abs=4 * (len(expected) / 4) ** 0.5)
        assert len(found) == 1
        partners += found
    assert sorted(partners) == list(range(len(data)))  # everyone is a partner once


def test_the_generator_decides():
    data = labelled()
    first, same, other = blend(data, seeded(1)), blend(data, seeded(1)), blend(data, seeded(2))
    assert torch.equal(first.inputs.times, same.inputs.times)
    assert not torch.equal(first.inputs.offsets, other.inputs.offsets)


def test_who_is_alone_and_who_is_silent():
    silent = rv.Spikes.from_samples(
        [([10e-3], [3]), ([20e-3, 30e-3], [1, 2]), ([], []), ([5e-3], [4])], unit_shape=9, duration=0.1
    )
    both = blend(rv.LabelledSpikes(silent, torch.tensor([0, 1, 1, 2]), 3), seeded())
    assert both.labels.tolist() == [0, 1, 1, 2, 1, 1]
    for index in (4, 5):  # the silent partner moves nothing
        assert set(both.inputs[index].units.tolist()) <= {1, 2}
        assert set(both.inputs[index].times.tolist()) <= set(silent[1].times.tolist())
    empty = blend(rv.LabelledSpikes(silent[[]], torch.zeros(0, dtype=torch.int64), 3), seeded())
    assert len(empty) == 0


def test_units_must_stand_in_a_row():
    spikes = many(2)
    square = rv.Spikes.trusted(**{**spikes.__dict__, "unit_shape": (7, 1)})
    with pytest.raises(ValueError, match=r"^`data` of blend must have units in a row\. Got unit_shape \(7, 1\)\.$"):
        blend(rv.LabelledSpikes(square, torch.tensor([0, 0]), 1), seeded())

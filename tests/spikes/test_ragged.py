import pytest
import torch

from ranvier.spikes import ragged

CASES = {
    "mixed": [2, 0, 3, 1],
    "empty-ends": [0, 4, 0],
    "all-empty": [0, 0],
    "one": [3],
    "no-samples": [],
}


def bounds(lengths):
    return torch.tensor([0, *lengths]).cumsum(0)


@pytest.mark.parametrize("lengths", CASES.values(), ids=CASES)
def test_samples_and_offsets_are_each_others_inverse(lengths):
    offsets = bounds(lengths)
    sample = ragged.samples_of(offsets)
    assert sample.tolist() == [b for b, n in enumerate(lengths) for _ in range(n)]
    assert ragged.samples_of(offsets, sum(lengths)).tolist() == sample.tolist()
    assert ragged.offsets_of(sample, len(lengths)).tolist() == offsets.tolist()
    assert ragged.offsets_of(sample.to(torch.int32), len(lengths)).dtype == torch.int64


@pytest.mark.parametrize("lengths", CASES.values(), ids=CASES)
def test_offsets_after_counts_what_is_kept(lengths):
    offsets, sample = bounds(lengths), ragged.samples_of(bounds(lengths))
    keep = torch.arange(sample.numel()) % 2 == 0
    expected = ragged.offsets_of(sample[keep], len(lengths))
    assert ragged.positions(keep).tolist() == keep.nonzero().flatten().tolist()
    assert ragged.offsets_after(offsets, ragged.positions(keep)).tolist() == expected.tolist()


@pytest.mark.parametrize("lengths", CASES.values(), ids=CASES)
def test_per_event_repeats_the_value_of_each_sample(lengths):
    values = torch.arange(len(lengths), dtype=torch.float64) / 2
    expected = values[ragged.samples_of(bounds(lengths))]
    assert torch.equal(ragged.per_event(values, bounds(lengths)), expected)


@pytest.mark.parametrize("n_steps", [5, None])
def test_order_sorts_by_sample_then_key_and_keeps_equal_ones(n_steps):
    sample = torch.tensor([1, 0, 1, 0, 1, 1])
    key = torch.tensor([4, 3, 0, 3, 0, 2])
    key = key if n_steps else key.double() / 8
    assert ragged.order(sample, key, n_steps).tolist() == [1, 3, 2, 4, 5, 0]


@pytest.mark.parametrize("chosen", [[2, 0], [1, 1, 3], [], [3, 2, 1, 0]], ids=str)
def test_gather_samples_follows_the_given_order(chosen):
    lengths = CASES["mixed"]
    offsets = bounds(lengths)
    events, new_offsets = ragged.gather_samples(offsets, torch.tensor(chosen, dtype=torch.int64))
    assert events.tolist() == [e for b in chosen for e in range(int(offsets[b]), int(offsets[b + 1]))]
    assert new_offsets.tolist() == bounds([lengths[b] for b in chosen]).tolist()

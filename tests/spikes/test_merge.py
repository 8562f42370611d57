"""Spikes of several layers as those of one: events, order, and where the gradients go."""

import re

import pytest
import torch

import ranvier as rv
from ranvier.spikes import Record
from tests.layers.nets import COMPACT, EXACT, SMOOTH, inputs, raster, spiking
from tests.neurons.unchecked import unchecked

F64 = torch.float64
CONTINUOUS = [
    ([([1e-3, 4e-3, 4e-3], [0, 1, 0]), ([2e-3], [1])], 2),
    ([([0.0, 4e-3], [2, 0]), ([], [])], 3),
]


def continuous(pairs, n_units, dtype=F64):
    return rv.Spikes.from_samples(pairs, unit_shape=n_units, duration=10e-3, dtype=dtype)


def checked(spikes):
    """Through the validating constructor, which refuses a wrong order, offsets or units."""
    return rv.Spikes(**{name: getattr(spikes, name) for name in rv.Spikes.__dataclass_fields__})


def test_units_stand_side_by_side_and_events_in_order():
    first, second = (continuous(*each) for each in CONTINUOUS)
    both = checked(rv.merge([first, second]))
    assert both.n_units == 5
    assert both.offsets.tolist() == [0, 5, 6]
    assert both.times.tolist() == [0.0, 1e-3, 4e-3, 4e-3, 4e-3, 2e-3]
    assert both.units.tolist() == [4, 0, 1, 0, 2, 1]  # of equal times the first part's come first


def test_on_a_grid_the_raster_is_the_parts_side_by_side():
    parts = [inputs(seed=seed, n_in=n) for seed, n in ((0, 5), (1, 3), (2, 4))]
    both = checked(rv.merge(parts))
    assert both.n_events > 0
    assert torch.equal(both.to_dense(), torch.cat([part.to_dense() for part in parts], -1))
    assert both.dt == parts[0].dt


def test_one_part_is_itself_and_an_empty_batch_is_one():
    part = inputs()
    assert torch.equal(rv.merge([part]).to_dense(), part.to_dense())
    nobody = checked(rv.merge([part[[]], part[[]]]))
    assert (nobody.n_samples, nobody.n_events, nobody.n_units) == (0, 0, 10)


def test_every_event_s_gradient_goes_to_its_part():
    made, leaves = [], []
    for pairs, n_units in CONTINUOUS:
        plain = continuous(pairs, n_units)
        times, amplitudes = plain.times.clone().requires_grad_(), plain.amplitudes.clone().requires_grad_()
        leaves.append((times, amplitudes))
        made.append(plain._with(times=times, amplitudes=amplitudes))
    both = rv.merge(made)
    factor = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype=F64)
    ((both.times + 10 * both.amplitudes) * factor).sum().backward()
    assert leaves[0][0].grad.tolist() == [2.0, 3.0, 4.0, 6.0]
    assert leaves[1][0].grad.tolist() == [1.0, 5.0]
    assert leaves[0][1].grad.tolist() == [20.0, 30.0, 40.0, 60.0]


@pytest.mark.parametrize(
    "gradients",
    [(SMOOTH, SMOOTH), (COMPACT, COMPACT), (SMOOTH, COMPACT), (EXACT, SMOOTH), (COMPACT, EXACT), (EXACT, EXACT)],
    ids=["dense", "compact", "dense-compact", "exact-dense", "compact-exact", "exact"],
)
def test_silent_cells_keep_their_gradient(gradients):
    """The raster's gradient through the merged spikes equals that through rasters put side by side by hand."""
    layers = [spiking(5, n, gradient, seed=n) for n, gradient in zip((4, 3), gradients, strict=True)]
    weights = torch.randn(30, 3, 7, dtype=F64)
    found = []
    for joined in (
        lambda parts: checked(rv.merge(parts)).to_dense(),
        lambda parts: torch.cat([part.to_dense() for part in parts], -1),
    ):
        parts = [layer(inputs()) for layer in layers]
        assert all(part.n_events for part in parts)
        late = sum((part.times**2).sum() for part in parts) * 0  # gives every layer a graph
        ((joined(parts) * weights).sum() + late).backward()
        found.append([layer.w_in.grad.clone() for layer in layers])
        for layer in layers:
            layer.zero_grad()
    for gradient, left, right in zip(gradients, *found, strict=True):
        assert bool(left.any()) == (gradient is not EXACT)
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_marks_and_membranes_are_kept_where_all_have_them():
    sender, other = spiking(5, 4), spiking(5, 3, seed=1)
    both = rv.merge([sender(inputs()), other(inputs())])
    assert both.marks is not None
    assert torch.equal(both.counts(), torch.cat([sender(inputs()).counts(), other(inputs()).counts()], 1))
    assert rv.merge([sender(inputs()), inputs()]).marks is None


def test_the_widest_type_and_all_counts():
    wide, narrow = continuous(*CONTINUOUS[0]), continuous(*CONTINUOUS[1], dtype=torch.float32)
    both = rv.merge([narrow, wide._with(record=Record("numba", clipped=2, dropped=1))])
    assert both.times.dtype == F64
    assert both.record == Record("numba", clipped=2, dropped=1)
    assert both.times.tolist()[:2] == [0.0, 1e-3]


GRID = inputs()
RULES = [
    (lambda: rv.merge([]), ValueError, "`parts` of merge must hold at least one Spikes. Got none."),
    (lambda: rv.merge([GRID, raster()]), TypeError, "`parts` of merge must hold Spikes. Got a float64 tensor at 1."),
    (
        lambda: rv.merge([GRID, GRID[[0]]]),
        ValueError,
        "`parts` of merge must share one `n_samples`. Got 3 and, at 1, 1.",
    ),
    (
        lambda: rv.merge([continuous(*CONTINUOUS[0]), continuous(*CONTINUOUS[0]).on_grid(1e-3, coincident="sum")]),
        ValueError,
        "`parts` of merge must share one `dt`. Got None and, at 1, 0.001.",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:45] for rule in RULES])
def test_what_does_not_fit_is_named(make, error, message):
    with unchecked(), pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()

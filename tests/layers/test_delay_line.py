"""The delay line: copies of the units, each later than the one before."""

import re

import pytest
import torch

import ranvier as rv
from tests.layers.nets import COMPACT, EXACT, SMOOTH, inputs, spiking
from tests.neurons.unchecked import unchecked

F64 = torch.float64


def test_on_a_grid_copies_are_shifted_rasters():
    raster = inputs().to_dense()
    line = rv.DelayLine(5, copies=4, spacing=7.4e-3)  # 0, 7, 15 and 22 steps
    found = line(inputs())
    expected = []
    for shift in (0, 7, 15, 22):
        expected.append(torch.zeros_like(raster))
        expected[-1][shift:] = raster[: 30 - shift]
    assert found.n_events > inputs().n_events
    assert torch.equal(found.to_dense(), torch.cat(expected, -1))
    assert found.record.dropped == 4 * inputs().n_events - found.n_events
    assert (line.n_in, line.n_out) == (5, 20)


def test_in_continuous_time_copies_are_later_by_the_spacing():
    spikes = rv.Spikes.from_samples(
        [([1e-3, 4e-3], [1, 0]), ([], []), ([9e-3], [0])], unit_shape=2, duration=10e-3, dtype=F64
    )
    found = rv.DelayLine(2, copies=3, spacing=2.5e-3)(spikes)
    assert found.times.tolist() == pytest.approx([1e-3, 3.5e-3, 4e-3, 6e-3, 6.5e-3, 9e-3, 9e-3])
    assert found.units.tolist() == [1, 3, 0, 5, 2, 4, 0]
    assert found.offsets.tolist() == [0, 6, 6, 7]


def test_one_copy_is_the_input():
    assert torch.equal(rv.DelayLine(5, copies=1)(inputs()).to_dense(), inputs().to_dense())


@pytest.mark.parametrize("gradient", [SMOOTH, COMPACT], ids=["dense", "compact"])
def test_a_layer_s_gradient_is_that_of_shifted_rasters(gradient):
    layer, weights = spiking(gradient=gradient), torch.randn(30, 3, 8, dtype=F64)
    (rv.DelayLine(4, copies=2, spacing=5e-3)(layer(inputs())).to_dense() * weights).sum().backward()
    found = layer.w_in.grad.clone()
    layer.zero_grad()
    raster = layer(inputs()).to_dense()
    later = torch.cat([torch.zeros_like(raster[:5]), raster[:-5]])
    (torch.cat([raster, later], -1) * weights).sum().backward()
    assert found.abs().sum() > 0
    torch.testing.assert_close(found, layer.w_in.grad, rtol=1e-10, atol=1e-12)


def test_eventprop_learns_through_it():
    """A copy's time moves with the spike: the gradient of the sum of times counts every copy that is left."""
    layer = spiking(gradient=EXACT)
    line = rv.DelayLine(4, copies=2, spacing=0.0)
    line(layer(inputs())).times.sum().backward()
    doubled = layer.w_in.grad.clone()
    layer.zero_grad()
    layer(inputs()).times.sum().backward()
    assert doubled.abs().sum() > 0
    torch.testing.assert_close(doubled, 2 * layer.w_in.grad)


def test_in_a_network_with_divided_weights():
    rule = rv.init.divided(rv.init.normal(0.03, 0.01), 10.0)
    net = rv.Network(line=rv.DelayLine(70), hidden=rv.Spiking(700, 64, weights=rule))
    weights = net.layers["hidden"].w_in
    assert weights.mean().item() == pytest.approx(3e-3, rel=0.02)
    assert weights.std().item() == pytest.approx(1e-3, rel=0.02)
    with pytest.raises(ValueError, match="`hidden` of Network must take the 700 units of `line`"):
        rv.Network(line=rv.DelayLine(70), hidden=rv.Spiking(70, 64))


RULES = [
    (lambda: rv.DelayLine(5, copies=0), ValueError, "`copies` of DelayLine must be a whole number >= 1. Got 0."),
    (lambda: rv.DelayLine(5, spacing=-1.0), ValueError, "`spacing` of DelayLine must be >= 0 s. Got -1.0."),
    (lambda: rv.DelayLine(4)(inputs()), ValueError, "`spikes` of DelayLine must come from 4 units. Got 5."),
    (lambda: rv.DelayLine(4)("x"), TypeError, "`spikes` of DelayLine must be Spikes. Got str."),
    (lambda: rv.init.divided(rv.init.normal(0, 1), 0), ValueError, "`by` of init.divided must be > 0. Got 0.0."),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:40] for rule in RULES])
def test_a_broken_rule_is_named(make, error, message):
    with unchecked(), pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()

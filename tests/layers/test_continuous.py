"""Layers and networks in continuous time: the input decides the engine, one set of weights serves both."""

import math

import pytest
import torch

import ranvier as rv
from ranvier.errors import RunawayError
from tests.neurons.unchecked import unchecked


def inputs(n_samples: int = 4) -> rv.Spikes:
    source = torch.Generator().manual_seed(1)
    samples = []
    for _ in range(n_samples):
        times = torch.rand(6, generator=source).sort().values * 20e-3
        samples.append((times, torch.randint(0, 3, (6,), generator=source)))
    return rv.Spikes.from_samples(samples, unit_shape=3, duration=40e-3)


def network(**options) -> rv.Network:
    source = torch.Generator().manual_seed(0)
    neuron = rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3)
    return rv.Network(
        hidden=rv.Spiking(3, 12, neuron, weights=rv.init.normal(5.0, 1.0), generator=source, **options),
        output=rv.Spiking(12, 2, neuron, weights=rv.init.normal(1.5, 0.2), generator=source),
    )


def test_one_network_runs_on_either_engine_and_the_grid_converges() -> None:
    net, spikes = network(), inputs()
    exact = net(spikes).output
    assert exact.dt is None
    assert exact.record.backend == "numba"
    first = exact.first_times()
    assert first.isfinite().all()
    coarse, fine = (net(spikes.on_grid(dt, coincident="sum")).output for dt in (1e-4, 1e-5))
    assert fine.dt == 1e-5
    errors = [float((found.first_times() - first).detach().abs().max()) for found in (coarse, fine)]
    assert errors[1] < errors[0] / 3 < 1e-4


def test_gradients_reach_every_layer() -> None:
    net = network(recurrent=True, delays=rv.Delays(5e-3), recurrent_delays=rv.Delays(5e-3)).double()
    rv.FirstSpikeCrossEntropy()(net(inputs().to(torch.float64)).output, torch.tensor([0, 1, 0, 1])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_a_surrogate_needs_a_grid_and_says_so() -> None:
    with pytest.raises(ValueError, match=r"`gradient` in continuous time must be EventProp.*on_grid\(dt") as caught:
        network().with_gradient(rv.Surrogate())(inputs())
    assert str(caught.value).endswith("Got Surrogate.")


def test_a_runaway_names_its_layer_and_sample() -> None:
    net = network(max_spikes_per_unit=1)
    with pytest.raises(RunawayError, match="Layer 'hidden' must emit at most 1 spikes per unit and sample") as caught:
        net(inputs())
    assert (caught.value.layer, caught.value.sample) == ("hidden", 0)


def test_truncation_is_counted() -> None:
    found = network(max_spikes_per_unit=1, overflow="truncate")(inputs()).activity["hidden"]
    assert found.record.truncated > 0
    assert float(found.counts().detach().max()) == 1


def test_one_spike_per_neuron_by_an_infinite_refractory_time() -> None:
    layer = rv.Spiking(3, 12, rv.CubaLIF(refractory=math.inf), weights=rv.init.normal(5.0, 1.0))
    counts = layer(inputs()).counts().detach()
    assert float(counts.max()) == 1
    assert float(counts.mean()) > 0.5


@pytest.mark.parametrize("grid", [False, True])
def test_synaptic_delays_that_are_all_equal_are_an_axonal_delay(grid) -> None:
    spikes = inputs().to(torch.float64)
    spikes = spikes.on_grid(1e-3, coincident="sum") if grid else spikes
    same = rv.Delays(10e-3, initial=rv.init.uniform(3e-3, 3e-3), learn=False)
    source = torch.Generator().manual_seed(0)
    synaptic = rv.Spiking(3, 5, weights=rv.init.normal(5.0, 1.0), delays=same, generator=source).double()
    plain = rv.Spiking(3, 5).double()
    plain.w_in = synaptic.w_in
    delayed = synaptic(spikes)
    axonal = plain(rv.Delay(3, same)(spikes))
    assert delayed.n_events > 5
    assert torch.equal(delayed.units, axonal.units)
    torch.testing.assert_close(delayed.times, axonal.times, rtol=0, atol=1e-8)


def test_learned_delays_start_inside_their_range_and_stay_there() -> None:
    layer = rv.Delay(4, rv.Delays(2e-3, initial=rv.init.uniform(0.0, 0.0)))
    start = layer.delays.values()
    assert float(start.detach().min()) > 0
    with torch.no_grad():
        layer.delays.free += 1e3
    assert float(layer.delays.values().detach().max()) <= 2e-3 * (1 + 1e-6)
    assert not list(rv.Delay(4, rv.Delays(2e-3, learn=False)).parameters())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rv.Delays(0.0), ValueError, "`longest` of Delays must be > 0 s. Got 0.0."),
        (
            lambda: rv.Delay(2, rv.Delays(1e-3, initial=rv.init.normal(-1.0, 0.0))),
            ValueError,
            "`initial` of Delays must draw seconds from 0 to 0.001. Got -1.0.",
        ),
        (lambda: rv.Delay(2, 3e-3), TypeError, "`delays` of a layer must be Delays(...). Got 0.003."),
        (
            lambda: rv.Delay(2, rv.Delays(1e-3))(inputs()),
            ValueError,
            "`spikes` of Delay must come from 2 units. Got 3.",
        ),
        (
            lambda: rv.Spiking(3, 2, recurrent_delays=rv.Delays(1e-3)),
            ValueError,
            "`recurrent_delays` of Spiking need `recurrent=True`. Got recurrent=False.",
        ),
        (
            lambda: rv.Spiking(3, 2, max_spikes_per_unit=0),
            ValueError,
            "`max_spikes_per_unit` of Spiking must be a whole number >= 1. Got 0.",
        ),
        (
            lambda: rv.Spiking(3, 2, overflow="ignore"),
            ValueError,
            "`overflow` of Spiking must be 'raise' or 'truncate'. Got 'ignore'.",
        ),
        (
            lambda: rv.Spiking(3, 2)(inputs(), forced=inputs()),
            ValueError,
            "`forced` of Spiking must be None in continuous time; call `on_grid(dt)` first. Got spikes.",
        ),
        (
            lambda: rv.Spiking(3, 2, rv.LIF(), gradient=rv.Surrogate())(inputs()),
            ValueError,
            "A layer of LIF cannot run in continuous time: its input moves the membrane at once, so its spike times "
            "equal its input times and their derivative by the weights is zero. Call `on_grid(dt)` first.",
        ),
        (
            lambda: rv.init.uniform(1.0, 0.0),
            ValueError,
            "`high` of init.uniform must be at least `low`, 1.0. Got 0.0.",
        ),
    ],
)
def test_a_broken_rule_is_named(make, error, message) -> None:
    with unchecked(), pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message

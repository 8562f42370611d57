"""Weights under which a membrane without reset has the mean and the fluctuations asked for."""

import re
from math import exp, sqrt

import pytest
import torch

import ranvier as rv
from ranvier.layers.init import _response_moments
from tests.neurons.unchecked import unchecked

F64 = torch.float64
RATE, DT = 15.8, 2e-3


def summed(tau_mem, tau_syn, dt):
    """ebar and ehat by adding up the response step by step: V <- b V + K (b - a) I, I <- a I."""
    a, b = exp(-dt / tau_syn), exp(-dt / tau_mem)
    gain = dt / tau_mem * a if tau_mem == tau_syn else tau_syn / (tau_mem - tau_syn) * (b - a)
    v, i, ebar, ehat = 0.0, 1.0, 0.0, 0.0
    for _ in range(20_000):
        v, i = b * v + gain * i, a * i
        ebar, ehat = ebar + dt * v, ehat + dt * v * v
    return ebar, ehat


class TestMoments:
    def test_are_the_known_ones(self):
        ebar, ehat = _response_moments(rv.CubaLIF(20e-3, 10e-3), DT)
        assert ebar.item() == pytest.approx(0.009983353, abs=5e-10)
        assert ehat.item() == pytest.approx(0.001666617, abs=5e-10)

    @pytest.mark.parametrize("taus", [(20e-3, 10e-3), (5e-3, 30e-3), (20e-3, 20e-3), (20e-3, 20e-3 * (1 + 1e-9))])
    @pytest.mark.parametrize("dt", [1e-4, 2e-3, 10e-3])
    def test_are_the_sums_over_steps_also_for_equal_time_constants(self, taus, dt):
        near = (taus[0], taus[0]) if abs(taus[1] / taus[0] - 1) < 1e-6 else taus  # the loop's own difference cancels
        found = [moment.item() for moment in _response_moments(rv.CubaLIF(*taus), dt)]
        assert found == pytest.approx(summed(*near, dt), rel=1e-8)

    @pytest.mark.parametrize("taus", [(20e-3, 10e-3), (5e-3, 30e-3), (20e-3, 20e-3)])
    def test_have_a_closed_form_in_continuous_time(self, taus):
        tau_mem, tau_syn = taus
        found = [moment.item() for moment in _response_moments(rv.CubaLIF(*taus), None)]
        assert found == pytest.approx((tau_syn, tau_syn**2 / (2 * (tau_syn + tau_mem))), rel=1e-12)

    def test_of_a_neuron_whose_input_moves_the_membrane_at_once(self):
        b = exp(-DT / 20e-3)
        found = [moment.item() for moment in _response_moments(rv.LIF(20e-3), DT)]
        assert found == pytest.approx((DT / (1 - b), DT / (1 - b * b)), rel=1e-10)

    def test_are_each_unit_s_own(self):
        both = _response_moments(rv.CubaLIF([20e-3, 10e-3], [10e-3, 5e-3]), DT)
        for unit, taus in enumerate([(20e-3, 10e-3), (10e-3, 5e-3)]):
            alone = _response_moments(rv.CubaLIF(*taus), DT)
            assert [moment[unit].item() for moment in both] == pytest.approx([moment.item() for moment in alone])


def drawn(shape, **options):
    rule = rv.init.fluctuation_driven(rv.CubaLIF(20e-3, 10e-3), options.pop("rate", RATE), **options)
    return rule(shape, torch.Generator().manual_seed(1))


def test_the_known_standard_deviation():
    weights = drawn((700, 2000), dt=DT)
    assert weights.std().item() == pytest.approx(0.232919, rel=2e-3)
    assert abs(weights.mean().item()) < 1e-3


def test_the_variance_is_shared_and_the_mean_is_common():
    mu = 0.5 / (30 * RATE * 0.009983353)
    for share, n in ((0.9, 20), (0.1, 10)):
        weights = drawn((n, 100_000), dt=DT, mean=0.5, xi=0.8, share=share, fan_in=30)
        assert weights.mean().item() == pytest.approx(mu, abs=4 * weights.std().item() / sqrt(weights.numel()))
        expected = sqrt(share * (0.5 / 0.8) ** 2 / (n * RATE * 0.001666617) - mu**2)
        assert weights.std().item() == pytest.approx(expected, rel=5e-3)


N_IN, N_OUT, XI, MEAN = 150, 96, 2.0, 0.2


def readout(neuron, dt, parts=((1.0, N_IN),)):
    """Integrators with a neuron's flow, and no threshold; weights drawn part by part."""
    n_in = sum(n for _, n in parts)
    weights = [
        rv.init.fluctuation_driven(neuron, RATE, dt=dt, mean=MEAN, xi=XI, share=share, fan_in=n_in)((n, N_OUT), None)
        for share, n in parts
    ]
    made = rv.Readout(n_in, N_OUT, rv.LI(neuron.tau_mem, neuron.tau_syn, neuron.bias)).double()
    with torch.no_grad():
        made.w_in.copy_(torch.cat(weights))
    return made


def moments(trace):
    """Mean, standard deviation over time (root of the mean variance), and over time and neurons."""
    return trace.mean().item(), trace.var(0).mean().sqrt().item(), trace.var((0, 2)).mean().sqrt().item()


def check(trace, neuron, dt):
    mean, over_time, over_all = moments(trace)
    sigma = (1.0 - MEAN) / XI
    ebar, ehat = _response_moments(neuron, dt)
    spread = torch.sqrt(1 + RATE * ebar**2 / ehat).mean().item()
    assert mean == pytest.approx(
        MEAN, abs=0.06
    )  # the drawn weights' own mean: sigma sqrt(rate/ehat) ebar / sqrt(N_OUT)
    assert over_time == pytest.approx(sigma, rel=0.03)
    assert over_all == pytest.approx(sigma * spread, rel=0.12)


@pytest.mark.parametrize(
    ("neuron", "parts"),
    [
        (rv.CubaLIF(20e-3, 10e-3), ((1.0, N_IN),)),
        (rv.CubaLIF(20e-3, 20e-3), ((1.0, N_IN),)),
        (rv.CubaLIF(20e-3, 10e-3, bias=0.5), ((1.0, N_IN),)),
        (rv.CubaLIF([10e-3, 20e-3] * (N_OUT // 2), [3e-3, 30e-3] * (N_OUT // 2)), ((1.0, N_IN),)),
        (rv.CubaLIF(20e-3, 10e-3), ((0.9, N_IN), (0.1, 50))),
    ],
    ids=["plain", "equal-taus", "bias", "per-unit", "recurrent"],
)
def test_the_membrane_has_the_mean_and_the_fluctuations_on_a_grid(neuron, parts):
    made = readout(neuron, DT, parts)
    counts = torch.poisson(torch.full((1700, 3, made.n_in), RATE * DT, dtype=F64))
    trace = made(rv.Spikes.from_dense(counts, dt=DT))[200:].detach()
    check(trace, neuron, DT)


def test_the_membrane_has_the_mean_and_the_fluctuations_in_continuous_time():
    neuron, duration = rv.CubaLIF(20e-3, 10e-3), 4.0
    made, samples = readout(neuron, None), []
    for n_events in torch.poisson(torch.full((3,), RATE * N_IN * duration)).long().tolist():
        times = (torch.rand(n_events, dtype=F64) * duration).sort().values
        samples.append((times, torch.randint(N_IN, (n_events,))))
    spikes = rv.Spikes.from_samples(samples, unit_shape=N_IN, duration=duration, dtype=F64)
    trace = made(spikes).at(torch.arange(0.3, duration, 5e-3, dtype=F64)).detach()
    check(trace, neuron, None)


def test_a_layer_so_drawn_spikes():
    neuron = rv.CubaLIF(20e-3, 10e-3)
    rule = rv.init.fluctuation_driven(neuron, RATE, dt=DT, xi=1.0, share=0.9)
    own = rv.init.fluctuation_driven(neuron, RATE, dt=DT, xi=1.0, share=0.1)
    layer = rv.Spiking(N_IN, 50, neuron, recurrent=True, weights=rule, recurrent_weights=own)
    raster = (torch.rand(500, 2, N_IN) < RATE * DT).float()
    assert 1 < layer(rv.Spikes.from_dense(raster, dt=DT)).rates().mean() < 50


NEURON = rv.CubaLIF()
RULES = [
    (lambda: rv.init.fluctuation_driven(NEURON, 0.0), "`rate` of init.fluctuation_driven must be > 0 Hz. Got 0.0."),
    (lambda: rv.init.fluctuation_driven(NEURON, 1.0, xi=0.0), "`xi` of init.fluctuation_driven must be > 0. Got 0.0."),
    (
        lambda: rv.init.fluctuation_driven(NEURON, 1.0, share=1.5),
        "`share` of init.fluctuation_driven must be > 0 and <= 1. Got 1.5.",
    ),
    (
        lambda: rv.init.fluctuation_driven(NEURON, 1.0, mean=1.0),
        "`mean` of init.fluctuation_driven must be below the threshold, 1.0. Got 1.0.",
    ),
    (
        lambda: rv.init.fluctuation_driven(NEURON, 1.0, mean=0.5, share=0.9),
        "`fan_in` of init.fluctuation_driven must be given where `share` is below 1 and `mean` is not 0. Got None.",
    ),
    (
        lambda: rv.init.fluctuation_driven(NEURON, 1.0, fan_in=0),
        "`fan_in` of init.fluctuation_driven must be a whole number >= 1, or None. Got 0.",
    ),
    (
        lambda: rv.init.fluctuation_driven(NEURON, 1.0, mean=0.9, xi=3.0)((5, 5), None),
        "`mean` of init.fluctuation_driven must be within reach of 5 inputs of 1.0 Hz, which alone fluctuate more than "
        "`xi` = 3.0 allows. Got 0.9.",
    ),
]


@pytest.mark.parametrize(("make", "message"), RULES, ids=[rule[1][:40] for rule in RULES])
def test_a_broken_rule_is_named(make, message):
    with unchecked(), pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def test_an_integrator_has_no_threshold_to_stay_below():
    with unchecked(), pytest.raises(TypeError, match=r"`neuron` of init\.fluctuation_driven must be a spiking model"):
        rv.init.fluctuation_driven(rv.LI(), 10.0)

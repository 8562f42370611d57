"""The grid convention of neurons/README.md, step by step, with numbers a reader can follow."""

from math import exp

import pytest
import torch

import ranvier as rv

DT = 10e-3
A, B = exp(-0.5), exp(-1.0)  # decay of V (tau_mem 20 ms) and of I (tau_syn 10 ms) in one step
C = A - B  # what I adds to V: tau_syn / (tau_mem - tau_syn) = 1 times their difference
W, R, HALF = 10.0, -1.0, 0.5  # input weight, recurrent weight, amplitude of the second input
INPUT = ((0, 1.0), (2, HALF))  # (step, amplitude)
BACKENDS = ("reference", "numba")


def events(n_steps, *cells):
    raster = torch.zeros(n_steps, 1, 1, dtype=torch.float64)
    for step, amplitude in cells:
        if step < n_steps:
            raster[step, 0, 0] = amplitude
    return rv.Spikes.from_dense(raster, dt=DT)


def layer(neuron, gradient, backend, w_in=W, w_rec=R):
    made = rv.Spiking(1, 1, neuron, recurrent=True, gradient=gradient, backend=backend).double()
    with torch.no_grad():
        made.w_in.fill_(w_in)
        made.w_rec.fill_(w_rec)
    return made


def states_after(made, n_steps, *cells):
    """The final states of the first 1, 2, ... steps: V after the reset, I after the arrivals."""
    with torch.no_grad():
        finals = [made.advance(events(n, *cells))[1] for n in range(1, n_steps + 1)]
    return [{name: value.item() for name, value in final.items()} for final in finals]


def left(reset, v):
    """What a reset leaves of V."""
    return {"zero": 0.0, "subtract": v - 1.0, "none": v}[reset]


def method(reset):
    return rv.Surrogate() if reset == "none" else rv.EventProp()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_the_base_model(reset, backend):
    made = layer(rv.CubaLIF(tau_mem=20e-3, tau_syn=10e-3, reset=reset), method(reset), backend)
    # step 0: nothing has reached V; the input enters I last
    v0, i0 = 0.0, W
    # step 1: the input moves V for the first time, V passes the threshold, the own spike enters I
    v1, i1 = left(reset, A * v0 + C * i0), B * i0 + R
    assert A * v0 + C * i0 > 1
    # step 2: spikes where the reset left enough; the second input enters I
    before = A * v1 + C * i1
    spikes_again = reset != "zero"
    assert (before > 1) == spikes_again
    v2 = left(reset, before) if spikes_again else before
    i2 = B * i1 + HALF * W + (R if spikes_again else 0.0)
    # step 3: all spike
    assert A * v2 + C * i2 > 1
    v3, i3 = left(reset, A * v2 + C * i2), B * i2 + R

    expected = [{"V": v0, "I": i0}, {"V": v1, "I": i1}, {"V": v2, "I": i2}, {"V": v3, "I": i3}]
    for found, state in zip(states_after(made, 4, *INPUT), expected, strict=True):
        assert found == pytest.approx(state, rel=1e-12, abs=1e-12)
    spikes = made(events(4, *INPUT))
    assert spikes.steps.tolist() == ([1, 2, 3] if spikes_again else [1, 3])
    assert spikes.record.backend == backend


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_the_delta_neuron(reset, backend):
    w, r = 1.2, 0.9
    neuron = rv.LIF(tau_mem=20e-3, reset=reset)
    made = layer(neuron, rv.Surrogate(), backend, w_in=w, w_rec=r)
    # step 0: the input moves V at once, V passes the threshold; the own spike waits
    v0, waiting0 = left(reset, w), r
    # step 1: the own spike of step 0 arrives
    before = A * v0 + r
    spikes_again = reset != "zero"
    assert (before > 1) == spikes_again
    v1 = left(reset, before) if spikes_again else before
    waiting1 = r if spikes_again else 0.0
    # step 2: the own spike of step 1, if there was one, arrives with the second input
    assert A * v1 + HALF * w + waiting1 > 1
    v2, waiting2 = left(reset, A * v1 + HALF * w + waiting1), r

    expected = [
        {"V": v0, "pending": waiting0},
        {"V": v1, "pending": waiting1},
        {"V": v2, "pending": waiting2},
    ]
    for found, state in zip(states_after(made, 3, *INPUT), expected, strict=True):
        assert found == pytest.approx(state, rel=1e-12, abs=1e-12)
    assert made(events(3, *INPUT)).steps.tolist() == ([0, 1, 2] if spikes_again else [0, 2])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_the_refractory_time_of_the_base_model(reset, backend):
    neuron = rv.CubaLIF(tau_mem=20e-3, tau_syn=10e-3, reset=reset, refractory=2 * DT)
    made = layer(neuron, method(reset), backend)
    # step 1: the input has moved V past the threshold; two steps of hold begin with what the reset left
    v1, i1 = left(reset, C * W), B * W + R
    # steps 2 and 3: V is put back after the flow, whatever it is; the current goes on, its arrivals too
    i2 = B * i1 + HALF * W
    i3 = B * i2
    # step 4: V moves again, and is looked at
    v4, i4 = A * v1 + C * i3, B * i3
    spikes_again = v4 >= 1
    assert spikes_again == (reset != "zero")
    if spikes_again:
        v4, i4 = left(reset, v4), i4 + R
    expected = [(0.0, W, 0), (v1, i1, 2), (v1, i2, 1), (v1, i3, 0), (v4, i4, 2 if spikes_again else 0)]
    for found, (v, i, hold) in zip(states_after(made, 5, *INPUT), expected, strict=True):
        assert found == pytest.approx({"V": v, "I": i, "hold": hold}, rel=1e-12, abs=1e-12)
    assert made(events(5, *INPUT)).steps.tolist() == ([1, 4] if spikes_again else [1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_the_refractory_time_of_the_delta_neuron(reset, backend):
    w, r = 1.2, 0.9
    made = layer(rv.LIF(tau_mem=20e-3, reset=reset, refractory=2 * DT), rv.Surrogate(), backend, w_in=w, w_rec=r)
    # step 0: the input moves V at once; steps 1 and 2: held, the own spike of step 0 and an input of step 2 are lost
    v0 = left(reset, w)
    # step 3: V has decayed for one step and receives the input of this step, which is enough
    assert A * v0 + w >= 1
    v3 = left(reset, A * v0 + w)
    expected = [(v0, r, 2), (v0, 0.0, 1), (v0, 0.0, 0), (v3, r, 2)]
    given = ((0, 1.0), (2, 1.0), (3, 1.0))
    for found, (v, pending, hold) in zip(states_after(made, 4, *given), expected, strict=True):
        assert found == pytest.approx({"V": v, "pending": pending, "hold": hold}, rel=1e-12, abs=1e-12)
    assert made(events(4, *given)).steps.tolist() == [0, 3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_trace_shows_the_membrane_before_the_arrivals_of_its_step(backend):
    readout = rv.Readout(1, 1, rv.LI(tau_mem=20e-3, tau_syn=10e-3, bias=0.3), backend=backend).double()
    with torch.no_grad():
        readout.w_in.fill_(W)
        trace, final = readout.advance(events(4, *INPUT))
    drift = 0.3 * (1 - A)
    i0 = W
    v0 = drift
    v1, i1 = A * v0 + C * i0 + drift, B * i0
    v2, i2 = A * v1 + C * i1 + drift, B * i1 + HALF * W
    v3, i3 = A * v2 + C * i2 + drift, B * i2
    assert trace.flatten().tolist() == pytest.approx([v0, v1, v2, v3], rel=1e-12)
    assert final["V"].item() == pytest.approx(v3, rel=1e-12)
    assert final["I"].item() == pytest.approx(i3, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bias_alone_makes_a_neuron_spike(backend):
    neuron = rv.CubaLIF(tau_mem=20e-3, tau_syn=10e-3, bias=2.0)
    made = layer(neuron, rv.EventProp(), backend, w_rec=0.0)
    # V = 2 (1 - A^n) passes 1 first at n = 2 updates, that is in step 1, and starts again from 0
    assert 2 * (1 - A) < 1 < 2 * (1 - A**2)
    assert made(events(6)).steps.tolist() == [1, 3, 5]


@pytest.mark.parametrize("backend", BACKENDS)
def test_reaching_the_threshold_is_enough(backend):
    made = layer(rv.LIF(tau_mem=20e-3), rv.Surrogate(), backend, w_in=1.0, w_rec=0.0)
    assert made(events(1, (0, 1.0))).n_events == 1
    assert made(events(1, (0, 1.0 - 1e-15))).n_events == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_initial_state_moves_before_it_is_looked_at(backend):
    made = layer(rv.CubaLIF(tau_mem=20e-3, tau_syn=10e-3), rv.EventProp(), backend)
    start = {"V": torch.full((1, 1), 1.5, dtype=torch.float64)}
    spikes, final = made.advance(events(1), start)
    assert 1.5 * A < 1
    assert spikes.n_events == 0
    assert final["V"].item() == pytest.approx(1.5 * A, rel=1e-12)


FIRST_SPIKE = {
    2.0: 6.0,
    1.0: 5.0,
    0.5: 5.0,
    0.1: 4.9,
    0.01: 4.83,
}  # ms: step, first spike; continuous time 4.826


@pytest.mark.parametrize("dt", FIRST_SPIKE)
def test_the_first_spike_comes_in_the_first_step_past_its_exact_time(dt):
    neuron = rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3)
    made = rv.Spiking(1, 1, neuron, weights=lambda shape, generator: torch.full(shape, 10.0))
    given = rv.Spikes.from_samples([([2e-3], [0])], unit_shape=1, duration=8e-3)
    spikes = made(given.on_grid(dt * 1e-3, coincident="sum"))
    assert spikes.n_events == 1
    assert spikes.times.item() * 1e3 == pytest.approx(FIRST_SPIKE[dt])

import pytest
import torch

import ranvier as rv
from ranvier.ops import threads
from ranvier.ops.exact import cpu


def exact(given):
    """Spikes of a layer in continuous time."""
    layer = rv.Spiking(2, 3, rv.CubaLIF(20e-3, 10e-3))
    torch.nn.init.constant_(layer.w_in, 3.0)
    emitted = layer(given)
    assert emitted.n_events > 0
    return emitted.times, emitted.units


def on_a_grid(given):
    """Spikes, traces and gradients of a recurrent layer and a readout; the first chunk runs out of room, too."""
    layer, readout = rv.Spiking(2, 3, rv.CubaLIF(20e-3, 10e-3), recurrent=True), rv.Readout(3, 2)
    torch.nn.init.constant_(layer.w_in, 30.0)
    emitted = layer(given.on_grid(1e-3, coincident="sum"))
    assert emitted.n_events > given.n_samples * 3 * 200 // 16 + 3
    trace = readout(emitted)
    weights = [*layer.parameters(), *readout.parameters()]
    return emitted.times, emitted.units, trace, *torch.autograd.grad(trace.square().sum(), weights)


@pytest.mark.usefixtures("chunks_from_compiled_code")
@pytest.mark.parametrize("work", [exact, on_a_grid])
def test_chunks_started_from_compiled_code_or_from_python_give_the_same_bits(work, monkeypatch):
    if threads._team() is None:
        pytest.skip("torch's OpenMP library is not GNU's")
    monkeypatch.setattr(cpu, "_WAKE", 0)
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 2)
    random = torch.Generator().manual_seed(0)
    samples = [(torch.rand(20, generator=random).mul(0.1).sort()[0].tolist(), [0, 1] * 10) for _ in range(9)]
    given = rv.Spikes.from_samples(samples, unit_shape=2, duration=0.2)

    def made():
        torch.manual_seed(0)
        return work(given)

    expected = made()
    for way in ("Python", "pool"):
        monkeypatch.setattr(threads, "_entries", lambda: None)
        if way == "pool":
            monkeypatch.setattr(threads, "_team", lambda: None)
        assert all(map(torch.equal, made(), expected))


@pytest.fixture
def cuts(monkeypatch):
    """With two threads: the ranges of samples of every call of a kernel."""
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 2)
    seen, spread = [], threads.spread
    monkeypatch.setattr(threads, "spread", lambda run, ranges, *rest: seen.append(ranges) or spread(run, ranges, *rest))
    return seen


@pytest.mark.parametrize("readout", [False, True])
def test_little_work_is_shared_only_where_all_is(readout, cuts):
    given = rv.Spikes.from_samples([([0.01], [0])] * 4, unit_shape=2, duration=0.2)

    def run():
        cuts.clear()
        if readout:
            rv.Readout(2, 3, rv.LI(20e-3, 10e-3))(given).maximum()
        else:
            rv.Spiking(2, 3, rv.CubaLIF(20e-3, 10e-3))(given)
        return set(map(len, cuts))

    assert run() == {1}
    with threads.all_shared():
        assert run() == {2}
    assert run() == {1}


def test_in_continuous_time_samples_are_shared_by_their_events(cuts):
    """Three with one event, one with 2,000: the busy one is alone."""
    samples = [([0.01], [0])] * 3 + [(torch.linspace(0, 0.1, 2000).tolist(), [0, 1] * 1000)]
    layer = rv.Spiking(2, 3, rv.CubaLIF(20e-3, 10e-3, refractory=float("inf")), recurrent=True)
    torch.nn.init.constant_(layer.w_in, 1.0)
    emitted = layer(rv.Spikes.from_samples(samples, unit_shape=2, duration=0.2))
    assert emitted.n_events > 0
    emitted.times.sum().backward()
    assert cuts == [((0, 3), (3, 4))] * 2

import pytest
import torch

import ranvier as rv
from ranvier.ops import threads
from ranvier.ops.exact import cpu

spread = threads.spread


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


@pytest.mark.parametrize("readout", [False, True])
def test_little_work_is_shared_only_where_all_is(readout, monkeypatch):
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 2)
    number = []
    monkeypatch.setattr(
        threads, "spread", lambda kernel, ranges, *rest: number.append(len(ranges)) or spread(kernel, ranges, *rest)
    )
    given = rv.Spikes.from_samples([([0.01], [0])] * 4, unit_shape=2, duration=0.2)

    def run():
        number.clear()
        if readout:
            rv.Readout(2, 3, rv.LI(20e-3, 10e-3))(given).maximum()
        else:
            rv.Spiking(2, 3, rv.CubaLIF(20e-3, 10e-3))(given)
        return set(number)

    assert run() == {1}
    with threads.all_shared():
        assert run() == {2}
    assert run() == {1}

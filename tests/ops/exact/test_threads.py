import pytest
import torch

import ranvier as rv
from ranvier.ops import threads
from ranvier.ops.exact import cpu


@pytest.mark.parametrize("way", ["Python", "pool"])
def test_chunks_started_from_compiled_code_emit_the_same_bits(way, monkeypatch):
    if threads._team() is None:
        pytest.skip("torch's OpenMP library is not GNU's")
    monkeypatch.setattr(cpu, "_WAKE", 0)
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 2)
    samples = [(torch.rand(20).mul(0.1).sort()[0].tolist(), [0, 1] * 10) for _ in range(9)]
    given = rv.Spikes.from_samples(samples, unit_shape=2, duration=0.2)
    layer = rv.Spiking(2, 3, rv.CubaLIF(20e-3, 10e-3))
    torch.nn.init.constant_(layer.w_in, 3.0)
    expected = layer(given)
    monkeypatch.setattr(threads, "_entries", lambda: None)
    if way == "pool":
        monkeypatch.setattr(threads, "_team", lambda: None)
    found = layer(given)
    assert found.n_events > 0
    assert torch.equal(found.times, expected.times)
    assert torch.equal(found.units, expected.units)

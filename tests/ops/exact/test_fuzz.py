"""No batch, however odd, crashes the kernels, hangs them or makes a NaN.

Tiny networks under all combinations of options: coincident inputs, at time 0 and at the very end, equal units, weights
that are zero or huge, inputs without amplitude, spikes at the limit. What comes out is sorted, inside the window,
within the limit, and every gradient is finite.
"""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tests.ops.exact.nets import STRUCTURES, Net, Structure, gradients

pytestmark = pytest.mark.usefixtures("unchecked")
ALWAYS, MANY = 2000, 100_000
DURATION = 50e-3
IN_FLOAT32 = (0, 7, 12)  # the structures that other tests compile for float32, too


def odd_net(g: torch.Generator, structures: Sequence[Structure] | None) -> tuple[Net, str]:
    """A batch of at most three samples, and how its weights were drawn; of any structure where none are given."""

    def chance(p: float) -> bool:
        return float(torch.rand((), generator=g)) < p

    def one_of(*choices):
        return choices[int(torch.randint(len(choices), (), generator=g))]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=g, dtype=torch.float64)

    structure = one_of(*structures) if structures else None
    if structure is None:
        refractory = one_of(0.0, 0.0, 3e-3, DURATION, math.inf)
        structure = Structure(chance(0.5), chance(0.4), chance(0.4), refractory)
    recurrent, delayed, different, refractory = structure
    single = structures is None or STRUCTURES.index(structure) in IN_FLOAT32
    dtype = one_of(torch.float32, torch.float64) if single else torch.float64
    n_samples, n_in, n_units = one_of(0, 1, 1, 2, 3), one_of(1, 2, 3), one_of(1, 2, 4)
    counts = torch.randint(one_of(1, 4, 9), (n_samples,), generator=g)
    n_events = int(counts.sum())
    times = uniform(0, DURATION, n_events)
    if chance(0.5):  # a coarse lattice: coincidences, 0 and the end included
        times = (times / DURATION * one_of(2, 5)).round() / 5 * DURATION
        times = times.clamp(max=DURATION)
    if chance(0.2):
        times = torch.full_like(times, one_of(0.0, DURATION))
    times = torch.cat([part.sort().values for part in times.split(counts.tolist())] or [times]).to(dtype)
    style = one_of("normal", "normal", "normal", "zero", "huge", "equal", "negative")

    def weights(*shape: int, gain: float) -> Tensor:
        normal = torch.randn(shape, generator=g, dtype=torch.float64)
        return {
            "normal": gain * (normal + 0.5),
            "zero": 0 * normal,
            "huge": 1e4 * normal,
            "equal": torch.full_like(normal, gain),
            "negative": -gain * normal.abs(),
        }[style].to(dtype)

    per_unit = (n_units,) if different else ()
    tau_mem = uniform(5e-3, 30e-3, *per_unit)
    tau_syn = uniform(2e-3, 30e-3, *per_unit)
    tau_syn = one_of(tau_syn, tau_syn, tau_mem.clone(), tau_mem * (1 + 1e-10))
    values = {
        "times": times,
        "amplitudes": one_of(torch.ones(n_events), uniform(-1, 2, n_events), torch.zeros(n_events)).to(dtype),
        "w_in": weights(n_in, n_units, gain=6.0),
        "tau_mem": tau_mem,
        "tau_syn": tau_syn,
        "threshold": uniform(0.5, 2, *per_unit),
        "bias": uniform(-1, 1, *per_unit) * one_of(0, 1, 2),
    }
    lattice = one_of(0.0, 1e-2)

    def delays(*shape: int) -> Tensor:
        return (one_of(0.0, 1.0) * uniform(0, 0.03, *shape) + lattice * torch.randint(3, shape, generator=g)).double()

    both = structures is not None
    if recurrent:
        values["w_rec"] = weights(n_units, n_units, gain=2.0)
    if delayed and (both or chance(0.8)):
        values["d_in"] = delays(n_in, n_units)
    if delayed and recurrent and (both or chance(0.8)):
        values["d_rec"] = delays(n_units, n_units)
    if not delayed and refractory == 0 and chance(0.4):
        values["V"] = uniform(-2, 2, n_samples, n_units).to(dtype)
        values["I"] = uniform(-3, 3, n_samples, n_units).to(dtype)
    units = torch.randint(n_in, (n_events,), generator=g, dtype=torch.int32)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Net(values, units, offsets, DURATION, refractory, one_of(0.01, 0.1), one_of(1, 3, 20)), style


def check(seed: int, seen: dict[str, int], structures: Sequence[Structure] | None = None) -> None:
    """One batch, forwards and backwards. A traceback shows the seed."""
    g = torch.Generator().manual_seed(seed)
    network, style = odd_net(g, structures)
    network = network.leaves()
    found, final = network.run("numba", overflow="truncate")
    times = found.times.detach().double()
    assert bool(times.isfinite().all())
    assert bool(((times >= 0) & (times <= DURATION * (1 + 1e-6))).all())
    for begin, end in zip(found.offsets[:-1].tolist(), found.offsets[1:].tolist(), strict=True):
        assert bool((times[begin:end].diff() >= 0).all())
        counts = torch.bincount(found.units[begin:end], minlength=found.n_units)
        assert int(counts.max()) <= (1 if network.refractory == math.inf else network.limit)
    assert int(found.offsets[-1]) == found.n_events == found.units.numel()
    loss = (found.times * torch.randn(found.n_events, generator=g)).sum() + found.counts().sum() * 0.1
    for name in ("V", "I"):
        assert bool(final[name].isfinite().all()), name
        loss = loss + final[name].sum()
    for name, value in gradients(loss, network.values).items():
        assert bool(value.isfinite().all()), f"d {name}"
        assert value.shape == network.values[name].shape
    for name, happened in {
        style: True,
        "spikes": found.n_events > 0,
        "recurrent": "w_rec" in network.values,
        "delays": "d_rec" in network.values,
        "truncated": found.record.truncated > 0,
        "clipped": found.record.clipped > 0,
        "coincident": times.numel() > times.unique().numel(),
        "at the end": bool((network.values["times"].double() >= DURATION).any()),
        "threads": found.n_samples > 1,
    }.items():
        seen[name] = seen.get(name, 0) + bool(happened)


def fuzz(first: int, n: int, structures: Sequence[Structure] | None = None) -> None:
    seen: dict[str, int] = {}
    for seed in range(first, first + n):
        check(seed, seen, structures)
    for name, count in seen.items():
        assert count >= 0.02 * n, f"{name} happened in only {count} of {n} batches"


def test_odd_batches() -> None:
    fuzz(0, ALWAYS, STRUCTURES)


@pytest.mark.slow
def test_many_odd_batches() -> None:
    fuzz(ALWAYS, MANY)

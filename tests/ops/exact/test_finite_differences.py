"""Every gradient of random networks against central differences of the engine itself.

Derivatives are compared where the pattern of events (whose, how many, in which order) stays the same; Richardson
extrapolation of two steps makes the difference good to about 1e-9. Crossings that nearly graze the threshold have
large higher derivatives: networks with one are judged by a tolerance of their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranvier.spikes import Spikes
from tests.ops.exact.nets import STRUCTURES, Net, Structure, Values, gradients, random_net

pytestmark = pytest.mark.usefixtures("unchecked")
GRAZING = 0.05  # I + bias - threshold
TOLERANCE, GRAZING_TOLERANCE = 1e-6, 1e-4
STEP = 1e-5  # in units of SCALE; with smaller ones the rounding of losses shows in thousands of networks
SCALE = dict.fromkeys(("times", "d_in", "d_rec", "tau_mem", "tau_syn", "tau_adapt"), 1e-2)  # s; all else 1
MARGIN = 1e-5  # s; far more than a step of SCALE moves a spike
NOISE = 1e-3  # of the loss in ms per unit of SCALE: what is smaller is compared to this


class Kind(NamedTuple):
    """One combination of what a layer can have."""

    recurrent: bool
    delays: bool
    equal: bool
    per_unit: bool
    bias: float | None
    refractory: float
    state: bool


def kinds(structures: Sequence[Structure]) -> st.SearchStrategy[Kind]:
    """Any combination of what costs no compilation with one of the structures."""
    return st.builds(
        lambda structure, **more: Kind(**structure._asdict(), **more),
        st.sampled_from(structures),
        equal=st.booleans(),
        bias=st.sampled_from([None, 0.4]),
        state=st.booleans(),
    )


ALL = [
    Structure(recurrent, delays, per_unit, refractory)
    for recurrent, delays, per_unit in product([False, True], repeat=3)
    for refractory in (0.0, 4e-3, math.inf)
]


@dataclass
class Tally:
    """What became of the networks."""

    clear: int = 0
    grazing: int = 0
    unused: int = 0
    spikes: int = 0
    features: dict[str, int] = field(default_factory=dict)

    def add(self, kind: Kind, found: Spikes) -> None:
        self.spikes += found.n_events
        for name in (*kind._fields, "several spikes"):
            seen = bool(getattr(kind, name, False)) if name in kind._fields else found.n_events > found.n_units
            self.features[name] = self.features.get(name, 0) + seen


class PatternChangedError(Exception):
    """The difference would compare two different functions."""


def loss_of(found: Spikes, final: Values, pattern: Spikes, cotangents: Values) -> Tensor:
    """A random linear function of spike times (in ms) and final states."""
    same = torch.equal(found.units, pattern.units) and torch.equal(found.offsets, pattern.offsets)
    if not same:
        raise PatternChangedError
    loss = (found.times * cotangents["times"][: found.n_events]).sum() * 1e3
    return loss + sum((final[name] * cotangents[name]).sum() for name in final)


def difference(network: Net, name: str, pattern: Spikes, cotangents: Values, backend: str, step: float) -> Tensor:
    """dL/d(value) of one tensor, element by element."""
    value = network.values[name]
    scale = SCALE.get(name, 1.0)

    def loss(position: int, step: float) -> float:
        moved = value.clone()
        moved.view(-1)[position] += step
        network_there = network.with_values(**{name: moved})
        if name == "times" and not torch.equal(moved.argsort(stable=True), value.argsort(stable=True)):
            raise PatternChangedError
        return float(loss_of(*network_there.run(backend), pattern, cotangents))

    def central(position: int, step: float) -> float:
        return (loss(position, step) - loss(position, -step)) / (2 * step)

    step = step * scale
    found = [(4 * central(k, step / 2) - central(k, step)) / 3 for k in range(value.numel())]
    return torch.tensor(found, dtype=torch.float64).view(value.shape)


def arrivals(network: Net, found: Spikes) -> tuple[Tensor, Tensor]:
    """Times and weights of all that arrives, inputs and own spikes: [A, N] each."""
    values = network.values
    sources = [(values["times"], network.units.long(), values["amplitudes"], "w_in", "d_in")]
    if "w_rec" in values:
        sources.append((found.times, found.units.long(), torch.ones_like(found.times), "w_rec", "d_rec"))
    times = [
        times[:, None] + (values[d][units] if d in values else 0 * values[w][units])
        for times, units, _, w, d in sources
    ]
    weights = [amplitudes[:, None] * values[w][units] for _, units, amplitudes, w, _ in sources]
    return torch.cat(times), torch.cat(weights)


def least_slope(network: Net, found: Spikes) -> float:
    """The smallest I + bias - threshold at a spike, from the sum of all that has arrived."""
    values, unit, now = network.values, found.units.long(), found.times
    tau_syn, bias, threshold = (values[name].expand(found.n_units)[unit] for name in ("tau_syn", "bias", "threshold"))
    times, weights = (value[:, unit] for value in arrivals(network, found))
    kernel = torch.where(times < now, torch.exp(-(now - times).clamp(min=0) / tau_syn), 0)
    current = (weights * kernel).sum(0)
    if "I" in values:
        current = current + values["I"][0, unit] * torch.exp(-now / tau_syn)
    return float((current + bias - threshold).min())


def closest(network: Net, found: Spikes) -> float:
    """The shortest time between two things that must not change places, for there derivatives jump.

    Something arrives at a unit, that unit spikes, it is released, the run ends.
    """
    times, _ = arrivals(network, found)
    releases = found.times + network.refractory if 0 < network.refractory < math.inf else found.times[:0]
    kinks = torch.cat([found.times, releases])
    unit = found.units.long().repeat(len(kinks) // found.n_events)
    pairs = [times[:, unit] - kinks, times - network.duration, releases - network.duration]
    apart = torch.cat([pair.abs().flatten() for pair in pairs])
    return float(apart[apart > 0].min())  # 0: what a spike brings to its own unit


def compare(kind: Kind, seed: int, backend: str, tally: Tally) -> None:
    """One network: note what it is worth, and fail if a gradient is wrong."""
    alone = not kind.delays and kind.refractory == 0
    network = replace(
        random_net(seed, **kind._replace(state=kind.state and alone)._asdict()),
        limit=12,
        options={"overflow": "truncate"},
    )
    generator = torch.Generator().manual_seed(seed + 1)
    cotangents = {
        "times": torch.randn(100, generator=generator, dtype=torch.float64),
        "V": torch.randn(1, 3, generator=generator, dtype=torch.float64) * (seed % 2),
        "I": torch.randn(1, 3, generator=generator, dtype=torch.float64) * (seed % 2),
    }
    with torch.no_grad():
        pattern, _ = network.run(backend)
    at_once = bool((pattern.times == 0).any())  # a state above threshold: no crossing to differentiate
    if pattern.n_events == 0 or at_once or pattern.record.truncated or closest(network, pattern) < MARGIN:
        tally.unused += 1
        return
    slope = least_slope(network, pattern)
    step = STEP * min(1.0, max(slope / GRAZING, 0.01))  # the spike vanishes within about slope^2 / 2
    leaves = network.leaves()
    exact = gradients(loss_of(*leaves.run(backend), pattern, cotangents), leaves.values)
    try:
        with torch.no_grad():
            estimates = {name: difference(network, name, pattern, cotangents, backend, step) for name in network.values}
    except PatternChangedError:
        tally.unused += 1
        return
    tally.add(kind, pattern)
    clear = slope >= GRAZING
    tally.clear += clear
    tally.grazing += not clear
    for name, estimate in estimates.items():
        norm = float(exact[name].norm()) * SCALE.get(name, 1.0)
        apart = float((estimate - exact[name]).norm()) * SCALE.get(name, 1.0)
        allowed = (TOLERANCE if clear else GRAZING_TOLERANCE) * max(norm, NOISE)
        assert apart <= allowed, (
            f"dL/d({name}) of {kind}, seed {seed}: off by {apart:.2e} of {norm:.2e}, least slope {slope:.3f}"
        )


def sweep(n_networks: int, backend: str, structures: Sequence[Structure] = STRUCTURES) -> Tally:
    """Many random networks."""
    tally = Tally()

    @settings(
        max_examples=n_networks,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind=kinds(structures), seed=st.integers(0, 2**31))
    def check(kind: Kind, seed: int) -> None:
        compare(kind, seed, backend, tally)

    check()
    return tally


def assert_worth(tally: Tally, n_networks: int) -> None:
    """Most networks could be used, they spike, and every feature was there often."""
    assert tally.clear >= 0.6 * n_networks
    assert tally.spikes >= 4 * n_networks * 0.6
    assert tally.grazing <= 0.15 * n_networks
    for name, count in tally.features.items():
        assert count >= 0.1 * n_networks, name


def test_random_networks() -> None:
    tally = sweep(400, "numba")
    assert_worth(tally, 400)
    assert tally.clear >= 300


def test_the_reference_is_no_less_true() -> None:
    tally = sweep(6, "reference")
    assert tally.clear >= 3
    assert tally.spikes > 20


@pytest.mark.slow
def test_many_random_networks() -> None:
    assert_worth(sweep(3000, "numba", ALL), 3000)

"""The kernels against the reference: the same spikes, the same times, the same gradients.

In float64 times agree to 1e-12 and gradients to 1e-9 of their norm. Kernels and reference compute in float64 whatever
the type of weights and times, so in float32 they differ by no more than one rounding of what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from ranvier.ops.exact import cpu
from ranvier.spikes import Spikes
from ranvier.training.threads import thread_count
from tests.ops.exact.nets import Net, Values, gradients, random_net, real
from tests.twins import some

TRUNCATE = {"overflow": "truncate"}


@pytest.fixture(autouse=True)
def _poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the kernels' fresh arrays with NaN (floats) and nonsense (indices), so that an unwritten cell shows."""

    def poisoned(shape, dtype=float):
        array = np.empty(shape, dtype)
        array.fill(np.nan if array.dtype.kind == "f" else 77 if array.dtype.itemsize == 1 else -(2**30))
        return array

    class Poisoned:
        empty = staticmethod(poisoned)

        def __getattr__(self, name: str):
            return getattr(np, name)

    monkeypatch.setattr(cpu, "np", Poisoned())


@pytest.fixture(autouse=True)
def _which_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow kinds run in the kernel for few units, other feed-forward ones in that for many; all work is shared."""
    kind = getattr(getattr(request.node, "callspec", None), "params", {}).get("kind", "")
    monkeypatch.setattr(cpu, "_NARROW", 1000 if kind.startswith("narrow") else 0)
    monkeypatch.setattr(cpu, "_WAKE", 0)


@dataclass(frozen=True)
class Outcome:
    spikes: Spikes
    final: Values
    gradients: Values


def outcome(network: Net, backend: str, *, marks: bool = True, **options: Any) -> Outcome:
    """Forward and backward, with random cotangents on everything that comes out."""
    network = network.leaves()
    found, final = network.run(backend, **options)
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    loss = (found.times.double() * normal(found.n_events)).sum() * 1e3
    loss = loss + (found.counts().double() * normal(found.n_samples, found.n_units)).sum() * (0.1 if marks else 0)
    for name in final:
        loss = loss + (final[name].double() * normal(found.n_samples, found.n_units)).sum()
    return Outcome(found, final, gradients(loss, network.values))


def assert_same(found: Outcome, truth: Outcome, times: float = 1e-12, norm: float = 1e-9) -> None:
    """The same spikes in the same order; times, states and gradients within bounds relative to their largest."""
    assert found.spikes.record.backend == "numba"
    assert truth.spikes.record.backend == "reference"
    for name in ("units", "offsets"):
        assert torch.equal(getattr(found.spikes, name), getattr(truth.spikes, name)), name
    for count in ("clipped", "truncated"):
        assert getattr(found.spikes.record, count) == getattr(truth.spikes.record, count), count
    torch.testing.assert_close(found.spikes.times, truth.spikes.times, rtol=0, atol=times * truth.spikes.duration)
    for name, value in truth.final.items():
        size = 1 + float(value.detach().abs().max()) if value.numel() else 1.0
        torch.testing.assert_close(found.final[name], value, rtol=0, atol=times * size)
    for name, value in truth.gradients.items():
        apart = float((found.gradients[name].double() - value.double()).norm())
        assert apart <= norm * float(value.double().norm()), f"d {name}: {apart} of {float(value.norm())}"


# name: what a network is made of
KINDS: dict[str, dict[str, Any]] = {
    "feedforward": {},
    "feedforward-per-unit": {"per_unit": True, "bias": 0.4},
    "feedforward-state": {"state": True, "bias": 0.2},
    "feedforward-equal": {"equal": True},
    "feedforward-refractory": {"refractory": 3e-3, "bias": 0.2},
    "feedforward-one-spike": {"refractory": math.inf},
    "feedforward-delays": {"delays": True},
    "feedforward-delays-refractory": {"delays": True, "refractory": 3e-3, "per_unit": True},
    "feedforward-grazing": {"min_slope": 1.0},
    "narrow": {},
    "narrow-per-unit": {"per_unit": True, "bias": 0.4},
    "narrow-state": {"state": True, "bias": 0.2},
    "narrow-equal": {"equal": True},
    "narrow-refractory": {"refractory": 3e-3, "bias": 0.2},
    "narrow-refractory-per-unit": {"refractory": 3e-3, "per_unit": True},
    "narrow-one-spike": {"refractory": math.inf},
    "narrow-grazing": {"min_slope": 1.0},
    "recurrent": {"recurrent": True, "bias": 0.2},
    "recurrent-per-unit": {"recurrent": True, "per_unit": True, "bias": 0.4},
    "recurrent-state": {"recurrent": True, "state": True},
    "recurrent-equal": {"recurrent": True, "equal": True},
    "recurrent-refractory": {"recurrent": True, "refractory": 3e-3},
    "recurrent-one-spike": {"recurrent": True, "refractory": math.inf},
    "recurrent-delays": {"recurrent": True, "delays": True},
    "recurrent-delays-per-unit": {"recurrent": True, "delays": True, "per_unit": True, "bias": 0.4},
    "recurrent-delays-refractory": {"recurrent": True, "delays": True, "refractory": 3e-3},
    "recurrent-delays-one-spike": {"recurrent": True, "delays": True, "refractory": math.inf},
    "recurrent-grazing": {"recurrent": True, "delays": True, "min_slope": 1.0},
}
# combinations of what other kinds of the same kernels have
RARE = ("narrow-refractory-per-unit", "recurrent-delays-per-unit")
any_kind = pytest.mark.parametrize("kind", some(KINDS, [kind for kind in KINDS if kind not in RARE]))


def case(kind: str, seed: int = 0, **sizes: int) -> Net:
    """A network that runs away in no sample without being cut short."""
    return replace(random_net(seed, **KINDS[kind], **sizes), limit=20, options=TRUNCATE)


def is_tame(network: Net) -> bool:
    found, _ = network.run("reference")
    return found.n_events > 6 and found.record.truncated == 0


@any_kind
def test_kernel_equals_reference(kind: str) -> None:
    spikes = clipped = 0
    for seed in range(4):
        network = case(kind, seed, n_samples=3, n_units=5, n_in=4)
        truth = outcome(network, "reference")
        assert_same(outcome(network, "numba"), truth)
        spikes += truth.spikes.n_events
        clipped += truth.spikes.record.clipped
        assert truth.gradients["w_in"].norm() > 0
        for name in {"w_rec", "d_in", "d_rec", "V", "I"} & truth.gradients.keys():
            assert truth.gradients[name].norm() > 0, name
    assert spikes > 30
    assert (clipped > 5) == ("grazing" in kind)


@pytest.mark.parametrize("each", ["half", pytest.param("one", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["feedforward-per-unit", "narrow-refractory", "recurrent-delays-refractory"])
def test_some_gradients_alone_are_the_same(kind: str, each: str) -> None:
    """Kernels compute only what is asked for; asking for less changes nothing."""
    network = case(kind, 1, n_samples=2)
    all_at_once = outcome(network, "numba").gradients
    events = [name for name in network.values if name in ("times", "amplitudes")]
    halves = [events, [name for name in network.values if name not in events]]
    for names in halves if each == "half" else [[name] for name in network.values]:
        asked = {name: network.values[name].clone().requires_grad_() for name in names}
        alone = network.with_values(**asked)
        found, final = alone.run("numba")
        whole = network.leaves()
        reference, reference_final = whole.run("numba")
        one = found.times.sum() * 1e3 + final["V"].sum() + final["I"].sum()
        all_of_it = reference.times.sum() * 1e3 + reference_final["V"].sum() + reference_final["I"].sum()
        truth = gradients(all_of_it, whole.values)
        for name, gradient in zip(names, torch.autograd.grad(one, list(asked.values())), strict=True):
            torch.testing.assert_close(gradient, truth[name], rtol=1e-12, atol=1e-12)
    assert all(bool(value.isfinite().all()) for value in all_at_once.values())


@pytest.mark.parametrize(
    "kind",
    some(
        ["feedforward", "narrow", "feedforward-delays-refractory", "recurrent-per-unit", "recurrent-delays-one-spike"],
        ["feedforward", "narrow", "recurrent-per-unit", "recurrent-delays-one-spike"],  # one of each kernel
    ),
)
def test_float32_differs_by_its_own_rounding(kind: str) -> None:
    """Both compute in float64 from the same float32 weights and times, and round what comes out."""
    network = case(kind, 2, n_samples=3, n_units=5, n_in=4).to(torch.float32)
    truth, found = outcome(network, "reference"), outcome(network, "numba")
    assert truth.spikes.n_events > 3
    assert found.spikes.times.dtype == torch.float32
    assert found.gradients["w_in"].dtype == torch.float32
    assert found.gradients["tau_mem"].dtype == torch.float64
    assert_same(found, truth, times=2e-7, norm=2e-6)


# ---------------------------------------------------------------------------------------------------- sizes

SIZES = {
    "empty batch": {"n_samples": 0},
    "one of everything": {"n_samples": 1, "n_in": 1, "n_units": 1, "n_events": 1},
    "no events": {"n_samples": 3, "n_events": 0},
    "63 units": {"n_samples": 1, "n_units": 63, "n_in": 5},
    "200 units": {"n_samples": 1, "n_units": 200, "n_in": 5, "n_events": 5},
    "17 samples": {"n_samples": 17, "n_units": 2},
    "many events": {"n_samples": 1, "n_units": 3, "n_in": 20, "n_events": 60},
}


SIZED = ["feedforward-per-unit", "narrow-per-unit", "feedforward-delays", "recurrent", "recurrent-delays-refractory"]
# every spike arrives at every unit at its own time, each arrival a step of the reference: half a minute
LONG = ("recurrent-delays-refractory", "200 units")


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        pytest.param(kind, size, marks=pytest.mark.slow if (kind, size) == LONG else ())
        for size in SIZES
        for kind in SIZED
    ],
)
def test_sizes(kind: str, size: str) -> None:
    network = case(kind, 4, **SIZES[size])
    values = dict(network.values)
    if "w_rec" in values:
        values["w_rec"] = values["w_rec"] * (3 / values["w_rec"].shape[0]) ** 0.5
    if size == "many events":
        values["w_in"] = values["w_in"] * 0.3
    if size == "one of everything":
        values["w_in"] = 60 * torch.ones_like(values["w_in"])
    network = replace(network, values=values)
    truth = outcome(network, "reference")
    assert_same(outcome(network, "numba"), truth)
    quiet = size in ("empty batch", "no events") and "bias" not in KINDS[kind]
    assert (truth.spikes.n_events == 0) or not quiet
    if size not in ("empty batch", "no events"):
        assert truth.spikes.n_events > 0
        assert truth.gradients["w_in"].norm() > 0


@pytest.mark.parametrize(
    "kind", ["feedforward", "narrow", "feedforward-delays-refractory", "recurrent", "recurrent-delays"]
)
def test_ragged_samples_some_empty(kind: str) -> None:
    network = case(kind, 3, n_samples=4)
    keep = torch.ones(network.units.numel(), dtype=torch.bool)
    keep[8:16] = False  # sample 1 is empty
    keep[27:] = False  # sample 3 has three events
    network = replace(
        network,
        values=network.values | {name: network.values[name][keep] for name in ("times", "amplitudes")},
        units=network.units[keep],
        offsets=torch.tensor([0, 8, 8, 16, 19]),
    )
    truth = outcome(network, "reference")
    assert truth.spikes.n_events > 0
    assert "bias" in KINDS[kind] or truth.spikes.offsets[1] == truth.spikes.offsets[2]
    assert_same(outcome(network, "numba"), truth)


@any_kind
def test_a_silent_network(kind: str) -> None:
    network = case(kind, 6, n_samples=2)
    small = {name: 1e-3 * network.values[name] for name in ("w_in", "bias", "V", "I") if name in network.values}
    network = network.with_values(**small)
    truth, found = outcome(network, "reference"), outcome(network, "numba")
    assert truth.spikes.n_events == 0
    assert truth.gradients["w_in"].norm() > 0  # through the final state
    assert_same(found, truth)
    assert torch.count_nonzero(found.gradients["threshold"]) == 0


# ------------------------------------------------------------------------------------------------- one instant


def equal_times(network: Net) -> Net:
    """Inputs at only three instants: the first at time 0, the last at the very end."""
    instants = real([0.0, 10e-3, network.duration])
    n = network.values["times"].numel() // (network.offsets.numel() - 1)
    times = instants[torch.tensor([min(3 * k // n, 2) for k in range(n)])]
    return network.with_values(times=times.repeat(network.offsets.numel() - 1))


@any_kind
def test_coincident_inputs(kind: str) -> None:
    spikes = 0
    for seed in range(3):
        network = equal_times(case(kind, seed, n_samples=2, n_events=12))
        truth = outcome(network, "reference")
        assert_same(outcome(network, "numba"), truth)
        spikes += truth.spikes.n_events
    assert spikes > 5


@pytest.mark.parametrize("delay", [0.0, 2e-3])
def test_twins_spike_at_one_instant_lower_unit_first(delay: float) -> None:
    """Identical units that excite each other: whose spike comes first is a matter of order, the same on both paths."""
    network = random_net(0, n_samples=1, n_in=1, n_units=4, n_events=2, recurrent=True)
    twins = {
        "w_in": torch.full((1, 4), 15.0, dtype=torch.float64),
        "w_rec": torch.tensor([[0.0, 1.0, 2.0, 3.0]] * 4, dtype=torch.float64),
        "d_in": torch.zeros(1, 4, dtype=torch.float64),
        "d_rec": torch.full((4, 4), delay, dtype=torch.float64),
    }
    for names in (("w_in", "w_rec"), ("w_in", "w_rec", "d_in", "d_rec")):
        if delay and "d_rec" not in names:
            continue
        joined = replace(network.with_values(**{name: twins[name] for name in names}), limit=10, options=TRUNCATE)
        truth, found = outcome(joined, "reference"), outcome(joined, "numba")
        assert truth.spikes.units[:4].tolist() == [0, 1, 2, 3]
        assert truth.spikes.times[:4].detach().unique().numel() == 1
        assert_same(found, truth)


@pytest.mark.parametrize("again", [-50.0, 50.0])
def test_a_crossing_precedes_what_arrives_at_its_instant(again: float) -> None:
    """Two units above threshold at time 0 cross before the inputs of time 0, and those before each other's spikes."""
    network = case("recurrent-state", 3).with_values(V=real([[2.0, 0.0, 5.0]]), I=real([[3.0, 0.0, 6.0]]))
    times = network.values["times"].clone()
    times[:3] = 0
    amplitudes = network.values["amplitudes"].clone()
    amplitudes[:3] = again
    network = network.with_values(times=times, amplitudes=amplitudes)
    truth = outcome(network, "reference")
    assert truth.spikes.units[:2].tolist() == [0, 2]
    assert truth.spikes.times[:2].tolist() == [0, 0]
    assert_same(outcome(network, "numba"), truth)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_state_above_threshold_spikes_at_once(backend: str) -> None:
    network = case("recurrent-state", 3)
    network = network.with_values(V=real([[2.0, 0.0, 5.0]]), I=real([[3.0, 0.0, 6.0]]))
    found, _ = network.run(backend)
    assert found.units[:2].tolist() == [0, 2]
    assert found.times[:2].tolist() == [0, 0]
    assert_same(outcome(network, "numba"), outcome(network, "reference"))


def test_a_state_above_threshold_whose_membrane_falls() -> None:
    """The slope at its spike is negative: bounded, gradients agree; not bounded, the spikes still do."""
    network = case("recurrent-state", 3).with_values(V=real([[2.0, 0.0, 5.0]]), I=real([[-3.0, 0.0, 6.0]]))
    bounded = replace(network, min_slope=0.1)
    truth = outcome(bounded, "reference")
    assert truth.spikes.record.clipped > 0
    assert_same(outcome(bounded, "numba"), truth)
    truth, found = network.run("reference")[0], network.run("numba")[0]
    assert torch.equal(found.units, truth.units)
    torch.testing.assert_close(found.times, truth.times, rtol=1e-12, atol=0)


# ------------------------------------------------------------------------------------------ threads and chunks


@any_kind
def test_threads_change_nothing_but_the_order_of_sums(kind: str) -> None:
    network = case(kind, 7, n_samples=7)
    found = {}
    for n in (1, 2):
        with thread_count(n):
            found[n], again = outcome(network, "numba"), outcome(network, "numba")
        for name, value in found[n].gradients.items():
            assert torch.equal(value, again.gradients[name]), name  # the same thread count: the same bits
    one, two = found[1], found[2]
    assert one.spikes.n_events > 7
    assert torch.equal(one.spikes.times, two.spikes.times)
    assert torch.equal(one.spikes.units, two.spikes.units)
    assert one.spikes.record == two.spikes.record
    for name, value in one.gradients.items():
        assert float((two.gradients[name] - value).norm()) <= 1e-12 * float(value.norm()), name


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize(
    "kind", ["feedforward-state", "narrow-state", "recurrent-state", "recurrent-equal", "recurrent-per-unit"]
)
def test_a_sequence_cut_in_two_equals_the_whole(kind: str, backend: str) -> None:
    """Also its gradients, which pass through the state between the chunks."""
    whole = next(net for seed in range(100) if is_tame(net := case(kind, seed, n_samples=3)))
    cut = 0.013
    outcomes: list[tuple[list, Values]] = []
    for chunked in (False, True):
        network = whole.leaves()
        if chunked:
            found, final = run_in_chunks(network, cut, backend)
        else:
            out, final = network.run(backend)
            found = [
                (out.units[begin:end], out.times[begin:end])
                for begin, end in zip(out.offsets[:-1].tolist(), out.offsets[1:].tolist(), strict=True)
            ]
        loss = sum((times * torch.linspace(1, 2, len(times), dtype=torch.float64)).sum() for _, times in found)
        loss = loss * 1e3 + (final["V"] * 0.7).sum() + (final["I"] * 0.3).sum()
        outcomes.append((found, gradients(loss, network.values)))
    (one, one_gradients), (two, two_gradients) = outcomes
    assert sum(len(units) for units, _ in one) > 6
    for (units, times), (same_units, same_times) in zip(one, two, strict=True):
        assert torch.equal(units, same_units)
        torch.testing.assert_close(times, same_times, rtol=1e-12, atol=0)
    for name, value in one_gradients.items():
        torch.testing.assert_close(two_gradients[name], value, rtol=1e-8, atol=1e-9 * float(value.norm()))


def run_in_chunks(network: Net, cut: float, backend: str) -> tuple[list, Values]:
    """Two calls, the second from the state the first left; per sample the units and times of the whole."""
    samples = torch.repeat_interleave(torch.arange(network.offsets.numel() - 1), network.offsets.diff())
    times, state, shift = network.values["times"], {}, 0.0
    found: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in range(network.offsets.numel() - 1)]
    for chunk, end in ((times < cut, cut), (times >= cut, network.duration)):
        counts = torch.bincount(samples[chunk], minlength=network.offsets.numel() - 1)
        part = replace(
            network,
            values=network.values
            | state
            | {"times": times[chunk] - shift, "amplitudes": network.values["amplitudes"][chunk]},
            units=network.units[chunk],
            offsets=torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
            duration=end - shift,
        )
        out, state = part.run(backend)
        for b, (begin, stop) in enumerate(zip(out.offsets[:-1].tolist(), out.offsets[1:].tolist(), strict=True)):
            found[b].append((out.units[begin:stop], out.times[begin:stop] + shift))
        shift = cut
    joined = [tuple(torch.cat(parts) for parts in zip(*sample, strict=True)) for sample in found]
    return joined, state


# ------------------------------------------------------------------------------------------ extreme numbers

EXTREMES: dict[str, Callable[[Net], Net]] = {
    "slow membrane": lambda net: net.with_values(tau_mem=real(10.0), tau_syn=real(1e-3), w_in=net.values["w_in"] * 500),
    "slow synapse": lambda net: net.with_values(tau_mem=real(1e-3), tau_syn=real(10.0), w_in=net.values["w_in"] * 0.3),
    "nearly equal": lambda net: net.with_values(tau_syn=net.values["tau_mem"] * (1 + 1e-12)),
    "close": lambda net: net.with_values(tau_syn=net.values["tau_mem"] * (1 - 1e-5)),
    "long silence": lambda net: replace(net, duration=100.0),
    "strong": lambda net: net.with_values(w_in=net.values["w_in"] * 1e4),
    "bias above threshold": lambda net: net.with_values(bias=net.values["threshold"] * 1.5),
    "bias far below": lambda net: net.with_values(bias=net.values["threshold"] * -20),
}


@pytest.mark.parametrize(
    "kind", ["feedforward", "narrow-refractory", "feedforward-delays", "recurrent", "recurrent-refractory"]
)
@pytest.mark.parametrize("extreme", EXTREMES)
def test_extreme_numbers(kind: str, extreme: str) -> None:
    network = EXTREMES[extreme](case(kind, 2, n_samples=2))
    truth = outcome(network, "reference")
    for value in truth.gradients.values():
        assert bool(value.isfinite().all())
    assert_same(outcome(network, "numba"), truth, norm=1e-7 if extreme == "strong" else 1e-9)
    assert truth.spikes.n_events > 0 or extreme == "bias far below"

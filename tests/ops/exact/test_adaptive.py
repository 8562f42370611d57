"""Thresholds that rise with spikes, in continuous time: E9, kernels against reference, both against differences.

E9 comes from an independent adjoint: a neuron driven by its bias alone, times in ms, unequal time constants.
"""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranvier.gradients import EventProp
from ranvier.ops.exact import reference
from tests.ops.exact import test_agreement as agreement
from tests.ops.exact.nets import BACKENDS, Net, gradients, net, random_net, real
from tests.ops.exact.test_agreement import _poison  # noqa: F401 (a fixture that serves by being here)
from tests.ops.exact.test_crossings import POINTS, N
from tests.ops.exact.test_finite_differences import (
    GRAZING,
    GRAZING_TOLERANCE,
    MARGIN,
    NOISE,
    SCALE,
    STEP,
    TOLERANCE,
    PatternChangedError,
    closest,
    difference,
    loss_of,
)

both = pytest.mark.parametrize("backend", BACKENDS)
TRUNCATE = {"overflow": "truncate"}

# -------------------------------------------------------------------------------------------------------------- E9

E9_SPIKES = [16.218604324327, 37.994452332357, 63.483774414458]
E9_SLOPES = {
    "bias": -55.0100467857,
    "tau_mem": 2.73493770659,
    "tau_adapt": 0.175700405653,
    "threshold": 84.2224632364,
    "adaptation": 49.3187365929,
}


def driven(bias: float, tau_adapt: float = 50.0, tau_syn: float = 5.0, duration: float = 70.0, **more: float) -> Net:
    values = {"tau_mem": 20.0, "tau_syn": tau_syn, "tau_adapt": tau_adapt, "adaptation": 0.3, "bias": bias} | more
    return net([([], [])], [[0.0]], duration=duration, min_slope=0.0, **values)


@both
@pytest.mark.parametrize("tau_syn", [5.0, 20.0, 50.0])
def test_e9(tau_syn: float, backend: str) -> None:
    """There is no current, so that its time constant must not matter, even where it equals another."""
    one = driven(1.8, tau_syn=tau_syn).leaves()
    found, final = one.run(backend)
    assert found.times.tolist() == pytest.approx(E9_SPIKES, rel=1e-13)
    assert found.record.backend == backend
    slopes = gradients(found.times[2], one.values, keep=True)
    for name, value in E9_SLOPES.items():
        assert float(slopes[name]) == pytest.approx(value, rel=2e-11), name
    assert float(slopes["tau_syn"]) == float(slopes["w_in"]) == 0
    # a at the end: three jumps, each decayed
    left = sum(0.3 * math.exp(-(70 - t) / 50) for t in E9_SPIKES)
    assert float(final["a"].detach()) == pytest.approx(left, rel=1e-12)


@both
def test_equal_time_constants_of_membrane_and_adaptation(backend: str) -> None:
    """With tau_adapt = tau_mem the second spike has a closed form: (1.8 + 0.3) e^(-d / tau) = 1.8 - 1."""
    found, _ = driven(1.8, tau_adapt=20.0).run(backend)
    first = -20 * math.log(1 - 1 / 1.8)
    assert found.times[:2].tolist() == pytest.approx([first, first - 20 * math.log(0.8 / 2.1)], rel=1e-14)


@both
def test_without_adaptation_it_is_the_base_model(backend: str) -> None:
    plain = random_net(4, recurrent=True, n_samples=2)
    adaptive = plain.with_values(tau_adapt=real(30e-3), adaptation=real(0.0))
    (truth, _), (found, _) = plain.run(backend), adaptive.run(backend)
    assert truth.n_events >= 5
    assert torch.equal(found.units, truth.units)
    torch.testing.assert_close(found.times, truth.times, rtol=1e-13, atol=0)


# ------------------------------------------------------------------------------------------ kernels and reference

KINDS = {
    "feedforward": {},
    "feedforward-state": {"state": True, "bias": 0.2},
    "feedforward-one-spike": {"refractory": math.inf},
    "feedforward-grazing": {"min_slope": 1.0},
    "recurrent-equal-state": {"recurrent": True, "equal": True, "state": True},
    "recurrent-per-unit": {"recurrent": True, "per_unit": True, "bias": 0.8},
    "recurrent-per-unit-grazing": {"recurrent": True, "per_unit": True, "min_slope": 1.0},
    "recurrent-refractory": {"recurrent": True, "refractory": 3e-3, "bias": 0.4},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kernel_equals_reference(kind: str) -> None:
    spikes = clipped = 0
    for seed in range(4):
        network = random_net(seed, adaptive=True, n_samples=3, n_units=5, n_in=4, **KINDS[kind])
        network = replace(network, limit=20, options=TRUNCATE)
        truth, found = (agreement.outcome(network, backend) for backend in ("reference", "numba"))
        agreement.assert_same(found, truth)
        assert set(found.final) == {"V", "I", "a"}
        assert truth.gradients["w_in"].norm() > 0
        if kind != "feedforward-one-spike":
            assert truth.gradients["tau_adapt"].norm() > 0
            assert truth.gradients["adaptation"].norm() > 0
        spikes += truth.spikes.n_events
        clipped += truth.spikes.record.clipped
    assert spikes > 20
    assert clipped > 0 or "grazing" not in kind


@both
def test_a_runaway_is_cut_short(backend: str) -> None:
    network = replace(random_net(1, adaptive=True, n_samples=2), limit=3, options=TRUNCATE)
    network = network.with_values(bias=real(40.0)).leaves()
    found, _ = network.run(backend)
    assert found.record.truncated > 0
    assert float(found.counts().detach().max()) == 3
    assert bool(torch.isfinite(gradients(found.times.sum(), network.values)["adaptation"]))


@both
def test_twins_spike_together(backend: str) -> None:
    """Two equal units that would stop each other: neither is before the other."""
    weights = {"w_in": real([[12.0, 12.0]]), "w_rec": real([[-50.0, -50.0], [-50.0, -50.0]])}
    twins = net([([1.0], [0])], weights["w_in"], duration=60.0, w_rec=weights["w_rec"], tau_adapt=40.0, adaptation=0.5)
    found, _ = twins.run(backend)
    assert found.units.tolist() == [0, 1]
    assert float(found.times[0]) == float(found.times[1])


@both
def test_a_long_silence_hides_nothing(backend: str) -> None:
    """Over thousands of time constants every exponential dies: the crossings are those of a shorter segment."""
    late = 0
    for seed in range(6):
        network = random_net(seed, adaptive=True, n_samples=2)
        with torch.no_grad():
            short, long = (replace(network, duration=d, limit=30).run(backend)[0] for d in (0.5, 100.0))
        assert torch.equal(long.units, short.units)
        torch.testing.assert_close(long.times, short.times, rtol=1e-12, atol=0)
        late += int((short.times > 30e-3).sum())
    assert late > 0  # spikes in that very segment


@both
def test_cut_in_time(backend: str) -> None:
    """V, I and a carry all there is from one call to the next."""
    network = replace(random_net(3, adaptive=True, recurrent=True, n_samples=3), limit=30)
    with torch.no_grad():
        whole, final = network.run(backend)
        assert whole.n_events > 6
        joined, state = agreement.run_in_chunks(network, 17e-3, backend)
    for name in ("V", "I", "a"):
        torch.testing.assert_close(state[name], final[name], rtol=1e-10, atol=1e-12)
    assert torch.equal(torch.cat([units for units, _ in joined]), whole.units)
    torch.testing.assert_close(torch.cat([times for _, times in joined]), whole.times, rtol=1e-11, atol=0)


# ----------------------------------------------------------------------------------------------- no crossing is missed


@dataclass(frozen=True)
class Cases:
    """Units left alone, [N] each."""

    tau_mem: Tensor
    tau_syn: Tensor
    tau_adapt: Tensor
    bias: Tensor
    membrane: Tensor
    current: Tensor
    raised: Tensor
    horizon: float

    @classmethod
    def random(cls, seed: int) -> "Cases":
        g = torch.Generator().manual_seed(seed)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(N, generator=g, dtype=torch.float64)

        def one_of(*choices: Tensor) -> Tensor:
            return torch.stack(choices)[torch.randint(len(choices), (N,), generator=g), torch.arange(N)]

        tau_mem = 10 ** uniform(-1, 1)
        tau_syn = one_of(10 ** uniform(-1, 1), 10 ** uniform(-1, 1), tau_mem, tau_mem * (1 + 10 ** uniform(-15, -3)))
        close = 1 + 10 ** uniform(-15, -3)
        sign, zero = torch.sign(uniform(-1, 1)), torch.zeros(N, dtype=torch.float64)
        return cls(
            tau_mem=tau_mem,
            tau_syn=tau_syn,
            tau_adapt=one_of(*(10 ** uniform(-1, 1.5) for _ in range(4)), *(tau_mem, tau_syn, tau_mem * close)),
            bias=one_of(zero, uniform(-2, 2)),
            membrane=one_of(zero, uniform(-2, 2), uniform(-2, 2)),
            current=one_of(sign * 10 ** uniform(-3, 2), sign * 10 ** uniform(-1, 1), zero),
            raised=one_of(10 ** uniform(-3, 1), 10 ** uniform(-1, 1), uniform(-2, 2), zero),
            horizon=float(10 ** (3 * torch.rand((), generator=g, dtype=torch.float64) - 1.25)),
        )

    def at(self, d: Tensor) -> Tensor:
        """V - a at times [..., N], in another closed form than the engine's."""
        x = d * (1 / self.tau_syn - 1 / self.tau_mem)
        ratio = torch.where(x == 0, 1, -torch.expm1(-x) / torch.where(x == 0, 1, x))
        decay = torch.exp(-d / self.tau_mem)
        v = self.bias + (self.membrane - self.bias) * decay + self.current * d / self.tau_mem * decay * ratio
        return v - self.raised * torch.exp(-d / self.tau_adapt)

    @property
    def size(self) -> Tensor:
        return 1 + self.membrane.abs() + self.current.abs() + self.bias.abs() + self.raised.abs()

    def highest(self) -> Tensor:
        """The maximum over the horizon, by three scans, each around the best of the one before."""
        grid = torch.linspace(0, 1, POINTS + 1, dtype=torch.float64)[:, None]
        low, high = torch.zeros(N, dtype=torch.float64), torch.full((N,), self.horizon, dtype=torch.float64)
        for _ in range(3):
            points = low + (high - low) * grid
            best = self.at(points).argmax(0)
            low, high = (points[(best + step).clamp(0, POINTS), torch.arange(N)] for step in (-1, 1))
        return torch.maximum(self.at(low), torch.maximum(self.at(high), self.at((low + high) / 2)))

    def first_spikes(self, threshold: Tensor, backend: str) -> Tensor:
        """The engine's first spike of every unit, infinite where there is none."""
        values = {name: getattr(self, name) for name in ("tau_mem", "tau_syn", "tau_adapt", "bias")}
        values |= {"V": self.membrane[None], "I": self.current[None], "a": self.raised[None]}
        values |= {"times": real([]), "amplitudes": real([]), "w_in": torch.zeros(1, N, dtype=torch.float64)}
        values |= {"threshold": threshold, "adaptation": torch.full((N,), 1e3, dtype=torch.float64)}
        alone = Net(values, torch.zeros(0, dtype=torch.int32), torch.tensor([0, 0]), self.horizon, limit=1)
        with torch.no_grad():
            return alone.run(backend, overflow="truncate")[0].first_times()[0]


def assert_at_threshold(cases: Cases, times: Tensor, threshold: Tensor, some: Tensor) -> None:
    """Every one of `some` spikes, with V - a at threshold, and no scanned point before it is above."""
    assert bool(torch.isfinite(times[some]).all()), f"missed: {(~torch.isfinite(times) & some).nonzero().flatten()}"
    there, at_once = torch.where(some, times, 0.0), cases.membrane - cases.raised >= threshold
    off = (cases.at(there) - threshold).abs() / cases.size
    assert bool((times[some & at_once] == 0).all())
    assert float(torch.where(some & ~at_once, off, 0.0).max()) < 1e-13
    before = torch.linspace(0, 1 - 1e-9, POINTS, dtype=torch.float64)[:, None] * there
    early = ((cases.at(before) - threshold) / cases.size).amax(0)
    assert float(torch.where(some & ~at_once, early, 0.0).max()) < 1e-13


property_test = settings(max_examples=10, derandomize=True, deadline=None, database=None)
seeds = given(seed=st.integers(0, 2**31))


@both
@property_test
@seeds
def test_a_peak_just_above_threshold_is_a_spike(seed: int, backend: str) -> None:
    """And one just below is none, by as little as 1e-11 of what cancels in V - a."""
    cases = Cases.random(seed)
    highest = cases.highest()
    generator = torch.Generator().manual_seed(seed)
    little = cases.size * 10 ** (-1 - 10 * torch.rand(N, generator=generator, dtype=torch.float64))
    for distance in (-little, little):
        threshold = highest + distance
        usable = threshold > 1e-3
        threshold = torch.where(usable, threshold, 1e9)
        times = cases.first_spikes(threshold, backend)
        if bool((distance > 0).all()):
            assert bool(torch.isinf(times).all())
        else:
            assert int(usable.sum()) > N / 8
            assert_at_threshold(cases, times, threshold, usable)


@both
@property_test
@seeds
def test_the_first_crossing_is_found(seed: int, backend: str) -> None:
    """Any threshold: a scanned point above it means a spike no later, and every spike is at threshold."""
    cases = Cases.random(seed)
    generator = torch.Generator().manual_seed(seed)
    threshold = 0.05 + 3 * torch.rand(N, generator=generator, dtype=torch.float64) ** 2
    times = cases.first_spikes(threshold, backend)
    points = torch.linspace(0, 1, POINTS + 1, dtype=torch.float64)[:, None] * cases.horizon
    above = cases.at(points) >= threshold + 1e-13 * cases.size
    scanned = torch.where(above.any(0), above.double().argmax(0) * cases.horizon / POINTS, math.inf)
    assert 0 < int(torch.isfinite(times).sum()) < N
    assert bool((times <= scanned * (1 + 1e-12)).all())
    assert_at_threshold(cases, times, threshold, torch.isfinite(times))


def test_a_crossing_between_two_extrema_and_after() -> None:
    """f falls, rises to its maximum and falls, or rises, falls and rises for good: both orders occur and are found."""
    orders = set()
    for seed in range(20):
        cases = Cases.random(seed)
        scan = cases.at(torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None] * cases.horizon).diff(dim=0)
        scan = torch.where(scan.abs() > 1e-12 * cases.size, scan.sign(), 0)  # where all has died out, rounding is left
        for n in range(N):
            signs = torch.unique_consecutive(scan[:, n][scan[:, n] != 0])
            orders.add(tuple(signs.int().tolist()))
    assert {(1, -1), (-1, 1), (-1, 1, -1), (1, -1, 1)} <= orders
    assert max(len(order) for order in orders) == 3


# --------------------------------------------------------------------------------------------------- finite differences

STRUCTURES = [
    {},
    {"refractory": math.inf},
    {"recurrent": True, "per_unit": True},
    {"recurrent": True, "refractory": 3e-3},
]


def assert_differences_agree(kind: dict, seed: int, backend: str, tally: dict[str, int]) -> None:
    """One network: note what it is worth, and fail if a gradient is wrong."""
    network = replace(random_net(seed, adaptive=True, **kind), limit=12, options=TRUNCATE)
    generator = torch.Generator().manual_seed(seed + 1)
    cotangents = {"times": torch.randn(100, generator=generator, dtype=torch.float64)}
    for name in ("V", "I", "a"):
        cotangents[name] = torch.randn(1, 3, generator=generator, dtype=torch.float64) * (seed % 2)
    with torch.no_grad():
        pattern, _ = network.run(backend)
        at_once = bool((pattern.times == 0).any())  # a state above threshold: no crossing to differentiate
        if pattern.n_events == 0 or at_once or pattern.record.truncated or closest(network, pattern) < MARGIN:
            return
        values = network.values
        rows = torch.zeros(3 + (network.refractory > 0), 1, 3, dtype=torch.float64)
        for row, name in enumerate(("V", "I", "a")):
            rows[row] = values.get(name, 0.0)
        spikes, w_in, w_rec = network.spikes, values["w_in"], values.get("w_rec")
        slopes = reference.run(spikes, w_in, w_rec, network.neuron, EventProp(0.0), None, None, rows, limit=12).slopes
    slope = float(slopes.min())
    step = STEP * min(1.0, max(slope / GRAZING, 0.01))
    leaves = network.leaves()
    exact = gradients(loss_of(*leaves.run(backend), pattern, cotangents), leaves.values)
    try:
        with torch.no_grad():
            estimates = {name: difference(network, name, pattern, cotangents, backend, step) for name in network.values}
    except PatternChangedError:
        return
    clear = slope >= GRAZING
    again = bool((pattern.counts() > 1).any())
    for name, seen in (("clear", clear), ("grazing", not clear), ("again", again), ("spikes", pattern.n_events)):
        tally[name] = tally.get(name, 0) + int(seen)
    for name, estimate in estimates.items():
        norm = float(exact[name].norm()) * SCALE.get(name, 1.0)
        apart = float((estimate - exact[name]).norm()) * SCALE.get(name, 1.0)
        allowed = (TOLERANCE if clear else GRAZING_TOLERANCE) * max(norm, NOISE)
        assert apart <= allowed, (
            f"dL/d({name}) of {kind}, seed {seed}: off by {apart:.2e} of {norm:.2e}, least slope {slope:.3f}"
        )


def sweep(n_networks: int, backend: str) -> dict[str, int]:
    tally: dict[str, int] = {}

    @settings(
        max_examples=n_networks,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        kind=st.sampled_from(STRUCTURES),
        equal=st.booleans(),
        bias=st.sampled_from([None, 1.5]),
        state=st.booleans(),
        seed=st.integers(0, 2**31),
    )
    def check(kind: dict, equal: bool, bias: float | None, state: bool, seed: int) -> None:
        more = {"equal": equal, "bias": bias, "state": state and "refractory" not in kind}
        assert_differences_agree(kind | more, seed, backend, tally)

    check()
    return tally


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("n_networks", "backend"),
    [
        (60, "numba"),
        (2, "reference"),
        pytest.param(2000, "numba", marks=pytest.mark.slow),
        pytest.param(20, "reference", marks=pytest.mark.slow),
    ],
)
def test_random_networks(n_networks: int, backend: str) -> None:
    tally = sweep(n_networks, backend)
    assert tally["clear"] >= 0.5 * n_networks
    assert tally["spikes"] >= 2 * n_networks
    if n_networks > 10:
        assert tally["again"] >= 0.3 * n_networks
        assert tally["grazing"] <= 0.15 * n_networks


# ------------------------------------------------------------------------------------------------------------ refusals


def test_synaptic_delays_have_no_kernel_and_say_so() -> None:
    network = random_net(0, adaptive=True, delays=True)
    with pytest.raises(ValueError, match=r"^Synaptic delays of a layer with an adaptive threshold .*'auto'\.$"):
        network.run("auto")
    found, _ = network.run("reference")
    assert found.n_events > 0

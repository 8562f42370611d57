"""No crossing is missed, however short the visit above threshold: random states against a fine scan of the solution.

Every unit is one case, with its own time constants, bias, threshold and initial state; nothing arrives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranvier.ops.exact import cpu
from tests.ops.exact.nets import BACKENDS, Net, real

N = 120  # cases at a time
POINTS = 1000
each = pytest.mark.parametrize("backend", [*BACKENDS, "narrow"])  # the last: the kernel for few units
property_test = settings(max_examples=15, derandomize=True, deadline=None, database=None)
seeds = given(seed=st.integers(0, 2**31))


@dataclass(frozen=True)
class Cases:
    """[N] each."""

    tau_mem: Tensor
    tau_syn: Tensor
    bias: Tensor
    membrane: Tensor
    current: Tensor
    horizon: float

    @classmethod
    def random(cls, seed: int) -> Cases:
        g = torch.Generator().manual_seed(seed)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(N, generator=g, dtype=torch.float64)

        def one_of(*choices: Tensor) -> Tensor:
            return torch.stack(choices)[torch.randint(len(choices), (N,), generator=g), torch.arange(N)]

        tau_mem = 10 ** uniform(-1, 1)
        near = tau_mem * (1 + 10 ** uniform(-15, -3))
        sign = torch.sign(uniform(-1, 1))
        zero = torch.zeros(N, dtype=torch.float64)
        return cls(
            tau_mem=tau_mem,
            tau_syn=one_of(10 ** uniform(-1, 1), 10 ** uniform(-1, 1), tau_mem, near, tau_mem / 2),
            bias=one_of(zero, uniform(-2, 2)),
            membrane=one_of(zero, uniform(-2, 2), uniform(-2, 2)),
            current=one_of(sign * 10 ** uniform(-3, 2), sign * 10 ** uniform(-1, 1), zero),
            horizon=float(10 ** (3 * torch.rand((), generator=g, dtype=torch.float64) - 1.25)),  # up to 56
        )

    def at(self, d: Tensor) -> Tensor:
        """V at times [..., N], in another closed form than the engine's."""
        x = d * (1 / self.tau_syn - 1 / self.tau_mem)
        ratio = torch.where(x == 0, 1, -torch.expm1(-x) / torch.where(x == 0, 1, x))
        decay = torch.exp(-d / self.tau_mem)
        return self.bias + (self.membrane - self.bias) * decay + self.current * d / self.tau_mem * decay * ratio

    @property
    def size(self) -> Tensor:
        return 1 + self.membrane.abs() + self.current.abs() + self.bias.abs()

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
        values = {
            "times": real([]),
            "amplitudes": real([]),
            "w_in": torch.zeros(1, N, dtype=torch.float64),
            "tau_mem": self.tau_mem,
            "tau_syn": self.tau_syn,
            "threshold": threshold,
            "bias": self.bias,
            "V": self.membrane[None],
            "I": self.current[None],
        }
        alone = Net(values, torch.zeros(0, dtype=torch.int32), torch.tensor([0, 0]), self.horizon, limit=1)
        with torch.no_grad(), patch.object(cpu, "_NARROW", N if backend == "narrow" else 0):
            found, _ = alone.run("numba" if backend == "narrow" else backend, overflow="truncate")
            return found.first_times()[0]


def assert_at_threshold(cases: Cases, times: Tensor, threshold: Tensor, some: Tensor) -> None:
    """Every one of `some` spikes, with V at threshold, and no scanned point before it is above."""
    assert bool(torch.isfinite(times[some]).all()), f"missed: {(~torch.isfinite(times) & some).nonzero().flatten()}"
    there = torch.where(some, times, 0.0)
    off = (cases.at(there) - threshold).abs() / cases.size
    at_once = cases.membrane >= threshold
    assert bool((times[some & at_once] == 0).all())
    assert float(torch.where(some & ~at_once, off, 0.0).max()) < 1e-13
    before = torch.linspace(0, 1 - 1e-9, POINTS, dtype=torch.float64)[:, None] * there
    early = ((cases.at(before) - threshold) / cases.size).amax(0)
    assert float(torch.where(some & ~at_once, early, 0.0).max()) < 1e-13


@each
@property_test
@seeds
def test_a_peak_just_above_threshold_is_a_spike(seed: int, backend: str) -> None:
    """And one just below is none, by as little as 1e-11 of what cancels in V."""
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
            inside = usable & (cases.membrane < threshold)
            assert int(inside.sum()) > 0
            assert_at_threshold(cases, times, threshold, usable)


@each
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


@each
@pytest.mark.parametrize(("bias", "current", "time"), [(2.0, 0.0, math.log(2)), (0.9, 0.0, math.inf)])
def test_relaxing_towards_a_bias(bias: float, current: float, time: float, backend: str) -> None:
    """Without any input V rises to the bias: at ln 2 time constants it has gone half the way."""
    one = torch.ones(N, dtype=torch.float64)
    cases = Cases(one, 0.5 * one, bias * one, 0 * one, current * one, 5.0)
    assert cases.first_spikes(one, backend).tolist() == pytest.approx([time] * N, rel=1e-14)

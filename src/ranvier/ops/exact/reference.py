"""Events to events in continuous time: the truth, in plain torch and float64.

One sample at a time, one event at a time, differentiable by autograd: nothing here knows an adjoint. Between events

    u(d) = u e^(-d / tau_mem) + I K(d)        I(d) = I e^(-d / tau_syn)        u = V - bias
    K(d) = (d / tau_mem) e^(-d / tau_syn) expm1(z) / z        z = d (tau_mem - tau_syn) / (tau_mem tau_syn)

for all time constants, equal ones included. A crossing is found by bisection on plain floats, at t0; one implicit step

    t = t0 - (V(t0) - threshold) / slope        slope = max(I + bias - threshold, min_slope threshold) / tau_mem

makes it differentiable in all that V(t0) depends on. (An adaptive threshold is threshold + a, and falls by itself: its
slope, -tau_mem a / tau_adapt, comes off.) What happens at one instant, and backwards in reverse:
(1) threshold crossings, lower unit first, (2) releases from the hold after a spike, (3) inputs in the order of the
event list, (4) own spikes in the order of emission.

Axis letters: B samples, N units, E emitted spikes.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ranvier.gradients import EventProp
from ranvier.neurons import Continuous
from ranvier.ops.exact.adaptive import Flight
from ranvier.spikes import Spikes

_RELEASE, _INPUT, _OWN = 1, 2, 3  # the order at one instant; crossings come first
_FOREVER = math.inf


@dataclass(frozen=True)
class Emission:
    """What a run emitted.

    Attributes:
        units: int32 [E].
        times: [E], s.
        marks: [E], ones for rate penalties: their gradient g enters as mu_V += g / threshold before the spike.
        offsets: int64 [B+1].
        slopes: [E], tau_mem times the slope of V above its threshold at each spike, before it is bounded.
        final: the state at `duration` [S, B, N]: V, I, a if the threshold adapts, the remaining hold if there is one.
        clipped: spikes whose slope was bounded.
        truncated: units, over all samples, that fell silent because they had spiked `limit` times.
        worst: the first sample with such a unit, or -1.
    """

    units: Tensor
    times: Tensor
    marks: Tensor
    offsets: Tensor
    slopes: Tensor
    final: Tensor
    clipped: int
    truncated: int
    worst: int


def run(
    spikes: Spikes,
    w_in: Tensor,
    w_rec: Tensor | None,
    neuron: Continuous,
    gradient: EventProp,
    d_in: Tensor | None,
    d_rec: Tensor | None,
    initial: Tensor,
    limit: int,
) -> Emission:
    """Let `spikes.duration` pass. Events after it do not happen; a spike at exactly `duration` counts.

    Args:
        spikes: input in continuous time; times and amplitudes may carry gradient.
        w_in: [n_in, N].
        w_rec: [N, N] (from, to) or None.
        neuron: the neuron as numbers.
        gradient: bounds the slope at a crossing.
        d_in: synaptic delays of inputs [n_in, N], s, or None.
        d_rec: synaptic delays of own spikes [N, N], s, or None.
        initial: rows V, I and, for an adaptive threshold, a; a refractory neuron has one more, the remaining hold in s
            (0: free; may be infinite): [S, B, N]. V of a held unit is 0, whatever is given.
        limit: spikes of one unit in one sample. The next one does not happen: the unit's V is 0 from there on.
    """
    numbers = _Numbers.of(neuron, w_in)
    outcomes = [
        _Sample(numbers, gradient, initial[:, b].double(), spikes.duration, limit, w_rec, d_rec).run(
            _inputs(spikes, b, w_in, d_in)
        )
        for b in range(spikes.n_samples)
    ]
    none = w_in.reshape(-1)[:0]  # no spikes, but in the graph
    counts = [len(sample.units) for sample in outcomes]
    return Emission(
        units=torch.tensor([n for sample in outcomes for n in sample.units], dtype=torch.int32, device=w_in.device),
        times=torch.stack([t for sample in outcomes for t in sample.times]).to(w_in.dtype) if any(counts) else none,
        marks=torch.stack([m for sample in outcomes for m in sample.marks]).to(w_in.dtype) if any(counts) else none,
        offsets=torch.tensor([0, *counts], device=w_in.device).cumsum(0),
        slopes=torch.tensor([s for sample in outcomes for s in sample.slopes], dtype=w_in.dtype, device=w_in.device),
        final=torch.stack([sample.final() for sample in outcomes], 1).to(w_in.dtype) if outcomes else initial,
        clipped=sum(sample.clipped for sample in outcomes),
        truncated=sum(sample.truncated for sample in outcomes),
        worst=next((b for b, sample in enumerate(outcomes) if sample.truncated), -1),
    )


@dataclass(frozen=True)
class _Numbers:
    """The neuron's values, one per unit: tensors [N] for what is differentiated, floats for the search of crossings."""

    tau_mem: Tensor
    tau_syn: Tensor
    bias: Tensor
    threshold: Tensor
    tau_adapt: Tensor
    adaptation: Tensor
    refractory: float
    adaptive: bool
    floats: list[tuple[float, ...]]

    @classmethod
    def of(cls, neuron: Continuous, w_in: Tensor) -> _Numbers:
        assert neuron.threshold is not None
        values = [neuron.tau_mem, neuron.tau_syn, neuron.bias, neuron.threshold, neuron.tau_adapt, neuron.adaptation]
        adaptive = neuron.adaptation is not None  # if not, a is 0 and stays 0
        values = [neuron.tau_mem.new_tensor(i == 4) if value is None else value for i, value in enumerate(values)]
        rows = [value.to(w_in.device, torch.float64).expand(w_in.shape[1]) for value in values]
        floats = list(zip(*(row.detach().tolist() for row in rows), strict=True))
        return cls(*rows, refractory=neuron.refractory, adaptive=adaptive, floats=floats)


@dataclass(frozen=True)
class _Arrival:
    """Weights that reach some units at one time."""

    units: Tensor
    weights: Tensor
    time: Tensor


_Queued = tuple[float, int, int, int, "_Arrival | None"]  # time, kind, number in its kind, target, what


def _inputs(spikes: Spikes, sample: int, w_in: Tensor, d_in: Tensor | None) -> list[_Queued]:
    """The inputs of one sample; where delays differ between targets, each target by itself."""
    begin, end = spikes.offsets[sample : sample + 2].tolist()
    queue = []
    for event in range(begin, end):
        unit, time = int(spikes.units[event]), spikes.times[event].double()
        time = time - (time.detach() - spikes.duration).clamp(min=0)  # the window may end within a time's rounding
        weights = spikes.amplitudes[event].double() * w_in[unit].double()
        queue += _arrivals(_INPUT, event, time, weights, None if d_in is None else d_in[unit])
    return queue


def _arrivals(kind: int, number: int, time: Tensor, weights: Tensor, delays: Tensor | None) -> list[_Queued]:
    units = torch.arange(weights.numel(), device=weights.device)
    if delays is None:
        return [(float(time.detach()), kind, number, 0, _Arrival(units, weights, time))]
    later = time + delays.double()
    return [
        (at, kind, number, n, _Arrival(units[n : n + 1], weights[n : n + 1], later[n]))
        for n, at in enumerate(later.detach().tolist())
    ]


class _Sample:
    """One sample: every unit's state at the time it was last moved to, and the events to come."""

    def __init__(
        self,
        numbers: _Numbers,
        gradient: EventProp,
        initial: Tensor,
        duration: float,
        limit: int,
        w_rec: Tensor | None,
        d_rec: Tensor | None,
    ) -> None:
        self.numbers, self.min_slope, self.duration, self.limit = numbers, gradient.min_slope, duration, limit
        self.w_rec, self.d_rec = w_rec, d_rec
        n_units = initial.shape[-1]
        self.all_units = torch.arange(n_units, device=initial.device)
        self.membrane, self.current = initial[0], initial[1]
        n_states = 3 if numbers.adaptive else 2
        self.raised = initial[2] if numbers.adaptive else torch.zeros_like(initial[0])
        self.since = torch.zeros_like(initial[0])
        self.releases: list[Tensor | None] = [None] * n_units  # when a held unit is released; None: free
        self.crossings = [_FOREVER] * n_units
        self.queue: list[_Queued] = []
        self.has_hold = initial.shape[0] > n_states
        if self.has_hold:
            for n, hold in enumerate(initial[n_states].detach().tolist()):
                if hold > 0:
                    self._hold(n, initial[n_states, n])
        self.counts = [0] * n_units
        self.units: list[int] = []
        self.times: list[Tensor] = []
        self.marks: list[Tensor] = []
        self.slopes: list[float] = []
        self.clipped = 0
        self.truncated = 0

    def run(self, inputs: list[_Queued]) -> _Sample:
        """Let everything up to `duration` happen."""
        self.queue += inputs
        heapq.heapify(self.queue)
        self._look(self.all_units)
        while True:
            crossing = min(self.crossings)
            other = self.queue[0][0] if self.queue else _FOREVER
            if min(crossing, other) > self.duration or min(crossing, other) == _FOREVER:
                break
            if crossing <= other:
                self._cross(self.crossings.index(crossing))
                continue
            _, kind, unit, _, arrival = heapq.heappop(self.queue)
            if kind == _RELEASE:
                self._release(unit)
            else:
                assert arrival is not None
                self._move(arrival.units, arrival.time)
                self.current = self.current.index_add(0, arrival.units, arrival.weights)
                self._look(arrival.units)
        self._move(self.all_units, self.since.new_tensor(self.duration))
        return self

    def final(self) -> Tensor:
        """V, I, a where the threshold adapts and, for a refractory neuron, the remaining hold: [S, N]."""
        rows = [self.membrane, self.current, *([self.raised] if self.numbers.adaptive else [])]
        if self.has_hold:
            zero = self.since.new_zeros(())
            rows.append(torch.stack([zero if t is None else t - self.duration for t in self.releases]))
        return torch.stack(rows)

    def _cross(self, n: int) -> None:
        t0 = self.crossings[n]
        if self.counts[n] == self.limit:
            self.truncated += 1
            self._hold(n, self.since.new_tensor(_FOREVER))
            return
        tau_mem, threshold = self.numbers.tau_mem[n], self.numbers.threshold[n]
        unit = self.all_units[n : n + 1]
        membrane, current, raised = (row[0] for row in self._flowed(unit, t0 - self.since[unit]))
        falls = tau_mem * raised / self.numbers.tau_adapt[n]
        slope = (current + self.numbers.bias[n] - (threshold + raised) + falls).detach()
        bounded = torch.maximum(slope, self.min_slope * threshold.detach())
        miss = membrane - (threshold + raised)
        time = _Valued.apply(t0 - miss * tau_mem.detach() / bounded, t0)
        self.counts[n] += 1
        self.units.append(n)
        self.times.append(time)
        self.marks.append(_Valued.apply(membrane / threshold.detach(), 1.0))
        self.slopes.append(float(slope))
        self.clipped += bool(bounded > slope)
        self._move(unit, time)
        # The reset. V = 0, but where the slope is bounded the gradient that t does not take stays in V.
        self.membrane = self.membrane.index_put((unit,), _Valued.apply((1 - slope / bounded) * miss, 0.0))
        self.raised = self.raised.index_add(0, unit, self.numbers.adaptation[unit])
        if self.numbers.refractory > 0:
            self._hold(n, time + self.numbers.refractory)
        else:
            self._look(unit)
        if self.w_rec is not None:
            delays = None if self.d_rec is None else self.d_rec[n]
            for arrival in _arrivals(_OWN, len(self.units), time, self.w_rec[n].double(), delays):
                heapq.heappush(self.queue, arrival)

    def _hold(self, n: int, until: Tensor) -> None:
        """Keep V of one unit at 0 until a time to come."""
        at = float(until.detach())
        self.releases[n] = until if at < _FOREVER else until.detach()
        self.crossings[n] = _FOREVER
        unit = self.all_units[n : n + 1]
        self.membrane = self.membrane.index_put((unit,), torch.zeros_like(self.membrane[unit]))
        heapq.heappush(self.queue, (at, _RELEASE, n, 0, None))

    def _release(self, n: int) -> None:
        unit, until = self.all_units[n : n + 1], self.releases[n]
        assert until is not None
        self._move(unit, until)
        self.releases[n] = None
        self._look(unit)

    def _flowed(self, units: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """V, I and a of some units after a time d each, as if they were free."""
        tau_mem, tau_syn, bias = (row[units] for row in (self.numbers.tau_mem, self.numbers.tau_syn, self.numbers.bias))
        u, current = self.membrane[units] - bias, self.current[units]
        membrane = bias + u * torch.exp(-d / tau_mem) + current * driven(d, tau_mem, tau_syn)
        raised = self.raised[units] * torch.exp(-d / self.numbers.tau_adapt[units])
        return membrane, current * torch.exp(-d / tau_syn), raised

    def _move(self, units: Tensor, time: Tensor) -> None:
        """Bring some units to a time; V of held ones stays."""
        membrane, current, raised = self._flowed(units, time - self.since[units])
        held = torch.tensor([self.releases[n] is not None for n in units.tolist()], device=units.device)
        membrane = torch.where(held, self.membrane[units], membrane)
        self.membrane = self.membrane.index_put((units,), membrane)
        self.current = self.current.index_put((units,), current)
        self.raised = self.raised.index_put((units,), raised)
        self.since = self.since.index_put((units,), time.expand(units.shape))

    def _look(self, units: Tensor) -> None:
        """Find when some units would cross next, were nothing to arrive any more."""
        rows = (self.membrane, self.current, self.raised, self.since)
        states = zip(*(row[units].detach().tolist() for row in rows), strict=True)
        for n, (membrane, current, raised, since) in zip(units.tolist(), states, strict=True):
            if self.releases[n] is None:
                tau_mem, tau_syn, bias, threshold, tau_adapt, _ = self.numbers.floats[n]
                u, level, horizon = membrane - bias, threshold - bias, self.duration - since
                if self.numbers.adaptive:
                    d = Flight(u, current, raised, tau_mem, tau_syn, tau_adapt).first_crossing(level, horizon)
                else:
                    d = first_crossing(u, current, tau_mem, tau_syn, level, horizon)
                self.crossings[n] = min(since + d, self.duration) if d < _FOREVER else _FOREVER


class _Valued(torch.autograd.Function):
    """A value whose gradient is another number's."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: float) -> Tensor:  # noqa: ARG004
        return torch.full_like(source, value)

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return incoming[0], None


def driven(d: Tensor, tau_mem: Tensor, tau_syn: Tensor) -> Tensor:
    """K of the module's docstring, right in all its derivatives: a power series where time constants are close."""
    z = d * (tau_mem - tau_syn) / (tau_mem * tau_syn)
    near = z.abs() < 1
    powers = torch.arange(20, dtype=z.dtype, device=z.device)
    series = (torch.where(near, z, 0)[..., None] ** powers / torch.exp(torch.lgamma(powers + 2))).sum(-1)
    apart = torch.where(near, 1, tau_mem - tau_syn)
    plain = tau_syn / apart * (torch.exp(-d / tau_mem) - torch.exp(-d / tau_syn))
    return torch.where(near, d / tau_mem * torch.exp(-d / tau_syn) * series, plain)


def first_crossing(u: float, current: float, tau_mem: float, tau_syn: float, theta: float, horizon: float) -> float:
    """The first d in [0, horizon] with u(d) >= theta, or infinity.

    u has at most one stationary point. It cuts the horizon into stretches on which u only rises or only falls, so a
    stretch that ends below theta has no crossing.
    """
    if u >= theta:
        return 0.0
    low = 0.0
    for high in (_stationary(u, current, tau_mem, tau_syn), horizon):
        if not low < high <= horizon:
            continue
        if _potential(u, current, tau_mem, tau_syn, high) >= theta:
            while low < (middle := 0.5 * (low + high)) < high:
                if _potential(u, current, tau_mem, tau_syn, middle) < theta:
                    low = middle
                else:
                    high = middle
            return high
        low = high
    return _FOREVER


def _potential(u: float, current: float, tau_mem: float, tau_syn: float, d: float) -> float:
    """u(d), in floats."""
    z = d * (tau_mem - tau_syn) / (tau_mem * tau_syn)
    if abs(z) < 1:
        k = d / tau_mem * math.exp(-d / tau_syn) * (math.expm1(z) / z if z else 1.0)
    else:
        k = tau_syn / (tau_mem - tau_syn) * (math.exp(-d / tau_mem) - math.exp(-d / tau_syn))
    return u * math.exp(-d / tau_mem) + current * k


def _stationary(u: float, current: float, tau_mem: float, tau_syn: float) -> float:
    """Where u(d) = I(d), and so u' = 0; not a number where that is nowhere."""
    if current == 0:
        return math.nan
    x = u / current - 1
    w = (tau_mem - tau_syn) / tau_mem * x
    if w <= -1:
        return math.nan
    return -tau_syn * x * (math.log1p(w) / w if w else 1.0)

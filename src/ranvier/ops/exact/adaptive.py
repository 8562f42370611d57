"""Where a membrane reaches a threshold that decays: the reference's search, in plain floats.

    f(d) = u(d) - a(d),  a(d) = a e^(-d / tau_adapt),  u and I as in reference.py

f is a sum of three exponentials; its slope is p = (I - u) / tau_mem + a / tau_adapt. The sign of p is that of
q = e^(d / tau_mem) p, which is monotone but for one turn,

    q' = 0:  e^(d (1 / tau_adapt - 1 / tau_syn)) = tau_syn a (tau_adapt - tau_mem) / (tau_adapt^2 I)

So p has one root at most before the turn and one after it, f two extrema, and between them it is monotone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FOREVER = math.inf


@dataclass(frozen=True)
class Flight:
    """A unit left alone: its state at the start, and its time constants in s."""

    u: float
    current: float
    raised: float
    tau_mem: float
    tau_syn: float
    tau_adapt: float

    def first_crossing(self, level: float, horizon: float) -> float:
        """The first d in [0, horizon] with f(d) >= level, or infinity."""
        if self.height(0.0) >= level:
            return 0.0
        low = 0.0
        for high in (*self._extrema(horizon), horizon):
            if high > low and self.height(high) >= level:
                return _change(lambda d: self.height(d) >= level, low, high)
            low = high
        return _FOREVER

    def height(self, d: float) -> float:
        """f(d)."""
        return self._potential(d) - self.raised * math.exp(-d / self.tau_adapt)

    def _potential(self, d: float) -> float:
        z = d * (self.tau_mem - self.tau_syn) / (self.tau_mem * self.tau_syn)
        if abs(z) < 1:
            k = d / self.tau_mem * math.exp(-d / self.tau_syn) * (math.expm1(z) / z if z else 1.0)
        else:
            k = math.exp(-d / self.tau_mem) - math.exp(-d / self.tau_syn)
            k *= self.tau_syn / (self.tau_mem - self.tau_syn)
        return self.u * math.exp(-d / self.tau_mem) + self.current * k

    def _rise(self, d: float) -> float:
        """p(d)."""
        current = self.current * math.exp(-d / self.tau_syn)
        raised = self.raised * math.exp(-d / self.tau_adapt)
        return (current - self._potential(d)) / self.tau_mem + raised / self.tau_adapt

    def _turn(self) -> float:
        """Where q turns; nowhere ahead: 0."""
        apart = 1 / self.tau_adapt - 1 / self.tau_syn
        against = self.tau_adapt**2 * self.current
        with_it = self.tau_syn * self.raised * (self.tau_adapt - self.tau_mem)
        if apart == 0 or against == 0 or not with_it / against > 0:
            return 0.0
        return max(math.log(with_it / against) / apart, 0.0)

    def _extrema(self, horizon: float) -> Iterator[float]:
        """The roots of p up to the horizon, in order."""
        slow = max(self.tau_mem, self.tau_syn, self.tau_adapt if self.raised else 0.0)
        end = min(horizon, 600 * slow)  # beyond, exponentials end in rounding, and the sign of p means nothing
        turn = min(self._turn(), end)
        for low, high in ((0.0, turn), (turn, end)):
            rising = self._rise(low) > 0
            if (self._rise(low) < 0 < self._rise(high)) or (rising and self._rise(high) < 0):
                yield _change(lambda d, rising=rising: (self._rise(d) > 0) != rising, low, high)


def _change(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that does not hold at `low` begins to hold, by bisection to the last digit."""
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high

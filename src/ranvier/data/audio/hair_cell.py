"""The inner hair cell: a membrane's velocity opens it, and three pools of transmitter set its release.

With k = g max(0, v + A) / (v + A + B), pools q (free), c (cleft), w (being reprocessed), all per second:

    dq/dt = y max(0, M - q) + x w - k q
    dc/dt = k q - (l + r) c
    dw/dt = r c - x w

in explicit Euler steps, clamped at zero; a nerve fibre spikes with probability h c dt per step.
Meddis, J. Acoust. Soc. Am. 79:702 (1986) and 83:1056 (1988).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ranvier.data.audio import checks


class Rest(NamedTuple):
    """The state of a hair cell in silence: permeability k (1/s), and its pools."""

    k: float
    q: float
    c: float
    w: float


@dataclass(frozen=True)
class HairCell:
    """Constants of the hair cell. The defaults are those of the Heidelberg data sets.

    Attributes:
        replenish: y, factory to free pool, 1/s.
        permeability: g, its greatest value, 1/s.
        loss: l, from the cleft, 1/s.
        reuptake: r, from the cleft, 1/s.
        reprocess: x, back to the free pool, 1/s.
        opening: A, units of the membrane's velocity.
        saturation: B, likewise.
        firing: h, spikes per second and unit of transmitter in the cleft.
        capacity: M, of the free pool.

    Raises:
        TypeError, ValueError: at construction, naming attribute, rule and value.
    """

    replenish: float = 5.05
    permeability: float = 2000.0
    loss: float = 2500.0
    reuptake: float = 6580.0
    reprocess: float = 66.3
    opening: float = 5.0
    saturation: float = 300.0
    firing: float = 50_000.0
    capacity: float = 1.0

    def __post_init__(self) -> None:
        checks.positive(self)

    def rest(self) -> Rest:
        """The steady state of silence (v = 0), in closed form."""
        k = self.permeability * self.opening / (self.opening + self.saturation)
        removed = self.loss + self.reuptake
        c = self.capacity * self.replenish * k / (self.loss * k + self.replenish * removed)
        return Rest(k, c * removed / k, c, c * self.reuptake / self.reprocess)

    def growth(self, dt: float) -> float:
        """The largest factor by which one Euler step of `dt` seconds multiplies a deviation; above 1 it is unstable."""
        y, x, removed = self.replenish, self.reprocess, self.loss + self.reuptake

        def factor(k: float) -> float:
            flow = np.array([[-y - k, 0, x], [k, -removed, 0], [0, self.reuptake, -x]])
            return float(np.abs(1 + dt * np.linalg.eigvals(flow)).max())

        return max(factor(self.rest().k), factor(self.permeability))

"""The bushy cell: a neuron that many fibres of one hair cell drive, and that spikes when they agree.

Each fibre spikes with the hair cell's probability per step; a spike closer than `fibre_refractory` to the last one
kept is dropped. With s(k) kept spikes of all fibres in step k, per step of dt:

    I = I e^(-dt/tau_syn) + s,      V = V e^(-dt/tau_mem) + (weight / fibres) I dt

V is held at 0 for `refractory` after V reached `threshold`, which is the spike's time.
"""

from __future__ import annotations

from dataclasses import dataclass

from ranvier.data.audio import checks


@dataclass(frozen=True)
class BushyCell:
    """Constants of the bushy cell and its fibres. The defaults are those of the Heidelberg data sets.

    Attributes:
        fibres: nerve fibres per cell, a whole number >= 1.
        fibre_refractory: s.
        tau_mem: s.
        tau_syn: s.
        refractory: s.
        weight: of all fibres together, 1/s: each spike adds weight / fibres to dV/dt.
        threshold: of V, no unit.

    Raises:
        TypeError, ValueError: at construction, naming attribute, rule and value.
    """

    fibres: int = 40
    fibre_refractory: float = 1e-3
    tau_mem: float = 1e-3
    tau_syn: float = 0.5e-3
    refractory: float = 1e-3
    weight: float = 13e3
    threshold: float = 1.0

    def __post_init__(self) -> None:
        checks.whole("`fibres` of BushyCell", self.fibres, 1)
        checks.positive(self, but=("fibres",))


def steps_of(seconds: float, dt: float) -> int:
    """Whole steps that last at least so many seconds; rounding errors do not make one more."""
    return -int(-(seconds / dt * (1 - 1e-9)) // 1)

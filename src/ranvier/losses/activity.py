"""Penalties on spike counts that keep a layer neither silent nor noisy.

With zeta_i the spikes of unit i in one sample (counts, not rates):

    lower:  strength * mean over batch and units of  max(0, minimum - zeta_i)^2
    upper:  strength * mean over the batch of        max(0, mean_i zeta_i - maximum)^power

Zenke & Vogels, Neural Comput. 33:899 (2021). Their gradient enters through `Spikes.counts`: through the surrogate, or for an
EventProp layer as the documented jump at each spike (the exact gradient of a count is zero).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class LowerActivity:
    """Wakes units that spike less than `minimum` times a sample.

    Args:
        strength: >= 0.
        minimum: spikes per sample and unit, >= 0.
    """

    strength: float
    minimum: float

    def __post_init__(self) -> None:
        _not_negative(self, "strength", "minimum")

    def __call__(self, counts: Float[Tensor, "batch unit"]) -> Float[Tensor, ""]:
        """The penalty for counts [B, N]."""
        return self.strength * _mean((self.minimum - counts).clamp(min=0.0).square())


@dataclass(frozen=True)
class UpperActivity:
    """Quietens a layer whose units spike more than `maximum` times a sample on average.

    Args:
        strength: >= 0.
        maximum: mean spikes per sample over the layer's units, >= 0.
        power: 1 or 2.
    """

    strength: float
    maximum: float
    power: int = 2

    def __post_init__(self) -> None:
        _not_negative(self, "strength", "maximum")
        if self.power not in (1, 2):
            raise ValueError(f"`power` of UpperActivity must be 1 or 2. Got {self.power}.")

    def __call__(self, counts: Float[Tensor, "batch unit"]) -> Float[Tensor, ""]:
        """The penalty for counts [B, N]."""
        return self.strength * _mean((counts.mean(1) - self.maximum).clamp(min=0.0) ** self.power)


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.sum()


def _not_negative(penalty: LowerActivity | UpperActivity, *names: str) -> None:
    for name in names:
        value = getattr(penalty, name)
        if not (isfinite(value) and value >= 0):
            raise ValueError(f"`{name}` of {type(penalty).__name__} must be >= 0. Got {value}.")

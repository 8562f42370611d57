"""Penalties on spike counts that keep a layer neither silent nor noisy.

With zeta_i the spikes of unit i in one sample (counts, not rates):

    lower:  strength * mean over batch and units of  max(0, minimum - zeta_i)^2
    upper:  strength * mean over the batch of        max(0, mean_i zeta_i - maximum)^power
            per unit: strength * mean over batch and units of  max(0, zeta_i - maximum)^power
    target: mean over the batch of sum_i  c (zeta_i - target)^2,  c = lower below the target, upper above it

Lower and upper: Zenke & Vogels, Neural Comput. 33:899 (2021). Target: Nowotny, Turner & Knight, Neuromorph. Comput.
Eng. (2025), arXiv 2212.01232. Their gradient enters through `Spikes.counts`: through the surrogate, or for an EventProp
layer as the documented jump at each spike (the exact gradient of a count is zero): there a penalty reaches only units
that spike, and a unit that never does is woken by other units' gradients or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.neurons.number import number


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
        return self.strength * _mean(torch.relu(self.minimum - _counts(self, counts)).square())


@dataclass(frozen=True)
class UpperActivity:
    """Quietens a layer whose units spike more than `maximum` times a sample, on average or each.

    Args:
        strength: >= 0.
        maximum: spikes per sample, the mean over the layer's units or of each unit, >= 0.
        power: 1 or 2.
        per_unit: whether every unit is held to the maximum, not the mean of the layer.
    """

    strength: float
    maximum: float
    power: int = 2
    per_unit: bool = False

    def __post_init__(self) -> None:
        _not_negative(self, "strength", "maximum")
        if self.power not in (1, 2):
            raise ValueError(f"`power` of UpperActivity must be 1 or 2. Got {self.power}.")

    def __call__(self, counts: Float[Tensor, "batch unit"]) -> Float[Tensor, ""]:
        """The penalty for counts [B, N]."""
        counts = _counts(self, counts)
        level = counts if self.per_unit else counts.mean(1)
        return self.strength * _mean(torch.relu(level - self.maximum) ** self.power)


@dataclass(frozen=True)
class TargetActivity:
    """Pulls every unit towards `target` spikes a sample.

    In an EventProp layer the gradient becomes the jump dL/dV += 2 c (zeta - target) / (batch size threshold) at every
    spike. The literature's strengths are other numbers for the same pull: see `published`.

    Args:
        lower: strength for units below the target, >= 0.
        upper: strength for units above it, >= 0.
        target: spikes per sample and unit, >= 0; the literature's for spoken digits is 14.
        over_batch: whether a unit's count is its mean over the batch, so that samples may differ (the authors'
            AVG_SNSUM).
    """

    lower: float
    upper: float
    target: float
    over_batch: bool = False

    def __post_init__(self) -> None:
        _not_negative(self, "lower", "upper", "target")

    @classmethod
    def published(
        cls, strength: float, target: float, *, tau_mem: float, threshold: float = 1.0, over_batch: bool = False
    ) -> TargetActivity:
        """The penalty of a strength as the literature gives it, 1e-12 to 1e-7: strength tau_mem^2 threshold / 2.

        The authors' code takes c' (zeta - target) / batch size off their membrane adjoint lambda at every spike (2 and
        threshold absorbed), and drives it by the loss divided by tau_mem, so that it is dL/dV / -tau_mem^2 with tau_mem
        in ms. 5e-10 at 20 ms is 1e-7.

        Args:
            strength: c', below and above the target, >= 0.
            target: spikes per sample and unit, >= 0.
            tau_mem: membrane time constant of the layer, s, > 0.
            threshold: of the layer, > 0.
            over_batch: see the class.
        """
        what = "of TargetActivity.published"
        strength, ms = (
            number(f"`strength` {what}", strength, ">= 0"),
            number(f"`tau_mem` {what}", tau_mem, "> 0", "s") * 1e3,
        )
        own = strength * ms**2 * number(f"`threshold` {what}", threshold, "> 0") / 2
        return cls(own, own, target, over_batch)

    def __call__(self, counts: Float[Tensor, "batch unit"]) -> Float[Tensor, ""]:
        """The penalty for counts [B, N]."""
        counts = _counts(self, counts)
        if not counts.shape[0]:
            return counts.sum()
        excess = (counts.mean(0, keepdim=True) if self.over_batch else counts) - self.target
        pull = torch.where(excess > 0, self.upper * excess, self.lower * excess)
        return (pull * excess).sum(1).mean()


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.sum()


def _counts(penalty: LowerActivity | UpperActivity | TargetActivity, counts: Any) -> Tensor:
    if not isinstance(counts, Tensor) or counts.ndim != 2:
        got = list(counts.shape) if isinstance(counts, Tensor) else type(counts).__name__
        raise TypeError(
            f"`counts` of {type(penalty).__name__} must be [batch, unit], from `spikes.counts()`. Got {got}."
        )
    return counts


def _not_negative(penalty: LowerActivity | UpperActivity | TargetActivity, *names: str) -> None:
    for name in names:
        what = f"`{name}` of {type(penalty).__name__}"
        object.__setattr__(penalty, name, number(what, getattr(penalty, name), ">= 0"))

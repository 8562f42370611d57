"""Transmission delays: fixed or learned, axonal (a layer of its own) or synaptic (part of a spiking layer).

A learned delay is longest * sigmoid(x) of a free number x, so that it stays above 0 and below `longest` by construction
(as in DelGrad, Göltz et al., Nat. Commun. 16:8245, 2025). In continuous time delays are real numbers and their gradient
is exact; on a grid they are rounded forwards and keep the gradient of the exact time backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.layers import check, init
from ranvier.neurons.number import number
from ranvier.spikes import Spikes

_MARGIN = 1e-3  # learned delays start at least this far inside their range, as a fraction of it


@dataclass(frozen=True)
class Delays:
    """How long a layer's delays may be, where they start, and whether they are learned.

    Args:
        longest: upper bound, s, > 0.
        initial: rule that draws the first values in seconds, between 0 and `longest`; by default uniform over the
            lower half. Learned ones at the very edge are moved inside by a thousandth of the range, since a sigmoid
            has no gradient there.
        learn: whether they are trained.
    """

    longest: float
    initial: init.Initialiser | None = field(default=None)
    learn: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "longest", number("`longest` of Delays", self.longest, "> 0", "s"))


class DelayParameters(nn.Module):
    """The delays of one layer.

    Args:
        delays: their rule.
        shape: of the delays; what `initial` is called with.
        generator: source of randomness.
    """

    def __init__(self, delays: Delays, shape: tuple[int, int], generator: torch.Generator | None) -> None:
        super().__init__()
        if not isinstance(cast(object, delays), Delays):
            raise TypeError(f"`delays` of a layer must be Delays(...). Got {delays!r}.")
        self.longest, self.learn = delays.longest, delays.learn
        rule = delays.initial or init.uniform(0.0, delays.longest / 2)
        drawn = check.weights("`initial` of Delays", rule(shape, generator), shape)
        outside = (drawn < 0) | (drawn > self.longest) | ~drawn.isfinite()
        if bool(outside.any()):
            worst = float(drawn[outside][0])
            raise ValueError(f"`initial` of Delays must draw seconds from 0 to {self.longest}. Got {worst}.")
        if self.learn:
            share = (drawn / self.longest).clamp(_MARGIN, 1 - _MARGIN)
            self.free = nn.Parameter(torch.logit(share))
        else:
            self.register_buffer("seconds", drawn)

    def values(self) -> Float[Tensor, "n_in unit"]:
        """The delays in seconds, >= 0; differentiable where learned."""
        if self.learn:
            return torch.sigmoid(self.free) * self.longest
        return cast(Tensor, self.seconds)

    def extra_repr(self) -> str:
        """For printing."""
        return f"longest={self.longest}, learn={self.learn}"


class Delay(nn.Module):
    """Axonal delays: every spike of a unit later by that unit's delay, the same on all its connections.

    Args:
        n_units: number of units.
        delays: their rule.
        generator: source of randomness for their first values.
    """

    def __init__(self, n_units: int, delays: Delays, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.n_in, self.n_out = check.sizes("Delay", n_units, n_units)
        self.delays = DelayParameters(delays, (1, n_units), generator)

    def forward(self, spikes: Spikes) -> Spikes:
        """The spikes, delayed; those that would end past the duration are left out and counted in the record."""
        if not isinstance(cast(Any, spikes), Spikes):
            raise TypeError(f"`spikes` of Delay must be Spikes. Got {type(spikes).__name__}.")
        if spikes.n_units != self.n_in:
            raise ValueError(f"`spikes` of Delay must come from {self.n_in} units. Got {spikes.n_units}.")
        return spikes.delayed(self.delays.values().squeeze(0))

    def extra_repr(self) -> str:
        """For printing."""
        return f"{self.n_in}"

"""Surrogate gradients: the spike's derivative replaced by a smooth shape h.

    S = Theta(x),  dS/dx := h(x),  x = (V - threshold) / threshold

Shapes and scales as in Zenke & Vogels, Neural Comput. 33:899 (2021), section 4.2.6: peaks are never
multiplied by the scale. Gradients flow through amplitudes, also where no spike was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.neurons.number import number


@dataclass(frozen=True)
class Shape(ABC):
    """Base of the surrogate shapes.

    Args:
        scale: steepness, > 0; the larger, the narrower.

    Attributes:
        expression: h(x) once more, as Python source in `x`, `scale` and `one`, for kernels that evaluate it at every
            cell as they go; None where torch is to evaluate it beforehand.
    """

    scale: float = 10.0

    expression: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        if "__call__" in vars(cls) and "expression" not in vars(cls):
            cls.expression = None  # an inherited one would describe another function

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", number(f"`scale` of {type(self).__name__}", self.scale, "> 0"))

    @property
    def width(self) -> float:
        """Half-width in x outside of which h is exactly 0; infinite for shapes with a tail."""
        return inf

    @abstractmethod
    def __call__(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """h(x) for x = (V - threshold) / threshold."""


@dataclass(frozen=True)
class SuperSpike(Shape):
    """Fast sigmoid, h = 1 / (scale |x| + 1)^2, peak 1. Its heavy tail is what wakes silent neurons."""

    expression: ClassVar = "one / ((scale * abs(x) + one) * (scale * abs(x) + one))"

    def __call__(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """See `Shape`."""
        return x.abs().mul_(self.scale).add_(1.0).square_().reciprocal_()


@dataclass(frozen=True)
class SigmoidDerivative(Shape):
    """Derivative of the logistic function, h = s (1 - s) with s = 1 / (1 + exp(-scale x)), peak 1/4."""

    def __call__(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """See `Shape`."""
        s = torch.sigmoid(x * self.scale)
        return s * (1 - s)


@dataclass(frozen=True)
class Esser(Shape):
    """Piecewise linear, h = max(0, 1 - scale |x|), peak 1, zero for |x| >= 1 / scale (Esser et al. 2016)."""

    @property
    def width(self) -> float:
        """See `Shape`."""
        return 1 / self.scale

    def __call__(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """See `Shape`."""
        return (1 - self.scale * x.abs()).clamp_(min=0.0)


@dataclass(frozen=True)
class Surrogate:
    """Surrogate gradients through amplitudes. Emitted times carry no gradient.

    Args:
        shape: h, one of `SuperSpike`, `SigmoidDerivative`, `Esser`, or your own `Shape`.
        through_reset: whether the reset's dependence on the spike is differentiated (EXODUS / full BPTT); off
            by default, as large scales explode through it.
        through_recurrence: whether gradient flows back through the layer's own recurrent spikes.
    """

    shape: Shape = field(default_factory=SuperSpike)
    through_reset: bool = False
    through_recurrence: bool = True

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.shape), Shape):
            raise TypeError(f"`shape` of Surrogate must be a surrogate shape such as SuperSpike(). Got {self.shape!r}.")

"""The learned numbers of a layer's neurons, kept where their rule holds by construction.

A positive parameter (time constants, thresholds) is learned as its logarithm, any other as itself. One with bounds is
learned as a free number x, of which it is low + exp(x), or low + (high - low) sigmoid(x) where there is an upper one.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.neurons import Neuron
from ranvier.neurons.number import number

Bounds = Mapping[str, tuple[float, float]]

_MARGIN = 1e-3  # bounded parameters start at least this far inside, as a fraction of the bound or the range


class NeuronParameters(nn.Module):
    """The parameters named in `neuron.learn`, shared [] where the neuron's value is one number, else [N].

    Args:
        neuron: the model; its values are where learning starts.
        bounds: lowest and highest value by name, of parameters that are learned; the highest may be infinite. A value
            at a bound starts a thousandth inside.

    Raises:
        TypeError, ValueError: naming argument, rule and value.
    """

    def __init__(self, neuron: Neuron, bounds: Bounds | None = None) -> None:
        super().__init__()
        self.positive = {name: neuron.parameters[name].positive for name in neuron.learned}
        self.bounds = _checked(neuron, bounds or {})
        for name, positive in self.positive.items():
            start = torch.tensor(getattr(neuron, name), dtype=torch.float64)
            if name in self.bounds:
                value = _free(neuron.name, name, start, *self.bounds[name])
            else:
                value = start.log() if positive else start
            setattr(self, self._stored(name), nn.Parameter(value.to(torch.get_default_dtype())))

    def _stored(self, name: str) -> str:
        if name in self.bounds:
            return f"free_{name}"
        return f"log_{name}" if self.positive[name] else name

    def values(self) -> dict[str, Float[Tensor, "*_unit"]]:
        """The learned values by name, in float64, differentiable."""
        return {name: self._value(name, getattr(self, self._stored(name)).double()) for name in self.positive}

    def _value(self, name: str, stored: Tensor) -> Tensor:
        if name not in self.bounds:
            return stored.exp() if self.positive[name] else stored
        low, high = self.bounds[name]
        return low + stored.exp() if high == inf else low + (high - low) * stored.sigmoid()


def _free(model: str, name: str, start: Tensor, low: float, high: float) -> Tensor:
    """The free numbers of values within bounds."""
    outside = (start < low) | (start > high)
    if bool(outside.any()):
        worst = float(start[outside][0])
        raise ValueError(f"`{name}` of {model} must start within its `bounds`, {low} to {high}. Got {worst}.")
    if high == inf:
        return (start - low).clamp(min=_MARGIN * (abs(low) or 1.0)).log()
    return torch.logit(((start - low) / (high - low)).clamp(_MARGIN, 1 - _MARGIN))


def _checked(neuron: Neuron, bounds: Bounds) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for name, pair in bounds.items():
        if name not in neuron.learned:
            known = ", ".join(neuron.learned) or "none"
            raise ValueError(f"`bounds` of a layer must name what its {neuron.name} learns ({known}). Got {name!r}.")
        given = cast(Any, pair)
        if not isinstance(given, (tuple, list)) or len(cast("list[Any]", given)) != 2:
            raise TypeError(f"`bounds` of {name} must be two numbers, lowest and highest. Got {given!r}.")
        low = number(f"lowest of `bounds` of {name}", pair[0], ">= 0" if neuron.parameters[name].positive else "finite")
        high = inf if pair[1] == inf else number(f"highest of `bounds` of {name}", pair[1], "finite")
        if not low < high:
            raise ValueError(f"`bounds` of {name} must ascend. Got {low} and {high}.")
        found[name] = (low, high)
    return found

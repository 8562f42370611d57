"""Initial weights: small functions that make a drawing rule `(shape, generator) -> weights`."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.neurons.number import number

Initialiser = Callable[[tuple[int, int], "torch.Generator | None"], Tensor]


def normal(mean: float, std: float) -> Initialiser:
    """Draw independent normal weights.

    Args:
        mean: of every weight.
        std: standard deviation, >= 0.
    """
    mean, std = number("`mean` of init.normal", mean, "finite"), number("`std` of init.normal", std, ">= 0")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        return torch.randn(shape, generator=generator) * std + mean

    return draw


def fan_in(mean: float, std: float) -> Initialiser:
    """Draw normal weights whose sum over the n_in inputs has the given mean and standard deviation.

    The number of inputs is the first entry of the shape: mean / n_in and std / sqrt(n_in) per weight.
    """
    mean, std = number("`mean` of init.fan_in", mean, "finite"), number("`std` of init.fan_in", std, ">= 0")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        n_in = max(shape[0], 1)
        return torch.randn(shape, generator=generator) * (std / sqrt(n_in)) + mean / n_in

    return draw


def uniform(low: float, high: float) -> Initialiser:
    """Draw independently and uniformly from `low` to `high`, low <= high."""
    low, high = number("`low` of init.uniform", low, "finite"), number("`high` of init.uniform", high, "finite")
    if high < low:
        raise ValueError(f"`high` of init.uniform must be at least `low`, {low}. Got {high}.")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        return torch.rand(shape, generator=generator) * (high - low) + low

    return draw

"""Initial weights: small functions that make a drawing rule `(shape, generator) -> weights`."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

Initialiser = Callable[[tuple[int, int], "torch.Generator | None"], Tensor]


def normal(mean: float, std: float) -> Initialiser:
    """Independent normal weights.

    Args:
        mean: of every weight.
        std: standard deviation, >= 0.
    """
    if not std >= 0:
        raise ValueError(f"`std` of init.normal must be >= 0. Got {std}.")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        return torch.randn(shape, generator=generator) * std + mean

    return draw


def fan_in(mean: float, std: float) -> Initialiser:
    """Normal weights whose sum over the n_in inputs has the given mean and standard deviation.

    The number of inputs is the first entry of the shape: mean / n_in and std / sqrt(n_in) per weight.
    """
    if not std >= 0:
        raise ValueError(f"`std` of init.fan_in must be >= 0. Got {std}.")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        n_in = max(shape[0], 1)
        return torch.randn(shape, generator=generator) * (std / sqrt(n_in)) + mean / n_in

    return draw

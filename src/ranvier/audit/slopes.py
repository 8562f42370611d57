"""Slopes of a function along directions, by central differences extrapolated to a step of zero.

    D(h) = (L(p + h v) - L(p - h v)) / (2 h)        R(h) = (16 D(h) - D(4 h)) / 15

R is Richardson's extrapolation. Steps shrink by 4; a slope counts where three in a row keep the spikes' pattern, and
its error is how far the last two R disagree, plus what rounding can do (Ridders, Adv. Eng. Softw. 4:75, 1982).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_FIRST, _FACTOR, _LEVELS = 1e-2, 4.0, 12  # steps in units of the parameter's own size
_ROUNDING = 16 * torch.finfo(torch.float64).eps


class Slope(NamedTuple):
    """A slope, and an estimate of its error; infinite where there was no usable step."""

    value: float
    error: float


def directions(parameter: Tensor, n_directions: int, generator: torch.Generator) -> list[Float[Tensor, "*parameter"]]:
    """Directions [*parameter] that share the entries among them: random signs on a part each, zero elsewhere.

    A part holds whole columns, all weights of some units, so that few spikes move at once. Since the signs are
    independent, the squared slopes add up, in the mean, to the squared norm of the gradient. A tensor of at most
    `n_directions` entries is tried entry by entry.
    """
    shape, n_entries = parameter.shape, parameter.numel()
    index = torch.arange(n_entries).view(shape)
    if n_entries > n_directions:
        index = index[..., torch.randperm(shape[-1], generator=generator)]
    index = index.reshape(-1, shape[-1]).T.reshape(-1) if parameter.ndim > 1 else index.reshape(-1)
    found: list[Tensor] = []
    for part in index.tensor_split(min(n_directions, n_entries)):
        direction = torch.zeros(n_entries, dtype=torch.float64)
        direction[part] = torch.randint(0, 2, part.shape, generator=generator).double() * 2 - 1
        found.append(direction.view(shape).to(parameter.device))
    return found


def slope(loss_at: Callable[[float], float | None], level: float, size: float, precision: float) -> Slope:
    """The slope at 0 of a function of one number.

    Args:
        loss_at: the function; None where the pattern is another.
        level: its value at 0.
        size: scale of its argument.
        precision: relative error at which to stop.
    """
    best, differences, before = Slope(0.0, inf), [], None
    for number in range(_LEVELS):
        step = size * _FIRST * _FACTOR**-number
        above = loss_at(step)
        below = None if above is None else loss_at(-step)
        if above is None or below is None:
            differences, before = [], None
            continue
        differences.append((above - below) / (2 * step))
        if len(differences) < 2:
            continue
        found = (_FACTOR**2 * differences[-1] - differences[-2]) / (_FACTOR**2 - 1)
        if before is not None:
            error = abs(found - before) + _ROUNDING * abs(level) / step
            if error < best.error:
                best = Slope(found, error)
            elif error > 10 * best.error:
                break
            if best.error <= precision * abs(best.value) or (found == before == 0):
                break
        before = found
    return best if isfinite(best.error) else Slope(0.0, inf)

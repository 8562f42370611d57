"""A delay line: every unit several times over, each copy later than the one before by the same time."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from ranvier.layers import check
from ranvier.neurons.number import number
from ranvier.spikes import Spikes, merge


class DelayLine(nn.Module):
    """Copy c of unit n is unit c * n_units + n, delayed by c * spacing, c = 0 ... copies - 1.

    So a layer hears what was together with what is. Nowotny, Turner & Knight, Neuromorph. Comput. Eng. (2025),
    arXiv 2212.01232, give spoken digits to the network ten times, 0 to 270 ms late, and divide mean and standard
    deviation of the initial weights by ten (`init.divided`). What would end past the duration is left out, and counted
    in the record. On a grid delays are rounded to steps.

    Args:
        n_units: number of units.
        copies: >= 1.
        spacing: delay from one copy to the next, s, >= 0.
    """

    def __init__(self, n_units: int, copies: int = 10, spacing: float = 30e-3) -> None:
        super().__init__()
        if not isinstance(cast(object, copies), int) or isinstance(copies, bool) or copies < 1:
            raise ValueError(f"`copies` of DelayLine must be a whole number >= 1. Got {copies!r}.")
        self.copies, self.spacing = copies, number("`spacing` of DelayLine", spacing, ">= 0", "s")
        self.n_in, self.n_out = check.sizes("DelayLine", n_units, copies * n_units)

    def forward(self, spikes: Spikes) -> Spikes:
        """All copies, on the engine of the input; gradients of a copy go back to the spikes it is of."""
        if not isinstance(cast(Any, spikes), Spikes):
            raise TypeError(f"`spikes` of DelayLine must be Spikes. Got {type(spikes).__name__}.")
        if spikes.n_units != self.n_in:
            raise ValueError(f"`spikes` of DelayLine must come from {self.n_in} units. Got {spikes.n_units}.")
        later = [spikes.delayed(copy * self.spacing) for copy in range(1, self.copies)]
        return merge([spikes, *later])

    def extra_repr(self) -> str:
        """For printing."""
        return f"{self.n_in}, copies={self.copies}, spacing={self.spacing}"

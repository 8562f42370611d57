"""EventProp: the exact gradient of spike times, by an adjoint that jumps at spikes.

Wunderlich & Pehle, Sci. Rep. 11:12829 (2021). On a grid: the discretised adjoint of Nowotny, Turner & Knight,
Neuromorph. Comput. Eng. (2025); its error is first order in dt. With mu the adjoint dL/dx, G = dL/dt of the
spike, and I - V read before the reset, the jump at a spike is

    mu_V <- mu_V + (threshold * reset_row . mu - G) / (leak * max(I - V, min_slope * threshold)).
"""

from dataclasses import dataclass

from ranvier.neurons.number import number


@dataclass(frozen=True)
class EventProp:
    """Exact gradients through spike times. Emitted amplitudes carry no gradient; emitted times do.

    Args:
        min_slope: lower bound of I - V at a spike, in thresholds, >= 0. It bounds the jump where the membrane
            only grazes the threshold, and where on a grid V overshot its maximum within a step. 0 leaves a
            non-positive slope to a division.
    """

    min_slope: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_slope", number("`min_slope` of EventProp", self.min_slope, ">= 0"))

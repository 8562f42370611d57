"""Events to membrane traces of leaky integrators: the truth, in plain torch.

Axis letters: T steps, B samples, N units, S states. The state x is [S, B, N], the membrane first.
"""

import torch
from torch import Tensor

from ranvier.neurons import Dynamics
from ranvier.ops.clocked.reference import Arrivals, Wires, arrive, flow


def run(raster: Tensor, shifts: Tensor | None, w_in: Wires, dynamics: Dynamics, state: Tensor) -> tuple[Tensor, Tensor]:
    """Let T steps pass; arguments as in `ops.clocked.reference.run`.

    Returns:
        V after each step's flow, before its arrivals [T, B, N], and the final state [S, B, N].
    """
    x, trace, arrivals = state, [], Arrivals()
    for k in range(raster.shape[0]):
        x = flow(x, dynamics)
        arrivals.send(k, w_in, raster[k], None if shifts is None else shifts[k])
        current, shift = arrivals.take(k, x[0])
        trace.append(x[0] if shift is None else x[0] + dynamics.arrival_row[..., 0] * shift)
        x = arrive(x, current, shift, dynamics)
    return torch.stack(trace) if trace else raster.new_zeros(0, *state.shape[1:]), x

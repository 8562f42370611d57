"""Traces weighted by how active the network's input has just been.

    y_k(t) = V_k(t) w(t),    w(t) = a(t) / (mean of a over the window),    tau da/dt = -a, +1 at each input spike

Under the loss on the plain mean of y, outputs count while there is something to hear. Nowotny, Turner & Knight,
Neuromorph. Comput. Eng. (2025), arXiv 2212.01232 (their loss sum_weigh_input, without the division, which makes the
loss independent of the number of inputs and of their rate).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.neurons.number import number
from ranvier.spikes import Spikes, ragged

_CHUNK = 128  # steps at a time; the work grows with it, the Python loop shrinks


class InputWeighted(nn.Module):
    """The weight of the module's docstring on a readout's traces, on a grid.

    `Network(hidden=..., out=Readout(...), weighted=InputWeighted(), sources={"weighted": ("out", "input")})` with
    `MeanOverTimeCrossEntropy`. The weight carries no gradient. A sample without input weighs nothing.

    Args:
        tau: time constant of the running average, s, > 0.
    """

    def __init__(self, tau: float = 20e-3) -> None:
        super().__init__()
        self.tau = number("`tau` of InputWeighted", tau, "> 0", "s")

    def forward(self, traces: Float[Tensor, "time batch unit"], spikes: Spikes) -> Float[Tensor, "time batch unit"]:
        """The weighted traces.

        Args:
            traces: of a readout.
            spikes: what is listened to, on the same grid, of the same samples.
        """
        given: Any = spikes
        if not isinstance(given, Spikes) or not isinstance(cast(object, traces), Tensor):
            got = f"{type(traces).__name__} and {type(given).__name__}"
            raise TypeError(f"`traces` and `spikes` of InputWeighted must be a readout's traces and Spikes. Got {got}.")
        spikes.on_grid_only("InputWeighted")
        if tuple(traces.shape[:2]) != (spikes.n_steps, spikes.n_samples):
            raise ValueError(
                f"`traces` of InputWeighted must be on the grid of `spikes`, [{spikes.n_steps}, {spikes.n_samples}, "
                f"unit]. Got {list(traces.shape)}."
            )
        return traces * self.weight(spikes).to(traces.dtype)[:, :, None]

    @torch.no_grad()
    def weight(self, spikes: Spikes) -> Float[Tensor, "time batch"]:
        """The weight w at every step, before the step's own spikes, as traces record V; float64."""
        n_steps, n_samples = spikes.n_steps, spikes.n_samples
        sample = ragged.samples_of(spikes.offsets, spikes.n_events)
        arrived = torch.zeros(n_steps * n_samples, dtype=torch.float64, device=spikes.units.device)
        cells = cast(Tensor, spikes.steps).long() * n_samples + sample
        arrived.index_add_(0, cells, spikes.amplitudes.double())
        recent = self._recent(arrived.view(n_steps, n_samples), spikes.on_grid_only("InputWeighted"))
        mean = recent.mean(0)
        return recent / torch.where(mean == 0, 1.0, mean)

    def _recent(self, arrived: Tensor, dt: float) -> Tensor:
        """The running average a [T, B], by chunks: what is left of earlier ones, and a sum over own earlier steps."""
        step = torch.arange(_CHUNK, dtype=torch.float64, device=arrived.device)
        lag = step[:, None] - step
        within = torch.where(lag > 0, torch.exp(-lag * dt / self.tau), 0.0)
        fading = torch.exp(-step * dt / self.tau)[:, None]
        left, found = arrived.new_zeros(arrived.shape[1]), list[Tensor]()
        for start in range(0, arrived.shape[0], _CHUNK):
            chunk = arrived[start : start + _CHUNK]
            size = len(chunk)
            found.append(fading[:size] * left + within[:size, :size] @ chunk)
            left = (found[-1][-1] + chunk[-1]) * torch.exp(-step.new_tensor(dt / self.tau))
        return torch.cat(found)

    def extra_repr(self) -> str:
        """For printing."""
        return f"tau={self.tau}"

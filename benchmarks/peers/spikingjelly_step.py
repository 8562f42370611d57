"""SpikingJelly: the neuron of `CUBALIFNode` as its function `cuba_lif_step`, with `nn.Linear` for its weights.

It is CubaLIF but for two things: what arrives acts in the same step, in the workload in the next, and with a gain of 1.
The input and what the readout gets are delayed by one step, and the weights scaled, after which the spikes are those of
`torch_loop.py`. The surrogate is the node's own, Rect, with the reset detached. The library has no leaky readout with a
synaptic current, and `NonSpikingLIFNode` and the multi-step mode index each step in a tensor that needs gradient, so
the readout is plain code and both loops go over products unbound before.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import torch
from spikingjelly.activation_based import functional, surrogate
from torch import Tensor, nn

from benchmarks.peers.torch_step import linear, trained

SAME_MODEL = True


class Network(nn.Module):
    """Readout [T, B, n_out] and hidden spikes [T, B, N]."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self.a, self.b = exp(-given["dt"] / given["tau_syn"]), exp(-given["dt"] / given["tau_mem"])
        gain = given["tau_syn"] / (given["tau_mem"] - given["tau_syn"]) * (self.b - self.a)
        self.input, self.recurrent, self.output = (linear(given[name] * gain) for name in ("w_in", "w_rec", "w_out"))
        if not given["recurrent"]:
            self.recurrent = None
        self.surrogate = surrogate.Rect()

    def forward(self, raster: Tensor) -> tuple[Tensor, Tensor]:
        """Over the whole raster [T, B, n_in]."""
        current = self.input(raster)
        none = torch.zeros_like(current[0])
        spikes, i, v, fired = none, none, none, []
        for arrived in current.unbind(0):
            if self.recurrent is not None:
                arrived = arrived + self.recurrent(spikes)
            spikes, i, v = functional.cuba_lif_step(
                arrived, i, v, self.a, self.b, 1.0, 0.0, self.surrogate, detach_reset=True
            )
            fired.append(spikes)
        current = self.output(torch.stack([none, *fired[:-1]]))
        i = y = torch.zeros_like(current[0])
        traces = []
        for arrived in current.unbind(0):
            i = torch.add(arrived, i, alpha=self.a)
            y = torch.add(i, y, alpha=self.b)
            traces.append(y)
        return torch.stack(traces), torch.stack(fired)


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:  # noqa: ARG001
    """See README.md."""
    network = Network(given)
    raster = torch.from_numpy(given["raster"]).float()
    raster = torch.cat([torch.zeros_like(raster[:1]), raster[:-1]])
    return trained(network, raster, given)

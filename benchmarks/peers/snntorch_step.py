"""snnTorch: `RSynaptic`, or `Synaptic` where nothing recurs, and `Leaky` without reset as readout.

Current and membrane decay as in CubaLIF, but what arrives acts in the same step, and a spike subtracts the threshold
from the membrane, one step later (the library's default; its reset to zero computes every step twice). The readout has
no synaptic current. The weights are scaled so that a lone input moves the membrane as it does CubaLIF's; the surrogate
is the library's ATan. The library has no multi-step mode for these neurons, so the loops go over products unbound
before.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import snntorch as snn
import torch
from torch import Tensor, nn

from benchmarks.peers.torch_step import linear, trained

SAME_MODEL = False


class Network(nn.Module):
    """Readout [T, B, n_out] and hidden spikes [T, B, N]."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        a, b = exp(-given["dt"] / given["tau_syn"]), exp(-given["dt"] / given["tau_mem"])
        gain = given["tau_syn"] / (given["tau_mem"] - given["tau_syn"]) * (b - a)
        self.input, recurrent, self.output = (linear(given[name] * gain) for name in ("w_in", "w_rec", "w_out"))
        self.recurs = given["recurrent"]
        if self.recurs:
            self.hidden = snn.RSynaptic(alpha=a, beta=b, linear_features=given["w_rec"].shape[0])
            self.hidden.recurrent = recurrent
        else:
            self.hidden = snn.Synaptic(alpha=a, beta=b)
        self.readout = snn.Leaky(beta=b, reset_mechanism="none")

    def forward(self, raster: Tensor) -> tuple[Tensor, Tensor]:
        """Over the whole raster [T, B, n_in]."""
        current = self.input(raster)
        spikes = synaptic = membrane = torch.zeros_like(current[0])
        fired = []
        for arrived in current.unbind(0):
            if self.recurs:
                spikes, synaptic, membrane = self.hidden(arrived, spikes, synaptic, membrane)
            else:
                spikes, synaptic, membrane = self.hidden(arrived, synaptic, membrane)
            fired.append(spikes)
        hidden = torch.stack(fired)
        current = self.output(hidden)
        membrane, traces = torch.zeros_like(current[0]), []
        for arrived in current.unbind(0):
            _, membrane = self.readout(arrived, membrane)
            traces.append(membrane)
        return torch.stack(traces), hidden


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:  # noqa: ARG001
    """See README.md."""
    network = Network(given)
    raster = torch.from_numpy(given["raster"]).float()
    return trained(network, raster, given)

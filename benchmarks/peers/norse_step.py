"""Norse: `lif_feed_forward_step`, the step of `LIFCell`, with `nn.Linear` for its weights, and `LI`'s step as readout.

The neuron is CubaLIF integrated with Euler's method; its rates are set so that current and voltage decay by just
exp(-dt / tau) a step. In Norse what arrives acts in the same step, in the workload in the next, and with a gain of
1 - exp(-dt / tau_mem): the input and what the readout gets are delayed by one step, and the weights scaled, after which
the spikes are those of `torch_loop.py`. The surrogate is the library's, 1 / (1 + |x|)^2.

Products are taken and unbound before the loops, and parameters are plain numbers, which is faster than the modules. The
feed-forward step has a gradient through the reset as well, which grows without bound over many steps; with the variant
`recurrent` a recurrent layer takes `lif_step`, the step of `LIFRecurrentCell`, which has none, but multiplies the input
step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import norse.torch as norse
import torch
from torch import Tensor, nn

from benchmarks.peers.torch_step import linear, trained

SAME_MODEL = True


class Network(nn.Module):
    """Readout [T, B, n_out] and hidden spikes [T, B, N]."""

    def __init__(self, given: dict[str, Any], variant: str) -> None:
        super().__init__()
        a, b, dt = exp(-given["dt"] / given["tau_syn"]), exp(-given["dt"] / given["tau_mem"]), given["dt"]
        gain = given["tau_syn"] / (given["tau_mem"] - given["tau_syn"]) * (b - a) / (1 - b)
        self.input, self.recurrent, self.output = (linear(given[name] * gain) for name in ("w_in", "w_rec", "w_out"))
        if not given["recurrent"]:
            self.recurrent = None
        rates = {"tau_syn_inv": (1 - a) / dt, "tau_mem_inv": (1 - b) / dt, "v_leak": 0.0}
        self.rates, self.dt = norse.LIParameters(**rates), dt
        self.neuron = norse.LIFParameters(**rates, v_th=1.0, v_reset=0.0)
        self.whole = variant == "recurrent" and given["recurrent"]

    def forward(self, raster: Tensor) -> tuple[Tensor, Tensor]:
        """Over the whole raster [T, B, n_in]."""
        fired = self._whole(raster) if self.whole else self._split(raster)
        current = self.output(torch.stack([torch.zeros_like(fired[0]), *fired[:-1]]))
        none = torch.zeros_like(current[0])
        state, traces = norse.LIState(v=none, i=none), []
        for arrived in current.unbind(0):
            trace, state = norse.li_feed_forward_step(arrived, state, self.rates, self.dt)
            traces.append(trace)
        return torch.stack(traces), torch.stack(fired)

    def _split(self, raster: Tensor) -> list[Tensor]:
        """Hidden spikes, the products apart from the neuron."""
        current = self.input(raster)
        spikes = none = torch.zeros_like(current[0])
        state, fired = norse.LIFFeedForwardState(v=none, i=none), []
        for arrived in current.unbind(0):
            if self.recurrent is not None:
                arrived = arrived + self.recurrent(spikes)
            spikes, state = norse.lif_feed_forward_step(arrived, state, self.neuron, self.dt)
            fired.append(spikes)
        return fired

    def _whole(self, raster: Tensor) -> list[Tensor]:
        """Hidden spikes, the products in the neuron's step."""
        weights = self.input.weight, self.recurrent.weight
        none = raster.new_zeros(raster.shape[1], self.input.out_features)
        state, fired = norse.LIFState(z=none, v=none, i=none), []
        for arrived in raster.unbind(0):
            spikes, state = norse.lif_step(arrived, state, *weights, self.neuron, self.dt)
            fired.append(spikes)
        return fired


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:
    """See README.md."""
    network = Network(given, variant)
    raster = torch.from_numpy(given["raster"]).float()
    raster = torch.cat([torch.zeros_like(raster[:1]), raster[:-1]])
    return trained(network, raster, given)

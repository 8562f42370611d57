"""exact-snn-nn: two `ExactEventLinear` of neurons that spike once, in float32, its default, and in milliseconds.

They solve for spikes between events in closed form; the library's `ExactTTFSLinear` finds the same spikes on a grid of
2001 times per neuron and sample. A kernel's peak is 1 in the library: the weights are scaled for it, and Adam's rate
with them. Each layer has a bias that arrives at time 0: in the hidden layer it is the last input of the workload, in
the output layer it is 0 at first and learns. The loss is that of the workload; every output spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from exact_snn.event import ExactEventLinear
from torch import nn

SAME_MODEL = True
MS = 1e3


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:  # noqa: ARG001
    """See README.md."""
    taus = {"tm": MS * given["tau_mem"], "ts": MS * given["tau_syn"], "t_max": MS * given["duration"]}
    (n_in, n_hidden), n_out = given["w_in"].shape, given["w_out"].shape[1]
    hidden, output = ExactEventLinear(n_in - 1, n_hidden, **taus), ExactEventLinear(n_hidden, n_out, **taus)
    scale = taus["ts"] * hidden.k_peak
    with torch.no_grad():
        hidden.weight.copy_(scale * torch.from_numpy(given["w_in"]).t())
        output.weight[:, :-1] = scale * torch.from_numpy(given["w_out"]).t()
        output.weight[:, -1] = 0.0
    network = nn.Sequential(hidden, output)
    times, labels = MS * torch.from_numpy(given["times"][:, :-1]).t(), torch.from_numpy(given["labels"])
    optimiser = torch.optim.Adam(network.parameters(), scale * given["learning_rate"], fused=True)
    tau_0, tau_1, alpha = MS * given["tau_0"], MS * given["tau_1"], given["alpha"]

    def step() -> float:
        optimiser.zero_grad()
        first = network(times).t()
        pull = torch.expm1(first.gather(1, labels[:, None]) / tau_1).mean()
        value = nn.functional.cross_entropy(-first / tau_0, labels) + alpha * pull
        value.backward()
        optimiser.step()
        return value.item()

    def density() -> float:
        with torch.no_grad():
            return hidden(times).isfinite().float().mean().item()

    return step, density

"""This library in continuous time: one spike per neuron (an infinite `refractory`), or free, as the workload asks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

import ranvier as rv
from benchmarks.peers.ranvier_step import Parts, trained

SAME_MODEL = True


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:  # noqa: ARG001
    """See README.md."""
    (n_in, n_hidden), n_out = given["w_in"].shape, given["w_out"].shape[1]
    neuron = rv.CubaLIF(given["tau_mem"], given["tau_syn"], refractory=0.0 if given["free"] else math.inf)
    network = rv.Network(hidden=rv.Spiking(n_in, n_hidden, neuron), output=rv.Spiking(n_hidden, n_out, neuron))
    with torch.no_grad():
        network.layers["hidden"].w_in.copy_(torch.from_numpy(given["w_in"]))
        network.layers["output"].w_in.copy_(torch.from_numpy(given["w_out"]))
    times, units = torch.from_numpy(given["times"]).sort(1)
    n_samples = len(times)
    spikes = rv.Spikes.from_events(
        torch.arange(n_samples).repeat_interleave(n_in),
        times.flatten(),
        units.flatten().int(),
        n_samples=n_samples,
        unit_shape=n_in,
        duration=given["duration"],
    )
    labels = torch.from_numpy(given["labels"])
    loss = rv.FirstSpikeCrossEntropy(given["tau_0"], given["tau_1"], given["alpha"])
    optimiser = torch.optim.Adam(network.parameters(), given["learning_rate"], fused=True)

    def density() -> float:
        with torch.no_grad():
            return network(spikes).activity["hidden"].n_events / (n_samples * n_hidden)

    return trained(Parts(network, spikes, labels, loss, optimiser)), density

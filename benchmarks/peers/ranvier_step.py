"""This library; the variant names the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import ranvier as rv

SAME_MODEL = True
GRADIENTS = {
    "eventprop": rv.EventProp(),
    "esser": rv.Surrogate(rv.Esser()),
    "superspike": rv.Surrogate(rv.SuperSpike()),
}


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:
    """See README.md."""
    n_in, n_hidden = given["w_in"].shape
    neuron = rv.CubaLIF(given["tau_mem"], given["tau_syn"])
    network = rv.Network(
        hidden=rv.Spiking(n_in, n_hidden, neuron, recurrent=given["recurrent"], gradient=GRADIENTS[variant]),
        output=rv.Readout(n_hidden, given["w_out"].shape[1], rv.LI(given["tau_mem"], given["tau_syn"])),
    )
    hidden, output = network.layers["hidden"], network.layers["output"]
    with torch.no_grad():
        hidden.w_in.copy_(torch.from_numpy(given["w_in"]))
        output.w_in.copy_(torch.from_numpy(given["w_out"]))
        if given["recurrent"]:
            hidden.w_rec.copy_(torch.from_numpy(given["w_rec"]))
    device = given.get("device", "cpu")
    network.to(device)
    spikes = rv.Spikes.from_dense(torch.from_numpy(given["raster"]).float(), dt=given["dt"]).to(device)
    labels, loss = torch.from_numpy(given["labels"]).to(device), rv.MaxOverTimeCrossEntropy()
    optimiser = torch.optim.Adam(network.parameters(), given["learning_rate"], fused=True)

    def step() -> float:
        optimiser.zero_grad()
        value = loss(network(spikes).output, labels)
        value.backward()
        optimiser.step()
        return value.item()

    def density() -> float:
        with torch.no_grad():
            fired = network(spikes).activity["hidden"]
        return fired.n_events / (given["raster"].shape[0] * given["raster"].shape[1] * n_hidden)

    return step, density

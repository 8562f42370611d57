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
    neuron, recurrent = rv.CubaLIF(given["tau_mem"], given["tau_syn"]), given["recurrent"]
    layers: dict[str, torch.nn.Module] = {}
    for suffix in ["", *(f"_{layer}" for layer in range(2, given["n_layers"] + 1))]:
        w_in, w_rec = (torch.from_numpy(given[name + suffix]) for name in ("w_in", "w_rec"))
        hidden = rv.Spiking(*w_in.shape, neuron, recurrent=recurrent, gradient=GRADIENTS[variant])
        with torch.no_grad():
            hidden.w_in.copy_(w_in)
            if recurrent:
                hidden.w_rec.copy_(w_rec)
        layers[f"hidden{suffix}"] = hidden
    output = rv.Readout(*given["w_out"].shape, rv.LI(given["tau_mem"], given["tau_syn"]))
    with torch.no_grad():
        output.w_in.copy_(torch.from_numpy(given["w_out"]))
    network = rv.Network(**layers, output=output)
    spikes = rv.Spikes.from_dense(torch.from_numpy(given["raster"]).float(), dt=given["dt"])
    labels, loss = torch.from_numpy(given["labels"]), rv.MaxOverTimeCrossEntropy()
    optimiser = torch.optim.Adam(network.parameters(), given["learning_rate"], fused=True)

    def step() -> float:
        optimiser.zero_grad()
        value = loss(network(spikes).output, labels)
        value.backward()
        optimiser.step()
        return value.item()

    def density() -> float:
        with torch.no_grad():
            activity = network(spikes).activity
        n_steps, n_samples, _ = given["raster"].shape
        n_events = sum(activity[name].n_events for name in layers)
        return n_events / (len(layers) * n_steps * n_samples * len(given["w_out"]))

    return step, density

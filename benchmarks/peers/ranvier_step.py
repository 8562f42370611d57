"""This library; the variant names the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ranvier as rv

SAME_MODEL = True
GRADIENTS = {
    "eventprop": rv.EventProp(),
    "esser": rv.Surrogate(rv.Esser()),
    "superspike": rv.Surrogate(rv.SuperSpike()),
}


class Parts(NamedTuple):
    """What a step is made of."""

    network: rv.Network
    spikes: rv.Spikes
    labels: Tensor
    loss: Callable[[Any, Tensor], Tensor]
    optimiser: torch.optim.Optimizer


def trained(parts: Parts) -> Callable[[], float]:
    """The step of README.md."""
    network, spikes, labels, loss, optimiser = parts

    def step() -> float:
        optimiser.zero_grad()
        value = loss(network(spikes).output, labels)
        value.backward()
        optimiser.step()
        return value.item()

    return step


def parts(given: dict[str, Any], variant: str) -> Parts:
    """The network with the given weights, the batch, the loss and the optimiser."""
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
    device = given.get("device", "cpu")
    network = rv.Network(**layers, output=output).to(device)
    spikes = rv.Spikes.from_dense(torch.from_numpy(given["raster"]).float(), dt=given["dt"]).to(device)
    labels = torch.from_numpy(given["labels"]).to(device)
    optimiser = torch.optim.Adam(network.parameters(), given["learning_rate"], fused=True)
    return Parts(network, spikes, labels, rv.MaxOverTimeCrossEntropy(), optimiser)


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:
    """See README.md."""
    made = parts(given, variant)

    def density() -> float:
        with torch.no_grad():
            activity = made.network(made.spikes).activity
        n_steps, n_samples, _ = given["raster"].shape
        hidden = [layer.n_events for layer in activity.values() if isinstance(layer, rv.Spikes)]
        return sum(hidden) / (len(hidden) * n_steps * n_samples * len(given["w_out"]))

    return trained(made), density

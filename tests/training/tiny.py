"""A network and data small enough to be trained in milliseconds."""

from __future__ import annotations

import torch

from ranvier.data import LabelledSpikes, linear_latency, yinyang_points
from ranvier.layers import Network, Spiking, init
from ranvier.losses import FirstSpikeCrossEntropy
from ranvier.neurons import CubaLIF

LOSS = FirstSpikeCrossEntropy()


def tiny_network(seed: int = 0) -> Network:
    source = torch.Generator().manual_seed(seed)
    neuron = CubaLIF(tau_mem=20e-3, tau_syn=5e-3)
    return Network(
        hidden=Spiking(5, 12, neuron, weights=init.normal(2.0, 0.78), generator=source),
        output=Spiking(12, 3, neuron, weights=init.normal(2.5, 0.5), generator=source),
    )


def tiny_data(n_samples: int, seed: int) -> LabelledSpikes:
    values, labels = yinyang_points(n_samples, seed)
    inputs = linear_latency(values, 0.0, 30e-3, duration=60e-3, bias_time=0.0)
    return LabelledSpikes(inputs, labels, 3).on_grid(1e-3, coincident="sum")


def weights(network: Network) -> list[torch.Tensor]:
    return [value.detach().clone() for value in network.state_dict().values()]


def equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def distance(got: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """The largest relative difference, L2, of one tensor."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(got, expected, strict=True))

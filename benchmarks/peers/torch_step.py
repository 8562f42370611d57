"""What peers written in PyTorch share: a product, and one training step of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def linear(weights: Any) -> nn.Linear:
    """A product with given weights [n, m], without bias."""
    product = nn.Linear(*weights.shape, bias=False)
    with torch.no_grad():
        product.weight.copy_(torch.from_numpy(weights).t())
    return product


def trained(
    network: nn.Module, raster: Tensor, given: dict[str, Any]
) -> tuple[Callable[[], float], Callable[[], float]]:
    """The step and the density of README.md, of a network that makes traces [T, B, n_out] and each layer's spikes."""
    labels = torch.from_numpy(given["labels"]).to(raster.device)
    optimiser = torch.optim.Adam(network.parameters(), given["learning_rate"], fused=True)

    def step() -> float:
        optimiser.zero_grad()
        traces, *_ = network(raster)
        value = nn.functional.cross_entropy(traces.amax(0), labels)
        value.backward()
        optimiser.step()
        return value.item()

    def density() -> float:
        with torch.no_grad():
            _, *layers = network(raster)
            return torch.stack(layers).mean().item()

    return step, density

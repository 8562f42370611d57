"""The learned numbers of a layer's neurons, kept where their rule holds by construction.

A positive parameter (time constants, thresholds) is learned as its logarithm, any other as itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.neurons import Neuron


class NeuronParameters(nn.Module):
    """The parameters named in `neuron.learn`, shared [] where the neuron's value is one number, else [N].

    Args:
        neuron: the model; its values are where learning starts.
    """

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.positive = {name: neuron.parameters[name].positive for name in neuron.learned}
        for name, positive in self.positive.items():
            start = torch.tensor(getattr(neuron, name), dtype=torch.float64)
            value = start.log() if positive else start
            setattr(self, self._stored(name), nn.Parameter(value.to(torch.get_default_dtype())))

    def _stored(self, name: str) -> str:
        return f"log_{name}" if self.positive[name] else name

    def values(self) -> dict[str, Float[Tensor, "*_unit"]]:
        """The learned values by name, in float64, differentiable."""
        stored = {name: getattr(self, self._stored(name)).double() for name in self.positive}
        return {name: value.exp() if self.positive[name] else value for name, value in stored.items()}

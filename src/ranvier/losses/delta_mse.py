"""Mean squared error on differences of first spike times: every wrong output a fixed time after the label.

    L = mean over the batch of  1/2 sum over i != y of  (t_i - t_y - delta)^2

t_i is the first spike of output i and y the label. Göltz et al., Nat. Commun. 16:8245 (2025), DelGrad.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ranvier.losses.check import class_labels
from ranvier.losses.first import FirstSpikeLoss
from ranvier.neurons.number import number
from ranvier.spikes import Spikes


@dataclass(frozen=True)
class DeltaMSE(FirstSpikeLoss):
    """The loss of the module's docstring, on the spikes of the output layer.

    A silent wrong output is left out: it is later than any. A sample whose label neuron is silent contributes the
    constant 1/2 (n_classes - 1) delta^2, the loss of outputs that all spike at once, and no gradient.

    Args:
        delta: how much later than the label neuron all others should spike, s, > 0; the literature's is 0.2 tau_syn.
        unit: what the loss measures time in, s, > 0. In seconds its values are of the order of 1e-6.
    """

    delta: float
    unit: float = 1.0

    def __post_init__(self) -> None:
        for name in ("delta", "unit"):
            object.__setattr__(self, name, number(f"`{name}` of DeltaMSE", getattr(self, name), "> 0", "s"))

    def _mean_loss(self, output: Spikes, times: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002 (times are all)
        return self.of_times(times, labels)

    def of_times(self, times: Float[Tensor, "batch unit"], labels: Integer[Tensor, " batch"]) -> Float[Tensor, ""]:
        """The same from first spike times [B, n_classes] in seconds, infinite where silent."""
        labels = class_labels("DeltaMSE", labels, times)
        if not len(labels):
            return times.sum() * 0.0
        spoke, place = times.isfinite(), labels[:, None]
        told = spoke.gather(1, place)
        wrong = torch.ones_like(spoke).scatter(1, place, False)
        # zeros take an infinite time's place, so that no infinity meets a zero gradient
        safe = torch.where(spoke & told, times, torch.zeros_like(times))
        late = (safe - safe.gather(1, place) - self.delta) / self.unit
        counted = wrong & (spoke | ~told)  # with a silent label all are -delta
        return 0.5 * torch.where(counted, late.square(), torch.zeros_like(late)).sum() / len(labels)

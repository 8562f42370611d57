"""Cross-entropy on times to first spike, with a regulariser that pulls the label neuron's spike forward.

    L = mean over the batch of  -ln( exp(-t_y / tau_0) / sum_k exp(-t_k / tau_0) ) + alpha (exp(t_y / tau_1) -
    1)

t_k is the first spike of output k and y the label. Wunderlich & Pehle, Sci. Rep. 11:12829 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from ranvier.losses.check import class_labels
from ranvier.neurons.number import number
from ranvier.spikes import Spikes


@dataclass(frozen=True)
class FirstSpikeCrossEntropy:
    """The loss of the module's docstring, on the spikes of the output layer.

    Silent outputs are left out of the sum. A sample whose label neuron is silent contributes the constant
    ln(n_classes), the loss of a guess, and no gradient.

    Args:
        tau_0: softness of the competition, s, > 0.
        tau_1: time scale of the regulariser, s, > 0. A label neuron later than 88 tau_1 overflows float32.
        alpha: strength of the regulariser, >= 0.
    """

    tau_0: float = 0.5e-3
    tau_1: float = 6.4e-3
    alpha: float = 3e-3

    def __post_init__(self) -> None:
        for name in ("tau_0", "tau_1"):
            tau = number(f"`{name}` of FirstSpikeCrossEntropy", getattr(self, name), "> 0", "s")
            object.__setattr__(self, name, tau)
        object.__setattr__(self, "alpha", number("`alpha` of FirstSpikeCrossEntropy", self.alpha, ">= 0"))

    def __call__(self, output: Spikes, labels: Integer[Tensor, " batch"]) -> Float[Tensor, ""]:
        """The mean loss of a batch; zero for an empty one.

        Args:
            output: spikes of the output layer, one unit per class; their times must carry gradient
                (EventProp).
            labels: [B], 0 <= label < n_classes.
        """
        times = first_times(output)
        if torch.is_grad_enabled() and not times.requires_grad:
            raise ValueError(
                "`output` of FirstSpikeCrossEntropy must have times that carry gradient: "
                "train its layer with EventProp(). Got times without gradient."
            )
        return self.of_times(times, labels)

    def of_times(self, times: Float[Tensor, "batch unit"], labels: Integer[Tensor, " batch"]) -> Float[Tensor, ""]:
        """The same from first spike times [B, n_classes] in seconds, infinite where silent."""
        n_samples, n_classes = times.shape
        labels = class_labels("FirstSpikeCrossEntropy", labels, n_samples, n_classes)
        if not n_samples:
            return times.sum() * 0.0
        spoke = times.isfinite()
        told = spoke.gather(1, labels[:, None]).squeeze(1)
        # where the label is silent, zeros take the times' place, so that no infinity meets a zero gradient
        safe = torch.where(spoke & told[:, None], times, torch.zeros_like(times))
        logits = torch.where(spoke, -safe / self.tau_0, -torch.inf)
        label_time = safe.gather(1, labels[:, None]).squeeze(1)
        competition = torch.logsumexp(torch.where(told[:, None], logits, torch.zeros_like(logits)), 1)
        each = competition + label_time / self.tau_0 + self.alpha * torch.expm1(label_time / self.tau_1)
        return torch.where(told, each, torch.full_like(each, log(n_classes))).sum() / n_samples

    def predict(self, output: Spikes) -> Int64[Tensor, " batch"]:
        """The class that spikes first [B]; -1 where all are silent or the first is tied."""
        times = first_times(output).detach()
        first = times.amin(1, keepdim=True)
        leaders = (times == first) & times.isfinite()
        return torch.where(leaders.sum(1) == 1, leaders.to(torch.uint8).argmax(1), -1)

    def ties(self, output: Spikes) -> Int64[Tensor, ""]:
        """How many samples have several first outputs."""
        times = first_times(output).detach()
        leaders = (times == times.amin(1, keepdim=True)) & times.isfinite()
        return (leaders.sum(1) > 1).sum()


def first_times(output: Any) -> Float[Tensor, "batch unit"]:
    """First spike times of an output layer, or a TypeError that says what is needed."""
    if not isinstance(output, Spikes):
        raise TypeError(
            f"`output` of a first-spike loss must be a Spiking layer's Spikes. Got {type(output).__name__}."
        )
    return output.first_times()

"""What losses on first spikes share: the class that spikes first, and what they ask of the output layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from ranvier.spikes import Spikes


@dataclass(frozen=True)
class FirstSpikeLoss(ABC):
    """Base: the output unit that spikes first names the class."""

    @abstractmethod
    def __call__(self, output: Spikes, labels: Integer[Tensor, " batch"]) -> Float[Tensor, ""]:
        """The mean loss of a batch; zero for an empty one."""

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


def learnable_times(loss: str, output: Any) -> Float[Tensor, "batch unit"]:
    """The same, refused where gradients are recorded and the times have none."""
    times = first_times(output)
    if torch.is_grad_enabled() and not times.requires_grad:
        raise ValueError(
            f"`output` of {loss} must have times that carry gradient: "
            "train its layer with EventProp(). Got times without gradient."
        )
    return times

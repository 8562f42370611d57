"""What losses on first spikes share: the class that spikes first, and what they ask of the output layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from ranvier.losses.verdict import Verdict
from ranvier.spikes import Spikes


@dataclass(frozen=True)
class FirstSpikeLoss(ABC):
    """Base: the output unit that spikes first names the class."""

    def __call__(self, output: Spikes, labels: Integer[Tensor, " batch"]) -> Float[Tensor, ""]:
        """The mean loss of a batch; zero for an empty one.

        Args:
            output: spikes of the output layer, one unit per class; their times must carry gradient
                (EventProp).
            labels: [B], 0 <= label < n_classes.
        """
        return self._mean_loss(output, self._learnable(first_times(output)), labels)

    def judge(self, output: Spikes, labels: Integer[Tensor, " batch"]) -> Verdict:
        """The loss, the classes and the ties, from first times found once."""
        times = self._learnable(first_times(output))
        return Verdict(self._mean_loss(output, times, labels), *_decided(times))

    def predict(self, output: Spikes) -> Int64[Tensor, " batch"]:
        """The class that spikes first [B]; -1 where all are silent or the first is tied."""
        return _decided(first_times(output))[0]

    def ties(self, output: Spikes) -> Int64[Tensor, ""]:
        """How many samples have several first outputs."""
        return _decided(first_times(output))[1]

    @abstractmethod
    def _mean_loss(self, output: Spikes, times: Tensor, labels: Tensor) -> Tensor:
        """The loss of an output whose first times are known."""

    def _learnable(self, times: Tensor) -> Tensor:
        """The times, refused where gradients are recorded and they have none."""
        if torch.is_grad_enabled() and not times.requires_grad:
            raise ValueError(
                f"`output` of {type(self).__name__} must have times that carry gradient: "
                "train its layer with EventProp(). Got times without gradient."
            )
        return times


def first_times(output: Any) -> Float[Tensor, "batch unit"]:
    """First spike times of an output layer, or a TypeError that says what is needed."""
    if not isinstance(output, Spikes):
        raise TypeError(
            f"`output` of a first-spike loss must be a Spiking layer's Spikes. Got {type(output).__name__}."
        )
    return output.first_times()


def _decided(times: Tensor) -> tuple[Tensor, Tensor]:
    """The class with the earliest time [B], -1 where it is not alone or infinite, and how many are not alone."""
    times = times.detach()
    leaders = (times == times.amin(1, keepdim=True)) & times.isfinite()
    n_leaders = leaders.sum(1)
    return leaders.to(torch.uint8).argmax(1).masked_fill(n_leaders != 1, -1), (n_leaders > 1).sum()

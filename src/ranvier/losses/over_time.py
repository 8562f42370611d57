"""Cross-entropy on one number per output unit taken from its membrane trace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from ranvier.losses.check import class_labels


@dataclass(frozen=True)
class _OverTime(ABC):
    """Base: softmax cross-entropy of scores that a trace gives."""

    @abstractmethod
    def scores(self, output: Float[Tensor, "time batch unit"]) -> Float[Tensor, "batch unit"]:
        """One score per sample and unit [B, n_classes]."""

    def __call__(
        self, output: Float[Tensor, "time batch unit"], labels: Integer[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """The mean loss of a batch; zero for an empty one.

        Args:
            output: membrane traces of the readout [T, B, n_classes].
            labels: [B], 0 <= label < n_classes.
        """
        scores = self.scores(_trace(output))
        labels = class_labels(type(self).__name__, labels, *scores.shape)
        if not len(labels):
            return scores.sum() * 0.0
        return torch.nn.functional.cross_entropy(scores, labels)

    def predict(self, output: Float[Tensor, "time batch unit"]) -> Int64[Tensor, " batch"]:
        """The class with the largest score [B]; -1 where the largest is tied (as in a silent network)."""
        leaders = self._leaders(output)
        return torch.where(leaders.sum(1) == 1, leaders.to(torch.uint8).argmax(1), -1)

    def ties(self, output: Float[Tensor, "time batch unit"]) -> Int64[Tensor, ""]:
        """How many samples have several largest scores."""
        return (self._leaders(output).sum(1) > 1).sum()

    def _leaders(self, output: Tensor) -> Tensor:
        scores = self.scores(_trace(output)).detach()
        return scores == scores.amax(1, keepdim=True)


@dataclass(frozen=True)
class MaxOverTimeCrossEntropy(_OverTime):
    """Scores are the traces' maxima over time; steps that tie for the maximum share its gradient."""

    def scores(self, output: Float[Tensor, "time batch unit"]) -> Float[Tensor, "batch unit"]:
        """See `_OverTime`."""
        return output.amax(0)


@dataclass(frozen=True)
class MeanOverTimeCrossEntropy(_OverTime):
    """Scores are the traces' means over time."""

    def scores(self, output: Float[Tensor, "time batch unit"]) -> Float[Tensor, "batch unit"]:
        """See `_OverTime`."""
        return output.mean(0)


def _trace(output: Any) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != 3 or output.shape[0] < 1:
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(f"`output` of a trace loss must be traces [time, batch, unit] of a Readout. Got {got}.")
    return output

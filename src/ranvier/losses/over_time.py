"""Cross-entropy of membranes, on either engine: of one number per output unit, or at every moment.

A readout gives traces [time, batch, unit] on a grid and a `Membrane` in continuous time; every loss here takes both.
With the softmax p of the scores x, its gradient is that of the loss as stated, by a membrane of one sample of B:

    integral:  x_k = (1/T) integral of V_k(t) w(t) dt             dL/dV_k(t) = (p_k - [k = label]) w(t) / (T B)
               w = 1, 1 - t/T, exp(-t/T) or 1 / (1 + exp((t/T - 0.5) / 0.2))
    maximum:   x_k = max over t of V_k(t)                         (p_k - [k = label]) / B at the maximum
    over time: L = (1/T) integral of -ln p_label(t) dt            (p_k(t) - [k = label]) / (T B), p that of V(t)

Nowotny, Turner & Knight, Neuromorph. Comput. Eng. (2025), arXiv 2212.01232, where they shape the loss of EventProp:
a weight that falls with time rewards an early answer. Their code has all gradients smaller by tau_mem, and that of the
maximum by T once more; with penalties on activity that matters (`TargetActivity.published`), to Adam alone it does not.
Their weight by input activity is `InputWeighted`, a layer after the readout, under the plain mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast, get_args

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from ranvier.losses.check import class_labels
from ranvier.losses.verdict import Verdict
from ranvier.ops.membrane import Membrane, Weight


@dataclass(frozen=True)
class _OverTime(ABC):
    """Base: softmax cross-entropy of scores that a membrane gives."""

    @abstractmethod
    def scores(self, output: Float[Tensor, "time batch unit"] | Membrane) -> Float[Tensor, "batch unit"]:
        """One score per sample and unit [B, n_classes]."""

    def __call__(
        self, output: Float[Tensor, "time batch unit"] | Membrane, labels: Integer[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """The mean loss of a batch; zero for an empty one.

        Args:
            output: what the readout returns: membrane traces [T, B, n_classes], or a Membrane.
            labels: [B], 0 <= label < n_classes.
        """
        return self._mean_loss(self.scores(_readout(output)), labels)

    def judge(self, output: Float[Tensor, "time batch unit"] | Membrane, labels: Integer[Tensor, " batch"]) -> Verdict:
        """The loss, the classes and the ties, from scores computed once."""
        scores = self.scores(_readout(output))
        return Verdict(self._mean_loss(scores, labels), *_decided(scores))

    def predict(self, output: Float[Tensor, "time batch unit"] | Membrane) -> Int64[Tensor, " batch"]:
        """The class with the largest score [B]; -1 where the largest is tied (as in a silent network)."""
        return _decided(self.scores(_readout(output)))[0]

    def ties(self, output: Float[Tensor, "time batch unit"] | Membrane) -> Int64[Tensor, ""]:
        """How many samples have several largest scores."""
        return _decided(self.scores(_readout(output)))[1]

    def _mean_loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        labels = class_labels(type(self).__name__, labels, scores)
        if not len(labels):
            return scores.sum() * 0.0
        return self._of_scores(scores, labels)

    def _of_scores(self, scores: Tensor, labels: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(scores, labels)


@dataclass(frozen=True)
class MaxOverTimeCrossEntropy(_OverTime):
    """Scores are the membranes' maxima over time.

    Steps of a trace that tie for the maximum share its gradient. In continuous time see `Membrane.maximum`. A maximum
    at an event that bends the membrane downwards moves with that event; a grid, however fine, misses that part of the
    gradient.
    """

    def scores(self, output: Float[Tensor, "time batch unit"] | Membrane) -> Float[Tensor, "batch unit"]:
        """See `_OverTime`."""
        return output.maximum() if isinstance(output, Membrane) else output.amax(0)


@dataclass(frozen=True)
class MeanOverTimeCrossEntropy(_OverTime):
    """Scores are the membranes' means over time."""

    def scores(self, output: Float[Tensor, "time batch unit"] | Membrane) -> Float[Tensor, "batch unit"]:
        """See `_OverTime`."""
        return output.integral() if isinstance(output, Membrane) else output.mean(0)


@dataclass(frozen=True)
class IntegralCrossEntropy(_OverTime):
    """Scores are the membranes' means over time under a weight; see the module's docstring.

    On a grid the score is the mean over steps of V w(k/T) for step k of T, which is what a trace knows: its row k is V
    at k dt. It reaches the value of continuous time with an error in proportion to dt.

    Args:
        weight: "constant", "linear", "exponential" or "sigmoid" (the literature's sum, sum_weigh_linear, sum_weigh_exp
            and sum_weigh_sigmoid). The constant one is MeanOverTimeCrossEntropy.
    """

    weight: Weight = "exponential"

    def __post_init__(self) -> None:
        if self.weight not in get_args(Weight):
            known = ", ".join(get_args(Weight))
            raise ValueError(f"`weight` of IntegralCrossEntropy must be one of {known}. Got {self.weight!r}.")

    def scores(self, output: Float[Tensor, "time batch unit"] | Membrane) -> Float[Tensor, "batch unit"]:
        """See `_OverTime`."""
        if isinstance(output, Membrane):
            return output.integral(self.weight)
        n_steps = output.shape[0]
        elapsed = torch.arange(n_steps, dtype=output.dtype, device=output.device) / n_steps
        weights = _weigh(self.weight, elapsed) / n_steps
        return (weights @ output.reshape(n_steps, -1)).reshape(output.shape[1:])


@dataclass(frozen=True)
class CrossEntropyOverTime(_OverTime):
    """The mean over time of the cross-entropy at every moment; see the module's docstring.

    Scores are the mean log-probabilities over time, so that the class predicted is the one whose loss is lowest; it is
    also the one with the largest mean membrane. On a grid the moments are its steps.

    Args:
        moments: in continuous time the integral is the mean over so many moments, equally far apart, >= 1.
    """

    moments: int = 1000

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.moments), int) or isinstance(self.moments, bool) or self.moments < 1:
            raise ValueError(f"`moments` of CrossEntropyOverTime must be a whole number >= 1. Got {self.moments!r}.")

    def scores(self, output: Float[Tensor, "time batch unit"] | Membrane) -> Float[Tensor, "batch unit"]:
        """See `_OverTime`."""
        if isinstance(output, Membrane):
            middles = (torch.arange(self.moments, dtype=torch.float64) + 0.5) / self.moments
            output = output.at(middles * output.spikes.duration)
        return output.log_softmax(-1).mean(0)

    def _of_scores(self, scores: Tensor, labels: Tensor) -> Tensor:
        return torch.nn.functional.nll_loss(scores, labels)


def _decided(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The class with the largest score [B], -1 where several have it, and how many such samples there are."""
    scores = scores.detach()
    if scores.shape[1] == 1:  # a class that is alone wins
        scores = torch.nn.functional.pad(scores, (0, 1), value=-torch.inf)
    largest, classes = scores.topk(2, 1)
    tied = largest[:, 0] == largest[:, 1]
    return classes[:, 0].masked_fill(~(largest[:, 0] > largest[:, 1]), -1), tied.sum()


def _weigh(weight: Weight, elapsed: Tensor) -> Tensor:
    """The weight after a fraction `elapsed` of the window."""
    if weight == "linear":
        return 1 - elapsed
    if weight == "exponential":
        return torch.exp(-elapsed)
    if weight == "sigmoid":
        return torch.sigmoid((0.5 - elapsed) / 0.2)
    return torch.ones_like(elapsed)


def _readout(output: Any) -> Tensor | Membrane:
    if isinstance(output, Membrane):
        return output
    if not isinstance(output, Tensor) or output.ndim != 3 or output.shape[0] < 1:
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(f"`output` of a trace loss must be traces [time, batch, unit] of a Readout. Got {got}.")
    return output

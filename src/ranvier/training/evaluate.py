"""How well a network does on data it does not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ranvier.data import Labelled
from ranvier.losses import Verdict
from ranvier.training.metrics import Activity
from ranvier.training.ranks import ALONE, Ranks


@runtime_checkable
class Loss(Protocol):
    """What training asks of a loss: see `ranvier.losses`."""

    def judge(self, output: Any, labels: Int[Tensor, " batch"]) -> Verdict:
        """The mean loss of a batch, the class of each sample, and how many have no single winner.

        An empty batch, which the last one may be for one of several processes, has the loss zero, with a gradient.
        """
        ...


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        loss: mean over the samples.
        accuracy: fraction of samples with the right class; no decision counts as wrong.
        ties: samples with more than one winner.
        spikes_per_sample: mean number of spikes of each spiking layer, by name.
        rates: mean firing rate in Hz of each spiking layer's units, by name.
        backends: which path computed each spiking layer, by name.
    """

    loss: float
    accuracy: float
    ties: int
    spikes_per_sample: dict[str, float]
    rates: dict[str, float]
    backends: dict[str, str]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    loss: Loss,
    data: Labelled,
    *,
    batch_size: int = 500,
    after_batch: Callable[[int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Run a network over labelled spikes on a grid, without gradients.

    Args:
        network: returns `(output, activity)`; left in evaluation mode.
        loss: scores the output.
        data: at least one sample.
        batch_size: samples at a time; affects memory, not the result.
        after_batch: called with the number of samples done.
        ranks: the processes that share the work, each of which calls this and gets the result.

    Raises:
        LostProcessError: one of those processes ended.
        ValueError: the data is empty.
    """
    if not len(data):
        raise ValueError("`data` of evaluate must hold at least one sample. Got none.")
    network.eval()
    activity, device = Activity(), data.labels.device
    total, right = (
        torch.zeros((), dtype=torch.float64, device=device),
        torch.zeros((), dtype=torch.int64, device=device),
    )
    ties = torch.zeros_like(right)
    for chosen in torch.arange(len(data)).split(batch_size):
        batch = data[ranks.mine(chosen)]
        output, layers = network(batch.inputs)
        found = loss.judge(output, batch.labels)
        total += found.loss.double() * len(batch)
        right += (found.predicted == batch.labels).sum()
        ties += found.ties
        activity.add(layers, len(batch))
        if after_batch is not None:
            after_batch(int(chosen[-1]) + 1)
    ranks.add_up([total, right, ties])
    activity.add_up(ranks)
    return Evaluation(
        loss=total.item() / len(data),
        accuracy=int(right) / len(data),
        ties=int(ties),
        spikes_per_sample=activity.spikes_per_sample(),
        rates=activity.rates(),
        backends=activity.backends,
    )

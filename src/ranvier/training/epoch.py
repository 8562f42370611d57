"""One pass over the training data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ranvier.data import Labelled
from ranvier.spikes import Spikes
from ranvier.training.evaluate import Loss
from ranvier.training.guard import Guard
from ranvier.training.metrics import Activity
from ranvier.training.ranks import ALONE, Ranks
from ranvier.training.threads import thread_count
from ranvier.training.view import SoFar
from ranvier.training.wake import WakeAfterEpoch, Waker

_MANY_WEIGHTS = 1_000_000

Regularisers = Mapping[str, Sequence[Callable[[Tensor], Tensor]]]
Augment = Callable[[Spikes, torch.Generator], Spikes]


@dataclass(frozen=True)
class Task:
    """What is trained, on what, by which rules."""

    network: nn.Module
    loss: Loss
    train: Labelled
    regularisers: Regularisers
    augment: Augment | None
    optimiser: torch.optim.Optimizer
    guard: Guard
    waker: Waker | None = None
    wake_after: WakeAfterEpoch | None = None
    ranks: Ranks = ALONE

    @property
    def step_threads(self) -> int | None:
        """Threads for the optimiser: one for small networks, where waking others costs more than the work."""
        return 1 if sum(value.numel() for value in self.guard.parameters) < _MANY_WEIGHTS else None


@dataclass
class Sums:
    """What an epoch adds up: loss, penalty and gradients of whole batches, the rest of this process's shares first."""

    activity: Activity = field(default_factory=Activity)
    loss: float = 0.0
    penalty: float = 0.0
    right: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    ties: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    gradient_norms: dict[str, float] = field(default_factory=dict)
    n_batches: int = 0
    woken: int = 0

    def add_up(self, ranks: Ranks) -> None:
        """Count what all processes have seen, not this one alone."""
        ranks.add_up([self.right, self.ties])
        self.activity.add_up(ranks)


def generator_of(seed: int, epoch: int) -> torch.Generator:
    """The source of an epoch's randomness: a function of the two numbers alone."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def train_epoch(
    task: Task,
    epoch: int,
    seed: int,
    batch_size: int,
    after_batch: Callable[[int, float, SoFar], None],
    before_batch: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Train on every sample once, in an order of this epoch's own, and tell what happened.

    Args:
        task: what is trained.
        epoch: from 1.
        seed: of the run.
        batch_size: samples per step; the last batch holds the rest.
        before_batch: called with the number of batches done in this epoch; sets the learning rate.
        after_batch: called with the number of samples done, the batch's loss, and what tells accuracy and rates of
            those samples that this process has seen.

    Returns:
        The training part of the epoch's metrics.

    Raises:
        RunError: loss, gradients or weights are no longer finite; the step that would have used them is not
            taken. Or another of the processes that train ended.
    """
    task.network.train()
    source, sums, n_samples = generator_of(seed, epoch), Sums(), len(task.train)
    drawn = int(torch.randint(2**62, (), generator=source))
    torch.manual_seed(drawn + task.ranks.index)  # what layers draw is of this process's samples
    order = torch.randperm(n_samples, generator=source)
    done, started = 0, time.monotonic()
    for chosen in order.split(batch_size):
        if before_batch is not None:
            before_batch(sums.n_batches)
        done += len(chosen)
        loss = _step(task, chosen, source, sums, f"epoch {epoch}, batch {sums.n_batches + 1}")
        after_batch(done, loss, partial(_so_far, sums))
    sums.add_up(task.ranks)
    if task.wake_after is not None:
        task.wake_after.wake(task.network, sums.activity.never())
    seconds = time.monotonic() - started
    return _told(sums, n_samples, seconds)


def _so_far(sums: Sums) -> tuple[float, Mapping[str, float]]:
    return int(sums.right) / sums.activity.n_samples, sums.activity.rates()


def _step(task: Task, chosen: Tensor, source: torch.Generator, sums: Sums, where: str) -> float:
    n_samples, whole = len(chosen), partial(task.ranks.whole, n_samples=len(chosen))
    inputs, labels = _share(task, chosen, source)
    output, activity = task.network(inputs)
    mean, predicted, ties = task.loss.judge(output, labels)
    loss = task.ranks.weigh(mean, len(labels), n_samples)
    penalty = _penalty(task.regularisers, activity, loss, whole)
    task.optimiser.zero_grad()
    woken = task.waker is not None and task.waker.wake(activity, whole)
    if not woken:
        (loss + penalty if task.regularisers else loss).backward()
    loss = task.ranks.add_gradients(task.guard.parameters, loss)
    with thread_count(task.step_threads):
        norms = task.guard.look(loss, penalty, where)
        if not woken:
            task.optimiser.step()
    sums.n_batches += 1
    sums.woken += woken
    sums.loss += norms.loss * n_samples
    sums.penalty += norms.penalty * n_samples
    for layer, norm in _by_layer(task.guard.names, norms.gradients).items():
        sums.gradient_norms[layer] = sums.gradient_norms.get(layer, 0.0) + norm
    with torch.no_grad():
        sums.right = sums.right + (predicted == labels).sum()  # on the device of the data from the first batch on
        sums.ties = sums.ties + ties
        sums.activity.add(activity, len(labels))
    return norms.loss


def _share(task: Task, chosen: Tensor, source: torch.Generator) -> tuple[Spikes, Tensor]:
    """This process's inputs and labels of a batch. The whole batch is augmented, with the randomness that all share."""
    if task.augment is None:
        batch = task.train[task.ranks.mine(chosen)]
        return batch.inputs, batch.labels
    batch = task.train[chosen]
    return task.ranks.mine(task.augment(batch.inputs, source)), task.ranks.mine(batch.labels)


def _penalty(
    regularisers: Regularisers, activity: Mapping[str, Any], like: Tensor, whole: Callable[[Tensor], Tensor]
) -> Tensor:
    total = like.new_zeros(())
    for name, rules in regularisers.items():
        spikes = activity.get(name)
        if not isinstance(spikes, Spikes):
            spiking = ", ".join(layer for layer, value in activity.items() if isinstance(value, Spikes))
            raise ValueError(f"`regularisers` of fit must name spiking layers ({spiking}). Got {name!r}.")
        counts = whole(spikes.counts())
        for rule in rules:
            total = total + rule(counts)
    return total


def _by_layer(names: Sequence[str], norms: Sequence[float]) -> dict[str, float]:
    squares: dict[str, float] = {}
    for name, norm in zip(names, norms, strict=True):
        layer = name.split(".", 1)[0]
        squares[layer] = squares.get(layer, 0.0) + norm * norm
    return {layer: sqrt(square) for layer, square in squares.items()}


def _told(sums: Sums, n_samples: int, seconds: float) -> dict[str, Any]:
    return {
        "train_loss": sums.loss / n_samples,
        "penalty": sums.penalty / n_samples,
        "train_accuracy": int(sums.right) / n_samples,
        "ties": int(sums.ties),
        "gradient_norms": {layer: total / sums.n_batches for layer, total in sums.gradient_norms.items()},
        "rates": sums.activity.rates(),
        "spikes_per_sample": sums.activity.spikes_per_sample(),
        "silent": sums.activity.silent(),
        "clipped": dict(sums.activity.clipped),
        "woken": sums.woken,
        "seconds": seconds,
        "samples_per_second": n_samples / max(seconds, 1e-9),
    }

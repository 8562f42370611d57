"""How fast the network learns at each batch: decay, a slow start, and cuts where accuracy no longer rises.

The rate of a batch is the first rate times three factors. Decay and slow start are functions of the batch's number; the
cuts depend on what happened, and their state goes into checkpoints. Nowotny, Turner & Knight, Neuromorph. Comput. Eng.
(2025), arXiv 2212.01232, train on spoken digits with the slow start and the cuts, and without decay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ranvier.neurons.number import number

if TYPE_CHECKING:
    from ranvier.training.fit import FitConfig


@dataclass(frozen=True)
class EaseIn:
    """A slow start: the first batch learns at `start` times the full rate, each further one `growth` times faster.

    Args:
        start: share of the full rate, > 0 and <= 1.
        growth: factor per batch, > 1.
    """

    start: float = 1e-3
    growth: float = 1.05

    def __post_init__(self) -> None:
        for name in ("start", "growth"):
            object.__setattr__(self, name, number(f"`{name}` of EaseIn", getattr(self, name), "> 0"))
        if self.start > 1:
            raise ValueError(f"`start` of EaseIn must be > 0 and <= 1. Got {self.start}.")
        if self.growth <= 1:
            raise ValueError(f"`growth` of EaseIn must be > 1. Got {self.growth}.")

    def share(self, batch: int) -> float:
        """The share of the full rate at a batch, counted from 0 over the whole training."""
        try:
            return min(1.0, self.start * self.growth**batch)
        except OverflowError:
            return 1.0


@dataclass(frozen=True)
class Plateau:
    """Cuts of the rate where training accuracy stops rising.

    Two averages run over the epochs' training accuracies, m <- c m + (1 - c) accuracy, from 0: a fast one and a slow
    one. Where the fast one is no longer above the slow one, the rate is cut, at the earliest `patience` epochs after
    the start or the last cut.

    Args:
        fast, slow: the averages' c, 0 <= fast < slow < 1.
        patience: epochs, >= 1; the literature's is 50, or 300 where losses are compared.
        factor: what a cut multiplies the rate by, > 0 and < 1.
    """

    fast: float = 0.8
    slow: float = 0.85
    patience: int = 50
    factor: float = 0.5

    def __post_init__(self) -> None:
        for name in ("fast", "slow"):
            object.__setattr__(self, name, number(f"`{name}` of Plateau", getattr(self, name), ">= 0"))
        object.__setattr__(self, "factor", number("`factor` of Plateau", self.factor, "> 0"))
        if not self.fast < self.slow < 1:
            raise ValueError(f"`slow` of Plateau must be above `fast`, {self.fast}, and below 1. Got {self.slow}.")
        if not isinstance(self.patience, int) or isinstance(self.patience, bool) or self.patience < 1:
            raise ValueError(f"`patience` of Plateau must be a whole number >= 1. Got {self.patience!r}.")
        if self.factor >= 1:
            raise ValueError(f"`factor` of Plateau must be > 0 and < 1. Got {self.factor}.")


class Rates:
    """Sets an optimiser's learning rates batch by batch. Its state goes into checkpoints.

    Args:
        config: of the training.
        optimiser: whose groups' rates are those of the first epoch.
        n_batches: batches of an epoch.
    """

    def __init__(self, config: FitConfig, optimiser: torch.optim.Optimizer, n_batches: int) -> None:
        self._config, self._optimiser, self._n_batches = config, optimiser, n_batches
        self._first = [float(group["lr"]) for group in optimiser.param_groups]
        self._averages = [0.0, 0.0]
        self._since = 0
        self._cut = 1.0

    def share(self, epoch: int, batch: int) -> float:
        """What the first rates are multiplied by at a batch of an epoch, the one from 0, the other from 1."""
        config = self._config
        decayed = config.decay ** ((epoch - 1) // config.decay_every) * self._cut
        done = (epoch - 1) * self._n_batches + batch
        return decayed if config.ease_in is None else decayed * config.ease_in.share(done)

    def set(self, epoch: int, batch: int) -> None:
        """Set the rates of a batch."""
        share = self.share(epoch, batch)
        for group, first in zip(self._optimiser.param_groups, self._first, strict=True):
            group["lr"] = first * share

    def end_epoch(self, accuracy: float) -> None:
        """Look at an epoch's training accuracy; perhaps cut the rates of those to come."""
        rule = self._config.plateau
        if rule is None:
            return
        for index, c in enumerate((rule.fast, rule.slow)):
            self._averages[index] = c * self._averages[index] + (1 - c) * accuracy
        self._since += 1
        if self._averages[0] <= self._averages[1] and self._since >= rule.patience:
            self._cut, self._since = self._cut * rule.factor, 0

    def state_dict(self) -> dict[str, Any]:
        """What the next cut depends on."""
        return {"averages": list(self._averages), "since": self._since, "cut": self._cut}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._averages, self._since, self._cut = list(state["averages"]), state["since"], state["cut"]

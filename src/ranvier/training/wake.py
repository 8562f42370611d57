"""Waking silent neurons: a neuron without spikes has no gradient of spike times, so its weights are raised instead.

Where too many spikes are missing in a batch, a bump of the weights takes the place of the gradient step. Göltz, Kriener
et al., Nat. Mach. Intell. 3:823 (2021); Göltz et al., Nat. Commun. 16:8245 (2025). Gentler: neurons silent for a whole
epoch are raised a little after it. Nowotny, Turner & Knight, Neuromorph. Comput. Eng. (2025), arXiv 2212.01232.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ranvier.layers import Spiking
from ranvier.neurons.number import number


@dataclass(frozen=True)
class WakeSilent:
    """When and how silent neurons are woken.

    A spike is missing where a neuron stays silent in a sample. Of the named layers, the first in the network's order
    whose share of missing spikes in a batch is above what it tolerates is woken: all input weights of its neurons that
    miss a spike grow by `bump`, by twice the last bump if the batch before woke the same layer. Later layers wait,
    since they may only lack input, and the batch has no gradient step.

    Args:
        tolerated: share of missing spikes, 0 to 1, by name of a spiking layer.
        bump: what is first added to each input weight, > 0.
    """

    tolerated: Mapping[str, float]
    bump: float = 5e-4

    def __post_init__(self) -> None:
        object.__setattr__(self, "bump", number("`bump` of WakeSilent", self.bump, "> 0"))
        shares = {name: number("`tolerated` of WakeSilent", share, ">= 0") for name, share in self.tolerated.items()}
        for name, share in shares.items():
            if share > 1:
                raise ValueError(f"`tolerated` of WakeSilent must be shares from 0 to 1. Got {share} for {name!r}.")
        object.__setattr__(self, "tolerated", shares)


@dataclass(frozen=True)
class WakeAfterEpoch:
    """After each epoch, all incoming weights of neurons that did not spike once in it grow by `bump`.

    Incoming weights are the input's and the recurrent ones.

    Args:
        layers: names of spiking layers.
        bump: what is added, > 0.
    """

    layers: Sequence[str]
    bump: float = 2e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "bump", number("`bump` of WakeAfterEpoch", self.bump, "> 0"))
        object.__setattr__(self, "layers", (self.layers,) if isinstance(self.layers, str) else tuple(self.layers))

    def chosen(self, network: nn.Module) -> dict[str, Spiking]:
        """The layers of a network that are named.

        Raises:
            ValueError: one is no spiking layer of it.
        """
        spiking = _spiking(network)
        for name in self.layers:
            if name not in spiking:
                raise ValueError(
                    f"`layers` of WakeAfterEpoch must name spiking layers ({', '.join(spiking)}). Got {name!r}."
                )
        return {name: spiking[name] for name in self.layers}

    @torch.no_grad()
    def wake(self, network: nn.Module, never: Mapping[str, Tensor]) -> None:
        """Raise the weights of those that never spiked, bool [N] by layer."""
        for name, layer in self.chosen(network).items():
            for weights in (layer.w_in, layer.w_rec):
                if weights is not None:
                    weights += self.bump * never[name]


class Waker:
    """Applies a `WakeSilent` batch by batch. Its state goes into checkpoints.

    Args:
        rule: when and how.
        network: whose layers are woken.

    Raises:
        ValueError: the rule names what is no spiking layer of the network.
    """

    def __init__(self, rule: WakeSilent, network: nn.Module) -> None:
        spiking = _spiking(network)
        for name in rule.tolerated:
            if name not in spiking:
                raise ValueError(
                    f"`tolerated` of WakeSilent must name spiking layers ({', '.join(spiking)}). Got {name!r}."
                )
        self.rule = rule
        self._layers = {name: layer for name, layer in spiking.items() if name in rule.tolerated}
        self._last: str | None = None
        self._bump = rule.bump

    @torch.no_grad()
    def wake(self, activity: Mapping[str, Any], whole: Callable[[Tensor], Tensor] = lambda counts: counts) -> bool:
        """Look at one batch's activity; whether a layer was woken, in which case no gradient step may follow.

        Args:
            activity: of the layers, by name.
            whole: makes of a layer's counts those of the whole batch, where `activity` is of a share of it.
        """
        for name, layer in self._layers.items():
            missing = whole(activity[name].counts()) == 0
            if missing.sum() > self.rule.tolerated[name] * missing.numel():
                self._bump = 2 * self._bump if self._last == name else self.rule.bump
                self._last = name
                layer.w_in.add_(self._bump * missing.any(0))
                return True
        self._last = None
        return False

    def state_dict(self) -> dict[str, Any]:
        """What the next bump depends on."""
        return {"last": self._last, "bump": self._bump}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._last, self._bump = state["last"], state["bump"]


def _spiking(network: nn.Module) -> dict[str, Spiking]:
    """The spiking layers whose activity a network tells, by name."""
    named = ((name.removeprefix("layers."), module) for name, module in network.named_modules())
    return {name: module for name, module in named if isinstance(module, Spiking) and "." not in name}

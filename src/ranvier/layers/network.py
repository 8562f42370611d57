"""Named layers, one after the other."""

from __future__ import annotations

import copy
import warnings
from typing import Any, NamedTuple

from torch import Tensor, nn

from ranvier.gradients import Gradient
from ranvier.layers.spiking import Spiking, check_gradient
from ranvier.spikes import Spikes


class Run(NamedTuple):
    """What a network returns: the last layer's output, and each layer's by name."""

    output: Any
    activity: dict[str, Any]


class SilentLayerWarning(UserWarning):
    """A layer received spikes and emitted none: its gradients are zero or rest on a surrogate's tail."""


class Network(nn.Module):
    """Layers applied in order; keeps no state between calls.

    Args:
        layers: the layers by name, in order: `Network(hidden=Spiking(...), output=Readout(...))`. Any module may stand between
            them that takes what the one before returns.

    A layer that receives spikes and emits none is named in a `SilentLayerWarning`, once per network.
    """

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        if not layers:
            raise ValueError("`layers` of Network must hold at least one layer. Got none.")
        widths = [(name, layer) for name, layer in layers.items() if hasattr(layer, "n_in")]
        for (before, sender), (after, receiver) in zip(widths, widths[1:], strict=False):
            if sender.n_out != receiver.n_in:
                raise ValueError(
                    f"`{after}` of Network must take the {sender.n_out} units of `{before}`. Got n_in {receiver.n_in}."
                )
        self.layers = nn.ModuleDict(layers)
        self._silent: set[str] = set()

    def forward(self, spikes: Spikes) -> Run:
        """Run all layers on a batch.

        Returns:
            `(output, activity)`: the last layer's output, and every layer's by name: `Spikes` from spiking layers, traces
            [T, B, N] from readouts.
        """
        activity: dict[str, Any] = {}
        value: Any = spikes
        for name, layer in self.layers.items():
            received, value = value, layer(value)
            activity[name] = value
            self._warn_if_silent(name, received, value)
        return Run(value, activity)

    def _warn_if_silent(self, name: str, received: Any, emitted: Any) -> None:
        if not isinstance(emitted, Spikes) or emitted.n_events or name in self._silent:
            return
        if isinstance(received, Spikes) and received.n_events:
            self._silent.add(name)
            warnings.warn(
                f"Layer '{name}' emitted no spike for a whole batch; raise its weights or add a LowerActivity penalty.",
                SilentLayerWarning,
                stacklevel=3,
            )

    def with_gradient(self, gradient: Gradient) -> Network:
        """The same weights, not copies, trained with another gradient in every spiking layer."""
        layers: dict[str, nn.Module] = {}
        for name, layer in self.layers.items():
            layers[name] = layer
            if isinstance(layer, Spiking):
                twin = copy.copy(layer)
                twin.gradient = check_gradient(gradient, layer.neuron)
                layers[name] = twin
        return Network(**layers)

    def spiking(self) -> dict[str, Spiking]:
        """The spiking layers by name."""
        return {name: layer for name, layer in self.layers.items() if isinstance(layer, Spiking)}


def activity_of(activity: dict[str, Spikes | Tensor]) -> dict[str, Spikes]:
    """Only what spiked, by layer name."""
    return {name: value for name, value in activity.items() if isinstance(value, Spikes)}

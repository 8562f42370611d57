"""Named layers, one after the other, and connections that skip."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from torch import nn

from ranvier.errors import RunawayError
from ranvier.gradients import Gradient
from ranvier.layers import check
from ranvier.layers.spiking import Spiking
from ranvier.spikes import Spikes, merge

_INPUT = "input"  # what enters the network, among the sources of a layer


class Run(NamedTuple):
    """What a network returns: the last layer's output, and each layer's by name."""

    output: Any
    activity: dict[str, Any]


class SilentLayerWarning(UserWarning):
    """A layer received spikes and emitted none: its gradients are zero or rest on a surrogate's tail."""


class Network(nn.Module):
    """Layers applied in order; keeps nothing of one call for the next.

    Args:
        layers: the layers by name, in order: `Network(hidden=Spiking(...), output=Readout(...))`. Any module
            may stand between them that takes what the one before returns.
        sources: for layers that do not receive just the one before: the names of earlier layers, "input" being the
            network's input, by name of the receiver: `sources={"output": ("first", "second")}`. Spikes of several
            layers come as those of one, units side by side in the order of the names (`ranvier.spikes.merge`); where
            not all are Spikes, the module is called with each as an argument of its own.

    A layer that receives spikes and emits none is named in a `SilentLayerWarning`, once per network.
    """

    def __init__(self, *, sources: Mapping[str, Sequence[str]] | None = None, **layers: nn.Module) -> None:
        super().__init__()
        if not layers:
            raise ValueError("`layers` of Network must hold at least one layer. Got none.")
        self.sources = _sources(sources or {}, list(layers))
        wires = dict(zip(list(layers)[1:], ((before,) for before in layers), strict=False)) | self.sources
        for after, senders in wires.items():
            sizes = [getattr(layers.get(sender), "n_out", None) for sender in senders]
            sent, taken = sum(size or 0 for size in sizes), getattr(layers[after], "n_in", None)
            if None not in sizes and taken is not None and sent != taken:
                before = "` and `".join(senders)
                raise ValueError(f"`{after}` of Network must take the {sent} units of `{before}`. Got n_in {taken}.")
        self.layers = nn.ModuleDict(layers)
        self._named_silent: set[str] = set()

    def forward(self, spikes: Spikes) -> Run:
        """Run all layers on a batch.

        Returns:
            `(output, activity)`: the last layer's output, and every layer's by name: `Spikes` from spiking
            layers, traces [T, B, N] from readouts.
        """
        activity: dict[str, Any] = {}
        value: Any = spikes
        for name, layer in self.layers.items():
            received = self._received(name, {_INPUT: spikes, **activity}) if name in self.sources else (value,)
            try:
                value = layer(*received)
            except RunawayError as error:
                raise RunawayError(error.sample, error.limit, error.layer or name) from None
            activity[name] = value
            self._warn_if_silent(name, received[0], value)
        return Run(value, activity)

    def _received(self, name: str, known: Mapping[str, Any]) -> tuple[Any, ...]:
        values = tuple(known[source] for source in self.sources[name])
        return (merge(values),) if len(values) > 1 and all(isinstance(each, Spikes) for each in values) else values

    def _warn_if_silent(self, name: str, received: Any, emitted: Any) -> None:
        if not isinstance(emitted, Spikes) or emitted.n_events or name in self._named_silent:
            return
        if isinstance(received, Spikes) and received.n_events:
            self._named_silent.add(name)
            warnings.warn(
                f"Layer '{name}' emitted no spike for a whole batch; raise its weights or add a LowerActivity penalty.",
                SilentLayerWarning,
                stacklevel=5,  # this, forward, two frames of nn.Module, the caller
            )

    def with_gradient(self, gradient: Gradient) -> Network:
        """The same weights, not copies, under another gradient in every spiking layer, nested ones too."""
        twin = _twin(self, gradient, {})
        assert isinstance(twin, Network)
        return twin

    def spiking(self) -> dict[str, Spiking]:
        """The spiking layers by name; those inside another module as `layer.inner`."""
        modules = cast(Iterator[tuple[str, nn.Module]], self.layers.named_modules())
        return {name: module for name, module in modules if isinstance(module, Spiking)}


def _sources(sources: Mapping[str, Sequence[str]], names: list[str]) -> dict[str, tuple[str, ...]]:
    """What each receiver takes, refused where it names what has not run by then."""
    if sources and _INPUT in names:
        raise ValueError(f"`layers` of Network with `sources` must not be named {_INPUT!r}, which is what enters it.")
    found: dict[str, tuple[str, ...]] = {}
    for receiver, senders in sources.items():
        if receiver not in names:
            raise ValueError(
                f"`sources` of Network must be by the names of layers ({', '.join(names)}). Got {receiver!r}."
            )
        known = (_INPUT, *names[: names.index(receiver)])
        found[receiver] = (senders,) if isinstance(senders, str) else tuple(senders)
        wrong = [sender for sender in found[receiver] if sender not in known]
        if wrong or not found[receiver]:
            got = repr(wrong[0]) if wrong else "none"
            raise ValueError(
                f"`sources` of Network must name what `{receiver}` comes after ({', '.join(known)}). Got {got}."
            )
    return found


def _twin(module: nn.Module, gradient: Gradient, known: dict[nn.Module, nn.Module]) -> nn.Module:
    """The module with another gradient; parameters, buffers and modules without spiking layers are shared."""
    if module not in known:
        known[module] = module
        if any(isinstance(inner, Spiking) for inner in module.modules()):
            known[module] = twin = copy.copy(module)
            children: dict[str, nn.Module | None] = module.__dict__["_modules"]
            twin.__dict__["_modules"] = {
                name: None if child is None else _twin(child, gradient, known) for name, child in children.items()
            }
            if isinstance(twin, Spiking):
                twin.gradient = check.gradient(gradient, twin.neuron)
            if isinstance(twin, Network):
                twin.__dict__["_named_silent"] = set()
    return known[module]

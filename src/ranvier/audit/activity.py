"""What the layers of a network did in one run, and whether two runs did the same.

Between two runs the loss is smooth where every unit spikes as often, and every spike falls between the same two
arrivals: at a spike that changes places with an arrival, the slope of its time jumps.

Axis letters: E events, B samples, N units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ranvier.layers import Network, Spiking
from ranvier.spikes import Spikes
from ranvier.spikes.ragged import samples_of

Pattern = tuple[Tensor, ...]


@dataclass(frozen=True)
class Call:
    """One call of a module that emitted spikes.

    Attributes:
        name: of the module in the network; a second call in the same run is `name#2`.
        module: what was called.
        received: its input, where that was spikes.
        emitted: its output.
    """

    name: str
    module: nn.Module
    received: Spikes | None
    emitted: Spikes


@contextmanager
def watched(network: Network) -> Iterator[list[Call]]:
    """The calls of all modules of a network that emit spikes, nested ones too, in the order they end."""
    calls: list[Call] = []

    def watch(name: str, module: nn.Module) -> Any:
        def note(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Spikes):
                first = arguments[0] if arguments else None
                earlier = sum(call.module is module for call in calls)
                received = first if isinstance(first, Spikes) else None
                calls.append(Call(f"{name}#{earlier + 1}" if earlier else name, module, received, output))

        return module.register_forward_hook(note)

    handles = [watch(name, module) for name, module in network.layers.named_modules() if name]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def counts(spikes: Spikes) -> Int[Tensor, "batch unit"]:
    """Spikes per sample and unit [B, N], as plain numbers."""
    return torch.bincount(_cells(spikes), minlength=spikes.n_samples * spikes.n_units).view(spikes.n_samples, -1)


def pattern(calls: list[Call]) -> Pattern:
    """What must not change for the loss to stay smooth: see the module's docstring."""
    parts: list[Tensor] = []
    for call in calls:
        parts += [call.emitted.offsets, *_order(call)]
    return tuple(parts)


def same(one: Pattern, other: Pattern) -> bool:
    """Whether two runs did the same."""
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _order(call: Call) -> Iterator[Tensor]:
    """The units' spikes, and how many arrivals came before each."""
    spikes, received = call.emitted, call.received
    cells = _cells(spikes)
    by_unit = torch.sort(cells, stable=True)
    yield by_unit.values
    if not isinstance(call.module, Spiking):
        return
    if call.module.w_rec is not None:
        yield spikes.units  # each spike is an arrival at the others
    if received is not None and received.dt is None:
        window = 2 * max(received.duration, spikes.duration)
        own, arrived = (
            samples_of(events.offsets, events.n_events) * window + events.times.detach().double()
            for events in (spikes, received)
        )
        yield torch.searchsorted(arrived, own[by_unit.indices])


def _cells(spikes: Spikes) -> Tensor:
    return samples_of(spikes.offsets, spikes.n_events) * spikes.n_units + spikes.units

"""Augmentations: random changes of the inputs while training, on a grid and in continuous time.

Each is called with a batch and a `torch.Generator`, from which all its randomness comes: the same generator state, the
same result. `Augmentations` does several in turn. What needs labels, `blend`, enlarges a data set before training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.data.shifted import shifted
from ranvier.neurons.number import number
from ranvier.spikes import Spikes, moved
from ranvier.spikes.ragged import offsets_after, per_event, positions


@dataclass(frozen=True)
class DropEvents:
    """Removes each event, independently, with probability `p`.

    Wunderlich & Pehle, Sci. Rep. 11:12829 (2021), train latency-MNIST with p = 0.2.

    Attributes:
        p: probability in [0, 1].

    Raises:
        ValueError: at construction, if `p` is no probability.
    """

    p: float

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"`p` of DropEvents must be in [0, 1]. Got {self.p}.")

    def __call__(self, spikes: Spikes, generator: torch.Generator) -> Spikes:
        """The events that stay, on the same grid or in continuous time.

        Args:
            spikes: inputs, of any number of events.
            generator: where the randomness comes from; it may live on another device than the spikes.

        Raises:
            ValueError: the spikes are a surrogate layer's activity, with support.
        """
        _inputs("DropEvents", spikes)
        chance = torch.rand(spikes.n_events, generator=generator, device=generator.device)
        keep = (chance >= self.p).to(spikes.units.device)
        kept = positions(keep)  # once, where a mask would look for them in every tensor
        return Spikes.trusted(
            units=spikes.units.index_select(0, kept),
            times=spikes.times.index_select(0, kept),
            amplitudes=spikes.amplitudes.index_select(0, kept),
            offsets=offsets_after(spikes.offsets, kept),
            unit_shape=spikes.unit_shape,
            duration=spikes.duration,
            steps=None if spikes.steps is None else spikes.steps.index_select(0, kept),
            dt=spikes.dt,
            marks=None if spikes.marks is None else spikes.marks.index_select(0, kept),
            record=spikes.record,
        )


@dataclass(frozen=True)
class ShiftUnits:
    """Moves all channels of a sample by one whole number, uniform from -most to most; what leaves the range is dropped.

    Nowotny, Turner & Knight, Neuromorph. Comput. Eng. (2025), arXiv 2212.01232, train on spoken digits with 40 of 700.

    Attributes:
        most: >= 0.

    Raises:
        ValueError: at construction, if `most` is no such number.
    """

    most: int

    def __post_init__(self) -> None:
        if not isinstance(self.most, int) or isinstance(self.most, bool) or self.most < 0:
            raise ValueError(f"`most` of ShiftUnits must be a whole number >= 0. Got {self.most!r}.")

    def __call__(self, spikes: Spikes, generator: torch.Generator) -> Spikes:
        """The shifted samples; see the module's docstring.

        Raises:
            ValueError: the spikes are a surrogate layer's activity, or their units have no one order.
        """
        _inputs("ShiftUnits", spikes)
        if len(spikes.unit_shape) != 1:
            raise ValueError(f"`spikes` of ShiftUnits must have units in a row. Got unit_shape {spikes.unit_shape}.")
        shift = torch.randint(
            -self.most, self.most + 1, (spikes.n_samples,), generator=generator, device=generator.device
        )
        return shifted(spikes, shift.cpu())


@dataclass(frozen=True)
class JitterTimes:
    """Moves each event, independently, by a normal number of seconds; what leaves the window is dropped.

    Attributes:
        std: standard deviation, s, >= 0.

    Raises:
        ValueError: at construction, if `std` is no such number.
    """

    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", number("`std` of JitterTimes", self.std, ">= 0", "s"))

    def __call__(self, spikes: Spikes, generator: torch.Generator) -> Spikes:
        """The jittered events; see the module's docstring. On a grid they move by whole steps."""
        _inputs("JitterTimes", spikes)
        noise = torch.randn(spikes.n_events, dtype=torch.float64, generator=generator, device=generator.device)
        return moved(spikes, times=_seconds(spikes) + noise.to(spikes.times.device) * self.std)


@dataclass(frozen=True)
class StretchTime:
    """Multiplies all times of a sample by one factor, uniform from `shortest` to `longest`; late events are dropped.

    Attributes:
        shortest, longest: factors, 0 < shortest <= longest.

    Raises:
        ValueError: at construction, if they are no such numbers.
    """

    shortest: float
    longest: float

    def __post_init__(self) -> None:
        for name in ("shortest", "longest"):
            object.__setattr__(self, name, number(f"`{name}` of StretchTime", getattr(self, name), "> 0"))
        if self.longest < self.shortest:
            raise ValueError(f"`longest` of StretchTime must be >= `shortest`, {self.shortest}. Got {self.longest}.")

    def __call__(self, spikes: Spikes, generator: torch.Generator) -> Spikes:
        """The stretched samples; see the module's docstring. On a grid events go to the nearest step."""
        _inputs("StretchTime", spikes)
        share = torch.rand(spikes.n_samples, dtype=torch.float64, generator=generator, device=generator.device)
        factor = self.shortest + share * (self.longest - self.shortest)
        return moved(spikes, times=_seconds(spikes) * _of_samples(factor, spikes))


@dataclass(frozen=True)
class Augmentations:
    """Several augmentations, one after the other, fed by one generator.

    Attributes:
        each: in the order they are applied.
    """

    each: tuple[Callable[[Spikes, torch.Generator], Spikes], ...]

    def __call__(self, spikes: Spikes, generator: torch.Generator) -> Spikes:
        """The spikes after the last."""
        for augment in self.each:
            spikes = augment(spikes, generator)
        return spikes


def _inputs(what: str, spikes: Spikes) -> None:
    if spikes.support is not None:
        raise ValueError(f"`spikes` of {what} must be inputs, not a layer's activity. Got spikes with support.")


def _of_samples(values: Tensor, spikes: Spikes) -> Tensor:
    """A value per sample as one per event."""
    return per_event(values.to(spikes.units.device), spikes.offsets, spikes.n_events)


def _seconds(spikes: Spikes) -> Float[Tensor, " event"]:
    """Times in float64, differentiable; on a grid from the steps, so that rounding cannot move an event."""
    times = spikes.times.double()
    if spikes.steps is None or spikes.dt is None:
        return times
    return spikes.steps.double() * spikes.dt + (times - times.detach())

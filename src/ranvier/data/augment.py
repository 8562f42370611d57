"""Augmentations: random changes of the inputs while training."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ranvier.spikes import Spikes
from ranvier.spikes.ragged import offsets_where


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
        if spikes.support is not None:
            raise ValueError("`spikes` of DropEvents must be inputs, not a layer's activity. Got spikes with support.")
        chance = torch.rand(spikes.n_events, generator=generator, device=generator.device)
        keep = (chance >= self.p).to(spikes.units.device)
        kept = keep.nonzero().squeeze(1)  # once, where a mask would look for them in every tensor
        return Spikes.trusted(
            units=spikes.units.index_select(0, kept),
            times=spikes.times.index_select(0, kept),
            amplitudes=spikes.amplitudes.index_select(0, kept),
            offsets=offsets_where(spikes.offsets, keep),
            unit_shape=spikes.unit_shape,
            duration=spikes.duration,
            steps=None if spikes.steps is None else spikes.steps.index_select(0, kept),
            dt=spikes.dt,
            marks=None if spikes.marks is None else spikes.marks.index_select(0, kept),
            record=spikes.record,
        )

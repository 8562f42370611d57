"""Blending: new samples from pairs of one class. Needs labels, so it enlarges a data set before training.

Nowotny, Turner & Knight, Neuromorph. Comput. Eng. (2025), arXiv 2212.01232, double their sets so and halve the epochs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ranvier.data.labelled import LabelledSpikes
from ranvier.spikes import Spikes, collate, moved
from ranvier.spikes.ragged import samples_of


def blend(data: LabelledSpikes, generator: torch.Generator) -> LabelledSpikes:
    """The samples, and after them as many new ones, each a blend of one of them with another of its class.

    Both of a pair are moved so that their mean times and mean channels are those of the pair, midway between their own
    (channels by whole numbers); then each event is kept with probability 1/2, and what left the window or the channels
    is dropped. Every sample takes part in two blends; one that is alone in its class in none. Events of one channel may
    coincide on a grid; blend in continuous time and `on_grid(dt, coincident="one")` afterwards if they must not.

    Args:
        data: inputs whose units stand in a row, in continuous time or on a grid.
        generator: where all randomness comes from.

    Raises:
        ValueError: the units do not stand in a row.
    """
    if len(data.inputs.unit_shape) != 1:
        raise ValueError(f"`data` of blend must have units in a row. Got unit_shape {data.inputs.unit_shape}.")
    first, second = _pairs(data.labels, generator)
    new = _blended(data.inputs[first], data.inputs[second], generator)
    return LabelledSpikes(collate([data.inputs, new]), torch.cat([data.labels, data.labels[first]]), data.n_classes)


def _pairs(labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each sample and its partner: the next of its class in a random circle, in the order of the samples."""
    shuffled = torch.randperm(labels.numel(), generator=generator, device=generator.device).to(labels.device)
    circle = shuffled[torch.argsort(labels[shuffled], stable=True)]  # class by class
    partner = torch.empty_like(circle)
    _, sizes = torch.unique_consecutive(labels[circle], return_counts=True)
    for members in circle.split(sizes.tolist()):
        partner[members] = members.roll(-1)
    first = torch.arange(labels.numel(), device=labels.device)
    first = first[partner != first]
    return first, partner[first]


def _blended(first: Spikes, second: Spikes, generator: torch.Generator) -> Spikes:
    """The pairs' events, those of a pair together, moved and thinned."""
    n_samples = first.n_samples
    both = collate([first, second])
    sample = samples_of(both.offsets, both.n_events)
    times = both.times.double() if both.steps is None or both.dt is None else both.steps.double() * both.dt
    kept = torch.rand(both.n_events, generator=generator, device=generator.device).to(sample.device) < 0.5
    units = both.units.double() + _towards_pair(both.units.double(), sample, n_samples).round()
    units = torch.where(kept, units, -1.0).long()  # no channel: left out
    together = torch.arange(2 * n_samples, device=sample.device).view(2, n_samples).T.flatten()
    there = moved(both, units=units, times=times + _towards_pair(times, sample, n_samples))[together]
    pair = there._with(offsets=there.offsets[::2].contiguous())  # unsorted until it is moved once more
    pair = moved(pair, times=there.times if there.steps is None else there.steps.double() * (there.dt or 1.0))
    return pair._with(record=first.record)


def _towards_pair(values: Tensor, sample: Tensor, n_pairs: int) -> Tensor:
    """For each event, how far its sample's mean is from the mean of the two; 0 where a sample is silent."""
    totals = values.new_zeros(2 * n_pairs).index_add(0, sample, values)
    counts = values.new_zeros(2 * n_pairs).index_add(0, sample, torch.ones_like(values))
    first, second = (totals / counts).view(2, n_pairs)
    half = torch.nan_to_num((second - first) / 2, nan=0.0)
    return torch.cat([half, -half])[sample]

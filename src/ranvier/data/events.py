"""What becomes of events as they are found in files: which ones stay, in what order, and how many were otherwise."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from ranvier.data.spike_file import Events
from ranvier.errors import DataError
from ranvier.spikes.check import latest

_ACTIONS = {"non_finite": "drop", "negative": "drop", "late": "drop", "unsorted": "sort"}
_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class EventRules:
    """What to do with events that a sample of Spikes cannot hold. Whatever is left out is counted.

    Attributes:
        non_finite: times that are NaN or infinite: "drop" them, or "raise".
        negative: times below 0: "drop" them, or "raise".
        late: times beyond the duration: "drop" them, or "raise".
        unsorted: samples whose events are not in the order of their times: "sort" them, events of equal time keeping
            their order, or "raise".

    Raises:
        ValueError: at construction, naming attribute, rule and value.
    """

    non_finite: Literal["drop", "raise"] = "drop"
    negative: Literal["drop", "raise"] = "drop"
    late: Literal["drop", "raise"] = "drop"
    unsorted: Literal["sort", "raise"] = "sort"

    def __post_init__(self) -> None:
        for name, action in _ACTIONS.items():
            if getattr(self, name) not in (action, "raise"):
                raise ValueError(f"`{name}` of EventRules must be {action!r} or 'raise'. Got {getattr(self, name)!r}.")


@dataclass(frozen=True)
class EventCounts:
    """How many events of some samples were what. Adding two joins them; as text it is one sentence.

    Attributes:
        samples: how many were read.
        events: as stored.
        non_finite: with times that are NaN or infinite, dropped.
        negative: with times below 0, dropped.
        late: with times beyond the duration, dropped.
        past_grid: within the duration, but nearest to a step at its end or beyond, dropped.
        coincident: that share channel and step with an earlier one. What became of them is `coincident`'s choice.
        unsorted: samples (not events) that were not in the order of time, sorted.
        empty: samples (not events) of which no event is left.
    """

    samples: int = 0
    events: int = 0
    non_finite: int = 0
    negative: int = 0
    late: int = 0
    past_grid: int = 0
    coincident: int = 0
    unsorted: int = 0
    empty: int = 0

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def dropped(self) -> int:
        """All events left out, coincident ones aside."""
        return self.non_finite + self.negative + self.late + self.past_grid

    def __str__(self) -> str:
        return (
            f"{self.events} events in {self.samples} samples: dropped {self.dropped} ({self.non_finite} not finite, "
            f"{self.negative} negative, {self.late} beyond the duration, {self.past_grid} past the grid), "
            f"{self.coincident} coincident, {self.unsorted} samples unsorted, {self.empty} samples empty."
        )


class Clean(NamedTuple):
    """Events that make a sound Spikes.

    Attributes:
        times: float32 [E], in 0 to the duration, ascending within a sample.
        units: int32 [E], below the number of units.
        offsets: int64 [B+1].
        lengths: int64 [B], events of each sample as they were in the file.
        counts: what was found.
    """

    times: np.ndarray
    units: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    counts: EventCounts


def clean(events: Events, rules: EventRules, *, duration: float, n_units: int, where: object) -> Clean:
    """Apply the rules.

    Args:
        events: as stored.
        rules: what to do.
        duration: seconds, the window of each sample.
        n_units: how many channels there are.
        where: the file, for messages.

    Raises:
        DataError: a unit is out of range, or what the rules want raised is there.
    """
    times, offsets = events.times, np.concatenate([[0], np.cumsum(events.lengths)])
    if times.dtype.itemsize < _FLOAT32.itemsize:
        times = times.astype(_FLOAT32)

    def refuse(event: int, rule: str, value: Any) -> DataError:
        sample = events.samples[np.searchsorted(offsets, event, side="right") - 1]
        return DataError(f"{where} must have {rule}. Got {value} in sample {sample}.")

    units = events.units
    if units.size and not (int(units.min()) >= 0 and int(units.max()) < n_units):
        event = int(np.flatnonzero((units < 0) | (units >= n_units))[0])
        raise refuse(event, f"units in 0 to {n_units - 1} (`n_units` - 1)", units[event])
    units = units.astype(np.int32)

    last, found = latest(duration, torch.float32), {}
    if times.size and not (times.min() >= 0 and times.max() <= last):  # false for NaN
        finite = np.isfinite(times)
        faults = {
            "non_finite": (~finite, "finite times"),
            "negative": (finite & (times < 0), "times >= 0 s"),
            "late": (finite & (times > last), f"times of at most the duration, {duration} s"),
        }
        for name, (fault, rule) in faults.items():
            found[name] = int(fault.sum())
            if found[name] and getattr(rules, name) == "raise":
                event = int(np.flatnonzero(fault)[0])
                raise refuse(event, rule, times[event])
        keep = ~(faults["non_finite"][0] | faults["negative"][0] | faults["late"][0])
        times, units = times[keep], units[keep]
        offsets = np.concatenate([[0], np.cumsum(keep)])[offsets]
    times = times.astype(_FLOAT32)

    falls = np.flatnonzero(times[1:] < times[:-1]) + 1
    falls = falls[~np.isin(falls, offsets)]  # where a sample begins, time may fall
    if falls.size:
        sample = np.repeat(np.arange(len(events.lengths)), np.diff(offsets))
        found["unsorted"] = np.unique(sample[falls]).size
        if rules.unsorted == "raise":
            raise DataError(
                f"{where} must have times in ascending order. "
                f"Got {times[falls[0]]} after {times[falls[0] - 1]} in sample {events.samples[sample[falls[0]]]}."
            )
        order = np.lexsort((times, sample))
        times, units = times[order], units[order]
    counts = EventCounts(
        samples=len(events.lengths), events=events.times.size, empty=int((np.diff(offsets) == 0).sum()), **found
    )
    return Clean(times, units, offsets, events.lengths, counts)

"""`StoredSpikes`: labelled spikes that stay in their file until a batch of them is asked for.

Axis letters: B samples, E events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from ranvier.data import assemble
from ranvier.data.events import EventCounts, EventRules, clean
from ranvier.data.labelled import LabelledSpikes
from ranvier.data.spike_file import SpikeFile
from ranvier.spikes import Spikes, collate
from ranvier.spikes.arguments import selection

_AT_ONCE = 256  # bounds the working memory of sorting


@dataclass(frozen=True, eq=False)
class StoredSpikes(Dataset["LabelledSpikes"]):
    """Samples of a `SpikeFile` and their classes. Takes the place of `LabelledSpikes` in `fit` and `evaluate`.

    Indexing reads the samples asked for and gives them as `LabelledSpikes`, `select` gives others of the same file
    without reading any, `on_grid` takes effect when a batch is read. Only labels are in memory. What a batch lacks of
    what the file holds is counted in its `inputs.record.dropped`; `count_events` looks at all samples.

    Made by `load_spikes` and its relatives; a torch data set like `LabelledSpikes`, for loaders with workers too.

    Attributes:
        file: where the samples are.
        samples: int64 [B], their numbers in the file.
        n_classes: number of classes.
        n_units: number of channels.
        duration: seconds, of each sample before it is put on a grid.
        rules: what becomes of events that Spikes cannot hold.
        grids: one for each `on_grid`, the first one first.
        device: where batches go.
        held_out: whether this is a test set, on which nothing is chosen: `fit` refuses it.

    Raises:
        ValueError: at construction, if `n_units` or `duration` fit no Spikes.
    """

    file: SpikeFile
    samples: Int[Tensor, " batch"]
    n_classes: int
    n_units: int
    duration: float
    rules: EventRules = field(default_factory=EventRules)
    grids: tuple[assemble.Grid, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    held_out: bool = False

    def __post_init__(self) -> None:
        Spikes.from_samples([], unit_shape=self.n_units, duration=self.duration)  # refuses what no batch could have

    @property
    def labels(self) -> Int[Tensor, " batch"]:
        """The class of each sample, int64 [B]."""
        return self.file.labels[self.samples].to(self.device)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, by label; empty where the file has none."""
        return self.file.label_names

    def __len__(self) -> int:
        return self.samples.numel()

    def __getitem__(self, indices: int | slice | Sequence[int] | Tensor) -> LabelledSpikes:
        """Read some of the samples, in the given order; a single index gives a batch of one.

        Args:
            indices: a whole number, a slice, whole numbers, or a mask [B].

        Raises:
            IndexError: an index or a mask does not fit the number of samples.
            DataError: the file is damaged, or holds what `rules` want raised.
        """
        samples = self.samples[selection(indices, len(self), self.samples.device)]
        inputs, _ = self._load(samples.numpy())
        batch = LabelledSpikes(inputs, self.file.labels[samples], self.n_classes, self.held_out)
        return batch if self.device == samples.device else batch.to(self.device)

    def select(self, indices: int | slice | Sequence[int] | Tensor) -> StoredSpikes:
        """Some of the samples, in the given order. Nothing is read."""
        return replace(self, samples=self.samples[selection(indices, len(self), self.samples.device)])

    def on_grid(self, dt: float, *, coincident: Literal["sum", "one"]) -> StoredSpikes:
        """The same samples on a grid of `dt` seconds: see `Spikes.on_grid`. Nothing is read."""
        nothing, _ = self._load(np.zeros(0, dtype=np.int64))
        grid = assemble.Grid(dt, coincident, nothing.on_grid(dt, coincident=coincident).n_steps)
        return replace(self, grids=(*self.grids, grid))

    def to(self, device: torch.device | str) -> StoredSpikes:
        """The same samples, whose batches go to another device."""
        return replace(self, device=torch.device(device))

    def column(self, name: str) -> np.ndarray:
        """One value per sample [B], a number or a text, of `extra/<name>` in the file.

        Raises:
            DataError: there is no such column.
        """
        return self.file.column(name)[self.samples.numpy()]

    def count_events(self) -> EventCounts:
        """Read all samples, a few at a time, and tell what was dropped, sorted or coincident.

        Raises:
            DataError: as for reading a batch.
        """
        return sum((self._load(part)[1] for part in _pieces(self.samples.numpy())), EventCounts())

    def _load(self, samples: np.ndarray) -> tuple[Spikes, EventCounts]:
        """Samples of the file on the grid, if there is one, and what was found in them; many are joined from pieces."""
        if len(samples) > _AT_ONCE:
            inputs, counts = zip(*(self._load(piece) for piece in _pieces(samples)), strict=True)
            return collate(inputs), sum(counts, EventCounts())
        found = clean(
            self.file.read(samples), self.rules, duration=self.duration, n_units=self.n_units, where=self.file.path
        )
        if not self.grids:
            return assemble.continuous(found, self.n_units, self.duration), found.counts
        first, *others = self.grids
        inputs, counts = assemble.on_grid(found, self.n_units, first)
        for grid in others:
            inputs = inputs.on_grid(grid.dt, coincident=grid.coincident)
        return inputs, counts


def _pieces(samples: np.ndarray) -> list[np.ndarray]:
    return np.split(samples, range(_AT_ONCE, len(samples), _AT_ONCE))

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
from ranvier.data.events import Clean, EventCounts, EventRules, clean
from ranvier.data.kept import Kept
from ranvier.data.labelled import LabelledSpikes
from ranvier.data.spike_file import SpikeFile
from ranvier.spikes import Spikes, collate
from ranvier.spikes.arguments import selection

_AT_ONCE = 256  # bounds the working memory of sorting


@dataclass(frozen=True, eq=False)
class StoredSpikes(Dataset["LabelledSpikes"]):
    """Samples of a `SpikeFile` and their classes. Takes the place of `LabelledSpikes` in `fit` and `evaluate`.

    Indexing reads the samples asked for and gives them as `LabelledSpikes`, `select` gives others of the same file
    without reading any, `on_grid` takes effect when a batch is read. Labels are in memory, and so many samples on a
    grid as `kept` has room for, 4 bytes an event, so that later epochs need not read them again. What a batch lacks of
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
        kept: samples on a grid that are in memory; all that is selected from this share them.

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
    kept: Kept = field(default_factory=Kept, repr=False)

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
        inputs = self._inputs(samples.numpy())
        batch = LabelledSpikes(inputs, self.file.labels[samples], self.n_classes, self.held_out)
        return batch if self.device == samples.device else batch.to(self.device)

    def select(self, indices: int | slice | Sequence[int] | Tensor) -> StoredSpikes:
        """Some of the samples, in the given order. Nothing is read."""
        return replace(self, samples=self.samples[selection(indices, len(self), self.samples.device)])

    def on_grid(self, dt: float, *, coincident: Literal["sum", "one"]) -> StoredSpikes:
        """The same samples on a grid of `dt` seconds: see `Spikes.on_grid`. Nothing is read."""
        nothing = self._inputs(np.zeros(0, dtype=np.int64))
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
        return sum((self._counts(part) for part in _pieces(self.samples.numpy())), EventCounts())

    def _inputs(self, samples: np.ndarray) -> Spikes:
        """Samples of the file, on the grid if there is one; many are joined from pieces."""
        if len(samples) > _AT_ONCE:
            return collate([self._inputs(piece) for piece in _pieces(samples)])
        if not self.grids:
            return assemble.continuous(self._clean(samples), self.n_units, self.duration)
        first, *others = self.grids
        what = (self.file.path, self.rules, self.duration, self.n_units, first)
        keys = [(what, sample) for sample in samples.tolist()]
        found = self.kept.get(keys, lambda missing: self._on_first_grid(samples[missing]))
        inputs = assemble.on_grid(found, self.n_units, first)
        for grid in others:
            inputs = inputs.on_grid(grid.dt, coincident=grid.coincident)
        return inputs

    def _counts(self, samples: np.ndarray) -> EventCounts:
        found = self._clean(samples)
        if not self.grids:
            return found.counts
        on_grid = assemble.samples_on_grid(found, self.n_units, self.grids[0])
        inside = found.counts.events - sum(sample.dropped for sample in on_grid)
        n_cells = sum(sample.cells.size for sample in on_grid)
        return replace(found.counts, past_grid=found.times.size - inside, coincident=inside - n_cells)

    def _on_first_grid(self, samples: np.ndarray) -> list[assemble.Sample]:
        return assemble.samples_on_grid(self._clean(samples), self.n_units, self.grids[0])

    def _clean(self, samples: np.ndarray) -> Clean:
        return clean(
            self.file.read(samples), self.rules, duration=self.duration, n_units=self.n_units, where=self.file.path
        )


def _pieces(samples: np.ndarray) -> list[np.ndarray]:
    return np.split(samples, range(_AT_ONCE, len(samples), _AT_ONCE))

"""`LabelledSpikes`: a batch of spikes with one class per sample. `Labelled`: what may take its place in training.

Axis letters: B samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from ranvier.spikes import Spikes, collate


@runtime_checkable
class Labelled(Protocol):
    """Samples and classes that `fit` and `evaluate` take batch by batch, from memory or from a file.

    `LabelledSpikes` holds its samples, `StoredSpikes` reads those of a batch when the batch is asked for.
    """

    @property
    def labels(self) -> Int[Tensor, " batch"]:
        """The class of each sample, int64; in memory whatever the samples are."""
        ...

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def held_out(self) -> bool:
        """Whether this is a test set, on which nothing is chosen: `fit` refuses it."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, indices: int | slice | Sequence[int] | Tensor) -> LabelledSpikes:
        """A batch of samples, in memory, in the given order."""
        ...

    def select(self, indices: int | slice | Sequence[int] | Tensor) -> Labelled:
        """Some of the samples, held as they are held here: what is in a file stays there."""
        ...

    def on_grid(self, dt: float, *, coincident: Literal["sum", "one"]) -> Labelled:
        """The same samples on a grid of `dt` seconds: see `Spikes.on_grid`."""
        ...


@dataclass(frozen=True, eq=False)
class LabelledSpikes(Dataset["LabelledSpikes"]):
    """Samples and their classes, and at once a map-style torch data set of them.

    `DataLoader(data, batch_size=32, collate_fn=collate_labelled)` works; cheaper is to let the loader ask for
    whole batches, `DataLoader(data, sampler=BatchSampler(...), batch_size=None)`: each is then one gather.

    Attributes:
        inputs: B samples.
        labels: int64 [B], 0 <= label < n_classes.
        n_classes: number of classes, >= 1, whether or not all of them occur.
        held_out: whether this is a test set, on which nothing is chosen: `fit` refuses it. `Splits` sets it.

    Raises:
        TypeError, ValueError: at construction, naming argument, rule and value received.
    """

    inputs: Spikes
    labels: Int[Tensor, " batch"]
    n_classes: int
    held_out: bool = False

    def __post_init__(self) -> None:
        _check(self.inputs, self.labels, self.n_classes)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, indices: int | slice | Sequence[int] | Tensor) -> LabelledSpikes:
        """Some of the samples, in the given order; a single index gives a batch of one.

        Args:
            indices: a whole number, a slice, whole numbers, or a mask [B].

        Raises:
            IndexError: an index or a mask does not fit the number of samples.
        """
        return self._with(inputs=self.inputs[indices], labels=_rows(self.labels, indices))

    def select(self, indices: int | slice | Sequence[int] | Tensor) -> LabelledSpikes:
        """The same as `self[indices]`: see `Labelled.select`."""
        return self[indices]

    def on_grid(self, dt: float, *, coincident: Literal["sum", "one"]) -> LabelledSpikes:
        """The same samples, events at the nearest step of a grid of `dt` seconds: see `Spikes.on_grid`."""
        return self._with(inputs=self.inputs.on_grid(dt, coincident=coincident))

    def to(self, device: torch.device | str) -> LabelledSpikes:
        """The same samples on another device."""
        return self._with(inputs=self.inputs.to(device), labels=self.labels.to(device))

    def _with(self, **changes: Any) -> LabelledSpikes:
        """With other samples that need no check, since they come from these."""
        changed = object.__new__(LabelledSpikes)
        changed.__dict__.update(self.__dict__ | changes)
        return changed


Data = TypeVar("Data", bound=Any)


@dataclass(frozen=True)
class Splits(Generic[Data]):
    """The three parts of a data set; iterating gives them in this order.

    Attributes:
        train: what the weights learn from.
        validation: what choices are made on, disjoint from the others.
        test: what is reported, and never chosen on. It is marked `held_out`, whatever it was before, and so is all
            that is taken from it: `fit` refuses it, for training as for choosing the best epoch.
    """

    train: Data
    validation: Data
    test: Data

    def __post_init__(self) -> None:
        object.__setattr__(self, "test", replace(self.test, held_out=True))

    def __iter__(self) -> Iterator[Data]:
        return iter((self.train, self.validation, self.test))


def choosable(name: str, data: Labelled) -> None:
    """Refuse data that nothing may be learned from or chosen on.

    Args:
        name: the argument, as in "`train` of fit".
        data: what was given for it.

    Raises:
        ValueError: there are no samples, or they are a test set.
    """
    if not len(data):
        raise ValueError(f"{name} must hold at least one sample. Got none.")
    if data.held_out:
        raise ValueError(f"{name} must not be a test set: nothing is chosen on it. Got data that is held out.")


def collate_labelled(batch: Sequence[LabelledSpikes]) -> LabelledSpikes:
    """Concatenate the samples of several LabelledSpikes, for `DataLoader(collate_fn=...)`.

    Args:
        batch: at least one, all of one layer, grid, duration and number of classes.

    Raises:
        ValueError: the batch is empty or mixed.
    """
    if not batch:
        raise ValueError("`batch` of collate_labelled must hold at least one LabelledSpikes. Got none.")
    n_classes = batch[0].n_classes
    for index, part in enumerate(batch):
        if part.n_classes != n_classes:
            raise ValueError(
                f"`batch` of collate_labelled must share one `n_classes`. "
                f"Got {n_classes} and, at {index}, {part.n_classes}."
            )
    return LabelledSpikes(
        collate([part.inputs for part in batch]),
        torch.cat([part.labels for part in batch]),
        n_classes,
        held_out=any(part.held_out for part in batch),
    )


def _rows(labels: Tensor, indices: int | slice | Sequence[int] | Tensor) -> Tensor:
    if isinstance(indices, slice):
        return labels[torch.arange(labels.numel(), device=labels.device)[indices]]
    chosen = torch.as_tensor(indices, device=labels.device).reshape(-1)
    return labels[chosen if chosen.dtype == torch.bool else chosen.to(torch.int64)]


def _check(inputs: object, labels: object, n_classes: object) -> None:
    if not isinstance(inputs, Spikes):
        raise TypeError(f"`inputs` of LabelledSpikes must be Spikes. Got {type(inputs).__name__}.")
    if not isinstance(labels, Tensor):
        raise TypeError(f"`labels` of LabelledSpikes must be a tensor. Got {type(labels).__name__}.")
    if labels.dtype != torch.int64:
        raise TypeError(f"`labels` of LabelledSpikes must be int64. Got {str(labels.dtype).removeprefix('torch.')}.")
    if tuple(labels.shape) != (len(inputs),):
        raise ValueError(
            f"`labels` of LabelledSpikes must have shape ({len(inputs)},), one per sample. Got {tuple(labels.shape)}."
        )
    if labels.device != inputs.units.device:
        raise ValueError(
            f"`labels` of LabelledSpikes must be on the device of `inputs`, {inputs.units.device}. Got {labels.device}."
        )
    if not isinstance(n_classes, int) or isinstance(n_classes, bool) or n_classes < 1:
        raise ValueError(f"`n_classes` of LabelledSpikes must be a whole number >= 1. Got {n_classes!r}.")
    if labels.numel() == 0:
        return
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= n_classes:
        worst = lowest if lowest < 0 else highest
        raise ValueError(f"`labels` of LabelledSpikes must be in 0 to {n_classes - 1}. Got {worst}.")

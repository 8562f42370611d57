"""`load_spikes`: splits of any file of spikes in the layout of the Heidelberg data sets."""

from __future__ import annotations

from os import PathLike

import torch

from ranvier.data.events import EventRules
from ranvier.data.kept import Kept
from ranvier.data.labelled import Splits
from ranvier.data.spike_file import SpikeFile
from ranvier.data.split import ByRatio, Parts, SplitRule
from ranvier.data.stored import StoredSpikes
from ranvier.errors import DataError

CHANNELS = 700  # of the Heidelberg data sets


def load_spikes(
    path: str | PathLike[str],
    *,
    duration: float,
    split: SplitRule | None = None,
    test: str | PathLike[str] | None = None,
    n_units: int = CHANNELS,
    rules: EventRules | None = None,
    kept: Kept | None = None,
) -> Splits[StoredSpikes]:
    """Splits of a file of labelled spikes, of which only the batches asked for are read.

    Args:
        path: HDF5 file in the layout of the Heidelberg data sets: see `SpikeFile`.
        duration: seconds, > 0, of each sample; later events are left out and counted, or as `rules` has it.
        split: divides the file: `ByColumn`, `ByRatio`, one of `leave_one_out`, or your own. By default a tenth of
            each class is for validation and, unless `test` is given, a tenth for test, with seed 0.
        test: another file that is the test set. `split` then divides training and validation, and must leave no
            sample for test, so that nothing is chosen on what is tested.
        n_units: number of channels.
        rules: what becomes of events that are not finite, negative, late or unsorted; by default they are left out,
            or sorted, and counted.
        kept: how much of what was put on a grid stays in memory for later epochs; by default up to 512 MiB.

    Returns:
        Splits whose inputs have `unit_shape` (n_units,), in continuous time. Classes are as many as `extra/keys`
        names, else as the largest label tells.

    Raises:
        DataError: a file cannot be read, is damaged or has another layout, or the rule does not fit it.
        ValueError: an argument is out of range.
    """
    file = SpikeFile(path)
    tested = None if test is None else SpikeFile(test)
    parts = (split or ByRatio(test=0.1 if tested is None else 0.0))(file)
    if tested is not None and len(parts.test):
        raise ValueError(
            f"`split` of load_spikes must leave no sample for test, because `test` is given. Got {len(parts.test)}."
        )
    return stored_splits(file, parts, tested, duration=duration, n_units=n_units, rules=rules, kept=kept)


def stored_splits(
    file: SpikeFile,
    parts: Parts,
    tested: SpikeFile | None,
    *,
    validated: SpikeFile | None = None,
    duration: float,
    n_units: int = CHANNELS,
    n_classes: int | None = None,
    rules: EventRules | None = None,
    kept: Kept | None = None,
) -> Splits[StoredSpikes]:
    """Parts of one file, with the whole of other files as test and validation set where there are any."""
    files = [each for each in (file, validated, tested) if each is not None]
    for each in files:
        if not len(each):
            raise DataError(f"{each} must hold at least one sample. Got none.")
    n_classes = n_classes or max(max(len(each.label_names), int(each.labels.max()) + 1) for each in files)
    for each in files:
        if int(each.labels.max()) >= n_classes:
            raise DataError(f"{each} must have labels in 0 to {n_classes - 1}. Got {int(each.labels.max())}.")

    kept = Kept() if kept is None else kept  # one for all parts

    def stored(source: SpikeFile | None, part: torch.Tensor) -> StoredSpikes:
        samples = part if source is None else torch.arange(len(source))
        return StoredSpikes(source or file, samples, n_classes, n_units, duration, rules or EventRules(), kept=kept)

    return Splits(stored(None, parts.train), stored(validated, parts.validation), stored(tested, parts.test))

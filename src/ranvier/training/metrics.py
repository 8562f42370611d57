"""What an epoch did, in numbers: gathered batch by batch, and kept as one JSON line per epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ranvier.errors import RunError
from ranvier.spikes import Spikes
from ranvier.training.files import cannot_write, write_whole
from ranvier.training.ranks import Ranks

METRICS = "metrics.jsonl"


class Activity:
    """Spikes per layer over many batches."""

    def __init__(self) -> None:
        self.n_samples = 0
        self.clipped: dict[str, int] = {}
        self.backends: dict[str, str] = {}
        self._per_unit: dict[str, Tensor] = {}
        self._duration = 0.0

    def add(self, activity: Mapping[str, Any], n_samples: int) -> None:
        """Count one batch's activity; layers that do not spike are left out."""
        self.n_samples += n_samples
        for name, spikes in activity.items():
            if not isinstance(spikes, Spikes):
                continue
            self._duration = spikes.duration
            self.backends[name] = spikes.record.backend
            self.clipped[name] = self.clipped.get(name, 0) + spikes.record.clipped
            counts = torch.bincount(spikes.units, minlength=spikes.n_units)
            known = self._per_unit.get(name)
            self._per_unit[name] = counts if known is None else known.add_(counts)

    def add_up(self, ranks: Ranks) -> None:
        """Count what all processes have seen, not this one alone."""
        numbers = torch.tensor([self.n_samples, *self.clipped.values()])
        ranks.add_up([numbers, *self._per_unit.values()])
        self.n_samples, *clipped = numbers.tolist()
        self.clipped = dict(zip(self.clipped, clipped, strict=True))

    def spikes_per_sample(self) -> dict[str, float]:
        """Mean number of spikes of a whole layer per sample, by layer."""
        return {name: int(counts.sum()) / max(self.n_samples, 1) for name, counts in self._per_unit.items()}

    def rates(self) -> dict[str, float]:
        """Mean firing rate of a unit in Hz, by layer."""
        seconds = max(self.n_samples, 1) * (self._duration or 1.0)
        return {name: int(counts.sum()) / (counts.numel() * seconds) for name, counts in self._per_unit.items()}

    def never(self) -> dict[str, Tensor]:
        """Which units never spiked, bool [N] by layer."""
        return {name: counts == 0 for name, counts in self._per_unit.items()}

    def silent(self) -> dict[str, float]:
        """Fraction of units that never spiked, by layer."""
        return {name: float((counts == 0).double().mean()) for name, counts in self._per_unit.items()}


class MetricsFile:
    """`metrics.jsonl` of a run: one line per epoch, never two for the same.

    Args:
        folder: the run's.
        after_epoch: the epoch from which training goes on; lines of later epochs, and a line cut short, are
            removed.

    Raises:
        RunError: the file cannot be read or written.
    """

    def __init__(self, folder: Path, after_epoch: int) -> None:
        self.path = folder / METRICS
        known = kept_lines(self.path, after_epoch)
        write_whole(self.path, "".join(f"{line}\n" for line in known).encode())

    def append(self, line: Mapping[str, Any]) -> None:
        """Add one epoch's line and bring it to the disk."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error


def kept_lines(path: Path, up_to_epoch: int) -> list[str]:
    """The whole lines of epochs 1 to `up_to_epoch`, one each, in order; none if there is no such file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        raise RunError(f"{path} must be readable. Got: {error.strerror or error}.") from error
    kept: dict[int, str] = {}
    for line in text.splitlines():
        try:
            epoch = int(json.loads(line)["epoch"])
        except (ValueError, KeyError, TypeError):
            continue
        if epoch <= up_to_epoch:
            kept.setdefault(epoch, line)
    return [kept[epoch] for epoch in sorted(kept)]

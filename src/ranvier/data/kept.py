"""`Kept`: samples that were put on a grid before, as many as fit a number of bytes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from ranvier.data.assemble import Sample

_ENTRY = 400  # bytes of a sample without events, about


class Kept:
    """A memory of samples that does not forget: once it is full, others are made anew whenever they are asked for.

    An epoch asks for every sample once: none is worth more than another, and with one forgotten for each one kept, all
    would be gone before they are asked for again. Copies that are sent to other processes begin empty.

    Args:
        most: bytes, >= 0; by default room for all of a set of the size of SHD. 0 keeps nothing.

    Raises:
        ValueError: `most` is no such number.
    """

    def __init__(self, most: int = 2**29) -> None:
        if not isinstance(most, int) or isinstance(most, bool) or most < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"`most` of Kept must be a whole number of bytes >= 0. Got {most!r}.")
        self.most = most
        self.size = 0
        self._samples: dict[Hashable, Sample] = {}

    def get(self, keys: Sequence[Hashable], make: Callable[[list[int]], Sequence[Sample]]) -> list[Sample]:
        """The samples of the keys; `make` gets the positions of those that are not here."""
        found = [self._samples.get(key) for key in keys]
        missing = [position for position, sample in enumerate(found) if sample is None]
        if missing:
            for position, sample in zip(missing, make(missing), strict=True):
                found[position] = sample
                self._keep(keys[position], sample)
        return [sample for sample in found if sample is not None]

    def _keep(self, key: Hashable, sample: Sample) -> None:
        size = sample.nbytes + _ENTRY
        if key not in self._samples and self.size + size <= self.most:
            self._samples[key] = sample
            self.size += size

    def __len__(self) -> int:
        return len(self._samples)

    def __getstate__(self) -> dict[str, Any]:
        return {"most": self.most, "size": 0, "_samples": {}}

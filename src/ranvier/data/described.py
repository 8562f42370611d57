"""`Described`: a file that `ranvier encode` wrote, with speakers by name and the numbers of recordings.

The file has speakers as numbers and recordings as file names; people, and the official split of the Free Spoken Digit
Dataset, name speakers and count recordings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from ranvier.data.spike_file import SpikeFile
from ranvier.data.split import Divisible, Parts, SplitRule
from ranvier.errors import DataError

_NUMBER = re.compile(r".*_(\d+)\.\w+")


@dataclass(frozen=True)
class Described:
    """What a rule looks at in place of a `SpikeFile`.

    Attributes:
        file: the file.
    """

    file: SpikeFile

    @property
    def labels(self) -> Int64[Tensor, " sample"]:
        """The class of each sample."""
        return self.file.labels

    def __str__(self) -> str:
        return str(self.file)

    def column(self, name: str) -> np.ndarray:
        """A column of the file; "speaker" by name where the file has names, "index" from the names of recordings.

        Raises:
            DataError: there is no such column.
        """
        if name == "index" and "files" in self.file.columns:
            found = [_NUMBER.fullmatch(str(recording)) for recording in self.file.column("files")]
            numbers = [int(match[1]) for match in found if match is not None]
            if len(numbers) == len(found):
                return np.array(numbers, dtype=np.int64)
            raise DataError(f"{self.file} must have recordings whose names end in _NUMBER. Got others.")
        values = self.file.column(name)
        names = self.file.speaker_names
        if name != "speaker" or not names:
            return values
        if values.dtype.kind not in "iu" or not ((values >= 0) & (values < len(names))).all():
            raise DataError(
                f"{self.file} must have as `extra/speaker` the numbers of {len(names)} speakers. Got others."
            )
        return np.array(names)[values]


def described(rule: SplitRule) -> SplitRule:
    """A rule for spike files that looks at them through `Described`."""

    def look(source: Divisible) -> Parts:
        return rule(Described(source) if isinstance(source, SpikeFile) else source)

    return look

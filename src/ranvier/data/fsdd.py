"""The Free Spoken Digit Dataset: recordings of zero to nine, read one by one from the zip file of its authors.

The recordings are `recordings/{digit}_{speaker}_{index}.wav`, mono, 16 bits, 8 kHz. They are sound, not spikes: the
cochlea turns them into a spike file (`data.audio.cached`), whose columns `speaker` and `files` let `load_spikes` divide
it by the same rules.

Z. Jackson et al., Free Spoken Digit Dataset, DOI 10.5281/zenodo.1342401, licence CC BY-SA 4.0.
"""

from __future__ import annotations

import re
import struct
import wave
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor
from torch.utils.data import Dataset

from ranvier.data.handle import Handle
from ranvier.data.labelled import Splits
from ranvier.data.split import ByColumn, SplitRule
from ranvier.errors import DataError
from ranvier.spikes.arguments import selection

FSDD_ZIP = "free-spoken-digit-dataset.zip"
FSDD_OFFICIAL = ByColumn("files", pattern=r"_(\d+)\.wav$", validation=range(5, 10), test=range(5))
_NAME = re.compile(r"(?:.*/)?recordings/((\d)_([^/_]+)_(\d+))\.wav")
_LOUDEST = 32768  # a 16-bit sample in -1 to 1


@dataclass(frozen=True, eq=False)
class Recording:
    """One spoken word.

    Attributes:
        waveform: float32 [n], in -1 to 1.
        sample_rate: samples per second.
        label: its class.
        speaker: who speaks.
        index: which of the speaker's recordings of this word.
        name: the file's, without folder and ending.
    """

    waveform: Float32[Tensor, " time"]
    sample_rate: int
    label: int
    speaker: str
    index: int
    name: str


@dataclass(frozen=True, eq=False)
class Recordings(Dataset[Recording]):
    """Recordings in a zip file, each read when it is asked for.

    Attributes:
        path: the zip file.
        names: of all its recordings, without folder and ending, in the order of digit, speaker, index.
        samples: int64 [B], which of them these are.
        held_out: whether this is a test set.
    """

    path: Path
    names: tuple[str, ...]
    samples: Int[Tensor, " batch"]
    held_out: bool
    _members: dict[str, str]
    _archive: Handle[zipfile.ZipFile]

    @property
    def labels(self) -> Int64[Tensor, " batch"]:
        """The digit of each recording, int64 [B]."""
        return torch.from_numpy(self._parts(0).astype(np.int64))

    def column(self, name: str) -> np.ndarray:
        """One value per recording [B]: of "speaker", "index", or "files", names with their ending.

        Raises:
            DataError: there is no such column.
        """
        if name == "files":
            return np.array([f"{self.names[sample]}.wav" for sample in self.samples.tolist()])
        if name not in ("speaker", "index"):
            raise DataError(f"{self.path} must have the column {name}. Got recordings with speaker, index, files.")
        return self._parts(1) if name == "speaker" else self._parts(2).astype(np.int64)

    def _parts(self, place: int) -> np.ndarray:
        return np.array([self.names[sample].split("_")[place] for sample in self.samples.tolist()], dtype=np.str_)

    def __len__(self) -> int:
        return self.samples.numel()

    def __str__(self) -> str:
        return str(self.path)

    def __getitem__(self, index: int) -> Recording:
        """Read one recording. `select` takes several.

        Raises:
            IndexError: there is no such recording.
            DataError: it is damaged, or no mono sound of 16 bits.
        """
        if not isinstance(index, int | np.integer):
            raise TypeError(f"A recording must be chosen by a whole number. Got {index!r}.")
        if not -len(self) <= index < len(self):
            raise IndexError(f"A recording must be chosen by a number below {len(self)}. Got {index}.")
        name = self.names[int(self.samples[int(index)])]
        digit, speaker, number = name.split("_")
        waveform, sample_rate = self._read(name)
        return Recording(waveform, sample_rate, int(digit), speaker, int(number), name)

    def select(self, indices: int | slice | Sequence[int] | Tensor) -> Recordings:
        """Some of the recordings, in the given order. Nothing is read."""
        return replace(self, samples=self.samples[selection(indices, len(self), self.samples.device)])

    def unpack(self, folder: Path) -> None:
        """Write these recordings into a folder, as {name}.wav and byte by byte.

        Raises:
            DataError: one is damaged.
        """
        for name in (self.names[sample] for sample in self.samples.tolist()):
            try:
                with self._archive.use() as archive:
                    content = archive.read(self._members[name])
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
                raise DataError(f"{name}.wav in {self.path} must be a whole wav file. Got: {error}.") from error
            (folder / f"{name}.wav").write_bytes(content)

    def _read(self, name: str) -> tuple[Tensor, int]:
        where = f"{name}.wav in {self.path}"
        try:
            with (
                self._archive.use() as archive,
                archive.open(self._members[name]) as file,
                wave.open(file) as sound,
            ):
                form = (sound.getnchannels(), sound.getsampwidth())
                length, sample_rate = sound.getnframes(), sound.getframerate()
                data = sound.readframes(length)
        except (wave.Error, zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, RuntimeError) as error:
            raise DataError(f"{where} must be a whole wav file. Got: {error}.") from error
        if form != (1, 2):
            raise DataError(f"{where} must be mono, of 2 bytes. Got {form[0]} channels of {form[1]} bytes.")
        if len(data) != 2 * length:
            raise DataError(f"{where} must have the {length} samples of its header. Got {len(data) // 2}.")
        return torch.from_numpy(np.frombuffer(data, dtype="<i2").astype(np.float32) / _LOUDEST), sample_rate


def load_fsdd(data_dir: str | PathLike[str], *, split: SplitRule = FSDD_OFFICIAL) -> Splits[Recordings]:
    """The Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers.

    Args:
        data_dir: folder with free-spoken-digit-dataset.zip, as its authors' repository gives it.
        split: `FSDD_OFFICIAL` by default: of each digit and speaker, recordings 0 to 4 are the test set; of the
            others, 5 to 9 validate here. Speakers are in all parts. Harder is a speaker left out:
            `ByColumn("speaker", validation=["theo"], test=["george"])`, or each of `leave_one_out`.

    Returns:
        Splits of recordings, each read when it is asked for.

    Raises:
        DataError: the file is missing, damaged, holds no recordings, or does not fit the rule.
    """
    recordings = fsdd_recordings(data_dir)
    parts = split(recordings)
    return Splits(*(recordings.select(part) for part in parts))


def fsdd_recordings(data_dir: str | PathLike[str]) -> Recordings:
    """All recordings of the Free Spoken Digit Dataset, undivided: see `load_fsdd`."""
    path = Path(data_dir) / FSDD_ZIP
    if not path.is_file():
        raise DataError(f"`data_dir` (--data-dir) must be a folder with {FSDD_ZIP}. Got {data_dir} without it.")
    archive = Handle(partial(zipfile.ZipFile, path))
    try:
        with archive.use() as opened:
            found = [match for match in map(_NAME.fullmatch, opened.namelist()) if match]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} must be a whole zip file. Got: {str(error).rstrip('.')}.") from error
    if not found:
        raise DataError(f"{path} must hold recordings/{{digit}}_{{speaker}}_{{index}}.wav. Got no such file in it.")
    found.sort(key=lambda match: (int(match[2]), match[3], int(match[4])))
    members = {match[1]: match[0] for match in found}
    return Recordings(path, tuple(members), torch.arange(len(members)), False, members, archive)

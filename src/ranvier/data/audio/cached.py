"""Recordings turned into spikes once: the file is kept in the cache folder, under what it depends on."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from ranvier.data.audio.cochlea import Cochlea
from ranvier.data.audio.conversion import FORMAT, Progress, convert
from ranvier.data.audio.recordings import LabelFrom, digest, find
from ranvier.data.fsdd import FSDD_ZIP, fsdd_recordings
from ranvier.errors import DataError, RunError


def encoded_folder(
    folder: Path,
    cochlea: Cochlea,
    *,
    label_from: LabelFrom = "name",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Path:
    """The file of spikes that `convert` makes of a folder of recordings, made if it is not in the cache folder yet.

    Its name is a hash of all names and bytes in the folder and of all settings: whatever changes makes a new file.

    Args:
        folder: of wav and flac files; see `recordings.find`.
        cochlea: what hears them.
        label_from: where labels are; see `recordings.find`.
        jobs: recordings at a time.
        progress: told of every recording that is converted.

    Raises:
        DataError: the folder is missing, holds no recordings, or none can be read; the extra `audio` is not installed.
        RunError: the cache folder cannot be written, or another process is making the same file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder of recordings. Got none.")
    found = find([folder], label_from)
    content = _digest((recording.name, recording.path) for recording in found)
    return _kept(content, nullcontext(folder), cochlea, label_from, jobs, progress)


def encoded_fsdd(data_dir: Path, cochlea: Cochlea, *, jobs: int = 1, progress: Progress | None = None) -> Path:
    """The same of the Free Spoken Digit Dataset, whose recordings are unpacked for as long as that takes.

    Args:
        data_dir: folder with its zip file, which is only read.
        cochlea: what hears them.
        jobs: recordings at a time.
        progress: told of every recording that is converted.

    Raises:
        DataError, RunError: as above.
    """
    recordings = fsdd_recordings(data_dir)  # refuses what is no such file

    @contextmanager
    def unpacked() -> Iterator[Path]:
        with TemporaryDirectory(prefix="ranvier-") as place:
            recordings.unpack(Path(place))
            yield Path(place)

    content = _digest([(FSDD_ZIP, recordings.path)])
    return _kept(content, unpacked(), cochlea, "name", jobs, progress)


def cache() -> Path:
    """Where the files are: `$RANVIER_CACHE` or the user's cache folder, in `encoded`."""
    from ranvier.ops.compile import cache_folder

    return cache_folder().parent / "encoded"


def _kept(
    content: str,
    folder: AbstractContextManager[Path],
    cochlea: Cochlea,
    label_from: LabelFrom,
    jobs: int,
    progress: Progress | None,
) -> Path:
    settings = {"format": FORMAT, "label_from": label_from, "content": content} | asdict(cochlea)
    key = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=12).hexdigest()
    place = cache() / f"{key}.h5"
    if place.is_file() and not place.with_name(f"{place.name}.part").exists():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{place.parent} must be writable. Got: {error.strerror or error}.") from error
    with folder as recordings:
        made = convert([recordings], place, cochlea, label_from=label_from, jobs=jobs, progress=progress)
    if made.skipped:
        name, reason = made.skipped[0]
        total = made.recordings + len(made.skipped)
        warnings.warn(
            f"{len(made.skipped)} of {total} recordings were left out; the first, {name}, holds {reason}.",
            stacklevel=3,
        )
    return place


def _digest(files: Iterable[tuple[str, Path]]) -> str:
    """Tells whether names and contents are the same."""
    total = hashlib.blake2b(digest_size=16)
    path = None
    try:
        for name, path in files:
            total.update(f"{name} {digest(path.read_bytes())}\n".encode())
    except OSError as error:
        raise DataError(f"{path} must be readable. Got: {error.strerror or error}.") from error
    return total.hexdigest()

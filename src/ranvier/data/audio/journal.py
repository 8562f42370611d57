"""The file beside an unfinished output that keeps what is done, so that nothing is lost when a process is killed.

Records are only ever appended, each with its length and checksum. Whatever was being written when the process died
does not pass its checksum and is cut off when the file is opened again.
"""

from __future__ import annotations

import hashlib
import json
import struct
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from ranvier.errors import DataError, RunError

_HEAD = struct.Struct("<4sIQ16s")  # magic, length of the JSON, length of the payload, checksum of both
_MAGIC = b"rvj1"


class _Place(NamedTuple):
    about: dict[str, Any]
    offset: int
    size: int


class Journal:
    """Records by name, on disk; in memory only where each lies. One process at a time.

    Args:
        path: of the file, new or left by a killed process.
        settings: whatever the records depend on; JSON.

    Raises:
        RunError: the file cannot be written, another process is at it, or its records depend on other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self._places: dict[str, _Place] = {}
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise RunError(f"{path} must be writable. Got: {error.strerror or error}.") from error
        try:
            self._lock()
            self._begin(settings)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        """Close the file."""
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def about(self, name: str) -> dict[str, Any]:
        """What is known of a record."""
        return self._places[name].about

    def payload(self, name: str) -> bytes:
        """A record's bytes."""
        place = self._places[name]
        self._file.seek(place.offset)
        return self._file.read(place.size)

    def add(self, name: str, about: dict[str, Any], payload: bytes) -> None:
        """Append a record; a later one of the same name replaces it.

        Raises:
            DataError: the disk does not take it.
        """
        self._append({"name": name} | about, payload)
        self._places[name] = _Place(about, self._end - len(payload), len(payload))

    def _append(self, content: dict[str, Any], payload: bytes) -> None:
        header = json.dumps(content).encode()
        checksum = hashlib.blake2b(header + payload, digest_size=16).digest()
        record = _HEAD.pack(_MAGIC, len(header), len(payload), checksum) + header + payload
        try:
            self._file.seek(self._end)
            self._file.write(record)
            self._file.flush()
        except OSError as error:
            raise DataError(f"{self.path} must be writable. Got: {error.strerror or error}.") from error
        self._end += len(record)

    def _begin(self, settings: dict[str, Any]) -> None:
        self._end, self._size = 0, self._file.seek(0, 2)
        first = self._next()
        if first is None:
            self._check_own()
            self._append({"settings": settings}, b"")
        elif first.about != {"settings": settings}:
            got = _differs(first, settings)
            raise RunError(f"{self.path} must have been begun with the same settings, or be deleted. Got {got}.")
        while (place := self._next()) is not None:
            self._places[place.about.pop("name")] = place
        with suppress(OSError):
            self._file.truncate(self._end)

    def _check_own(self) -> None:
        """A file whose first record is not whole holds the beginning of one, or nothing, or is not ours."""
        self._file.seek(0)
        start = self._file.read(len(_MAGIC))
        if start != _MAGIC[: len(start)]:
            raise RunError(f"{self.path} must be a file that an interrupted conversion left. Got another one.")

    def _next(self) -> _Place | None:
        """The record at the end of what was read so far, or None if there is no whole one."""
        self._file.seek(self._end)
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, n_header, n_payload, checksum = _HEAD.unpack(head)
        if magic != _MAGIC:
            return None
        if self._end + len(head) + n_header + n_payload > self._size:
            return None
        content = self._file.read(n_header + n_payload)
        if hashlib.blake2b(content, digest_size=16).digest() != checksum:
            return None
        self._end += len(head) + len(content)
        return _Place(json.loads(content[:n_header]), self._end - n_payload, n_payload)

    def _lock(self) -> None:
        try:
            import fcntl
        except ModuleNotFoundError:  # no such locks on this system
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{self.path} must not be in use. Got one that another process writes.") from error


def _differs(first: _Place, settings: dict[str, Any]) -> str:
    before = first.about.get("settings", {})
    names = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    return ", ".join(f"{name} {before.get(name)} in place of {settings.get(name)}" for name in names) or "another file"

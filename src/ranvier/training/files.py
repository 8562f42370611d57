"""Files that appear under their name only when they are whole, and survive a power cut once they do."""

from __future__ import annotations

import os
from pathlib import Path

from ranvier.errors import RunError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that, whenever the process dies, `path` holds either its old or its new content.

    Raises:
        RunError: the folder or the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; a system that cannot open folders has no need to."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> RunError:
    """The error for a place that takes no files."""
    return RunError(f"{path} must be writable. Got: {error.strerror or error}.")

"""`Handle`: an open file that survives forks, pickling and threads.

A forked child that goes on with its parent's open file shares the position in it, and HDF5's locks. So every handle is
closed before a fork, and opened again by whichever process needs it next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet


class _Closable(Protocol):
    def close(self) -> Any: ...


File = TypeVar("File", bound=_Closable)


class Handle(Generic[File]):
    """A file that is opened on first use and then kept open, in each process anew.

    Args:
        opener: opens the file; a function of a module, or a `partial` of one, so that it can be pickled.
    """

    def __init__(self, opener: Callable[[], File]) -> None:
        self._opener = opener
        self._restart()

    def _restart(self) -> None:
        self._lock, self._file = RLock(), None
        _HANDLES.add(self)

    @contextmanager
    def use(self) -> Iterator[File]:
        """The open file, for one thread at a time; not to be kept beyond the `with`."""
        with self._lock:
            if self._file is None:
                self._file = self._opener()
            yield self._file

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._file is not None:
                with closing(self._file):
                    self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_opener": self._opener}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._opener = state["_opener"]
        self._restart()


_HANDLES: WeakSet[Handle[Any]] = WeakSet()
_held: list[Handle[Any]] = []


def _before_fork() -> None:
    for handle in list(_HANDLES):
        handle._lock.acquire()
        _held.append(handle)
        handle.close()


def _after_fork() -> None:
    while _held:
        _held.pop()._lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

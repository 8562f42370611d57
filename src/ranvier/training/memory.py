"""Memory that a training step frees and the next one needs again."""

import ctypes
import sys

_TRIM, _MMAP = -1, -3  # malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
_KEPT, _LARGEST = 1 << 28, 1 << 25  # bytes; glibc takes no larger value for the second


def keep_freed() -> None:
    """Let the C library keep up to 256 MB of freed memory for the rest of the process.

    By default glibc returns arrays of a few megabytes to the system, which hands out pages anew, one fault each, at
    every step: a sixth of the time of a step with 280,000 events (docs/decisions.md). Other libraries: nothing happens.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_MMAP, _LARGEST)
        library.mallopt(_TRIM, _KEPT)

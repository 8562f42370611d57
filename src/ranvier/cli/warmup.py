"""`ranvier warmup`."""

from __future__ import annotations

import sys
import time
from typing import Any

from ranvier.errors import RunError


def run() -> dict[str, Any]:
    """Compile the kernels of all documented settings into the cache folder.

    Raises:
        RunError: the cache folder cannot be written.
    """
    import torch

    from ranvier.ops.compile import cache_folder, writable
    from ranvier.studies.warm import warm, warmable

    if not writable(cache_folder()):
        raise RunError(f"The cache folder {cache_folder()} must be writable. Got one that is not.")
    before, started = _kernels(), time.monotonic()
    for config in warmable():
        told = f"{config.dataset}, {config.gradient}, {config.engine}"
        print(f"Warming {told} ...", file=sys.stderr, flush=True)  # noqa: T201
        warm(config)
    return {
        "cache": str(cache_folder()),
        "kernels": _kernels(),
        "new_kernels": _kernels() - before,
        "threads": torch.get_num_threads(),
        "seconds": time.monotonic() - started,
    }


def _kernels() -> int:
    from ranvier.ops.compile import cache_folder

    return len(list(cache_folder().glob("*.py")))

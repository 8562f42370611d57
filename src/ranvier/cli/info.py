"""`ranvier info`."""

from __future__ import annotations

import platform
from typing import Any


def run() -> dict[str, Any]:
    """Versions, backends, threads and the cache folder."""
    from importlib.metadata import version

    import torch

    import ranvier
    from ranvier.ops.compile import cache_folder

    return {
        "version": ranvier.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": version("numba"),
        "backends": ["numba", "reference"],
        "threads": torch.get_num_threads(),
        "cache": str(cache_folder().parent),
    }

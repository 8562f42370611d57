"""Sharing work between threads: compiled kernels release the interpreter lock, so ordinary Python threads are enough.

Work is cut into as many chunks as torch has threads, whoever computes them: the same thread count gives the same
result to the bit. A forked child runs its chunks one after another in its own thread (the pool's threads did not survive
the fork), and several Python threads may train at once, since the pool is a queue.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache

import torch

_home_process = os.getpid()


def chunks(n_samples: int) -> list[tuple[int, int]]:
    """Ranges of samples of near-equal length, one per thread, none empty (one empty range for no samples)."""
    n = max(1, min(torch.get_num_threads(), n_samples))
    bounds = [n_samples * index // n for index in range(n + 1)]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 2) - 1), thread_name_prefix="ranvier")


def run(task: Callable[[int], None], n_tasks: int) -> None:
    """Call `task(i)` for every i below `n_tasks`; the first exception is raised after all have ended."""
    if n_tasks == 1 or os.getpid() != _home_process:
        for index in range(n_tasks):
            task(index)
        return
    others = [_pool().submit(task, index) for index in range(1, n_tasks)]
    try:
        task(0)
    finally:
        wait(others)
    for other in others:
        other.result()

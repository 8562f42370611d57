"""Sharing work between threads: a kernel's chunks go to all of torch's threads.

Samples are cut into as many chunks as torch has threads, whoever computes them: the same thread count gives the same
result to the bit. Chunks run in torch's own OpenMP team where its library can be found: after each parallel operation
that team's threads spin for milliseconds, and threads of ours would have to share the cores with them (measured: a
training step took three times as long; docs/decisions.md). Elsewhere an ordinary thread pool runs them. `spread` starts
the team from compiled code, which gives the interpreter's lock up once for all; `run` is for tasks that are Python.

A forked child runs its chunks one after another in its own thread, since neither team nor pool survives a fork. Several
Python threads may train at once: each has a team of its own, or they share the pool's queue.
"""

from __future__ import annotations

import ctypes
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ranvier.ops.compile import Shareable

Task = Callable[[int], None]
Ranges = tuple[tuple[int, int], ...]  # of samples: the first of each, and the one after its last
_home_process = os.getpid()
_share_all = ContextVar("_share_all", default=False)


def chunks(n_samples: int) -> Ranges:
    """Ranges of samples of near-equal length, one per thread, none empty (one empty range for no samples)."""
    return _cut(n_samples, _number(n_samples))


def balanced(offsets: NDArray[np.int64], rest: float) -> Ranges:
    """Ranges of samples of near-equal work, as many as `chunks` makes.

    Args:
        offsets: where each sample's events begin and end, int64 [B + 1].
        rest: what a sample costs beside its events, in events; above 0.
    """
    n_samples = offsets.size - 1
    n = _number(n_samples)

    def work(end: int) -> float:
        return offsets.item(end) + rest * end

    cuts = [0]
    for part in range(1, n):
        goal, first, last = work(n_samples) * part / n, cuts[-1] + 1, n_samples - n + part  # no range is empty
        cut = bisect_left(range(n_samples), goal, first, last, key=work)
        nearer = cut > first and goal - work(cut - 1) < work(cut) - goal
        cuts.append(cut - nearer)
    return tuple(pairwise([*cuts, n_samples]))


def _number(n_samples: int) -> int:
    return max(1, min(torch.get_num_threads(), n_samples))


@lru_cache(maxsize=256)
def _cut(n_samples: int, n: int) -> Ranges:
    return tuple(pairwise(n_samples * index // n for index in range(n + 1)))


def worth_sharing(work: float, least: float) -> bool:
    """Whether there is enough work to wake another thread for."""
    return work >= least or _share_all.get()


@contextmanager
def all_shared() -> Iterator[None]:
    """Within, any work is: so what starts the threads is compiled, too."""
    before = _share_all.set(True)
    try:
        yield
    finally:
        _share_all.reset(before)


def run(task: Task, n_tasks: int) -> None:
    """Call `task(i)` for every i below `n_tasks`; the first exception is raised after all have ended."""
    if n_tasks == 1 or os.getpid() != _home_process:
        for index in range(n_tasks):
            task(index)
        return
    team = _team()
    if team is None:
        _run_in_pool(task, n_tasks)
    else:
        _run_in_team(team, task, n_tasks)


def spread(kernel: Shareable, ranges: Ranges, *arguments: Any) -> list[Any]:
    """What `kernel.alone(chunk, first, last, *arguments)` returns for every range of samples, in order.

    An error is raised after all chunks have ended.
    """
    entries = None if len(ranges) == 1 or os.getpid() != _home_process else _entries()
    if entries is not None:
        bounds = _bounds(ranges)
        try:
            found = kernel.shared(0, entries, bounds, *arguments)
        except LookupError:  # the first call with such arguments
            found = kernel.shared(_address(kernel.alone, arguments), entries, bounds, *arguments)
        return [None] * len(ranges) if found is None else found
    results: list[Any] = [None] * len(ranges)

    def task(index: int) -> None:
        results[index] = kernel.alone(index, *ranges[index], *arguments)

    run(task, len(ranges))
    return results


@lru_cache(maxsize=1)
def _entries() -> NDArray[np.int64] | None:
    """Where the team's functions lie, as `in_team` takes them; None without a team."""
    team = _team()
    if team is None:
        return None
    functions = (team.GOMP_parallel, team.omp_get_thread_num, team.omp_get_num_threads)
    return np.array([ctypes.cast(function, ctypes.c_void_p).value for function in functions])


@lru_cache(maxsize=64)
def _bounds(ranges: Ranges) -> NDArray[np.int64]:
    """Where ranges begin, and where the last one ends; read, never written."""
    return np.array([first for first, _ in ranges] + [ranges[-1][1]])


def _address(function: Any, arguments: tuple[Any, ...]) -> int:
    """Where a kernel's code for such arguments lies."""
    import numba

    signature = (*(numba.int64,) * 3, *(numba.typeof(argument) for argument in arguments))
    function.compile(signature)
    compiled = function.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@lru_cache(maxsize=1)
def _team() -> ctypes.CDLL | None:
    """The GNU OpenMP library that torch has loaded, or None (other systems, other OpenMP libraries)."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    loaded = sorted(set(re.findall(r"/\S*libgomp\S*", maps.read_text())))
    if len(loaded) != 1:
        return None
    try:
        library = ctypes.CDLL(loaded[0])
        library.GOMP_parallel.argtypes = [_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        library.GOMP_parallel.restype = None
    except (OSError, AttributeError):
        return None
    return library


def _run_in_team(team: ctypes.CDLL, task: Task, n_tasks: int) -> None:
    errors: list[BaseException] = []

    def body(_: int | None) -> None:
        try:
            for index in range(team.omp_get_thread_num(), n_tasks, team.omp_get_num_threads()):
                task(index)
        except BaseException as error:
            errors.append(error)

    team.GOMP_parallel(_Body(body), None, n_tasks, 0)
    if errors:
        raise errors[0]


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 2) - 1), thread_name_prefix="ranvier")


def _run_in_pool(task: Task, n_tasks: int) -> None:
    others = [_pool().submit(task, index) for index in range(1, n_tasks)]
    try:
        task(0)
    finally:
        wait(others)
    for other in others:
        other.result()

"""Where a step of ours on a grid goes, beside what its work must cost: `python -m benchmarks floor`.

The floor is what cannot be avoided, at this machine's own rates, all cores at work: a row of weights read and added up
for each event forwards; one read and written for its gradient, and one multiplied where a product carries the adjoint
back to the event; every unit's states advanced in every step, forwards and backwards. Rates are those of the library's
own row operations (`ranvier.ops.rows`) and of the plainest loop over states, with as many rows and events at a time as
the workload has. Adam is torch's. All times are the least of many, so that a floor is compared with what is nearest
to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from benchmarks.peers import ranvier_step
from benchmarks.rows import spread, summed
from benchmarks.run import header
from benchmarks.tables import KERNELS, floor_table
from benchmarks.works import WORKS, GridWork
from ranvier.ops import threads
from ranvier.ops.rows import dot_rows

STEPS, PASSES, EVENTS, CELLS = 200, 20, 20_000, 2_000  # a rate is the best of passes over so many


@numba.njit(nogil=True)
def _multiplied(vector, matrix, which, scales, group):
    for begin in range(0, which.size, group):
        dot_rows(vector, matrix, which, scales, begin, min(begin + group, which.size))  # pyright: ignore[reportCallIssue]


@numba.njit(nogil=True, error_model="numpy", fastmath=True)
def _advanced(n_units, times):
    # made here, so that the compiler knows that they do not overlap
    current, membrane = np.ones(n_units, np.float32), np.ones(n_units, np.float32)
    arriving, hits = np.ones(n_units, np.float32), np.ones(n_units, np.float32)
    decay, drive, keep, zero, one = np.float32(0.95), np.float32(0.05), np.float32(0.9), np.float32(0), np.float32(1)
    for _ in range(times):
        for j in range(n_units):
            entered = current[j] + arriving[j]
            arriving[j] = zero
            membrane[j] = decay * membrane[j] + drive * entered
            current[j] = keep * entered
            hits[j] = one if membrane[j] >= one else zero
    return membrane[0] + hits[0]


@numba.njit(nogil=True, error_model="numpy", fastmath=True)
def _carried_back(n_units, times):
    decay, drive, keep = np.float32(0.95), np.float32(0.05), np.float32(0.9)
    mu_current, mu_membrane = np.ones(n_units, np.float32), np.ones(n_units, np.float32)
    for _ in range(times):
        for j in range(n_units):
            mu_current[j] = keep * mu_current[j] + drive * mu_membrane[j]
            mu_membrane[j] *= decay
    return mu_current[0]


def _rate(run: Callable[..., Any], count: int, arguments: Callable[[], tuple[Any, ...]]) -> float:
    """Seconds for one of `count`, all threads at work with arguments of their own."""
    n = torch.get_num_threads()
    given = [arguments() for _ in range(n)]
    run(*given[0])
    taken: list[float] = []
    for _ in range(PASSES):
        started = time.perf_counter()
        threads.run(lambda index: run(*given[index]), n)
        taken.append(time.perf_counter() - started)
    return min(taken) / count / n


def _rows(run: Callable[..., Any], n_rows: int, n_columns: int, group: int) -> float:
    """Seconds for a row, in groups of as many as come together."""
    random = np.random.default_rng(0)

    def arguments() -> tuple[Any, ...]:
        matrix, vector = np.zeros((n_rows, n_columns), np.float32), np.zeros(n_columns, np.float32)
        return vector, matrix, random.integers(0, n_rows, EVENTS, np.int32), np.ones(EVENTS, np.float32), group

    return _rate(run, EVENTS, arguments)


def _states(run: Callable[..., Any], n_units: int) -> float:
    """Seconds for all units in one step."""
    return _rate(run, CELLS, lambda: (n_units, CELLS))


def floor(work: GridWork, events_in: int, spikes: int) -> dict[str, float]:
    """Milliseconds of the work that must be done, by kernel.

    Args:
        work: the workload, of one hidden layer.
        events_in: input events of the batch.
        spikes: hidden spikes of the batch.
    """
    cells = work.steps * work.batch
    n, out = work.n_hidden, work.n_out
    at_once, own = (max(1, round(count / cells)) for count in (events_in, spikes))
    recurrent = spikes * work.recurrent
    seconds = {
        "hidden, forward": events_in * _rows(summed, work.n_in, n, at_once)
        + recurrent * _rows(summed, n, n, own)
        + cells * _states(_advanced, n),
        "readout, forward": spikes * _rows(summed, n, out, own) + cells * _states(_advanced, out),
        "readout, backward": spikes * (_rows(spread, n, out, own) + _rows(_multiplied, n, out, own))
        + cells * _states(_carried_back, out),
        "hidden, backward": events_in * _rows(spread, work.n_in, n, at_once)
        + recurrent * (_rows(spread, n, n, own) + _rows(_multiplied, n, n, own))
        + cells * _states(_carried_back, n),
    }
    return {name: 1e3 * value for name, value in seconds.items()}


@contextmanager
def _kernels_timed() -> Iterator[list[float]]:
    """Inside, the seconds of each call of a kernel, in a list that grows."""
    untimed, taken = threads.spread, []

    def timed(*given: Any) -> Any:
        started = time.perf_counter()
        found = untimed(*given)
        taken.append(time.perf_counter() - started)
        return found

    threads.spread = timed
    try:
        yield taken
    finally:
        threads.spread = untimed


def measured(work: GridWork, variant: str) -> tuple[dict[str, float], int, int]:
    """Least milliseconds of the parts of a step and of the whole; the events of the input and of the hidden layer."""
    parts = ranvier_step.parts(work.problem(), variant)
    laps: dict[str, list[float]] = {}
    with _kernels_timed() as kernels:
        for step in range(STEPS + 20):
            kernels.clear()
            clock = [time.perf_counter()]

            def lap(clock: list[float] = clock) -> float:
                clock.append(time.perf_counter())
                return clock[-1] - clock[-2]

            parts.optimiser.zero_grad()
            found = {"optimiser": lap()}
            output = parts.network(parts.spikes).output
            found["layers"] = lap()
            alone = output.detach().requires_grad_()
            lap()
            value = parts.loss(alone, parts.labels)
            value.backward()
            found["loss"] = lap()
            output.backward(alone.grad)
            found["layers"] += lap()
            parts.optimiser.step()
            value.item()
            found["optimiser"] += lap()
            found |= dict(zip(KERNELS, kernels, strict=True))
            found["layers"] -= sum(kernels)
            found["step"] = clock[-1] - clock[0]
            if step >= 20:  # until then it warms up
                for name, seconds in found.items():
                    laps.setdefault(name, []).append(1e3 * seconds)
    with torch.no_grad():
        spikes = parts.network(parts.spikes).activity["hidden"].n_events
    return {name: min(each) for name, each in laps.items()}, parts.spikes.n_events, spikes


def run(*, json_file: Path | None) -> None:
    """Measure the workloads on a grid under EventProp, and print the table.

    Args:
        json_file: where everything found is written.
    """
    results = header(1) | {"floors": {}}
    for name, work in WORKS.items():
        if isinstance(work, GridWork):
            taken, events_in, spikes = measured(work, "eventprop")
            least = floor(work, events_in, spikes)
            results["floors"][name] = {"events": events_in, "spikes": spikes, "floor": least, "taken": taken}
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=1))
    print(f"{results['machine']}\n\n{floor_table(results['floors'])}")

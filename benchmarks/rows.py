"""Nanoseconds per row of a matrix that events add up, or add to: the floor under kernels on a grid.

    python -m benchmarks.rows

Rows of 256 float32, chosen at random, in groups of as many events as one step may have, on one thread. The matrices
have 30 rows (30 kB, the innermost cache), 256 (recurrent weights of 256 units) and 700 (input weights of as many
channels). Minimum of 20 passes over 100,000 events.
"""

from __future__ import annotations

import time

import numba
import numpy as np

from ranvier.ops.rows import add_rows, add_to_rows

COLUMNS, EVENTS, PASSES = 256, 100_000, 20


@numba.njit(nogil=True)
def summed(vector, matrix, which, scales, group):
    """Every group of rows into the vector."""
    for begin in range(0, which.size, group):
        add_rows(vector, matrix, which, scales, begin, min(begin + group, which.size))  # pyright: ignore[reportCallIssue]


@numba.njit(nogil=True)
def spread(vector, matrix, which, scales, group):
    """The vector into every row."""
    for begin in range(0, which.size, group):
        add_to_rows(vector, matrix, which, scales, begin, min(begin + group, which.size))  # pyright: ignore[reportCallIssue]


def main() -> None:
    """Print the table."""
    random = np.random.default_rng(0)
    print("| rows of the matrix | events of a step | row added up, ns | row added to, ns |")
    print("|--:|--:|--:|--:|")
    for rows in (30, 256, 700):
        matrix, vector = np.zeros((rows, COLUMNS), np.float32), np.zeros(COLUMNS, np.float32)
        which, scales = random.integers(0, rows, EVENTS, np.int32), np.ones(EVENTS, np.float32)
        for group in (1, 4, 16):
            found: list[float] = []
            for work in (summed, spread):
                taken: list[float] = []
                for _ in range(PASSES):
                    started = time.perf_counter()
                    work(vector, matrix, which, scales, group)
                    taken.append(time.perf_counter() - started)
                found.append(min(taken) / EVENTS * 1e9)
            print(f"| {rows} | {group} | {found[0]:.1f} | {found[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()

"""What rows of a matrix cost that events add up, or add to, and products of blocks: the floor under kernels on a grid.

    python -m benchmarks.rows

Rows of 256 float32, chosen at random, in groups of as many events as one step may have, on one thread. The matrices
have 30 rows (30 kB, the innermost cache), 256 (recurrent weights of 256 units) and 700 (input weights of as many
channels). Minimum of 20 passes over 100,000 events. Then the product of a block of 16 samples and recurrent weights, as
a surrogate with a tail needs it in every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ranvier.ops.rows import add_products, add_rows, add_to_rows

COLUMNS, EVENTS, PASSES, BLOCK, PRODUCTS = 256, 100_000, 20, 16, 100


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


@numba.njit(nogil=True)
def multiplied(sums, vectors, matrix, times):
    """The block's products, so many times."""
    for _ in range(times):
        add_products(sums, vectors, matrix, sums.shape[0])  # pyright: ignore[reportCallIssue]


def least(work: Callable[..., None], *given: Any) -> float:
    """Seconds of the fastest pass."""
    taken: list[float] = []
    for _ in range(PASSES):
        started = time.perf_counter()
        work(*given)
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    """Print the table and the rate."""
    random = np.random.default_rng(0)
    print("| rows of the matrix | events of a step | row added up, ns | row added to, ns |")
    print("|--:|--:|--:|--:|")
    for rows in (30, 256, 700):
        matrix, vector = np.zeros((rows, COLUMNS), np.float32), np.zeros(COLUMNS, np.float32)
        which, scales = random.integers(0, rows, EVENTS, np.int32), np.ones(EVENTS, np.float32)
        for group in (1, 4, 16):
            found = [least(work, vector, matrix, which, scales, group) / EVENTS * 1e9 for work in (summed, spread)]
            print(f"| {rows} | {group} | {found[0]:.1f} | {found[1]:.1f} |", flush=True)
    sums, vectors = np.zeros((2, BLOCK, COLUMNS), np.float32)
    seconds = least(multiplied, sums, vectors, np.zeros((COLUMNS, COLUMNS), np.float32), PRODUCTS) / PRODUCTS
    print(f"\nA product: {1e6 * seconds:.1f} us, {2 * BLOCK * COLUMNS**2 / seconds / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()

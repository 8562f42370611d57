"""The workloads W1 to W3: sizes, one batch, and initial weights that are the same for every competitor.

| | batch | steps | network | input | hidden density |
|---|--:|--:|---|---|--:|
| W1 | 32 | 100 of 10 ms | 700 -> 256 recurrent CubaLIF -> 20 leaky | 1 % of all cells | 3 % |
| W2 | 32 | 1000 of 1 ms | the same | 1/700 of all cells | 1 % |
| W3 | 128 | 25 of 1 ms | 784 -> 256 CubaLIF -> 10 leaky | 19 % of the pixels on, one spike each | 3 % |

tau_mem and tau_syn are 20 and 10 ms, in W3 10 and 5 steps; the threshold is 1; the loss is the cross-entropy of the
readout's maximum over time. The input weights are scaled so that the hidden layer fires as aimed at the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LEARNING_RATE = 1e-5  # so small that the network keeps firing as aimed while one batch is trained over and over


@dataclass(frozen=True)
class Work:
    """One workload. `density` is the hidden layer's, per step and unit; `gain` scales the input weights for it."""

    name: str
    batch: int
    steps: int
    dt: float
    n_in: int
    n_hidden: int
    n_out: int
    recurrent: bool
    tau_mem: float
    tau_syn: float
    density: float
    gain: float


WORKS = {
    work.name: work
    for work in (
        Work("W1", 32, 100, 10e-3, 700, 256, 20, True, 20e-3, 10e-3, 0.03, 15.63),
        Work("W2", 32, 1000, 1e-3, 700, 256, 20, True, 20e-3, 10e-3, 0.01, 18.85),
        Work("W3", 128, 25, 1e-3, 784, 256, 10, False, 10e-3, 5e-3, 0.03, 16.66),
    )
}


def problem(work: Work, seed: int = 0) -> dict[str, Any]:
    """One batch and weights as numpy arrays, and the numbers of the model: what a competitor's `build` is given.

    Returns:
        raster uint8 [T, B, n_in], labels int64 [B], w_in [n_in, N], w_rec [N, N] (all zero where not recurrent), w_out
        [N, n_out], recurrent, dt, tau_mem, tau_syn, learning_rate, density.
    """
    random = np.random.default_rng(seed)
    shape = (work.steps, work.batch, work.n_in)
    if work.name == "W3":
        raster = np.zeros(shape, np.uint8)
        on = random.random(shape[1:]) < 0.19
        when = np.minimum((random.random(shape[1:]) * work.steps).astype(int), work.steps - 1)
        sample, pixel = np.nonzero(on)
        raster[when[on], sample, pixel] = 1
    else:
        raster = (random.random(shape) < (0.01 if work.name == "W1" else 1 / 700)).astype(np.uint8)

    def normal(n_in: int, n_out: int, scale: float) -> np.ndarray:
        return (random.standard_normal((n_in, n_out)) * scale / n_in**0.5).astype(np.float32)

    return {
        "raster": raster,
        "labels": random.integers(work.n_out, size=work.batch),
        "w_in": normal(work.n_in, work.n_hidden, work.gain),
        "w_rec": normal(work.n_hidden, work.n_hidden, 0.5 if work.recurrent else 0.0),
        "w_out": normal(work.n_hidden, work.n_out, 1.0),
        "recurrent": work.recurrent,
        "dt": work.dt,
        "tau_mem": work.tau_mem,
        "tau_syn": work.tau_syn,
        "learning_rate": LEARNING_RATE,
        "density": work.density,
    }

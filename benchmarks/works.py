"""The workloads W1 to W4: sizes, one batch, and initial weights that are the same for every competitor.

| | batch | time | network | input | hidden density |
|---|--:|---|---|---|--:|
| W1 | 32 | 100 steps of 10 ms | 700 -> 256 recurrent CubaLIF -> 20 leaky | 1 % of all cells | 3 % |
| W2 | 32 | 1000 steps of 1 ms | the same | 1/700 of all cells | 1 % |
| W3 | 128 | 25 steps of 1 ms | 784 -> 256 CubaLIF -> 10 leaky | 19 % of the pixels on, one spike each | 3 % |
| W4 | 150 | continuous, 40 ms | 5 -> 120 -> 3 CubaLIF, one spike per neuron | Yin-Yang, one spike each | 0.975 |
| W4-free | 150 | continuous, 40 ms | the same, firing freely | the same | 1.9 |

tau_mem and tau_syn are 20 and 10 ms, in W3 10 and 5 ms; the threshold is 1. On a grid the loss is the cross-entropy of
the readout's maximum over time and the density is per step and unit; the input weights are scaled so that the hidden
layer fires as aimed at the start. In continuous time the loss is that of first spikes and the density is spikes per
neuron and sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LEARNING_RATE = 1e-5  # so small that the network keeps firing as aimed while one batch is trained over and over


@dataclass(frozen=True)
class GridWork:
    """A workload on a time grid.

    Attributes:
        input_density: of the input, per step and unit; where `once`, the share of units that spike, each once.
        density: of the hidden layers, per step and unit.
        gains: of each hidden layer, scales the weights of what it receives for that density.
    """

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
    input_density: float
    once: bool
    density: float
    gains: tuple[float, ...]
    kind: str = "grid"

    def problem(self) -> dict[str, Any]:
        """One batch and weights as numpy arrays, and the numbers of the model: what a competitor's `build` is given.

        Returns:
            raster uint8 [T, B, n_in], labels int64 [B], w_in [n_in, N], w_rec [N, N] (all zero where not recurrent),
            w_out [N, n_out], n_layers, w_in_k [N, N] and w_rec_k of the hidden layers k = 2, ..., recurrent, dt,
            tau_mem, tau_syn, learning_rate, density.
        """
        random = np.random.default_rng(0)
        shape = (self.steps, self.batch, self.n_in)
        if self.once:
            raster = np.zeros(shape, np.uint8)
            on = random.random(shape[1:]) < self.input_density
            when = np.minimum((random.random(shape[1:]) * self.steps).astype(int), self.steps - 1)
            sample, unit = np.nonzero(on)
            raster[when[on], sample, unit] = 1
        else:
            raster = (random.random(shape) < self.input_density).astype(np.uint8)
        recurrence = 0.5 if self.recurrent else 0.0
        given = {
            "raster": raster,
            "labels": random.integers(self.n_out, size=self.batch),
            "w_in": _spread(random, self.n_in, self.n_hidden, self.gains[0]),
            "w_rec": _spread(random, self.n_hidden, self.n_hidden, recurrence),
            "w_out": _spread(random, self.n_hidden, self.n_out, 1.0),
            "n_layers": len(self.gains),
            "recurrent": self.recurrent,
            "dt": self.dt,
            "tau_mem": self.tau_mem,
            "tau_syn": self.tau_syn,
            "learning_rate": LEARNING_RATE,
            "density": self.density,
        }
        for layer, gain in enumerate(self.gains[1:], 2):
            given[f"w_in_{layer}"] = _spread(random, self.n_hidden, self.n_hidden, gain)
            given[f"w_rec_{layer}"] = _spread(random, self.n_hidden, self.n_hidden, recurrence)
        return given


@dataclass(frozen=True)
class ExactWork:
    """A workload in continuous time: Yin-Yang, input up to 2 tau_syn, run to 4 tau_syn.

    Attributes:
        kind: "one spike" (of each neuron) or "free".
        density: hidden spikes per neuron and sample.
        hidden_weights, output_weights: mean and standard deviation.
        seed: of the weights: one with which nearly all hidden neurons spike, and jaxsnn, in float32, loses no output.
    """

    name: str
    kind: str
    density: float
    batch: int = 150
    n_hidden: int = 120
    tau_mem: float = 20e-3
    tau_syn: float = 10e-3
    hidden_weights: tuple[float, float] = (1.5, 0.78)
    output_weights: tuple[float, float] = (0.05, 0.05)
    seed: int = 4

    def problem(self) -> dict[str, Any]:
        """One batch and weights, and the numbers of the model and of the loss (`ranvier.FirstSpikeCrossEntropy`).

        Returns:
            times float32 [B, 5] of the input units in seconds, the last of them the bias at 0, labels int64 [B], w_in
            [5, N], w_out [N, 3], free, tau_mem, tau_syn, duration, tau_0, tau_1, alpha, learning_rate, density.
        """
        from ranvier import FirstSpikeCrossEntropy
        from ranvier.data.yinyang import yinyang_points

        values, labels = yinyang_points(self.batch, 42)
        random, loss = np.random.default_rng(self.seed), FirstSpikeCrossEntropy()
        times = np.concatenate([2 * self.tau_syn * values.numpy(), np.zeros((self.batch, 1))], 1)
        return {
            "times": times.astype(np.float32),
            "labels": labels.numpy(),
            "w_in": _normal(random, 5, self.n_hidden, *self.hidden_weights),
            "w_out": _normal(random, self.n_hidden, 3, *self.output_weights),
            "free": self.kind == "free",
            "tau_mem": self.tau_mem,
            "tau_syn": self.tau_syn,
            "duration": 4 * self.tau_syn,
            "tau_0": loss.tau_0,
            "tau_1": loss.tau_1,
            "alpha": loss.alpha,
            "learning_rate": LEARNING_RATE,
            "density": self.density,
        }


Work = GridWork | ExactWork
WORKS: dict[str, Work] = {
    work.name: work
    for work in (
        GridWork("W1", 32, 100, 10e-3, 700, 256, 20, True, 20e-3, 10e-3, 0.01, False, 0.03, (15.63,)),
        GridWork("W2", 32, 1000, 1e-3, 700, 256, 20, True, 20e-3, 10e-3, 1 / 700, False, 0.01, (18.85,)),
        GridWork("W3", 128, 25, 1e-3, 784, 256, 10, False, 10e-3, 5e-3, 0.19, True, 0.03, (16.66,)),
        ExactWork("W4", "one spike", 0.975),
        ExactWork("W4-free", "free", 1.9),
    )
}


def _normal(random: np.random.Generator, n_in: int, n_out: int, mean: float, deviation: float) -> np.ndarray:
    """Weights [n_in, n_out] of that mean and standard deviation."""
    return (random.standard_normal((n_in, n_out)) * deviation + mean).astype(np.float32)


def _spread(random: np.random.Generator, n_in: int, n_out: int, gain: float) -> np.ndarray:
    """Weights [n_in, n_out] of mean 0 whose sum over the inputs has the standard deviation `gain`."""
    return _normal(random, n_in, n_out, 0.0, gain / n_in**0.5)

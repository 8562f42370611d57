"""Spyx, compiled by JAX as a whole step; its time constants are kept, as everywhere.

The neuron is RCuBaLIF, or CuBaLIF where not recurrent: it differs from CubaLIF in that a spike subtracts the threshold
and lets the gradient through, and in the surrogate, SuperSpike with slope 25. Its current enters the membrane unscaled;
the weights into the hidden layer are scaled instead. The readout is LI, a single exponential with tau_mem. The products
before and after the hidden layer are made for all time steps at once, outside the scans of `spyx.nn.run`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import exp
from typing import Any

import jax
import jax.numpy as jnp
import optax
import spyx.nn as snn
from flax import nnx

SAME_MODEL = False


class Network(nnx.Module):
    """From a raster [T, B, n_in] to traces [T, B, n_out] and hidden spikes [T, B, N]."""

    def __init__(self, given: dict[str, Any]) -> None:
        (n_in, n_hidden), n_out = given["w_in"].shape, given["w_out"].shape[1]
        a, b, rngs = exp(-given["dt"] / given["tau_syn"]), exp(-given["dt"] / given["tau_mem"]), nnx.Rngs(0)
        scale = given["tau_syn"] / (given["tau_mem"] - given["tau_syn"]) * (b - a)  # of CubaLIF's current
        self.arriving = nnx.Linear(n_in, n_hidden, use_bias=False, rngs=rngs)
        self.hidden = (snn.RCuBaLIF if given["recurrent"] else snn.CuBaLIF)((n_hidden,), a, b, rngs=rngs)
        self.leaving = nnx.Linear(n_hidden, n_out, use_bias=False, rngs=rngs)
        self.output = snn.LI((n_out,), b, rngs=rngs)
        self.arriving.kernel[...] = jnp.array(scale * given["w_in"])
        self.leaving.kernel[...] = jnp.array(given["w_out"])
        if given["recurrent"]:
            self.hidden.recurrent_w[...] = jnp.array(scale * given["w_rec"])

    def __call__(self, raster: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Run it."""
        spikes, _ = snn.run(self.hidden, self.arriving(raster))
        traces, _ = snn.run(self.output, self.leaving(spikes))
        return traces, spikes


def is_weight(path: tuple[Any, ...], _: Any) -> bool:
    """Whether a parameter is one of the three matrices."""
    return path[-1] in ("kernel", "recurrent_w")


@partial(jax.jit, static_argnames="rate", donate_argnames=("weights", "state"))
def train(
    graph: Any, weights: Any, fixed: Any, state: Any, raster: jax.Array, labels: jax.Array, rate: float
) -> tuple[Any, Any, jax.Array]:
    """One step of Adam: weights, its state, and the loss before it."""

    def loss(weights: Any) -> jax.Array:
        traces, _ = nnx.merge(graph, weights, fixed)(raster)
        return optax.softmax_cross_entropy_with_integer_labels(traces.max(0), labels).mean()

    value, gradients = jax.value_and_grad(loss)(weights)
    updates, state = optax.adam(rate).update(gradients, state)
    return optax.apply_updates(weights, updates), state, value


@jax.jit
def mean_spikes(graph: Any, weights: Any, fixed: Any, raster: jax.Array) -> jax.Array:
    """The hidden density."""
    return nnx.merge(graph, weights, fixed)(raster)[1].mean()


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:  # noqa: ARG001
    """See README.md."""
    graph, weights, fixed = nnx.split(Network(given), is_weight, ...)
    state, rate = optax.adam(given["learning_rate"]).init(weights), given["learning_rate"]
    raster, labels = jnp.array(given["raster"], jnp.float32), jnp.array(given["labels"], jnp.int32)

    def step() -> float:
        nonlocal weights, state
        weights, state, value = jax.block_until_ready(train(graph, weights, fixed, state, raster, labels, rate))
        return float(value)

    def density() -> float:
        return float(mean_spikes(graph, weights, fixed, raster))

    return step, density

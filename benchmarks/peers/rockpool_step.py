"""Rockpool's JAX modules, compiled by JAX as a whole step; its time constants are kept, as everywhere.

The neuron is LIFJax with at most one spike a step: it differs from CubaLIF in that input reaches the membrane one step
earlier, that a spike subtracts the threshold and lets the gradient through, and in the surrogate, piecewise linear from
half a threshold below. Its current enters the membrane unscaled, after its decay; the weights into the hidden layer are
scaled instead. The readout is ExpSynJax, a single exponential with tau_mem. The products before and after the hidden
layer are made for all time steps at once; arrays are [B, T, units].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp
from typing import Any

import jax
import jax.numpy as jnp
import optax
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import ExpSynJax, LIFJax, LinearJax

SAME_MODEL = False


@cache
def compiled(
    shape: tuple[int, int, int], recurrent: bool, dt: float, tau_mem: float, tau_syn: float, rate: float
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The training step and the hidden density as functions of the weights."""
    n_in, n_hidden, n_out = shape
    key = jax.random.PRNGKey(0)
    taus = {"tau_mem": tau_mem, "tau_syn": tau_syn}
    net = Sequential(
        LinearJax((n_in, n_hidden)),
        LIFJax(n_hidden, has_rec=recurrent, max_spikes_per_dt=1.0, dt=dt, rng_key=key, **taus),
        LinearJax((n_hidden, n_out)),
        ExpSynJax(n_out, tau=tau_mem, dt=dt, rng_key=key),
    )
    optimiser = optax.adam(rate)

    def train(weights: Any, state: Any, raster: jax.Array, labels: jax.Array) -> tuple[Any, Any, jax.Array]:
        def loss(weights: Any) -> jax.Array:
            traces, _, _ = net.set_attributes(weights)(raster)
            return optax.softmax_cross_entropy_with_integer_labels(traces.max(1), labels).mean()

        value, gradients = jax.value_and_grad(loss)(weights)
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(weights, updates), state, value

    def mean_spikes(weights: Any, raster: jax.Array) -> jax.Array:
        _, _, recorded = net.set_attributes(weights)(raster, record=True)
        return recorded["1_LIFJax"]["spikes"].mean()

    return jax.jit(train, donate_argnums=(0, 1)), jax.jit(mean_spikes)


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:  # noqa: ARG001
    """See README.md."""
    shape, rate = (*given["w_in"].shape, given["w_out"].shape[1]), given["learning_rate"]
    train, mean_spikes = compiled(shape, given["recurrent"], given["dt"], given["tau_mem"], given["tau_syn"], rate)
    a, b = exp(-given["dt"] / given["tau_syn"]), exp(-given["dt"] / given["tau_mem"])
    scale = given["tau_syn"] / (given["tau_mem"] - given["tau_syn"]) * (b - a) / a  # of CubaLIF's current
    weights = {
        "0_LinearJax": {"weight": jnp.array(scale * given["w_in"])},
        "1_LIFJax": {"w_rec": jnp.array(scale * given["w_rec"])} if given["recurrent"] else {},
        "2_LinearJax": {"weight": jnp.array(given["w_out"])},
    }
    state = optax.adam(rate).init(weights)
    raster = jnp.array(given["raster"].swapaxes(0, 1), jnp.float32)
    labels = jnp.array(given["labels"], jnp.int32)

    def step() -> float:
        nonlocal weights, state
        weights, state, value = jax.block_until_ready(train(weights, state, raster, labels))
        return float(value)

    def density() -> float:
        return float(mean_spikes(weights, raster))

    return step, density

"""jaxpike, compiled by JAX as a whole step; its time constants are kept, as everywhere.

The neuron is LIF: it differs from CubaLIF in that it has no synaptic current (a spike arrives in the membrane at once,
scaled by 1 - exp(-dt / tau_mem)), that a spike subtracts the threshold and lets the gradient through, and in the
surrogate, FastSigmoid with slope 25. The readout is LeakyIntegrator, a single exponential with tau_mem. Where
recurrent, the hidden layer is a Graph; `unroll` makes the products before and after it for all time steps at once.
The variant is `scan_unroll`, 1 where none is given: its default of 8, chosen on a GPU, is slower on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxpike as jp
import optax

SAME_MODEL = False
N_HIDDEN_LAYERS = 2  # of the sequence: up to the hidden spikes


def dense(weight: Any) -> jp.Dense:
    """A product with weights [in, out]."""
    layer = jp.Dense(*weight.shape, key=jax.random.key(0), use_bias=False)
    return eqx.tree_at(lambda layer: layer.weight, layer, jnp.array(weight.T))


def network(given: dict[str, Any]) -> jp.Sequential:
    """From a raster [T, B, n_in] to traces [T, B, n_out]."""
    tau = {"tau": given["tau_mem"], "dt": given["dt"]}
    hidden = jp.LIF(**tau)
    if given["recurrent"]:
        edges = [("input", "neurons"), ("neurons", "w_rec"), ("w_rec", "neurons")]
        hidden = jp.Graph({"neurons": hidden, "w_rec": dense(given["w_rec"])}, edges, output="neurons")
    return jp.Sequential(dense(given["w_in"]), hidden, dense(given["w_out"]), jp.LeakyIntegrator(**tau))


@partial(jax.jit, static_argnames=("rate", "unroll"), donate_argnames=("weights", "state"))
def train(
    weights: Any, fixed: Any, state: Any, raster: jax.Array, labels: jax.Array, rate: float, unroll: int
) -> tuple[Any, Any, jax.Array]:
    """One step of Adam: weights, its state, and the loss before it."""

    def loss(weights: Any) -> jax.Array:
        traces, _ = jp.unroll(eqx.combine(weights, fixed), raster, scan_unroll=unroll)
        return jp.cross_entropy(jp.max_membrane_logits(traces), labels)

    value, gradients = jax.value_and_grad(loss)(weights)
    updates, state = optax.adam(rate).update(gradients, state)
    return optax.apply_updates(weights, updates), state, value


@jax.jit
def mean_spikes(weights: Any, fixed: Any, raster: jax.Array) -> jax.Array:
    """The hidden density."""
    layers = eqx.combine(weights, fixed).layers[:N_HIDDEN_LAYERS]
    return jp.unroll(jp.Sequential(*layers), raster, scan_unroll=1)[0].mean()


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:
    """See README.md."""
    unroll = int(variant or 1)
    whole = network(given)
    is_weight = jax.tree_util.tree_map_with_path(lambda path, _: path[-1].name == "weight", whole)
    weights, fixed = eqx.partition(whole, is_weight)
    state, rate = optax.adam(given["learning_rate"]).init(weights), given["learning_rate"]
    raster, labels = jnp.array(given["raster"], jnp.float32), jnp.array(given["labels"], jnp.int32)

    def step() -> float:
        nonlocal weights, state
        weights, state, value = jax.block_until_ready(train(weights, fixed, state, raster, labels, rate, unroll))
        return float(value)

    def density() -> float:
        return float(mean_spikes(weights, fixed, raster))

    return step, density

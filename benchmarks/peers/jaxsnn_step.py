"""jaxsnn in its `eventprop` mode, after its own Yin-Yang example, compiled by JAX as a whole step, in float32.

It has no refractory time: as in its example, a reset to -1000 keeps a neuron from a second spike, where Ranvier holds
it at reset. It takes a fixed number of events per layer, known beforehand: it is given the most that any sample of the
batch needs, and so never more than it must. Its solver knows tau_mem = tau_syn and 2 tau_syn. The loss is that of the
workload; every output spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxsnn.event.loss import first_spike
from jaxsnn.event.modules import LIF, Linear, Source
from jaxsnn.event.modules.lif.parameters import LIFParameters
from jaxsnn.event.topology import Topology
from jaxsnn.event.types import Spike

SAME_MODEL = True
MOST_SPIKES = 6  # of a free neuron in a sample, while the number of events is found


def network(given: dict[str, Any], n_events: tuple[int, int]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two layers, with room for so many events each: a function that makes weights, one of spikes and weights."""
    neuron = LIFParameters(
        v_reset=0.0 if given["free"] else -1000.0, v_th=1.0, tau_syn=given["tau_syn"], tau_mem=given["tau_mem"]
    )
    (n_in, n_hidden), n_out = given["w_in"].shape, given["w_out"].shape[1]
    topology = Topology(t_max=given["duration"], backprop_method="eventprop")
    topology.add(
        {
            "input": Source(n_in),
            "hidden": LIF(n_hidden, n_events[0], neuron),
            "output": LIF(n_out, n_events[1], neuron),
            "w_in": Linear(pre_weights=given["w_in"]),
            "w_out": Linear(pre_weights=given["w_out"]),
        }
    )
    topology.connect([("input", "w_in"), ("w_in", "hidden"), ("hidden", "w_out"), ("w_out", "output")])
    return topology.done()


def events_needed(given: dict[str, Any], spikes: dict[str, Spike]) -> tuple[int, int]:
    """The most events, in and out, that a sample has in each layer."""
    (n_in, n_hidden), n_out = given["w_in"].shape, given["w_out"].shape[1]
    most = MOST_SPIKES if given["free"] else 1
    room = n_in + most * n_hidden, most * (n_hidden + n_out)
    start, run = network(given, room)
    events = jax.jit(run)(spikes, start(jax.random.PRNGKey(0)))
    hidden, output = (np.asarray(events[name].internal).sum(1) for name in ("hidden", "output"))
    needed = int((n_in + hidden).max()), int((hidden + output).max())
    assert needed[0] < room[0] or not given["free"], f"no room for {needed[0]} events"
    return needed


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:  # noqa: ARG001
    """See README.md."""
    order = given["times"].argsort(1)
    times, labels = jnp.asarray(np.take_along_axis(given["times"], order, 1)), jnp.asarray(given["labels"])
    spikes = {
        "input": Spike(
            time=times,
            idx=jnp.asarray(order),
            current=jnp.zeros_like(times),
            layer_idx=jnp.zeros_like(times, dtype=int),
            internal=jnp.ones_like(times, dtype=bool),
        )
    }
    start, run = network(given, events_needed(given, spikes))
    n_hidden, n_out = given["w_out"].shape
    optimiser = optax.adam(given["learning_rate"])

    def sample_loss(times: jax.Array, label: jax.Array) -> jax.Array:
        logits = -times / given["tau_0"]
        pull = given["alpha"] * jnp.expm1(times[label] / given["tau_1"])
        return jax.nn.logsumexp(logits) - logits[label] + pull

    def loss(weights: Any) -> jax.Array:
        first = jax.vmap(partial(first_spike, n_outputs=n_out))(run(spikes, weights)["output"])
        return jax.vmap(sample_loss)(first, labels).mean()

    @partial(jax.jit, donate_argnums=(0, 1))
    def train(weights: Any, state: Any) -> tuple[Any, Any, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(weights)
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(weights, updates), state, value

    @jax.jit
    def mean_spikes(weights: Any) -> jax.Array:
        return run(spikes, weights)["hidden"].internal.sum() / (len(labels) * n_hidden)

    weights = start(jax.random.PRNGKey(0))
    state = optimiser.init(weights)

    def step() -> float:
        nonlocal weights, state
        weights, state, value = jax.block_until_ready(train(weights, state))
        return float(value)

    def density() -> float:
        return float(mean_spikes(weights))

    return step, density

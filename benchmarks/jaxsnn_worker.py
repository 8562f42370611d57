"""jaxsnn's training step of workload W4, driven through standard input and output by `benchmarks.exact_step`.

    python jaxsnn_worker.py SETTINGS   (in an environment with jaxsnn; SETTINGS is JSON)

Modelled on jaxsnn's Yin-Yang example in its `eventprop` mode. Each line of input is a number of steps; the answer is a
line of JSON with their seconds, each from call to a loss that has been read. The first line out tells version, first
loss, spike counts, and where the first gradients are saved.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from importlib.metadata import version
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


def first_spike_cross_entropy(times: jax.Array, label: jax.Array, loss: dict[str, float]) -> jax.Array:
    """The loss of one sample; every output of this workload spikes."""
    logits = -times / loss["tau_0"]
    return jax.nn.logsumexp(logits) - logits[label] + loss["alpha"] * jnp.expm1(times[label] / loss["tau_1"])


def network(given: Any, settings: dict[str, Any]) -> Any:
    """The two layers as a function of input spikes and weights, batched."""
    neuron = LIFParameters(
        v_reset=settings["v_reset"], v_th=1.0, tau_syn=settings["tau_syn"], tau_mem=settings["tau_mem"]
    )
    n_in, n_hidden = given["w_hidden"].shape
    n_out = given["w_output"].shape[1]
    topology = Topology(t_max=settings["duration"], backprop_method="eventprop")
    topology.add(
        {
            "input": Source(n_in),
            "hidden": LIF(n_hidden, settings["hidden_events"], neuron),
            "output": LIF(n_out, settings["output_events"], neuron),
            "w_hidden": Linear(pre_weights=given["w_hidden"]),
            "w_output": Linear(pre_weights=given["w_output"]),
        }
    )
    topology.connect([("input", "w_hidden"), ("w_hidden", "hidden"), ("hidden", "w_output"), ("w_output", "output")])
    return topology.done()


def main() -> None:
    """Compile, tell what the first step found, then serve."""
    settings = json.loads(sys.argv[1])
    given = np.load(settings["problem"])
    start, run = network(given, settings)
    times, labels = jnp.asarray(given["times"]), jnp.asarray(given["labels"])
    spikes = {
        "input": Spike(
            time=times,
            idx=jnp.asarray(given["units"]),
            current=jnp.zeros_like(times),
            layer_idx=jnp.zeros_like(times, dtype=int),
            internal=jnp.ones_like(times, dtype=bool),
        )
    }

    def loss(weights: Any) -> tuple[jax.Array, Any]:
        events = run(spikes, weights)
        first = jax.vmap(partial(first_spike, n_outputs=given["w_output"].shape[1]))(events["output"])
        each = jax.vmap(first_spike_cross_entropy, in_axes=(0, 0, None))(first, labels, settings["loss"])
        return each.mean(), events

    optimiser = optax.adam(settings["learning_rate"])

    @jax.jit
    def train(weights: Any, state: Any) -> Any:
        (value, events), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
        updates, state = optimiser.update(gradients, state)
        counts = {name: events[name].internal.sum() for name in ("hidden", "output")}
        return optax.apply_updates(weights, updates), state, value, gradients, counts

    weights = start(jax.random.PRNGKey(0))
    weights, state, value, gradients, counts = train(weights, optimiser.init(weights))
    np.savez(settings["gradients"], w_hidden=gradients["w_hidden"], w_output=gradients["w_output"])
    spikes_out = {name: int(count) for name, count in counts.items()}
    versions = {"jaxsnn": version("jaxsnn"), "jax": jax.__version__}
    print(json.dumps({**versions, "loss": float(value), "spikes": spikes_out}), flush=True)
    for line in sys.stdin:
        taken = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            weights, state, value, *_ = jax.block_until_ready(train(weights, state))
            float(value)
            taken.append(time.perf_counter() - begin)
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()

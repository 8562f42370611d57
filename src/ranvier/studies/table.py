"""Each data set's documented settings, per gradient: the one place where they stand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ranvier.studies.config import DATASETS, GRADIENTS, RunConfig

# Wunderlich & Pehle, Sci. Rep. 11:12829 (2021), with a quarter of their epochs
_YINYANG_EVENTPROP = RunConfig(
    dataset="yinyang",
    gradient="eventprop",
    surrogate=None,
    surrogate_scale=None,
    epochs=25,
    batch_size=32,
    hidden=200,
    dt=1e-4,
    duration=60e-3,
    learning_rate=5e-3,
    decay=0.95,
    tau_mem=20e-3,
    tau_syn=5e-3,
    hidden_weights=(1.5, 0.78),
    output_weights=(0.93, 0.1),
)
# chosen on the validation split of seed 0
_YINYANG_SURROGATE = replace(
    _YINYANG_EVENTPROP,
    gradient="surrogate",
    surrogate="superspike",
    surrogate_scale=20.0,
    epochs=40,
    learning_rate=1e-2,
    decay=0.93,
    output_weights=(0.0, 0.1),
)
# Wunderlich & Pehle 2021, with a tenth of their epochs, and so with a faster decay than their 0.95
_MNIST_EVENTPROP = RunConfig(
    dataset="mnist",
    gradient="eventprop",
    surrogate=None,
    surrogate_scale=None,
    epochs=10,
    batch_size=5,
    hidden=350,
    dt=1e-3,
    duration=40e-3,
    learning_rate=5e-3,
    decay=0.8,
    tau_mem=20e-3,
    tau_syn=5e-3,
    hidden_weights=(0.078, 0.045),
    output_weights=(0.2, 0.37),
    drop=0.2,
)
_MNIST_SURROGATE = replace(
    _MNIST_EVENTPROP,
    gradient="surrogate",
    surrogate="superspike",
    surrogate_scale=10.0,
    batch_size=32,
    learning_rate=2e-3,
    decay=0.95,
)

TABLE = {
    ("yinyang", "eventprop"): _YINYANG_EVENTPROP,
    ("yinyang", "surrogate"): _YINYANG_SURROGATE,
    ("mnist", "eventprop"): _MNIST_EVENTPROP,
    ("mnist", "surrogate"): _MNIST_SURROGATE,
    ("fashion-mnist", "eventprop"): replace(_MNIST_EVENTPROP, dataset="fashion-mnist"),
    ("fashion-mnist", "surrogate"): replace(_MNIST_SURROGATE, dataset="fashion-mnist"),
}


def documented(dataset: str, gradient: str = "eventprop", **changes: Any) -> RunConfig:
    """The documented settings of a data set and gradient, with some of them changed.

    Raises:
        ValueError: there is no such data set or gradient, or a change is out of range.
    """
    if (dataset, gradient) not in TABLE:
        raise ValueError(
            f"`dataset` must be one of {', '.join(DATASETS)} and `gradient` one of {', '.join(GRADIENTS)}. "
            f"Got {dataset!r} and {gradient!r}."
        )
    return replace(TABLE[dataset, gradient], **changes)

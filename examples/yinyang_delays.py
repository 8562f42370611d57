"""Yin-Yang at 99 %: 5-200-3 neurons in continuous time, exact gradients, and a learned delay on each input connection.

    python examples/yinyang_delays.py [SEED ...] [--epochs N]

Chosen on the validation split (docs/results.md); the test split is looked at after the last epoch. Three minutes each.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch

import ranvier as rv
from ranvier.data import load_yinyang
from ranvier.layers import init
from ranvier.training import evaluate


def train(seed: int, epochs: int) -> dict[str, Any]:
    """Train one network; what came of it."""
    splits, source = load_yinyang(duration=60e-3), torch.Generator().manual_seed(seed)
    neuron, gradient = rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3), rv.EventProp(min_slope=0.01)
    network = rv.Network(
        hidden=rv.Spiking(
            5,
            200,
            neuron,
            gradient=gradient,
            weights=init.normal(1.5, 0.78),
            delays=rv.Delays(longest=20e-3),
            generator=source,
        ),
        output=rv.Spiking(200, 3, neuron, gradient=gradient, weights=init.normal(0.93, 0.1), generator=source),
    )
    loss = rv.FirstSpikeCrossEntropy()
    config = rv.FitConfig(
        epochs=epochs,
        batch_size=128,
        learning_rate=1e-2,
        rates={"hidden.delays": 2e-2},
        decay=0.96,
        wake_after=rv.WakeAfterEpoch(["hidden"], 0.05),
        seed=seed,
        threads=1,
    )
    result = rv.fit(network, loss, splits.train, splits.validation, config)
    return {
        "seed": seed,
        "test_accuracy": evaluate(network, loss, splits.test).accuracy,
        "best_validation": result.best_validation,
        "best_epoch": result.best_epoch,
        "train_accuracy": result.metrics["train_accuracy"],
        "loss": result.metrics["train_loss"],
        "spikes_per_sample": result.metrics["spikes_per_sample"],
        "seconds": result.seconds,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the given seeds, a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int, nargs="*", default=[0], metavar="SEED")
    parser.add_argument("--epochs", type=int, default=100)
    given = parser.parse_args(arguments)
    for seed in given.seeds:
        print(json.dumps(train(seed, given.epochs)), flush=True)


if __name__ == "__main__":
    main()

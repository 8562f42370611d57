"""`ranvier evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ranvier.cli import folder as folders
from ranvier.cli import progress
from ranvier.cli.options import Evaluate
from ranvier.studies import study


def run(options: Evaluate) -> dict[str, Any]:
    """Measure a run's newest whole checkpoint on the test set; nothing is written.

    Raises:
        RanvierError: there is no such run, it has no checkpoint yet, or the data cannot be had.
    """
    from ranvier.cli.train import backend
    from ranvier.training import evaluate

    assert options.run is not None
    folder = Path(options.run)
    config, content = folders.trained(folder, options.data_dir)
    with progress.shown() as told:
        parts = study(config, told)
    folders.fill(parts.network, content, folder)
    tested = evaluate(parts.network, parts.loss, parts.splits.test)
    return {
        "dataset": config.dataset,
        "gradient": config.gradient,
        "engine": config.engine,
        "backend": backend(tested.backends),
        "epochs": content["epoch"],
        "test_accuracy": tested.accuracy,
        "test_loss": tested.loss,
        "test_ties": tested.ties,
        "spikes_per_sample": tested.spikes_per_sample,
        "run_dir": str(folder),
    }

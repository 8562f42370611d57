"""`ranvier evaluate`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ranvier.cli import folder as folders
from ranvier.cli.options import Evaluate
from ranvier.errors import RunError
from ranvier.studies import GENERATED, study


def run(options: Evaluate) -> dict[str, Any]:
    """Measure a run's newest whole checkpoint on the test set; nothing is written.

    Raises:
        RanvierError: there is no such run, it has no checkpoint yet, or the data cannot be had.
    """
    from ranvier.cli.train import backend
    from ranvier.training import checkpoint, evaluate

    assert options.run is not None
    folder = Path(options.run)
    config = folders.read_config(folder)
    if options.data_dir is not None:
        if config.dataset in GENERATED:
            raise RunError(f"--data-dir has no effect on {folder}, a run of {config.dataset}. Got {options.data_dir}.")
        config = replace(config, data_dir=options.data_dir)
    loaded = checkpoint.load_last(folder)
    if loaded is None:
        raise RunError(f"{folder} must hold a checkpoint. Got a run that has not finished its first epoch.")
    if loaded.note is not None:
        print(loaded.note, file=sys.stderr)  # noqa: T201
    parts = study(config)
    try:
        parts.network.load_state_dict(loaded.content["network"])
    except RuntimeError as error:
        raise RunError(f"{folder} must hold weights that fit its config.json. Got others.") from error
    tested = evaluate(parts.network, parts.loss, parts.splits.test)
    return {
        "dataset": config.dataset,
        "gradient": config.gradient,
        "engine": config.engine,
        "backend": backend(tested.backends),
        "epochs": loaded.content["epoch"],
        "test_accuracy": tested.accuracy,
        "test_loss": tested.loss,
        "test_ties": tested.ties,
        "spikes_per_sample": tested.spikes_per_sample,
        "run_dir": str(folder),
    }

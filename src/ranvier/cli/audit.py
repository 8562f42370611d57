"""`ranvier check`."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranvier.cli import check
from ranvier.cli import folder as folders
from ranvier.cli.options import Check, Train, UsageError
from ranvier.errors import RunError
from ranvier.studies import GENERATED, RunConfig

if TYPE_CHECKING:
    from ranvier.audit import Report
    from ranvier.layers import Network

_SAMPLES = 8


def settings(options: Check) -> RunConfig | None:
    """The configuration of the network to check, or None to take a run's.

    Raises:
        UsageError: naming option, rule and value.
    """
    if options.samples is not None and options.samples < 1:
        raise UsageError(f"--samples must be a whole number >= 1. Got {options.samples}.")
    shared = {field.name for field in fields(Train)} - {"json", "data_dir"}
    given = {field.name: getattr(options, field.name) for field in fields(Check) if field.name in shared}
    if options.run is None and options.dataset is None:
        raise UsageError("--run must name a run, or a data set must be named. Got neither.")
    if options.run is None:
        return check.settings(Train(data_dir=options.data_dir, **given))
    for name, value in given.items():
        if value is not None:
            told = "A data set" if name == "dataset" else f"--{name}"
            raise UsageError(f"{told} must not accompany --run, which takes it from the run. Got {value}.")
    return None


def run(options: Check, config: RunConfig | None) -> tuple[Report, dict[str, Any]]:
    """Check the gradients of a fresh network, or of a run's newest whole checkpoint; nothing is written.

    Args:
        options: as given.
        config: what `settings` returned.

    Returns:
        The report, and the settings it is about, ready for JSON.

    Raises:
        RanvierError: there is no such run, it has no checkpoint yet, or the data cannot be had.
    """
    from ranvier.audit import check_gradients
    from ranvier.studies import study

    weights = None
    if config is None:
        assert options.run is not None
        config, weights = _trained(Path(options.run), options.data_dir)
    parts = study(config)
    if weights is not None:
        _load(parts.network, weights, options.run)
    some = parts.splits.validation[: options.samples or _SAMPLES]
    report = check_gradients(parts.network, some.inputs, parts.loss, some.labels, seed=config.seed)
    names = ("dataset", "gradient", "engine", "surrogate", "dt", "hidden", "seed")
    return report, {name: getattr(config, name) for name in names} | {"run_dir": options.run}


def _trained(folder: Path, data_dir: str | None) -> tuple[RunConfig, dict[str, Any]]:
    """What a run is, and its newest weights."""
    from ranvier.training import checkpoint

    config = folders.read_config(folder)
    if data_dir is not None:
        if config.dataset in GENERATED:
            raise RunError(f"--data-dir has no effect on {folder}, a run of {config.dataset}. Got {data_dir}.")
        config = replace(config, data_dir=data_dir)
    loaded = checkpoint.load_last(folder)
    if loaded is None:
        raise RunError(f"{folder} must hold a checkpoint. Got a run that has not finished its first epoch.")
    if loaded.note is not None:
        print(loaded.note, file=sys.stderr)  # noqa: T201
    return config, loaded.content["network"]


def _load(network: Network, weights: dict[str, Any], folder: str | None) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"{folder} must hold weights that fit its config.json. Got others.") from error

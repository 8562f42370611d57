"""`ranvier check`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranvier.cli import check, progress
from ranvier.cli import folder as folders
from ranvier.cli.options import Check, Train, UsageError
from ranvier.studies import RunConfig

if TYPE_CHECKING:
    from ranvier.audit import Report

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
        if value is not None and value is not False:
            told = "A data set" if name == "dataset" else f"--{name.replace('_', '-')}"
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

    content, folder = None, Path(options.run or "")
    if config is None:
        config, content = folders.trained(folder, options.data_dir)
    with progress.shown() as told:
        parts = study(config, told)
    if content is not None:
        folders.fill(parts.network, content, folder)
    some = parts.splits.validation[: options.samples or _SAMPLES]
    report = check_gradients(
        parts.network,
        some.inputs,
        lambda output, labels: parts.loss.judge(output, labels).loss,
        some.labels,
        seed=config.seed,
    )
    names = ("dataset", "gradient", "engine", "surrogate", "dt", "hidden", "seed")
    return report, {name: getattr(config, name) for name in names} | {"run_dir": options.run}

"""`ranvier train`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ranvier.cli.options import Train, UsageError
from ranvier.errors import RunError
from ranvier.studies import RunConfig, documented

_CHANGES = ("epochs", "seed", "hidden", "dt", "batch_size", "learning_rate", "threads", "data_dir", "surrogate")
_NOT_WITH_RESUME = (
    *("gradient", "surrogate", "seed", "hidden", "dt", "batch_size", "learning_rate", "threads", "out"),
)


def check(options: Train) -> RunConfig | None:
    """The configuration of a new run, or None to resume; everything that can be told without the disk is checked.

    Raises:
        UsageError: naming option, rule and value.
    """
    if options.resume is not None:
        _check_resume(options)
        return None
    if options.dataset is None:
        raise UsageError("A data set must be named: yinyang, mnist or fashion-mnist. Got none.")
    if options.dataset == "yinyang" and options.data_dir is not None:
        raise UsageError(f"--data-dir has no effect on yinyang, which needs no files. Got {options.data_dir}.")
    gradient = options.gradient or "eventprop"
    if options.surrogate is not None and gradient != "surrogate":
        raise UsageError(f"--surrogate needs --gradient surrogate. Got --gradient {gradient}.")
    changes = {name: value for name in _CHANGES if (value := getattr(options, name)) is not None}
    if "data_dir" in changes:
        changes["data_dir"] = str(Path(changes["data_dir"]).absolute())
    try:
        return documented(options.dataset, gradient, **changes)
    except ValueError as error:
        raise UsageError(_as_option(str(error), changes)) from error


def _check_resume(options: Train) -> None:
    for name in _NOT_WITH_RESUME:
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} must not accompany --resume, which takes every setting from the run. "
                f"Got {getattr(options, name)}."
            )
    if options.epochs is not None and options.epochs < 1:
        raise UsageError(f"--epochs must be a whole number >= 1. Got {options.epochs}.")
    if options.dataset == "yinyang" and options.data_dir is not None:
        raise UsageError(f"--data-dir has no effect on yinyang, which needs no files. Got {options.data_dir}.")


def _as_option(message: str, names: Any) -> str:
    for name in names:
        message = message.replace(f"`{name}`", f"--{name.replace('_', '-')}")
    return message


def run(options: Train, config: RunConfig | None) -> dict[str, Any]:
    """Train, test once, and tell.

    Args:
        options: as given.
        config: what `check` returned.

    Returns:
        The result, ready for JSON.

    Raises:
        RanvierError: what only the disk or the training reveals.
        KeyboardInterrupt: with the run's folder as its argument.
    """
    from ranvier.cli import run as runs

    if config is None:
        assert options.resume is not None
        folder = Path(options.resume)
        config = _resumed(options, folder, runs.read_config(folder))
        finished = runs.read_result(folder, config.epochs)
        if finished is not None:
            return finished | {"run_dir": str(folder)}
        _say(config, f"Resuming {folder}")
        runs.write_config(folder, config)
    else:
        import torch

        config = replace(config, threads=config.threads or torch.get_num_threads())
        folder = runs.create(options.out, config)
        _say(config, f"New run in {folder}")
    try:
        result = train(config, folder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(str(folder)) from None
    runs.write_result(folder, result)
    return result


def _resumed(options: Train, folder: Path, config: RunConfig) -> RunConfig:
    if options.dataset not in (None, config.dataset):
        raise RunError(f"{folder} must be a run of {options.dataset}, as named. Got one of {config.dataset}.")
    if options.data_dir is not None:
        if config.dataset == "yinyang":
            raise RunError(f"--data-dir has no effect on {folder}, a run of yinyang. Got {options.data_dir}.")
        config = replace(config, data_dir=str(Path(options.data_dir).absolute()))
    return config if options.epochs is None else replace(config, epochs=options.epochs)


def train(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Train in `folder`, from its checkpoint if it has one, and measure the final weights on the test set."""
    from ranvier.studies import study
    from ranvier.training import evaluate, fit

    started = time.monotonic()
    parts = study(config)
    fitted = fit(
        parts.network,
        parts.loss,
        parts.splits.train,
        parts.splits.validation,
        parts.fit,
        regularisers=parts.regularisers,
        augment=parts.augment,
        run_dir=folder,
        resume=True,
    )
    around = time.monotonic() - started
    tested = evaluate(parts.network, parts.loss, parts.splits.test)
    assert fitted.metrics is not None
    return {
        "dataset": config.dataset,
        "gradient": config.gradient,
        "surrogate": config.surrogate,
        "backend": backend(tested.backends),
        "seed": config.seed,
        "epochs": fitted.epoch,
        "test_accuracy": tested.accuracy,
        "train_accuracy": fitted.metrics["train_accuracy"],
        "best_validation": fitted.best_validation,
        "best_epoch": fitted.best_epoch,
        "loss": fitted.metrics["train_loss"],
        "test_loss": tested.loss,
        "test_ties": tested.ties,
        "seconds": max(around, fitted.seconds) + time.monotonic() - started - around,
        "samples_per_second": fitted.metrics["samples_per_second"],
        "spikes_per_sample": tested.spikes_per_sample,
        "run_dir": str(folder),
    }


def backend(backends: dict[str, str]) -> str:
    """Which path computed the spiking layers; more than one is joined by "+"."""
    return "+".join(sorted(set(backends.values())))


def _say(config: RunConfig, title: str) -> None:
    from dataclasses import asdict

    settings = ", ".join(f"{name} {value}" for name, value in asdict(config).items() if value is not None)
    print(f"{title}: {settings}", file=sys.stderr, flush=True)  # noqa: T201

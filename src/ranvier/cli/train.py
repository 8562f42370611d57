"""`ranvier train`."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from ranvier.cli import check, launch, progress
from ranvier.cli import folder as folders
from ranvier.cli.options import Train
from ranvier.errors import DataError, LostProcessError, RunError
from ranvier.studies import RunConfig, Study, study, takes_folder
from ranvier.training.ranks import ALONE, Ranks, together


class _Run(NamedTuple):
    """What the first process found or made: a folder, what is in its `config.json`, what it now is, a known result."""

    folder: Path
    stored: RunConfig
    config: RunConfig
    result: dict[str, Any] | None


def run(options: Train, config: RunConfig | None) -> dict[str, Any]:
    """Train, test once, and tell. Under torchrun with the other processes, of which the first alone touches the disk.

    Args:
        options: as given.
        config: what `check.settings` returned.

    Returns:
        The result, ready for JSON.

    Raises:
        RanvierError: what only the disk or the training reveals.
        KeyboardInterrupt: with the command that continues as its argument.
    """
    with launch.joined(), together(wait=launch.WAIT) as ranks:
        folder, stored, config, result = ranks.from_first(lambda: _opened(options, config))
        if result is not None:
            return result
        try:
            parts, loading = _load(config, folder, ranks, is_new=options.resume is None)
            if config != stored and ranks.is_first:
                folders.write_config(folder, config)
            result = train(config, folder, parts, loading, ranks)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(launch.again(folder)) from None
        except LostProcessError as lost:
            raise LostProcessError(f"{lost} Continue with: {launch.again(folder)}") from lost
        if ranks.is_first:
            folders.write_result(folder, result)
        return result


def _opened(options: Train, config: RunConfig | None) -> _Run:
    if config is None:
        assert options.resume is not None
        folder = Path(options.resume)
        stored = folders.read_config(folder)
        config = _resumed(options, folder, stored)
        finished = folders.read_result(folder, config.epochs)
        if finished is not None:
            return _Run(folder, stored, config, finished | {"run_dir": str(folder)})
        _check_epochs(config, folder)
        _say(config, f"Resuming {folder}")
    else:
        stored = config = replace(config, threads=config.threads or launch.threads())
        folder = folders.create(options.out, config)
        _say(config, f"New run in {folder}")
    launch.say_if_crowded(config.threads or 1)
    return _Run(folder, stored, config, None)


def _load(config: RunConfig, folder: Path, ranks: Ranks, *, is_new: bool) -> tuple[Study, float]:
    """The parts of a run, and the seconds to make them; a new run without data leaves no folder behind.

    The first process comes first: what it downloads or converts is there for the others.
    """
    started = time.monotonic()
    try:
        with progress.shown() as told, ranks.first_alone():
            parts = study(config, told if ranks.is_first else None)
        ranks.wait()
    except LostProcessError:
        raise
    except (DataError, RunError):
        if is_new and ranks.is_first:
            folders.remove(folder)
        raise
    return parts, time.monotonic() - started


def _check_epochs(config: RunConfig, folder: Path) -> None:
    from ranvier.training import checkpoint

    loaded = checkpoint.load_last(folder)
    if loaded is not None and loaded.content["epoch"] > config.epochs:
        done = loaded.content["epoch"]
        raise RunError(f"--epochs must be at least those done in {folder}, {done}. Got {config.epochs}.")


def _resumed(options: Train, folder: Path, config: RunConfig) -> RunConfig:
    if options.dataset is not None and check.named(options.dataset) != config.dataset:
        raise RunError(f"{folder} must be a run of {options.dataset}, as named. Got one of {config.dataset}.")
    if options.data_dir is not None:
        if not takes_folder(config.dataset):
            raise RunError(f"--data-dir has no effect on {folder}, a run of {config.dataset}. Got {options.data_dir}.")
        config = replace(config, data_dir=str(Path(options.data_dir).absolute()))
    return config if options.epochs is None else replace(config, epochs=options.epochs)


def train(config: RunConfig, folder: Path, parts: Study, loading: float, ranks: Ranks = ALONE) -> dict[str, Any]:
    """Train in `folder`, from its checkpoint if it has one, and measure the final weights on the test set."""
    from ranvier.training import evaluate, fit
    from ranvier.training.threads import thread_count

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
    started = time.monotonic()
    with thread_count(config.threads):
        tested = evaluate(parts.network, parts.loss, parts.splits.test, ranks=ranks)
    testing = time.monotonic() - started
    return {
        "dataset": config.dataset,
        "gradient": config.gradient,
        "engine": config.engine,
        "surrogate": config.surrogate,
        "delays": config.delays if config.dataset == "yinyang-delays" else None,
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
        "seconds": loading + fitted.seconds + testing,
        "samples_per_second": fitted.metrics["samples_per_second"],
        "spikes_per_sample": tested.spikes_per_sample,
        "run_dir": str(folder),
    }


def backend(backends: dict[str, str]) -> str:
    """Which path computed the spiking layers; more than one is joined by "+". Delayed inputs are not computed."""
    return "+".join(sorted(set(backends.values()) - {"input"}))


def _say(config: RunConfig, title: str) -> None:
    settings = ", ".join(f"{name} {value}" for name, value in asdict(config).items() if value is not None)
    print(f"{title}: {settings}", file=sys.stderr, flush=True)  # noqa: T201

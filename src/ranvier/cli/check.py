"""What can be told of `ranvier train`'s options without touching the disk, and without torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ranvier.cli.options import Encode, Train, UsageError
from ranvier.studies import DATASETS, RunConfig, documented, takes_folder
from ranvier.studies.config import form_of

_CHANGES = (
    "delays",
    "bias_spike",
    "epochs",
    "seed",
    "hidden",
    "dt",
    "batch_size",
    "learning_rate",
    "threads",
    "data_dir",
    "surrogate",
    "loss",
    "channels",
    "delay_line",
    "leave_out",
    "split_seed",
    "label_from",
    "ear",
)
_NOT_WITH_RESUME = (
    "gradient",
    "engine",
    "delays",
    "bias_spike",
    "surrogate",
    "seed",
    "hidden",
    "dt",
    "batch_size",
    "learning_rate",
    "threads",
    "loss",
    "channels",
    "delay_line",
    "leave_out",
    "split_seed",
    "label_from",
    "ear",
    "out",
)


def settings(options: Train) -> RunConfig | None:
    """The configuration of a new run, or None to resume.

    Everything that can be told without the disk is checked.

    Raises:
        UsageError: naming option, rule and value.
    """
    if options.resume is not None:
        _check_resume(options)
        return None
    if options.dataset is None:
        raise UsageError(f"A data set must be named: {', '.join(DATASETS)}. Got none.")
    if form_of(options.dataset) is None:
        raise UsageError(f"A data set must be named: {', '.join(DATASETS)}. Got {options.dataset}.")
    _check_folder(options)
    if options.dataset == "fsdd" and options.data_dir is None:
        raise UsageError("--data-dir must name the folder with the zip file of fsdd. Got none.")
    gradient = options.gradient or "eventprop"
    if options.surrogate is not None and gradient != "surrogate":
        raise UsageError(f"--surrogate needs --gradient surrogate. Got --gradient {gradient}.")
    changes = {name: getattr(options, name) for name in _CHANGES if _is_given(options, name)}
    if "data_dir" in changes:
        changes["data_dir"] = str(Path(changes["data_dir"]).absolute())
    try:
        return documented(named(options.dataset), gradient, options.engine, **changes)
    except ValueError as error:
        raise UsageError(_as_option(str(error), (*changes, "engine", "gradient"))) from error


def encoding(options: Encode) -> None:
    """Check what can be told of `ranvier encode`'s options without the disk.

    Raises:
        UsageError: naming option, rule and value.
    """
    if not options.inputs:
        raise UsageError("Recordings, or folders of them, must be named. Got none.")
    if options.out is None:
        raise UsageError("--out must name the new file. Got none.")
    for name, least, most in (("channels", 1, 1 << 16), ("seed", 0, (1 << 63) - 1), ("jobs", 1, 256)):
        value = getattr(options, name)
        if not least <= value <= most:
            raise UsageError(f"--{name} must be a whole number from {least} to {most}. Got {value}.")


def _is_given(options: Train, name: str) -> bool:
    value = getattr(options, name)
    return value is not None and value is not False  # a flag that is not given is False; 0 is given


def _check_resume(options: Train) -> None:
    for name in _NOT_WITH_RESUME:
        if _is_given(options, name):
            raise UsageError(
                f"--{name.replace('_', '-')} must not accompany --resume, which takes them from the run. "
                f"Got {getattr(options, name)}."
            )
    if options.epochs is not None:
        try:
            documented("yinyang", epochs=options.epochs)
        except ValueError as error:
            raise UsageError(_as_option(str(error), ["epochs"])) from error
    _check_folder(options)


def _check_folder(options: Train) -> None:
    if options.data_dir is None or options.dataset is None or takes_folder(options.dataset):
        return
    why = "whose name says where its files are" if ":" in options.dataset else "which needs no files"
    raise UsageError(f"--data-dir has no effect on {options.dataset}, {why}. Got {options.data_dir}.")


def named(dataset: str) -> str:
    """A data set's name; a path in it made absolute, so that a run finds it from everywhere."""
    kind, colon, path = dataset.partition(":")
    return f"{kind}:{Path(path).absolute()}" if colon and path else dataset


def _as_option(message: str, names: Iterable[str]) -> str:
    for name in names:
        message = message.replace(f"`{name}`", f"--{name.replace('_', '-')}")
    return message
